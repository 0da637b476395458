"""The simulated GPU behind both CUDA modules and TensorRT: the driver's calls, each by its name.

A call that the driver would refuse raises `CudaError`, and if the caller made a mistake that a real
GPU may never show, it is written into `faults`.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from device_fakes.cuda_errors import CudaError
from device_fakes.cuda_memory import Allocation, Bytes, Memory, Span, WrongAddressError
from device_fakes.cuda_work import LEGACY, Event, Graph, Schedule, Stream

FIRST_HANDLE = 0x00C0_0000_0000_0000
PINNED_MAPPED = 2
"""CU_MEMHOSTALLOC_DEVICEMAP."""

Kind = TypeVar("Kind")


@dataclass(eq=False)
class Context:
    """The primary context of the device.

    Attributes:
        handle: of it, the same each time it is retained again; 0 before the first.
        uses: how often it is retained; without any it does not exist.
    """

    handle: int
    uses: int = 0


@dataclass
class Gpu:
    """What the device is, and its state.

    Attributes:
        name: of the GPU.
        compute_capability: major and minor.
        integrated: it shares the memory of the CPU.
        memory_bytes: of the device.
        driver_version: CUDA version of the driver, 12060 for 12.6.
        present: there is a device.
        faults: what the user of the driver did wrong, in words.
        calls: how often each call was made.
    """

    name: str
    compute_capability: tuple[int, int]
    integrated: bool
    memory_bytes: int
    driver_version: int
    present: bool
    faults: list[str] = field(default_factory=list)
    calls: Counter[str] = field(default_factory=Counter)
    objects: dict[int, object] = field(default_factory=dict)
    failures: dict[str, list[int]] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def __post_init__(self) -> None:
        self.memory = Memory(self.memory_bytes, integrated=self.integrated)
        self.schedule = Schedule(self.faults.append)
        self.primary = Context(0)
        self.initialized = False
        self.dependents: dict[int, str] = {}
        self._threads = threading.local()
        self._next_handle = FIRST_HANDLE
        self.broken = False

    # What every call goes through.

    @contextmanager
    def call(self, name: str, *, context: bool = True, in_capture: bool = False) -> Iterator[None]:
        """Count a call, let it fail if it is to fail, and hold the lock."""
        with self.lock:
            self.calls[name] += 1
            if self.is_to_fail(name):
                out_of_memory = name in ("cuMemAlloc", "cuMemHostAlloc")
                raise CudaError(
                    f"CUDA_ERROR_{'OUT_OF_MEMORY' if out_of_memory else 'INVALID_VALUE'}"
                )
            if not self.initialized and name not in ("cuInit", "cuDriverGetVersion"):
                raise CudaError("CUDA_ERROR_NOT_INITIALIZED")
            if context and self.current is None:
                self.faults.append(f"{name} without a current context")
                raise CudaError("CUDA_ERROR_INVALID_CONTEXT")
            if context and self.current is not None and not self.current.uses:
                self.faults.append(f"{name} in a context that was destroyed")
                raise CudaError("CUDA_ERROR_CONTEXT_IS_DESTROYED")
            if self.broken and context:
                raise CudaError("CUDA_ERROR_ILLEGAL_ADDRESS")
            if context and not in_capture:
                self._refuse_in_capture()
            yield

    def is_to_fail(self, name: str) -> bool:
        """Whether this call was chosen to fail, see `FakeMachine.fail_next`."""
        waiting = self.failures.get(name)
        if not waiting:
            return False
        waiting[0] -= 1
        if waiting[0] >= 0:
            return False
        del waiting[0]
        return True

    def _refuse_in_capture(self) -> None:
        captures = [item.capture for item in self.schedule.streams.values() if item.capture]
        for capture in captures:
            if capture.thread not in (None, threading.get_ident()):
                continue
            capture.broken = True
            raise CudaError("CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED")

    def new_handle(self, item: object) -> int:
        """A handle that was never used before."""
        self._next_handle += 0x100
        self.objects[self._next_handle] = item
        return self._next_handle

    def object_of(self, handle: int, kind: type[Kind], what: str) -> Kind:
        """What a handle stands for."""
        item = self.objects.get(handle)
        if not isinstance(item, kind):
            self.faults.append(f"{handle:#x} is no {what}, or it was destroyed")
            raise CudaError("CUDA_ERROR_INVALID_HANDLE")
        return item

    # Device and contexts.

    def init(self) -> None:
        """cuInit."""
        with self.call("cuInit", context=False):
            if not self.present:
                raise CudaError("CUDA_ERROR_NO_DEVICE")
            self.initialized = True

    def require_device(self, ordinal: int) -> None:
        """cuDeviceGet."""
        with self.call("cuDeviceGet", context=False):
            if ordinal != 0:
                raise CudaError("CUDA_ERROR_INVALID_DEVICE")

    def count(self) -> int:
        """cuDeviceGetCount."""
        with self.call("cuDeviceGetCount", context=False):
            return int(self.present)

    def attribute(self, name: str) -> int:
        """cuDeviceGetAttribute, by the name behind CU_DEVICE_ATTRIBUTE_."""
        with self.call("cuDeviceGetAttribute", context=False):
            return {
                "INTEGRATED": int(self.integrated),
                "CAN_MAP_HOST_MEMORY": 1,
                "COMPUTE_CAPABILITY_MAJOR": self.compute_capability[0],
                "COMPUTE_CAPABILITY_MINOR": self.compute_capability[1],
            }[name]

    @property
    def stack(self) -> list[Context]:
        """The contexts of this thread, the current one last."""
        if not hasattr(self._threads, "stack"):
            self._threads.stack = []
        found: list[Context] = self._threads.stack
        return found

    @property
    def current(self) -> Context | None:
        """The context of this thread."""
        return self.stack[-1] if self.stack else None

    def retain_primary(self) -> int:
        """cuDevicePrimaryCtxRetain."""
        with self.call("cuDevicePrimaryCtxRetain", context=False):
            if not self.primary.handle:
                self.primary.handle = self.new_handle(self.primary)
            self.primary.uses += 1
            return self.primary.handle

    def release_primary(self) -> None:
        """cuDevicePrimaryCtxRelease; the last one destroys what is left in it."""
        with self.call("cuDevicePrimaryCtxRelease", context=False):
            if not self.primary.uses:
                self.faults.append("the primary context was released more often than retained")
                raise CudaError("CUDA_ERROR_INVALID_CONTEXT")
            self.primary.uses -= 1
            if self.primary.uses == 0:
                alive = self.resources()
                if alive:
                    self.faults.append(
                        f"the context was destroyed while there were: {', '.join(alive)}"
                    )
                self._destroy_resources()

    def push(self, handle: int) -> None:
        """cuCtxPushCurrent."""
        with self.call("cuCtxPushCurrent", context=False):
            item = self.object_of(handle, Context, "context")
            if not item.uses:
                self.faults.append("a context that was destroyed is made current")
                raise CudaError("CUDA_ERROR_CONTEXT_IS_DESTROYED")
            self.stack.append(item)

    def pop(self) -> int:
        """cuCtxPopCurrent."""
        with self.call("cuCtxPopCurrent", context=False):
            if not self.stack:
                self.faults.append("cuCtxPopCurrent without a current context")
                raise CudaError("CUDA_ERROR_INVALID_CONTEXT")
            return self.stack.pop().handle

    def set_current(self, handle: int) -> None:
        """cuCtxSetCurrent: replaces the top of the stack, 0 takes it away."""
        with self.call("cuCtxSetCurrent", context=False):
            del self.stack[-1:]
            if handle:
                self.stack.append(self.object_of(handle, Context, "context"))

    def require_current(self, name: str) -> None:
        """A call that needs nothing but a context."""
        with self.call(name, in_capture=True):
            pass

    def memory_info(self) -> tuple[int, int]:
        """cuMemGetInfo: free and all bytes."""
        with self.call("cuMemGetInfo", in_capture=True):
            return self.memory.free_bytes, self.memory_bytes

    def synchronize(self) -> None:
        """cuCtxSynchronize."""
        with self.call("cuCtxSynchronize"):
            for stream in list(self.schedule.streams.values()):
                self.schedule.drain(stream)
            self.require_unbroken()

    def resources(self) -> list[str]:
        """What is alive and belongs to a context, in words."""
        memory = [str(item) for item in self.memory.live if item.owner == "user"]
        named = {Stream: "a stream", Event: "an event"}
        handles = [named[type(item)] for item in self.objects.values() if type(item) in named]
        graphs = [
            "an instantiated graph" if item.executable else "a graph"
            for item in self.objects.values()
            if isinstance(item, Graph)
        ]
        return memory + handles + graphs + list(self.dependents.values())

    def _destroy_resources(self) -> None:
        for item in self.memory.live:
            self.memory.free(item.address, item.kind)
        for handle, item in list(self.objects.items()):
            if isinstance(item, Stream | Event | Graph):
                del self.objects[handle]
        self.schedule.streams = {LEGACY: Stream(LEGACY, 0, blocking=True)}
        self.broken = False

    # Memory.

    def allocate(self, nbytes: int, *, owner: str = "user") -> Allocation:
        """cuMemAlloc."""
        with self.call("cuMemAlloc"):
            if nbytes <= 0:
                raise CudaError("CUDA_ERROR_INVALID_VALUE")
            assert self.current is not None
            found = self.memory.allocate(nbytes, self.current.handle, owner=owner)
            if found is None:
                raise CudaError("CUDA_ERROR_OUT_OF_MEMORY")
            return found

    def allocate_host(self, nbytes: int, flags: int) -> Allocation:
        """cuMemHostAlloc."""
        with self.call("cuMemHostAlloc"):
            assert self.current is not None
            mapped = bool(flags & PINNED_MAPPED)
            found = self.memory.allocate_host(nbytes, self.current.handle, mapped=mapped)
            if found is None:
                raise CudaError("CUDA_ERROR_OUT_OF_MEMORY")
            return found

    def mapped_address(self, address: int) -> int:
        """cuMemHostGetDevicePointer."""
        with self.call("cuMemHostGetDevicePointer"):
            span = self.span(address, 0, writes=False, host=True)
            if span.allocation is None or not span.allocation.mapped:
                self.faults.append(f"{address:#x} is no pinned array that is mapped")
                raise CudaError("CUDA_ERROR_INVALID_VALUE")
            return span.allocation.mapped + span.start

    def free(self, address: int, kind: str) -> None:
        """cuMemFree and cuMemFreeHost."""
        with self.call("cuMemFree" if kind == "device buffer" else "cuMemFreeHost"):
            try:
                item = self.memory.free(address, kind)
            except WrongAddressError as error:
                self.faults.append(str(error))
                raise CudaError("CUDA_ERROR_INVALID_VALUE") from error
            if waiting := self.schedule.pending_on(item):
                self.faults.append(f"a {item} was freed while {', '.join(waiting)} is queued")

    def span(self, address: int, nbytes: int, *, writes: bool, host: bool) -> Span:
        """The memory at an address."""
        find = self.memory.host_span if host else self.memory.device_span
        try:
            return find(address, nbytes, writes=writes)
        except WrongAddressError as error:
            self.faults.append(str(error))
            raise CudaError("CUDA_ERROR_INVALID_VALUE") from error

    def reachable(self, span: Span, name: str) -> Bytes | None:
        """The bytes that running work touches; None, and an illegal access, if they are gone."""
        try:
            return self.memory.view(span)
        except WrongAddressError as error:
            self.faults.append(f"{name}: {error}")
            self.broken = True
            return None

    def require_unbroken(self) -> None:
        """What every synchronisation reports after an illegal access."""
        if self.broken:
            raise CudaError("CUDA_ERROR_ILLEGAL_ADDRESS")
