"""`cuda.bindings.driver` as its record says it is, on the simulated GPU.

Every function returns a tuple whose first item is a CUresult; nothing is raised for an error of
CUDA. Without a driver the module can be imported and every call raises RuntimeError.
"""

from __future__ import annotations

import enum
import types
from collections.abc import Callable
from typing import Any

from device_fakes import gpu_streams as streams
from device_fakes.cuda_errors import STRINGS, CudaError
from device_fakes.gpu import Gpu
from device_fakes.records import cuda_python_record

NO_DRIVER = "Failed to dlopen libcuda.so.1"
NUM_RESULTS = {"cuMemGetInfo": 2, "cuDevicePrimaryCtxGetState": 2}
"""Values behind the CUresult, where there is not one or none."""

NO_RESULT = frozenset(
    [
        "cuInit",
        "cuDevicePrimaryCtxRelease",
        "cuCtxPushCurrent",
        "cuCtxSetCurrent",
        "cuCtxSynchronize",
        "cuMemFree",
        "cuMemFreeHost",
        "cuMemcpyHtoD",
        "cuMemcpyDtoH",
        "cuMemcpyHtoDAsync",
        "cuMemcpyDtoHAsync",
        "cuMemcpyDtoDAsync",
        "cuMemsetD8",
        "cuMemsetD8Async",
        "cuStreamDestroy",
        "cuStreamSynchronize",
        "cuStreamQuery",
        "cuStreamWaitEvent",
        "cuStreamBeginCapture",
        "cuEventDestroy",
        "cuEventRecord",
        "cuEventQuery",
        "cuEventSynchronize",
        "cuGraphLaunch",
        "cuGraphUpload",
        "cuGraphDestroy",
        "cuGraphExecDestroy",
    ]
)


class Handle:
    """An opaque value of CUDA; two of them are equal if their numbers are."""

    def __init__(self, init_value: int = 0, _ptr: int = 0) -> None:
        del _ptr
        if not isinstance(init_value, int):
            raise TypeError("an integer is required")
        self._value = int(init_value)

    def __int__(self) -> int:
        return self._value

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and int(other) == int(self)

    def __hash__(self) -> int:
        return hash(self._value)

    def getPtr(self) -> int:  # noqa: N802  # its name in cuda-python
        """Address of the value itself."""
        return id(self)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._value:#x}>"


def cuda_driver_module(gpu: Gpu, *, driver_present: bool) -> types.ModuleType:
    """Make the module.

    Args:
        gpu: that it drives.
        driver_present: libcuda.so.1 can be loaded.
    """
    record = cuda_python_record()
    module = types.ModuleType("cuda.bindings.driver")
    for name, values in record["enums"].items():
        setattr(module, name, enum.IntEnum(name, values))
    for name, value in record["constants"].items():
        setattr(module, name, value)
    for name, methods in record["handles"].items():
        members: dict[str, Any] = {"__index__": Handle.__int__} if "__index__" in methods else {}
        setattr(module, name, type(name, (Handle,), members))
    calls = _calls(gpu, module)
    for name, arguments in record["functions"].items():
        function = _function(name, arguments, calls.get(name), module, driver_present)
        setattr(module, name, function)
    return module


def _function(
    name: str,
    arguments: list[str],
    call: Callable[..., Any] | None,
    module: Any,
    driver_present: bool,
) -> Callable[..., tuple[Any, ...]]:
    num_results = NUM_RESULTS.get(name, 0 if name in NO_RESULT else 1)

    def function(*given: Any, **named: Any) -> tuple[Any, ...]:
        values = dict(zip(arguments, given, strict=False)) | named
        if len(given) + len(named) != len(arguments) or values.keys() != set(arguments):
            raise TypeError(
                f"{name}() takes exactly {len(arguments)} positional arguments "
                f"({len(given) + len(named)} given)"
            )
        if not driver_present:
            raise RuntimeError(NO_DRIVER)
        if call is None:
            raise NotImplementedError(f"device_fakes has no {name} yet")
        try:
            result = call(*(values[argument] for argument in arguments))
        except CudaError as error:
            return module.CUresult(error.number), *([None] * num_results)
        success = module.CUresult.CUDA_SUCCESS
        return (
            (success, *result)
            if isinstance(result, tuple)
            else (success, result)[: num_results + 1]
        )

    function.__name__ = function.__qualname__ = name
    return function


