"""The memory of the simulated GPU: what is allocated, what was freed, who touches what.

Addresses on the device lie where no process of Linux on x86-64 or ARM has memory, so that one that
is taken for an address of the host is found before it is followed. None is given out twice, so
that a use after free is found however late it comes.
"""

from __future__ import annotations

import ctypes
from collections import deque
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]

DEVICE_BASE = 0x00D0_0000_0000_0000
MAPPED_BASE = 0x00E0_0000_0000_0000
GAP = 0x1_0000
"""Between allocations, so that running over the end of one does not reach the next."""

UNWRITTEN = 0xCD
"""Fills what holds no result yet: fresh device memory, and the target of a copy in flight."""

FREED = 0xDD

REMEMBERED = 2000
"""Freed allocations that are told from addresses that never were any."""

QUARANTINED = 100
"""Freed pinned arrays whose memory stays, so that a stray pointer does not end the test run."""


@dataclass(eq=False)
class Allocation:
    """A piece of memory.

    Attributes:
        kind: "device buffer" or "pinned array".
        address: on the device, for a pinned array on the host.
        nbytes: size.
        content: the bytes.
        context: handle of the CUDA context it belongs to.
        owner: who asked for it: "user" or "tensorrt".
        mapped: address on the device of a pinned array that is mapped; 0 otherwise.
        freed: given back.
    """

    kind: str
    address: int
    nbytes: int
    content: Bytes
    context: int
    owner: str
    mapped: int = 0
    freed: bool = False

    def __str__(self) -> str:
        return f"{self.kind} of {self.nbytes} bytes at {self.address:#x}"


@dataclass(frozen=True)
class Span:
    """Bytes that an operation touches.

    Attributes:
        allocation: None for ordinary memory of the host.
        start: first byte, within the allocation or as an address of the host.
        stop: one past the last.
        writes: whether they are changed.
    """

    allocation: Allocation | None
    start: int
    stop: int
    writes: bool

    def conflicts(self, other: Span) -> bool:
        """Whether the order of the two operations matters."""
        return (
            self.allocation is other.allocation
            and (self.writes or other.writes)
            and self.start < other.stop
            and other.start < self.stop
        )


class WrongAddressError(Exception):
    """An address that points to nothing, with what is wrong about it."""


