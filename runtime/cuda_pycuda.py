"""CUDA through pycuda; see `CudaDevice` for the contract.

pycuda keeps a stack of contexts of its own for each thread, and an object of it is freed only where
its context is current or in the thread that made the context: so everything happens inside
`current`, on that very context object. It has no CUDA graphs (2026.1).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from edge_arm.runtime.cuda_device import PYCUDA_HINT, DeviceBuffer, GpuFacts, HostArray
from edge_arm.runtime.cuda_failure import failed, unavailable, version_text
from edge_arm.runtime.errors import BackendUnavailableError, UsageError


class PycudaDevice:
    """The first GPU, through pycuda."""

    library = "pycuda"
    has_graphs = False

    def __init__(self) -> None:
        """Retain the primary context of the first GPU.

        Raises:
            BackendUnavailableError: if pycuda, a driver or a GPU is not here.
        """
        self._driver = driver = _import_pycuda()
        try:
            driver.init()
            if driver.Device.count() == 0:
                raise unavailable("no GPU is here")
            device = driver.Device(0)
            attribute = driver.device_attribute
            self.facts = GpuFacts(
                name=str(device.name()),
                compute_capability=tuple(device.compute_capability()),
                integrated=bool(device.get_attribute(attribute.INTEGRATED)),
                memory_bytes=int(device.total_memory()),
                cuda=version_text(int(driver.get_driver_version())),
            )
            self._context: Any = device.retain_primary_context()
        except driver.Error as error:
            raise unavailable(str(error)) from error

    @contextmanager
    def current(self) -> Iterator[None]:
        """Make the context current in this thread for the length of a block."""
        self._context.push()
        try:
            yield
        finally:
            self._driver.Context.pop()

    def memory(self) -> tuple[int, int]:
        """Free and total bytes of the device's memory."""
        free, total = self._driver.mem_get_info()
        return int(free), int(total)

    def host_array(
        self, shape: tuple[int, ...], dtype: npt.DTypeLike, *, mapped: bool
    ) -> HostArray:
        """Allocate page-locked memory."""
        flags = self._driver.host_alloc_flags.DEVICEMAP if mapped else 0
        try:
            array = self._driver.pagelocked_empty(shape, dtype, mem_flags=flags)
            owner = array.base
            address = int(owner.get_device_pointer()) if mapped else None
        except self._driver.Error as error:
            wanted = int(np.prod(shape)) * np.dtype(dtype).itemsize
            raise failed(f"allocating {wanted} bytes of page-locked memory", error) from error
        return HostArray(array, address, owner)

    def device_buffer(self, nbytes: int) -> DeviceBuffer:
        """Allocate memory of the GPU."""
        try:
            owner = self._driver.mem_alloc(nbytes)
        except self._driver.Error as error:
            raise failed(
                f"allocating {nbytes} bytes of GPU memory", error, memory=self._memory_or_none()
            ) from error
        return DeviceBuffer(int(owner), nbytes, owner)

    def free(self, item: HostArray | DeviceBuffer) -> None:
        """Give memory back."""
        item.owner.free()

    def copy_in(self, address: int, array: npt.NDArray[Any], stream: Any) -> None:
        """Queue a copy to the GPU."""
        try:
            self._driver.memcpy_htod_async(address, array, stream)
        except self._driver.Error as error:
            raise failed(f"copying {array.nbytes} bytes to the GPU", error) from error

    def copy_out(self, array: npt.NDArray[Any], address: int, stream: Any) -> None:
        """Queue a copy from the GPU."""
        try:
            self._driver.memcpy_dtoh_async(array, address, stream)
        except self._driver.Error as error:
            raise failed(f"copying {array.nbytes} bytes from the GPU", error) from error

    def stream(self) -> Any:
        """A queue of work."""
        try:
            return self._driver.Stream()
        except self._driver.Error as error:
            raise failed("making a stream", error) from error

    def handle_of(self, stream: Any) -> int:
        """The stream's number."""
        return int(stream.handle)

    def synchronize(self, stream: Any) -> None:
        """Wait until all that is queued is done."""
        try:
            stream.synchronize()
        except self._driver.Error as error:
            raise failed("waiting for the GPU", error) from error

    def event(self) -> Any:
        """A mark; one that keeps no time costs less."""
        flags = self._driver.event_flags
        try:
            return self._driver.Event(flags.DISABLE_TIMING | flags.BLOCKING_SYNC)
        except self._driver.Error as error:
            raise failed("making an event", error) from error

    def record(self, event: Any, stream: Any) -> None:
        """Put a mark behind what is queued."""
        try:
            event.record(stream)
        except self._driver.Error as error:
            raise failed("recording an event", error) from error

    def stream_waits(self, stream: Any, event: Any) -> None:
        """Let a queue wait for a mark in another one."""
        try:
            stream.wait_for_event(event)
        except self._driver.Error as error:
            raise failed("ordering two streams", error) from error

    def wait_for(self, event: Any) -> None:
        """Let this thread wait for a mark."""
        try:
            event.synchronize()
        except self._driver.Error as error:
            raise failed("waiting for the GPU", error) from error

    def drop(self, item: Any) -> None:
        """Destroy a stream or an event.

        pycuda destroys one when its last reference goes, so the caller must hold no other.
        """
        del item

    def begin_capture(self, stream: Any) -> NoReturn:
        """Not with pycuda."""
        del stream
        _no_graphs()

    def end_capture(self, stream: Any) -> NoReturn:
        """Not with pycuda."""
        del stream
        _no_graphs()

    def launch(self, graph: Any, stream: Any) -> NoReturn:
        """Not with pycuda."""
        del graph, stream
        _no_graphs()

    def close(self) -> None:
        """Release the primary context."""
        context, self._context = self._context, None
        if context is not None:
            # Outside the thread that retained it, detaching releases it only where it is current.
            context.push()
            context.detach()

    def _memory_or_none(self) -> tuple[int, int] | None:
        try:
            return self.memory()
        except self._driver.Error:
            return None


def _no_graphs() -> NoReturn:
    raise UsageError(
        "got CUDA graphs with pycuda, expected cuda-python, because pycuda has none; "
        "choose --cuda cuda-python or leave the graphs out"
    )


def _import_pycuda() -> Any:
    try:
        import pycuda.driver as driver
    except (ImportError, OSError) as error:  # OSError: libcuda or libcurand cannot be loaded
        raise BackendUnavailableError(
            f"pycuda cannot be imported ({error}), expected it for the calls of CUDA; {PYCUDA_HINT}"
        ) from error
    return driver
