"""The first GPU as its driver tells it, through ctypes: no library of ours, no context, no memory.

Only for looking: whoever computes opens the GPU through `cuda_device`. NVIDIA's driver API says
what the calls are (cuda.h); the attributes' numbers are those of CUdevice_attribute.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any

LIBRARY = "libcuda.so.1"

_INTEGRATED, _MAJOR, _MINOR = 18, 75, 76
_NO_DEVICE = 100
_NAME_LENGTH = 256


@dataclass(frozen=True)
class GpuFinding:
    """What the driver says.

    Attributes:
        library: the driver's library could be loaded.
        cuda: newest CUDA that the driver can run, such as "12.6"; empty if it does not tell.
        count: GPUs that it shows.
        name: of the first one, such as "Orin".
        compute_capability: of it, major and minor.
        memory_bytes: of it; on a Jetson the memory that it shares with the CPU.
        integrated: it shares the memory of the CPU.
        error: why no GPU answers; empty if one does.
    """

    library: bool = False
    cuda: str = ""
    count: int = 0
    name: str = ""
    compute_capability: tuple[int, int] = (0, 0)
    memory_bytes: int = 0
    integrated: bool = False
    error: str = ""

    @property
    def answers(self) -> bool:
        """Whether there is a GPU to compute with."""
        return self.count > 0 and not self.error


def look_at_gpu(library: str = LIBRARY) -> GpuFinding:
    """Ask the driver.

    Starting it may take a second, and a broken one may hang or take the process with it: call this
    in a process of its own where that would matter.

    Args:
        library: of the driver.
    """
    try:
        driver = ctypes.CDLL(library)
    except OSError as error:
        return GpuFinding(error=str(error))
    cuda = ""
    try:
        version = ctypes.c_int(0)
        _call(driver, "cuDriverGetVersion", ctypes.byref(version))
        cuda = f"{version.value // 1000}.{version.value % 1000 // 10}"
        return _first_gpu(driver, cuda)
    except _DriverError as error:
        return GpuFinding(library=True, cuda=cuda, error=str(error))


class _DriverError(Exception):
    """A call that the driver refused, in its words."""


def _first_gpu(driver: Any, cuda: str) -> GpuFinding:
    _call(driver, "cuInit", 0)
    count, device = ctypes.c_int(0), ctypes.c_int(0)
    _call(driver, "cuDeviceGetCount", ctypes.byref(count))
    if count.value == 0:
        return GpuFinding(library=True, cuda=cuda, error="the driver shows no GPU")
    _call(driver, "cuDeviceGet", ctypes.byref(device), 0)
    name = ctypes.create_string_buffer(_NAME_LENGTH)
    _call(driver, "cuDeviceGetName", name, _NAME_LENGTH, device)
    memory = ctypes.c_size_t(0)
    _call(driver, "cuDeviceTotalMem_v2", ctypes.byref(memory), device)
    return GpuFinding(
        library=True,
        cuda=cuda,
        count=count.value,
        name=name.value.decode("utf-8", "replace").strip(),
        compute_capability=(
            _attribute(driver, _MAJOR, device),
            _attribute(driver, _MINOR, device),
        ),
        memory_bytes=memory.value,
        integrated=bool(_attribute(driver, _INTEGRATED, device)),
    )


def _attribute(driver: Any, number: int, device: ctypes.c_int) -> int:
    value = ctypes.c_int(0)
    _call(driver, "cuDeviceGetAttribute", ctypes.byref(value), number, device)
    return value.value


def _call(driver: Any, name: str, *arguments: Any) -> None:
    try:
        function = getattr(driver, name)
    except AttributeError as error:  # a library of that name that is no driver
        raise _DriverError(f"{LIBRARY} has no {name}") from error
    status = function(*arguments)
    if status == _NO_DEVICE:
        raise _DriverError("the driver shows no GPU")
    if status != 0:
        raise _DriverError(f"{name} answers {status}{_words(driver, status)}")


def _words(driver: Any, status: int) -> str:
    text = ctypes.c_char_p()
    try:
        driver.cuGetErrorString(status, ctypes.byref(text))
    except AttributeError:
        return ""
    return f" ({text.value.decode('utf-8', 'replace')})" if text.value else ""
