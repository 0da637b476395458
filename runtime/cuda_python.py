"""CUDA through NVIDIA's cuda-python; see `CudaDevice` for the contract.

Every function returns a tuple that begins with a status and raises nothing, so each call goes
through `_call`. Unlike pycuda it can record CUDA graphs.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_arm.runtime.cuda_device import (
    CUDA_PYTHON_HINT,
    DeviceBuffer,
    GpuFacts,
    HostArray,
    nbytes_of,
)
from edge_arm.runtime.cuda_failure import failed, unavailable, version_text
from edge_arm.runtime.errors import BackendUnavailableError

_NAME_LENGTH = 128


class CudaPythonDevice:
    """The first GPU, through cuda-python."""

    library = "cuda-python"
    has_graphs = True

    def __init__(self) -> None:
        """Retain the primary context of the first GPU.

        Raises:
            BackendUnavailableError: if cuda-python, a driver or a GPU is not here.
        """
        self._driver = driver = _import_cuda()
        self._open = False
        self._start(driver.cuInit, 0)
        if self._start(driver.cuDeviceGetCount) == 0:
            raise unavailable("no GPU is here")
        self._device = device = self._start(driver.cuDeviceGet, 0)
        attribute = driver.CUdevice_attribute
        self.facts = GpuFacts(
            # The buffer comes back whole: the text, a NUL and whatever was behind it.
            name=self._start(driver.cuDeviceGetName, _NAME_LENGTH, device)
            .split(b"\0")[0]
            .decode("utf-8", "replace")
            .strip(),
            compute_capability=(
                self._attribute(attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR),
                self._attribute(attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR),
            ),
            integrated=bool(self._attribute(attribute.CU_DEVICE_ATTRIBUTE_INTEGRATED)),
            memory_bytes=int(self._start(driver.cuDeviceTotalMem, device)),
            cuda=version_text(int(self._start(driver.cuDriverGetVersion))),
        )
        self._context = self._start(driver.cuDevicePrimaryCtxRetain, device)
        self._open = True

    @contextmanager
    def current(self) -> Iterator[None]:
        """Make the context current in this thread for the length of a block."""
        self._call("entering the CUDA context", self._driver.cuCtxPushCurrent, self._context)
        try:
            yield
        finally:
            self._call("leaving the CUDA context", self._driver.cuCtxPopCurrent)

    def memory(self) -> tuple[int, int]:
        """Free and total bytes of the device's memory."""
        free, total = self._call("asking for free memory", self._driver.cuMemGetInfo)
        return int(free), int(total)

    def host_array(
        self, shape: tuple[int, ...], dtype: npt.DTypeLike, *, mapped: bool
    ) -> HostArray:
        """Allocate page-locked memory."""
        driver, nbytes = self._driver, nbytes_of(shape, dtype)
        flags = driver.CU_MEMHOSTALLOC_DEVICEMAP if mapped else 0
        doing = f"allocating {nbytes} bytes of page-locked memory"
        pointer = int(self._call(doing, driver.cuMemHostAlloc, nbytes, flags))
        memory = (ctypes.c_uint8 * nbytes).from_address(pointer)
        count = int(np.prod(shape, dtype=np.int64))
        array = np.frombuffer(memoryview(memory), dtype, count=count).reshape(shape)
        address = None
        if mapped:
            doing = "mapping page-locked memory"
            address = int(self._call(doing, driver.cuMemHostGetDevicePointer, pointer, 0))
        return HostArray(array, address, pointer)

    def device_buffer(self, nbytes: int) -> DeviceBuffer:
        """Allocate memory of the GPU."""
        doing = f"allocating {nbytes} bytes of GPU memory"
        owner = self._call(doing, self._driver.cuMemAlloc, nbytes)
        return DeviceBuffer(int(owner), nbytes, owner)

    def free(self, item: HostArray | DeviceBuffer) -> None:
        """Give memory back."""
        if isinstance(item, HostArray):
            self._call("freeing page-locked memory", self._driver.cuMemFreeHost, item.owner)
        else:
            self._call("freeing GPU memory", self._driver.cuMemFree, item.owner)

    def copy_in(self, address: int, array: npt.NDArray[Any], stream: Any) -> None:
        """Queue a copy to the GPU."""
        self._call(
            f"copying {array.nbytes} bytes to the GPU",
            self._driver.cuMemcpyHtoDAsync,
            address,
            int(array.ctypes.data),
            array.nbytes,
            stream,
        )

    def copy_out(self, array: npt.NDArray[Any], address: int, stream: Any) -> None:
        """Queue a copy from the GPU."""
        self._call(
            f"copying {array.nbytes} bytes from the GPU",
            self._driver.cuMemcpyDtoHAsync,
            int(array.ctypes.data),
            address,
            array.nbytes,
            stream,
        )

    def stream(self) -> Any:
        """A queue of work, independent of the legacy default stream."""
        flags = self._driver.CUstream_flags.CU_STREAM_NON_BLOCKING
        return self._call("making a stream", self._driver.cuStreamCreate, int(flags))

    def handle_of(self, stream: Any) -> int:
        """The stream's number."""
        return int(stream)

    def synchronize(self, stream: Any) -> None:
        """Wait until all that is queued is done."""
        self._call("waiting for the GPU", self._driver.cuStreamSynchronize, stream)

    def event(self) -> Any:
        """A mark; one that keeps no time costs less."""
        flags = self._driver.CUevent_flags
        number = int(flags.CU_EVENT_DISABLE_TIMING) | int(flags.CU_EVENT_BLOCKING_SYNC)
        return self._call("making an event", self._driver.cuEventCreate, number)

    def record(self, event: Any, stream: Any) -> None:
        """Put a mark behind what is queued."""
        self._call("recording an event", self._driver.cuEventRecord, event, stream)

    def stream_waits(self, stream: Any, event: Any) -> None:
        """Let a queue wait for a mark in another one."""
        self._call("ordering two streams", self._driver.cuStreamWaitEvent, stream, event, 0)

    def wait_for(self, event: Any) -> None:
        """Let this thread wait for a mark."""
        self._call("waiting for the GPU", self._driver.cuEventSynchronize, event)

    def drop(self, item: Any) -> None:
        """Destroy a stream, an event or a graph."""
        driver = self._driver
        if isinstance(item, driver.CUstream):
            self._call("destroying a stream", driver.cuStreamDestroy, item)
        elif isinstance(item, driver.CUevent):
            self._call("destroying an event", driver.cuEventDestroy, item)
        else:
            self._call("destroying a graph", driver.cuGraphExecDestroy, item)

    def begin_capture(self, stream: Any) -> None:
        """Record what this thread queues from now on instead of doing it."""
        mode = self._driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
        self._call("recording a graph", self._driver.cuStreamBeginCapture, stream, mode)

    def end_capture(self, stream: Any) -> Any:
        """The graph of what was recorded, ready to be launched."""
        driver = self._driver
        graph = self._call("recording a graph", driver.cuStreamEndCapture, stream)
        try:
            return self._call("making a graph", driver.cuGraphInstantiate, graph, 0)
        finally:
            self._call("destroying a graph", driver.cuGraphDestroy, graph)

    def launch(self, graph: Any, stream: Any) -> None:
        """Queue a recorded graph."""
        self._call("launching a graph", self._driver.cuGraphLaunch, graph, stream)

    def close(self) -> None:
        """Release the primary context."""
        if self._open:
            self._open = False
            driver = self._driver
            self._call("releasing the CUDA context", driver.cuDevicePrimaryCtxRelease, self._device)

    def _attribute(self, attribute: Any) -> int:
        return int(self._start(self._driver.cuDeviceGetAttribute, attribute, self._device))

    def _start(self, function: Any, *arguments: Any) -> Any:
        """A call before there is a context: its failure means that there is no CUDA here."""
        try:
            status, *results = function(*arguments)
        except RuntimeError as error:  # the driver's library cannot be loaded
            raise unavailable(str(error)) from error
        if status != self._driver.CUresult.CUDA_SUCCESS:
            raise unavailable(self._text(status))
        return results[0] if len(results) == 1 else results

    def _call(self, doing: str, function: Any, *arguments: Any) -> Any:
        status, *results = function(*arguments)
        if status != self._driver.CUresult.CUDA_SUCCESS:
            raise failed(doing, self._text(status), memory=self._memory_or_none(status))
        return results[0] if len(results) == 1 else results

    def _memory_or_none(self, status: Any) -> tuple[int, int] | None:
        if status != self._driver.CUresult.CUDA_ERROR_OUT_OF_MEMORY:
            return None
        other, free, total = self._driver.cuMemGetInfo()
        known = other == self._driver.CUresult.CUDA_SUCCESS
        return (int(free), int(total)) if known else None

    def _text(self, status: Any) -> str:
        _, text = self._driver.cuGetErrorString(status)
        return f"{status.name}: {text.decode() if isinstance(text, bytes) else text}"


def _import_cuda() -> Any:
    try:
        from cuda.bindings import driver
    except (ImportError, OSError) as error:
        raise BackendUnavailableError(
            f"cuda-python cannot be imported ({error}), expected it for the calls of CUDA; "
            f"{CUDA_PYTHON_HINT}"
        ) from error
    return driver