def _calls(gpu: Gpu, driver: Any) -> dict[str, Callable[..., Any]]:
    """The functions by name; a tuple holds several results."""

    def query(done: bool) -> None:
        if not done:
            raise CudaError("CUDA_ERROR_NOT_READY")

    def context_or_null() -> Any:
        return driver.CUcontext(gpu.current.handle if gpu.current else 0)

    def capture_status(stream: Any) -> Any:
        name = "ACTIVE" if streams.is_capturing(gpu, int(stream)) else "NONE"
        return driver.CUstreamCaptureStatus[f"CU_STREAM_CAPTURE_STATUS_{name}"]

    def begin_capture(stream: Any, mode: Any) -> None:
        name = driver.CUstreamCaptureMode(mode.value).name
        streams.begin_capture(gpu, int(stream), thread_local=not name.endswith("GLOBAL"))

    return {
        "cuInit": lambda flags: gpu.init(),
        "cuDriverGetVersion": lambda: gpu.driver_version,
        "cuDeviceGetCount": lambda: gpu.count(),
        "cuDeviceGet": lambda ordinal: (gpu.require_device(ordinal), driver.CUdevice(ordinal))[1:],
        "cuDeviceGetName": lambda length, dev: _padded(gpu.name, length),
        "cuDeviceTotalMem": lambda dev: gpu.memory_bytes,
        "cuDeviceGetAttribute": lambda attribute, dev: gpu.attribute(attribute.name[20:]),
        "cuDevicePrimaryCtxRetain": lambda dev: driver.CUcontext(gpu.retain_primary()),
        "cuDevicePrimaryCtxRelease": lambda dev: gpu.release_primary(),
        "cuDevicePrimaryCtxGetState": lambda dev: (0, int(gpu.primary.uses > 0)),
        "cuCtxPushCurrent": lambda ctx: gpu.push(int(ctx)),
        "cuCtxPopCurrent": lambda: driver.CUcontext(gpu.pop()),
        "cuCtxSetCurrent": lambda ctx: gpu.set_current(int(ctx)),
        "cuCtxGetCurrent": context_or_null,
        "cuCtxGetDevice": lambda: (gpu.require_current("cuCtxGetDevice"), driver.CUdevice(0))[1:],
        "cuCtxSynchronize": gpu.synchronize,
        "cuMemGetInfo": gpu.memory_info,
        "cuMemAlloc": lambda size: driver.CUdeviceptr(gpu.allocate(size).address),
        "cuMemFree": lambda dptr: gpu.free(int(dptr), "device buffer"),
        "cuMemHostAlloc": lambda size, flags: gpu.allocate_host(size, int(flags)).address,
        "cuMemAllocHost": lambda size: gpu.allocate_host(size, 0).address,
        "cuMemFreeHost": lambda p: gpu.free(int(p), "pinned array"),
        "cuMemHostGetDevicePointer": lambda p, flags: driver.CUdeviceptr(
            gpu.mapped_address(int(p))
        ),
        "cuMemcpyHtoD": lambda to, of, size: streams.copy_to_device(
            gpu, int(to), _host(of), size, stream=None
        ),
        "cuMemcpyDtoH": lambda to, of, size: streams.copy_to_host(
            gpu, _host(to), int(of), size, stream=None
        ),
        "cuMemcpyHtoDAsync": lambda to, of, size, stream: streams.copy_to_device(
            gpu, int(to), _host(of), size, stream=int(stream)
        ),
        "cuMemcpyDtoHAsync": lambda to, of, size, stream: streams.copy_to_host(
            gpu, _host(to), int(of), size, stream=int(stream)
        ),
        "cuMemcpyDtoDAsync": lambda to, of, size, stream: streams.copy_on_device(
            gpu, int(to), int(of), size, stream=int(stream)
        ),
        "cuMemsetD8": lambda to, value, size: streams.fill(gpu, int(to), value, size, stream=None),
        "cuMemsetD8Async": lambda to, value, size, stream: streams.fill(
            gpu, int(to), value, size, stream=int(stream)
        ),
        "cuStreamCreate": lambda flags: driver.CUstream(streams.create_stream(gpu, int(flags))),
        "cuStreamDestroy": lambda stream: streams.destroy_stream(gpu, int(stream)),
        "cuStreamSynchronize": lambda stream: streams.synchronize_stream(gpu, int(stream or 0)),
        "cuStreamQuery": lambda stream: query(streams.is_stream_done(gpu, int(stream))),
        "cuStreamWaitEvent": lambda stream, event, flags: streams.wait_for_event(
            gpu, int(stream), int(event)
        ),
        "cuStreamIsCapturing": capture_status,
        "cuStreamBeginCapture": begin_capture,
        "cuStreamEndCapture": lambda stream: driver.CUgraph(streams.end_capture(gpu, int(stream))),
        "cuEventCreate": lambda flags: driver.CUevent(streams.create_event(gpu, int(flags))),
        "cuEventDestroy": lambda event: streams.destroy_event(gpu, int(event)),
        "cuEventRecord": lambda event, stream: streams.record_event(gpu, int(event), int(stream)),
        "cuEventQuery": lambda event: query(streams.is_event_done(gpu, int(event))),
        "cuEventSynchronize": lambda event: streams.synchronize_event(gpu, int(event)),
        "cuEventElapsedTime": lambda start, end: streams.milliseconds_between(
            gpu, int(start), int(end)
        ),
        "cuGraphInstantiate": lambda graph, flags: driver.CUgraphExec(
            streams.instantiate_graph(gpu, int(graph))
        ),
        "cuGraphLaunch": lambda graph, stream: streams.launch_graph(gpu, int(graph), int(stream)),
        "cuGraphUpload": lambda graph, stream: streams.upload_graph(gpu, int(graph), int(stream)),
        "cuGraphDestroy": lambda graph: streams.destroy_graph(gpu, int(graph), executable=False),
        "cuGraphExecDestroy": lambda graph: streams.destroy_graph(gpu, int(graph), executable=True),
        "cuGetErrorName": lambda error: _error(error.value)[0].encode(),
        "cuGetErrorString": lambda error: _error(error.value)[1].encode(),
    }


def _padded(name: str, length: int) -> bytes:
    # The binding hands over its whole buffer: the text, a NUL, and the spaces that were in it.
    return (name.encode() + b"\0").ljust(length, b" ")[:length]


def _host(value: Any) -> int:
    if isinstance(value, int):
        return value
    import numpy as np

    return int(np.frombuffer(value, np.uint8).ctypes.data)


def _error(number: int) -> tuple[str, str]:
    for name, (value, text) in STRINGS.items():
        if value == number:
            return name, text
    raise NotImplementedError(f"device_fakes knows no text of CUDA error {number}")
