"""How pycuda's classes and functions are made from their record, and its two kinds of memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from device_fakes.cuda_errors import CudaError
from device_fakes.cuda_memory import Allocation

CALLS = {
    "init": "cuInit",
    "mem_get_info": "cuMemGetInfo",
    "mem_alloc": "cuMemAlloc",
    "memcpy_htod": "cuMemcpyHtoD",
    "memcpy_dtoh": "cuMemcpyDtoH",
    "memcpy_dtod": "cuMemcpyDtoD",
    "memcpy_htod_async": "cuMemcpyHtoDAsync",
    "memcpy_dtoh_async": "cuMemcpyDtoHAsync",
    "memcpy_dtod_async": "cuMemcpyDtoDAsync",
    "memset_d8": "cuMemsetD8",
    "memset_d8_async": "cuMemsetD8Async",
    "pagelocked_empty": "cuMemHostAlloc",
    "pagelocked_zeros": "cuMemHostAlloc",
    "Device.__init__": "cuDeviceGet",
    "Device.count": "cuDeviceGetCount",
    "Device.get_attribute": "cuDeviceGetAttribute",
    "Device.retain_primary_context": "cuDevicePrimaryCtxRetain",
    "Context.push": "cuCtxPushCurrent",
    "Context.pop": "context::pop",
    "Context.get_device": "cuCtxGetDevice",
    "Context.synchronize": "cuCtxSynchronize",
    "Context.detach": "cuDevicePrimaryCtxRelease",
    "Stream.__init__": "cuStreamCreate",
    "Stream.synchronize": "cuStreamSynchronize",
    "Stream.is_done": "cuStreamQuery",
    "Stream.wait_for_event": "cuStreamWaitEvent",
    "Event.__init__": "cuEventCreate",
    "Event.record": "cuEventRecord",
    "Event.synchronize": "cuEventSynchronize",
    "Event.query": "cuEventQuery",
    "DeviceAllocation.free": "device_allocation::free",
    "PagelockedHostAllocation.free": "pagelocked_host_allocation::free",
    "PagelockedHostAllocation.get_device_pointer": "cuMemHostGetDevicePointer",
}
"""The driver's call behind each name, for the text of an exception."""


class ArgumentError(TypeError):
    """Boost.Python.ArgumentError."""


def bound(name: str, signature: dict[str, Any], call: Callable[..., Any], front: Any) -> Any:
    """A function that takes the recorded arguments and raises what pycuda raises."""
    arguments: list[str | None] = signature["args"]

    def function(*given: Any, **named: Any) -> Any:
        _require_arguments(name, signature, given, named)
        try:
            # A keyword has its place; pycuda's names are those of the functions here.
            return call(*given, **named)
        except CudaError as error:
            raise front.raised(CALLS.get(name, name), error) from None

    function.__name__ = function.__qualname__ = name
    function.arguments = arguments
    return function


def recorded_type(name: str, record: dict[str, Any], kind: type, front: Any) -> type:
    """A class with the recorded names and no other public one.

    Args:
        name: of the class.
        record: of it.
        kind: class that behaves so; `start` is its constructor.
        front: handed to the instances as `front`.
    """
    names = {**record["methods"], **record["static"]}
    members: dict[str, Any] = {"front": front, "__module__": "pycuda._driver"}
    for method, signature in record["methods"].items():
        if method.startswith("__"):
            continue
        members[method] = _method(f"{name}.{method}", signature, getattr(kind, method), front)
    for method, signature in record["static"].items():
        call = STATIC[f"{name}.{method}"]
        function = bound(f"{name}.{method}", signature, _with_front(call, front), front)
        members[method] = staticmethod(function)
    if "init" in record:
        members["__init__"] = _method(f"{name}.__init__", record["init"], kind.start, front)
    else:
        members["__init__"] = _no_constructor
    internal = {
        "start",
        "hold",
        "shape_as",
        "native",
        "context",
        "thread",
        "is_valid",
        "allocation",
        "front",
    }
    extra = {
        item
        for item in vars(kind)
        if not item.startswith("_") and item not in {*names, *record["properties"], *internal}
    }
    assert not extra, f"{name} has no {extra} in its record"
    return type(name, (kind,), members)


def memory_types() -> dict[str, type]:
    """The classes that hold memory."""
    return {"DeviceAllocation": DeviceAllocation, "PagelockedHostAllocation": PinnedAllocation}