class Memory:
    """All allocations, and the last of those that were freed.

    Attributes:
        limit_bytes: that can be allocated at once.
        integrated: pinned arrays count against the same limit.
    """

    def __init__(self, limit_bytes: int, *, integrated: bool) -> None:
        self.limit_bytes = limit_bytes
        self.integrated = integrated
        self._next = {"device": DEVICE_BASE, "mapped": MAPPED_BASE}
        self._live: dict[int, Allocation] = {}
        self._freed: deque[tuple[int, int, str]] = deque(maxlen=REMEMBERED)
        self._quarantine: deque[Bytes] = deque(maxlen=QUARANTINED)

    @property
    def live(self) -> list[Allocation]:
        """Allocations that were not freed."""
        return list(self._live.values())

    @property
    def free_bytes(self) -> int:
        """What can still be allocated."""
        used = sum(
            item.nbytes for item in self.live if self.integrated or item.kind == "device buffer"
        )
        return self.limit_bytes - used

    def allocate(self, nbytes: int, context: int, *, owner: str = "user") -> Allocation | None:
        """Memory of the device, or None if there is not enough."""
        if nbytes > self.free_bytes:
            return None
        # TensorRT's own memory is never looked at: it only counts.
        size = nbytes if owner == "user" else 0
        content = np.full(size, UNWRITTEN, np.uint8)
        address = self._reserve("device", nbytes)
        return self._add(Allocation("device buffer", address, nbytes, content, context, owner))

    def allocate_host(self, nbytes: int, context: int, *, mapped: bool) -> Allocation | None:
        """Pinned memory of the host, or None if there is not enough."""
        if self.integrated and nbytes > self.free_bytes:
            return None
        content = np.full(max(nbytes, 1), UNWRITTEN, np.uint8)
        address = int(content.ctypes.data)
        alias = self._reserve("mapped", nbytes) if mapped else 0
        found = Allocation("pinned array", address, nbytes, content, context, "user", alias)
        return self._add(found)

    def free(self, address: int, kind: str) -> Allocation:
        """Give memory back.

        Raises:
            WrongAddressError: if nothing of this kind begins there.
        """
        found = self._live.get(address)
        if found is None or found.kind != kind:
            raise WrongAddressError(self._what_is(address, "free of", kind))
        del self._live[address]
        found.freed = True
        found.content[:] = FREED
        self._freed.append((address, found.nbytes, str(found)))
        if found.mapped:
            self._freed.append((found.mapped, found.nbytes, str(found)))
        if kind == "pinned array":
            self._quarantine.append(found.content)
        return found

    def device_span(self, address: int, nbytes: int, *, writes: bool) -> Span:
        """What an address on the device means.

        Raises:
            WrongAddressError: if these bytes are not memory that the device can reach.
        """
        for item in self._live.values():
            base = item.address if item.kind == "device buffer" else item.mapped
            if base and base <= address < base + max(item.nbytes, 1):
                return self._within(item, address - base, nbytes, writes=writes)
        raise WrongAddressError(self._what_is(address, "access to", "device buffer"))

    def host_span(self, address: int, nbytes: int, *, writes: bool) -> Span:
        """What an address on the host means; ordinary memory cannot be checked.

        Raises:
            WrongAddressError: if it is an address on the device, of freed memory, or too long.
        """
        for item in self._live.values():
            if item.kind == "pinned array" and 0 <= address - item.address < max(item.nbytes, 1):
                return self._within(item, address - item.address, nbytes, writes=writes)
        freed = any(base <= address < base + size for base, size, _ in self._freed)
        if address <= 0 or address >= DEVICE_BASE or freed:
            raise WrongAddressError(self._what_is(address, "access to", "memory of the host"))
        return Span(None, address, address + nbytes, writes)

    def view(self, span: Span) -> Bytes:
        """The bytes themselves.

        Raises:
            WrongAddressError: if they were freed meanwhile.
        """
        if span.allocation is None:
            memory = (ctypes.c_uint8 * (span.stop - span.start)).from_address(span.start)
            return np.frombuffer(memory, np.uint8)
        if span.allocation.freed:
            raise WrongAddressError(f"use after free of a {span.allocation}")
        return span.allocation.content[span.start : span.stop]

    def _within(self, item: Allocation, start: int, nbytes: int, *, writes: bool) -> Span:
        if start + nbytes > item.nbytes:
            raise WrongAddressError(f"{nbytes} bytes from byte {start} of a {item}: out of bounds")
        return Span(item, start, start + nbytes, writes)

    def _add(self, item: Allocation) -> Allocation:
        self._live[item.address] = item
        # The operating system may give the address of an old pinned array to a new one.
        if item.kind == "pinned array":
            last = item.address + item.nbytes
            apart = [old for old in self._freed if sum(old[:2]) <= item.address or old[0] >= last]
            self._freed = deque(apart, maxlen=REMEMBERED)
        return item

    def _reserve(self, space: str, nbytes: int) -> int:
        address = self._next[space]
        self._next[space] += -(-(nbytes + GAP) // GAP) * GAP
        return address

    def _what_is(self, address: int, act: str, expected: str) -> str:
        for base, size, text in self._freed:
            if base <= address < base + max(size, 1):
                again = "double free" if act == "free of" else "use after free"
                return f"{again} of a {text}"
        for item in self._live.values():
            if any(0 <= address - base < item.nbytes for base in (item.address, item.mapped)):
                return f"{act} {address:#x} as a {expected}: it is in a {item}"
        return f"{act} {address:#x} as a {expected}: nothing is there"
