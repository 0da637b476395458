"""`pycuda.driver` as its record says it is, on the simulated GPU.

What differs from the plain driver and has hurt people is kept, from src/cpp/cuda.hpp: pycuda has a
stack of contexts of its own in each thread; what belongs to a context is freed only in the thread
that made the context, or while that very context object is current, and leaks otherwise with a
UserWarning; a destructor never raises.
"""

from __future__ import annotations

import threading
import types
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from device_fakes import gpu_streams as streams
from device_fakes.cuda_errors import CudaError
from device_fakes.cuda_memory import Allocation
from device_fakes.gpu import Gpu
from device_fakes.pycuda_types import bound, memory_types, recorded_type
from device_fakes.records import pycuda_record


def pycuda_driver_module(gpu: Gpu) -> types.ModuleType:
    """Make the module."""
    record = pycuda_record()
    module = types.ModuleType("pycuda.driver")
    for name in record["exceptions"]:
        base = Exception if name == "Error" else module.Error
        setattr(module, name, type(name, (base,), {"__module__": "pycuda._driver"}))
    for name, values in record["enums"].items():
        setattr(module, name, type(name, (), dict(values)))
    front = Front(gpu, module)
    for name, kind in CLASSES.items():
        setattr(module, name, recorded_type(name, record["classes"][name], kind, front))
    for alias, name in record["aliases"].items():
        setattr(module, alias, getattr(module, name))
    functions = _functions(front)
    for name, signature in record["functions"].items():
        setattr(module, name, bound(name, signature, functions[name], front))
    return module


class Front:
    """What the classes of one module share.

    Attributes:
        gpu: that they drive.
        module: they are in.
    """

    def __init__(self, gpu: Gpu, module: Any) -> None:
        self.gpu = gpu
        self.module = module
        self._threads = threading.local()

    def raised(self, name: str, error: CudaError, more: str = "") -> Exception:
        """The exception that pycuda makes of an error."""
        kind = {
            "CUDA_ERROR_OUT_OF_MEMORY": self.module.MemoryError,
            "CUDA_ERROR_NO_DEVICE": self.module.RuntimeError,
            "CUDA_ERROR_NOT_READY": self.module.RuntimeError,
        }.get(error.name, self.module.LogicError)
        found: Exception = kind(f"{name} failed: {error.text}{more}")
        return found

    @property
    def stack(self) -> list[Any]:
        """The contexts of this thread that are still valid, the current one last."""
        if not hasattr(self._threads, "stack"):
            self._threads.stack = []
        while self._threads.stack and not self._threads.stack[-1].is_valid:
            self._threads.stack.pop()
        found: list[Any] = self._threads.stack
        return found

    def required_context(self) -> Any:
        """What a new object belongs to."""
        if not self.stack:
            self.gpu.faults.append("pycuda without a current context")
            error = CudaError("CUDA_ERROR_INVALID_CONTEXT")
            more = " - no currently active context?"
            raise self.raised("explicit_context_dependent", error, more)
        return self.stack[-1]

    def clean_up(self, context: Any, what: str, free: Callable[[], None]) -> None:
        """Free something the way that pycuda's destructors do."""
        if not context.is_valid:
            return  # it went with its context
        switched = not self.stack or self.stack[-1] is not context
        if switched and threading.get_ident() != context.thread:
            warnings.warn(
                f"{what} in out-of-thread context could not be cleaned up",
                UserWarning,
                stacklevel=3,
            )
            self.gpu.faults.append(
                f"{what} was dropped in a thread where its context is not current"
            )
            return
        if switched:
            context.push()
        try:
            free()
        except CudaError:
            pass  # pycuda prints a warning to stderr; the fault is noted
        finally:
            if switched:
                self.module.Context.pop()


class PrimaryContext:
    """`pycuda.driver.Context` of a retained primary context."""

    front: Front

    def start(self) -> None:
        """Retain it; it is not current."""
        self.native = self.front.gpu.retain_primary()
        self.is_valid = True
        self.thread = threading.get_ident()

    def push(self) -> None:
        if self.front.stack:
            self.front.gpu.pop()
        self.front.gpu.push(self.native)
        self.front.stack.append(self)

    def detach(self) -> None:
        if not self.is_valid:
            error = CudaError("CUDA_ERROR_INVALID_CONTEXT")
            raise self.front.raised(
                "context::detach", error, " - cannot detach from invalid context"
            )
        active = bool(self.front.stack) and self.front.stack[-1] is self
        if not active and threading.get_ident() != self.thread:
            self.is_valid = False  # and stays retained
            return
        if not active:
            self.front.gpu.push(self.native)
        # For a context of its own CUDA would also pop it. A primary one that is released stays on
        # the thread's stack: pycuda's source counts on a pop that does not come.
        self.front.gpu.release_primary()
        self.is_valid = False
        if active and self.front.stack:
            self.front.gpu.push(self.front.stack[-1].native)

    def get_api_version(self) -> int:
        return 3020

    @property
    def handle(self) -> int:
        return int(self.native)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PrimaryContext) and other.native == self.native

    def __hash__(self) -> int:
        return hash(self.native)

    def __del__(self) -> None:
        if getattr(self, "is_valid", False):
            self.detach()


class Device:
    """`pycuda.driver.Device`."""

    front: Front

    def start(self, ordinal: int) -> None:
        self.front.gpu.require_device(ordinal)

    def name(self) -> str:
        return self.front.gpu.name

    def pci_bus_id(self) -> str:
        return "0000:01:00.0"

    def compute_capability(self) -> tuple[int, int]:
        return self.front.gpu.compute_capability

    def total_memory(self) -> int:
        return self.front.gpu.memory_bytes

    def get_attribute(self, attribute: int) -> int:
        values = pycuda_record()["enums"]["device_attribute"]
        name = next(name for name, value in values.items() if value == attribute)
        return self.front.gpu.attribute(name)

    def retain_primary_context(self) -> Any:
        context = object.__new__(self.front.module.Context)
        context.start()
        return context


