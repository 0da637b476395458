"""Read the signatures of cuda-python off its wheel; run by hand.

    pip download cuda-bindings --no-deps; pip install --target DIR cuda_bindings-*.whl
    python tests/fakes/device_fakes/make_cuda_record.py DIR [DIR ...]

The wheel needs no driver to be imported. Several versions may be given; what they do not have in
common is an error, so that the record holds for all of them. pycuda cannot be imported without a
driver: `pycuda_api.json` was written by hand from its source, the file says which.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

OUTPUT = Path(__file__).with_name("cuda_python_api.json")
FUNCTIONS = [
    "cuInit",
    "cuDriverGetVersion",
    "cuDeviceGetCount",
    "cuDeviceGet",
    "cuDeviceGetName",
    "cuDeviceTotalMem",
    "cuDeviceGetAttribute",
    "cuDevicePrimaryCtxRetain",
    "cuDevicePrimaryCtxRelease",
    "cuDevicePrimaryCtxGetState",
    "cuCtxPushCurrent",
    "cuCtxPopCurrent",
    "cuCtxSetCurrent",
    "cuCtxGetCurrent",
    "cuCtxGetDevice",
    "cuCtxSynchronize",
    "cuMemGetInfo",
    "cuMemAlloc",
    "cuMemFree",
    "cuMemHostAlloc",
    "cuMemAllocHost",
    "cuMemFreeHost",
    "cuMemHostGetDevicePointer",
    "cuMemcpyHtoD",
    "cuMemcpyDtoH",
    "cuMemcpyHtoDAsync",
    "cuMemcpyDtoHAsync",
    "cuMemcpyDtoDAsync",
    "cuMemsetD8",
    "cuMemsetD8Async",
    "cuStreamCreate",
    "cuStreamDestroy",
    "cuStreamSynchronize",
    "cuStreamQuery",
    "cuStreamWaitEvent",
    "cuStreamIsCapturing",
    "cuStreamBeginCapture",
    "cuStreamEndCapture",
    "cuEventCreate",
    "cuEventDestroy",
    "cuEventRecord",
    "cuEventQuery",
    "cuEventSynchronize",
    "cuEventElapsedTime",
    "cuGraphInstantiate",
    "cuGraphLaunch",
    "cuGraphUpload",
    "cuGraphDestroy",
    "cuGraphExecDestroy",
    "cuGetErrorName",
    "cuGetErrorString",
]
ENUMS = ["CUstream_flags", "CUevent_flags", "CUstreamCaptureMode", "CUstreamCaptureStatus"]
ATTRIBUTES = "INTEGRATED CAN_MAP_HOST_MEMORY COMPUTE_CAPABILITY_MAJOR COMPUTE_CAPABILITY_MINOR"
CONSTANTS = "CU_MEMHOSTALLOC_PORTABLE CU_MEMHOSTALLOC_DEVICEMAP CU_MEMHOSTALLOC_WRITECOMBINED"
HANDLES = ["CUdevice", "CUcontext", "CUstream", "CUevent", "CUgraph", "CUgraphExec", "CUdeviceptr"]


def recorded(folder: str) -> dict[str, object]:
    """The record of the wheel in one folder; to be run in a process of its own."""
    sys.path.insert(0, folder)
    import cuda.bindings
    from cuda.bindings import driver

    functions = {}
    for name in FUNCTIONS:
        signature = getattr(driver, name).__doc__.splitlines()[0]
        inner = signature[len(name) + 1 : -1]
        words = [re.sub(r":.*", "", part).split() for part in inner.split(",") if part]
        functions[name] = [part[-1] for part in words]
    attributes = [f"CU_DEVICE_ATTRIBUTE_{name}" for name in ATTRIBUTES.split()]
    enums = {name: {item.name: int(item) for item in getattr(driver, name)} for name in ENUMS}
    enums["CUdevice_attribute"] = {
        name: int(getattr(driver.CUdevice_attribute, name)) for name in attributes
    }
    enums["CUresult"] = {item.name: int(item) for item in driver.CUresult}
    return {
        "version": cuda.bindings.__version__,
        "functions": functions,
        "enums": enums,
        "constants": {name: getattr(driver, name) for name in CONSTANTS.split()},
        "handles": {
            name: [item for item in ("__int__", "__index__", "getPtr") if hasattr(handle, item)]
            for name in HANDLES
            for handle in (getattr(driver, name),)
        },
    }


def main() -> int:
    """Write the record beside this file."""
    if sys.argv[1] == "--one":
        print(json.dumps(recorded(sys.argv[2])))
        return 0
    records = [
        json.loads(subprocess.check_output([sys.executable, __file__, "--one", folder]))
        for folder in sys.argv[1:]
    ]
    versions = [record.pop("version") for record in records]
    first = records[0]
    for record in records[1:]:
        results = record["enums"]["CUresult"]
        first["enums"]["CUresult"] = {
            name: number
            for name, number in first["enums"]["CUresult"].items()
            if results.get(name) == number
        }
        record["enums"]["CUresult"] = first["enums"]["CUresult"]
        assert record == first, "these versions differ in what is recorded"
    source = f"signatures and values of cuda.bindings.driver, cuda-bindings {', '.join(versions)}"
    about = {
        "_about": f"{source}. 'functions' are argument names; each returns a tuple that begins "
        "with a CUresult."
    }
    OUTPUT.write_text(json.dumps({**about, **first}, indent=0) + "\n", encoding="utf-8")
    print(f"{OUTPUT.name}: {OUTPUT.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
