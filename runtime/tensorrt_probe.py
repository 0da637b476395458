"""What TensorRT there is and whether it starts: by a Runtime, which costs far less than a Builder.

A Builder loads its kernels (more than a GB of memory on some versions); a Runtime starts CUDA the
same way, and tells the DLA cores too.
"""

from __future__ import annotations

from dataclasses import dataclass

from edge_arm.runtime.doctor.modules import reason_of
from edge_arm.runtime.errors import BackendUnavailableError
from edge_arm.runtime.tensorrt_library import load_tensorrt


@dataclass(frozen=True)
class TensorRTFinding:
    """What was found.

    Attributes:
        installed: there is a module of that name for this Python.
        version: empty if it cannot be imported, or is older than 8.6.
        dla_cores: of the device, as far as this version can use them; 0 where no GPU was asked.
        error: why it cannot be used; empty if it starts, or if there is no GPU to start it on.
    """

    installed: bool = True
    version: str = ""
    dla_cores: int = 0
    error: str = ""


def look_at_tensorrt(*, gpu: bool) -> TensorRTFinding:
    """Import TensorRT and, where there is a GPU, start it.

    Args:
        gpu: one answers. Without one TensorRT cannot start, which says nothing about it.
    """
    try:
        tensorrt = load_tensorrt()
    except BackendUnavailableError as error:
        cause = error.__cause__
        absent = isinstance(cause, ModuleNotFoundError) and cause.name == "tensorrt"
        return TensorRTFinding(installed=not absent, error=reason_of(cause or error))
    if not gpu:
        return TensorRTFinding(version=tensorrt.version)
    tensorrt.log.forget()
    cores = 0
    try:
        runtime = tensorrt.module.Runtime(tensorrt.logger)
        if tensorrt.capabilities.dla:
            cores = int(runtime.num_DLA_cores)
    except Exception as error:  # pybind11's, when the C++ side gives nothing
        said = tensorrt.log.why() if tensorrt.log.errors else reason_of(error)
        return TensorRTFinding(version=tensorrt.version, error=said)
    return TensorRTFinding(version=tensorrt.version, dla_cores=cores)