class Stream:
    """`pycuda.driver.Stream`."""

    front: Front

    def start(self, flags: int = 0) -> None:
        self.context = self.front.required_context()
        self.native = streams.create_stream(self.front.gpu, flags)

    def synchronize(self) -> None:
        streams.synchronize_stream(self.front.gpu, self.native)

    def is_done(self) -> bool:
        return streams.is_stream_done(self.front.gpu, self.native)

    def wait_for_event(self, event: Any) -> None:
        streams.wait_for_event(self.front.gpu, self.native, event.native)

    @property
    def handle(self) -> int:
        return int(self.native)

    def __del__(self) -> None:
        if hasattr(self, "native"):
            gpu, native = self.front.gpu, self.native
            self.front.clean_up(self.context, "stream", lambda: streams.destroy_stream(gpu, native))


class Event:
    """`pycuda.driver.Event`."""

    front: Front

    def start(self, flags: int = 0) -> None:
        self.context = self.front.required_context()
        self.native = streams.create_event(self.front.gpu, flags)

    def record(self, stream: Any = None) -> Any:
        streams.record_event(self.front.gpu, self.native, stream.native if stream else 0)
        return self

    def synchronize(self) -> Any:
        streams.synchronize_event(self.front.gpu, self.native)
        return self

    def query(self) -> bool:
        return streams.is_event_done(self.front.gpu, self.native)

    def time_since(self, event: Any) -> float:
        return streams.milliseconds_between(self.front.gpu, event.native, self.native)

    def time_till(self, event: Any) -> float:
        return streams.milliseconds_between(self.front.gpu, self.native, event.native)

    def __del__(self) -> None:
        if hasattr(self, "native"):
            gpu, native = self.front.gpu, self.native
            self.front.clean_up(self.context, "event", lambda: streams.destroy_event(gpu, native))


CLASSES: dict[str, type] = {
    "Device": Device,
    "Context": PrimaryContext,
    "Stream": Stream,
    "Event": Event,
    **memory_types(),
}


def _functions(front: Front) -> dict[str, Callable[..., Any]]:
    gpu = front.gpu

    def pinned(shape: Any, dtype: Any, order: str = "C", mem_flags: int = 0) -> Any:
        if order not in ("C", "F"):
            raise TypeError("order not understood")
        kind = np.dtype(dtype)
        sides = (shape,) if isinstance(shape, int) else tuple(shape)
        nbytes = int(np.prod(sides, dtype=np.int64)) * kind.itemsize
        holder = _holder(front, "PagelockedHostAllocation", gpu.allocate_host(nbytes, mem_flags))
        holder.shape_as(np.empty(sides, kind, order=order))
        return np.asarray(holder)

    def zeros(shape: Any, dtype: Any, order: str = "C", mem_flags: int = 0) -> Any:
        result = pinned(shape, dtype, order, mem_flags)
        result.fill(0)
        return result

    def to_device(dest: Any, src: Any, stream: Any = None, *, wait: bool = False) -> None:
        source = _flat(src, writable=False)
        queue = None if wait else _native(stream)
        streams.copy_to_device(gpu, int(dest), *_where(source), stream=queue)

    def to_host(dest: Any, src: Any, stream: Any = None, *, wait: bool = False) -> None:
        address, nbytes = _where(_flat(dest, writable=True))
        queue = None if wait else _native(stream)
        streams.copy_to_host(gpu, address, int(src), nbytes, stream=queue)

    def on_device(dest: Any, src: Any, size: int, stream: Any = None) -> None:
        streams.copy_on_device(gpu, int(dest), int(src), size, stream=_native(stream))

    def fill(dest: Any, data: int, size: int, stream: Any = None) -> None:
        streams.fill(gpu, int(dest), data, size, stream=_native(stream))

    return {
        "init": lambda flags=0: gpu.init(),
        "get_version": lambda: (12, 6, 0),
        "get_driver_version": lambda: gpu.driver_version,
        "mem_get_info": gpu.memory_info,
        "mem_alloc": lambda size: _holder(front, "DeviceAllocation", gpu.allocate(size)),
        "memset_d8": lambda dest, data, size: streams.fill(gpu, int(dest), data, size, stream=None),
        "memset_d8_async": fill,
        "memcpy_htod": lambda dest, src: to_device(dest, src, wait=True),
        "memcpy_dtoh": lambda dest, src: to_host(dest, src, wait=True),
        "memcpy_dtod": lambda dest, src, size: streams.copy_on_device(
            gpu, int(dest), int(src), size, stream=None
        ),
        "memcpy_htod_async": to_device,
        "memcpy_dtoh_async": to_host,
        "memcpy_dtod_async": on_device,
        "pagelocked_empty": pinned,
        "pagelocked_zeros": zeros,
    }


def _holder(front: Front, kind: str, allocation: Allocation) -> Any:
    holder = object.__new__(getattr(front.module, kind))
    holder.hold(allocation)
    return holder


def _native(stream: Any) -> int:
    return 0 if stream is None else stream.native


def _flat(value: Any, *, writable: bool) -> np.ndarray:
    view = memoryview(value)
    if writable and view.readonly:
        raise BufferError("Object is not writable.")
    if not (view.c_contiguous or view.f_contiguous):
        raise BufferError("ndarray is not contiguous")
    array = np.asarray(value) if isinstance(value, np.ndarray) else np.frombuffer(view, np.uint8)
    return array


def _where(array: np.ndarray) -> tuple[int, int]:
    return int(array.ctypes.data), int(array.nbytes)
