"""The few CUDA calls that running an engine takes, so that two libraries can make them.

pycuda is the default; cuda-python stands in for it where pycuda will not compile. Whoever runs an
engine is written against `CudaDevice` and knows neither.

1. The device's *primary* context is used, which torch and CUDA's runtime use too: pointers are
   valid between them. It is retained once, pushed for each piece of work and popped after it, so
   any thread may work and no thread keeps a context that it did not have.
2. What is made here is freed by hand, in the reverse order, with the context current. Nothing is
   left to destructors: those of pycuda free nothing in another thread.
3. Streams, events and graphs are opaque; a stream's integer is asked from the device.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from edge_arm.runtime.errors import UsageError

CUDA_LIBRARIES = ("pycuda", "cuda-python")
"""The libraries that can make the calls, the default first."""

PYCUDA_HINT = (
    "on a Jetson run: export PATH=/usr/local/cuda/bin:$PATH CPATH=/usr/local/cuda/include "
    "LIBRARY_PATH=/usr/local/cuda/lib64; pip install 'edge-arm[tensorrt]'; on a desktop install "
    "the CUDA toolkit and run: pip install 'edge-arm[tensorrt]'; or, without a compiler, "
    "pip install 'edge-arm[cuda-python]' and choose --cuda cuda-python"
)
CUDA_PYTHON_HINT = "run: pip install 'edge-arm[cuda-python]', or choose --cuda pycuda"


@dataclass(frozen=True)
class GpuFacts:
    """What a device is.

    Attributes:
        name: such as "Orin" or "NVIDIA GeForce RTX 4090".
        compute_capability: major and minor.
        integrated: it shares the memory of the CPU, as a Jetson's does.
        memory_bytes: in all.
        cuda: version of the driver's CUDA, such as "12.6".
    """

    name: str
    compute_capability: tuple[int, int]
    integrated: bool
    memory_bytes: int
    cuda: str

    @property
    def compute_capability_text(self) -> str:
        """As people write it: "8.7"."""
        return f"{self.compute_capability[0]}.{self.compute_capability[1]}"


@dataclass(frozen=True, eq=False)
class HostArray:
    """Page-locked host memory, from and to which copies run beside the CPU's work.

    Attributes:
        array: the memory; not to be used after it is freed.
        device_address: where the GPU sees the very same memory; None unless it was asked for.
        owner: of the library.
    """

    array: npt.NDArray[Any]
    device_address: int | None
    owner: Any


@dataclass(frozen=True, eq=False)
class DeviceBuffer:
    """Memory of the GPU.

    Attributes:
        address: of it.
        nbytes: of it.
        owner: of the library.
    """

    address: int
    nbytes: int
    owner: Any


class CudaDevice(Protocol):
    """One GPU and its primary context. Close it when nothing made from it is left.

    Every call below except `facts`, `library` and `current` needs the context to be current.

    Raises:
        InferenceError: from every call, if the device fails or is out of memory.
    """

    @property
    def library(self) -> str:
        """One of `CUDA_LIBRARIES`."""
        ...

    @property
    def facts(self) -> GpuFacts:
        """What the device is."""
        ...

    @property
    def has_graphs(self) -> bool:
        """Whether the library can record and replay CUDA graphs."""
        ...

    def current(self) -> AbstractContextManager[None]:
        """Make the context current in this thread for the length of a block."""
        ...

    def memory(self) -> tuple[int, int]:
        """Free and total bytes of the device's memory."""
        ...

    def host_array(
        self, shape: tuple[int, ...], dtype: npt.DTypeLike, *, mapped: bool
    ) -> HostArray:
        """Allocate page-locked memory; `mapped` gives it an address on the GPU too."""
        ...

    def device_buffer(self, nbytes: int) -> DeviceBuffer:
        """Allocate memory of the GPU."""
        ...

    def free(self, item: HostArray | DeviceBuffer) -> None:
        """Give memory back; no work that uses it may be queued."""
        ...

    def copy_in(self, address: int, array: npt.NDArray[Any], stream: Any) -> None:
        """Queue a copy of a page-locked array to the GPU."""
        ...

    def copy_out(self, array: npt.NDArray[Any], address: int, stream: Any) -> None:
        """Queue a copy from the GPU to a page-locked array."""
        ...

    def stream(self) -> Any:
        """A queue of work."""
        ...

    def handle_of(self, stream: Any) -> int:
        """The stream's number, as TensorRT wants it."""
        ...

    def synchronize(self, stream: Any) -> None:
        """Wait until all that is queued is done."""
        ...

    def event(self) -> Any:
        """A mark that can be put into a queue and waited for."""
        ...

    def record(self, event: Any, stream: Any) -> None:
        """Put a mark behind what is queued."""
        ...

    def stream_waits(self, stream: Any, event: Any) -> None:
        """Let a queue wait for a mark in another one."""
        ...

    def wait_for(self, event: Any) -> None:
        """Let this thread wait for a mark."""
        ...

    def drop(self, item: Any) -> None:
        """Destroy a stream, an event or a graph."""
        ...

    def begin_capture(self, stream: Any) -> None:
        """Record what is queued from now on instead of doing it; only with `has_graphs`."""
        ...

    def end_capture(self, stream: Any) -> Any:
        """The graph of what was recorded, ready to be launched."""
        ...

    def launch(self, graph: Any, stream: Any) -> None:
        """Queue a recorded graph."""
        ...

    def close(self) -> None:
        """Release the primary context; calling it twice does no harm."""
        ...


def open_cuda(library: str = CUDA_LIBRARIES[0]) -> CudaDevice:
    """The first GPU, by the library that was asked for and no other.

    Args:
        library: one of `CUDA_LIBRARIES`.

    Raises:
        UsageError: for another library.
        BackendUnavailableError: if the library, a driver or a GPU is not here, or the driver is
            too old.
    """
    if library == "pycuda":
        from edge_arm.runtime.cuda_pycuda import PycudaDevice

        return PycudaDevice()
    if library == "cuda-python":
        from edge_arm.runtime.cuda_python import CudaPythonDevice

        return CudaPythonDevice()
    raise UsageError(
        f"got the CUDA library {library!r}, expected one of {', '.join(CUDA_LIBRARIES)}; "
        "choose with --cuda"
    )


def nbytes_of(shape: tuple[int, ...], dtype: npt.DTypeLike) -> int:
    """Bytes of an array of this shape, one at least: CUDA refuses an allocation of none."""
    return max(1, int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize)
