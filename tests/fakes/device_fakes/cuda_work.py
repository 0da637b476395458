"""Streams, events and graphs: work that is queued and runs only when somebody waits for it.

Running as late as possible shows what a fast GPU hides: a result that is read before the
synchronisation is not there yet. And what an order that happens to be right hides is found by
looking at each pair of operations: two that touch the same bytes, one of them writing, must be
ordered by a stream, by an event, or by the host that waited in between (happens-before, with one
clock entry for each stream).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from device_fakes.cuda_errors import CudaError
from device_fakes.cuda_memory import Allocation, Span

LEGACY = 0
"""Handle of the default stream, which orders itself with every other stream that is blocking."""


@dataclass(eq=False)
class Operation:
    """One piece of queued work.

    Attributes:
        name: what it is, for messages.
        run: does it.
        spans: memory that it touches.
        stream: handle.
        number: position in its stream, from 1.
        done: it ran.
        finished_s: when, by the host's clock.
        after: it waits for this one of another stream.
    """

    name: str
    run: Callable[[], None]
    spans: tuple[Span, ...] = ()
    stream: int = LEGACY
    number: int = 0
    done: bool = False
    finished_s: float = 0.0
    after: Operation | None = None


@dataclass(eq=False)
class Capture:
    """Operations that a stream records instead of queueing them.

    Attributes:
        origin: handle of the stream that began.
        operations: so far.
        joined: streams that took part; True once their last work is waited for again.
        broken: an operation that is not allowed came in between.
        thread: in which other calls would break it; None if they would in every thread.
    """

    origin: int
    thread: int | None = None
    operations: list[Operation] = field(default_factory=list)
    joined: dict[int, bool] = field(default_factory=dict)
    broken: bool = False


@dataclass(eq=False)
class Stream:
    """A queue.

    Attributes:
        handle: of it.
        context: handle of its CUDA context.
        blocking: it orders itself with the default stream.
        queue: operations that did not run yet, the oldest first.
        length: operations that were ever queued.
        clock: what its next operation comes after: for each stream the number of an operation.
        capture: that it is part of.
        last: operation that was queued.
    """

    handle: int
    context: int
    blocking: bool
    queue: list[Operation] = field(default_factory=list)
    length: int = 0
    clock: dict[int, int] = field(default_factory=dict)
    capture: Capture | None = None
    last: Operation | None = None


@dataclass(eq=False)
class Event:
    """A mark in a stream.

    Attributes:
        handle: of it.
        context: handle of its CUDA context.
        operation: the mark; None as long as it was not recorded.
        clock: of the stream at the mark.
        capture: that the mark is in, and in which stream.
    """

    handle: int
    context: int
    operation: Operation | None = None
    clock: dict[int, int] = field(default_factory=dict)
    capture: tuple[Capture, int] | None = None


@dataclass(eq=False)
class Graph:
    """Captured operations.

    Attributes:
        operations: in an order in which they may run.
        executable: they were instantiated and can be launched.
    """

    operations: list[Operation]
    executable: bool = False


class Schedule:
    """All streams of the device.

    Attributes:
        streams: by handle.
    """

    def __init__(self, complain: Callable[[str], None]) -> None:
        self.streams: dict[int, Stream] = {LEGACY: Stream(LEGACY, 0, blocking=True)}
        self._complain = complain

    def enqueue(
        self, stream: Stream, name: str, run: Callable[[], None], spans: Iterable[Span] = ()
    ) -> Operation:
        """Queue work, or record it if the stream is capturing."""
        operation = Operation(name, run, tuple(spans), stream.handle)
        if stream.capture:
            stream.capture.operations.append(operation)
            if stream.handle in stream.capture.joined:
                stream.capture.joined[stream.handle] = False
            return operation
        self._order_with_default_stream(stream)
        stream.length += 1
        operation.number = stream.length
        stream.clock[stream.handle] = operation.number
        self._look_for_races(operation, stream.clock)
        stream.queue.append(operation)
        stream.last = operation
        return operation

    def record(self, event: Event, stream: Stream) -> None:
        """Put a mark behind the work of a stream."""
        if stream.capture:
            event.capture = (stream.capture, stream.handle)
            return
        event.capture = None
        event.operation = self.enqueue(stream, "event", _nothing)
        event.clock = dict(stream.clock)

    def wait(self, stream: Stream, event: Event) -> None:
        """Make what a stream is given from now on come after a mark."""
        if event.capture:
            capture, source = event.capture
            if source in capture.joined and stream.handle != source:
                capture.joined[source] = True
            if stream.capture is None:
                stream.capture = capture
                capture.joined[stream.handle] = False
            return
        if event.operation is None:
            return
        if stream.capture:
            # The captured work would depend on work outside of the graph.
            stream.capture.broken = True
            raise CudaError("CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED")
        self._wait_for(stream, event.operation, event.clock)

    def finish(self, operation: Operation) -> None:
        """Run an operation and all that comes before it."""
        stream = self.streams.get(operation.stream)
        while not operation.done and stream and stream.queue:
            self._run_next(stream)

    def drain(self, stream: Stream) -> None:
        """Run all that is queued in a stream."""
        while stream.queue:
            self._run_next(stream)

    def step(self, stream: Stream) -> None:
        """Run one operation, so that somebody who asks again and again gets on."""
        if stream.queue:
            self._run_next(stream)

    def pending_on(self, allocation: Allocation) -> list[str]:
        """Names of the queued operations that use a piece of memory."""
        return [
            operation.name
            for stream in self.streams.values()
            for operation in stream.queue
            if any(span.allocation is allocation for span in operation.spans)
        ]

    def is_read(self, span: Span) -> bool:
        """Whether queued work still has to read these bytes."""
        return any(
            not other.writes and span.conflicts(other)
            for stream in self.streams.values()
            for operation in stream.queue
            for other in operation.spans
        )

    def _run_next(self, stream: Stream) -> None:
        operation = stream.queue[0]
        if operation.after is not None and not operation.after.done:
            self.finish(operation.after)
        stream.queue.pop(0)
        operation.done = True
        operation.run()
        operation.finished_s = time.perf_counter()

    def _wait_for(self, stream: Stream, operation: Operation, clock: dict[int, int]) -> None:
        waiting = Operation("wait", _nothing, (), stream.handle, after=operation)
        stream.length += 1
        waiting.number = stream.length
        stream.queue.append(waiting)
        for handle, number in clock.items():
            stream.clock[handle] = max(number, stream.clock.get(handle, 0))

    def _order_with_default_stream(self, stream: Stream) -> None:
        if stream.handle == LEGACY:
            others = [
                item for item in self.streams.values() if item.blocking and item is not stream
            ]
        else:
            others = [self.streams[LEGACY]] if stream.blocking else []
        for other in others:
            if other.last is not None and not other.last.done:
                self._wait_for(stream, other.last, dict(other.clock))

    def _look_for_races(self, new: Operation, clock: dict[int, int]) -> None:
        for other in self.streams.values():
            if other.handle == new.stream:
                continue
            for old in other.queue:
                if old.number <= clock.get(other.handle, 0):
                    continue
                if any(a.conflicts(b) for a in new.spans for b in old.spans):
                    self._complain(
                        f"race: {new.name} in stream {new.stream:#x} touches the memory of "
                        f"{old.name} in stream {other.handle:#x}, and no event orders them"
                    )


def _nothing() -> None:
    """An event or a wait does nothing by itself."""