class DeviceAllocation:
    """`pycuda.driver.DeviceAllocation`."""

    front: Any

    def hold(self, allocation: Allocation) -> None:
        """Take what was allocated."""
        self.context = self.front.required_context()
        self.allocation: Allocation | None = allocation
        self.native = allocation.address

    def free(self) -> None:
        if self.allocation is None:
            self.front.gpu.faults.append(f"double free of a device buffer at {self.native:#x}")
            raise CudaError("CUDA_ERROR_INVALID_HANDLE")
        self._give_back()

    def _give_back(self) -> None:
        gpu, address, self.allocation = self.front.gpu, self.native, None
        self.front.clean_up(
            self.context, "device_allocation", lambda: gpu.free(address, "device buffer")
        )

    def __int__(self) -> int:
        return int(self.native)

    def __index__(self) -> int:
        return int(self.native)

    def __del__(self) -> None:
        if getattr(self, "allocation", None) is not None:
            self._give_back()


class PinnedAllocation:
    """`pycuda.driver.PagelockedHostAllocation`: the base of the arrays of `pagelocked_empty`."""

    front: Any

    def hold(self, allocation: Allocation) -> None:
        """Take what was allocated."""
        self.context = self.front.required_context()
        self.allocation: Allocation | None = allocation
        self.native = allocation.address
        self._content = allocation.content  # stays readable for arrays that outlive `free`

    def shape_as(self, example: np.ndarray) -> None:
        """Make numpy see the memory as an array like this one."""
        layout = example.__array_interface__
        self.__array_interface__ = {**layout, "data": (self.native, False)}

    def free(self) -> None:
        if self.allocation is None:
            self.front.gpu.faults.append(f"double free of a pinned array at {self.native:#x}")
            raise CudaError("CUDA_ERROR_INVALID_HANDLE")
        self._give_back()

    def _give_back(self) -> None:
        gpu, address, self.allocation = self.front.gpu, self.native, None
        self.front.clean_up(
            self.context, "pagelocked_host_allocation", lambda: gpu.free(address, "pinned array")
        )

    def get_flags(self) -> int:
        return 2 if self.allocation is not None and self.allocation.mapped else 0

    def get_device_pointer(self) -> int:
        address: int = self.front.gpu.mapped_address(self.native)
        return address

    def __del__(self) -> None:
        if getattr(self, "allocation", None) is not None:
            self._give_back()


def _pop(front: Any) -> None:
    if not front.stack:
        front.gpu.faults.append("Context.pop without a current context")
        raise CudaError("CUDA_ERROR_INVALID_CONTEXT")
    front.gpu.pop()
    front.stack.pop()
    if front.stack:
        front.gpu.push(front.stack[-1].native)


def _device(front: Any) -> Any:
    front.gpu.require_current("cuCtxGetDevice")
    return front.module.Device(0)


STATIC: dict[str, Callable[[Any], Any]] = {
    "Device.count": lambda front: front.gpu.count(),
    "Context.pop": _pop,
    "Context.get_device": _device,
    "Context.synchronize": lambda front: front.gpu.synchronize(),
    "Context.get_current": lambda front: front.stack[-1] if front.stack else None,
}


def _with_front(call: Callable[[Any], Any], front: Any) -> Callable[[], Any]:
    return lambda: call(front)


def _method(name: str, signature: dict[str, Any], call: Callable[..., Any], front: Any) -> Any:
    def method(self: Any, *given: Any, **named: Any) -> Any:
        _require_arguments(name, signature, given, named)
        try:
            return call(self, *given, **named)
        except CudaError as error:
            raise front.raised(CALLS.get(name, name), error) from None

    method.__name__ = name.split(".")[1]
    return method


def _no_constructor(self: Any, *given: Any, **named: Any) -> None:
    raise RuntimeError("This class cannot be instantiated from Python")


def _require_arguments(
    name: str, signature: dict[str, Any], given: tuple[Any, ...], named: dict[str, Any]
) -> None:
    arguments: list[str | None] = signature["args"]
    behind = {argument for argument in arguments[len(given) :] if argument}
    enough = len(given) + len(named) >= signature["required"]
    if len(given) > len(arguments) or not set(named) <= behind or not enough:
        raise ArgumentError(
            f"Python argument types in {name}({', '.join(map(str, given))}, {named}) did not match "
            f"the C++ signature with {arguments}"
        )
