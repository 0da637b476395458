"""Between a camera that never waits and a pipeline that may be slow: the newest frames.

What was dropped is counted, at its place among the others: whoever takes frames sees every number
once, as a frame or inside an event that counts it.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import replace
from threading import Condition

from edge_arm.runtime.preprocess import Uint8Array
from edge_arm.runtime.sources.frame import EventKind, Frame, SourceEvent


class NewestFrames:
    """A bounded queue that drops the oldest frame when it is full, and says so.

    One thread puts, another one takes. Until `start` nothing is kept or counted, so that frames
    from before somebody was ready are no loss.
    """

    def __init__(self, source: str, limit: int) -> None:
        """An empty queue.

        Args:
            source: for frames and events.
            limit: how many frames wait at most.
        """
        self._source = source
        self._limit = limit
        self._waiting: deque[Frame | SourceEvent] = deque()
        self._frames_waiting = 0
        self._next_number = 0
        self._started_s: float | None = None
        self._finished = False
        self._changed = Condition()

    @property
    def finished(self) -> bool:
        """Nothing waits and nothing will come."""
        with self._changed:
            return self._finished and not self._waiting

    def start(self) -> None:
        """From now on frames count; their time begins at 0."""
        with self._changed:
            self._started_s = time.monotonic()

    def finish(self) -> None:
        """No more will be put."""
        with self._changed:
            self._finished = True
            self._changed.notify_all()

    def put(self, image_hwc: Uint8Array) -> None:
        """Add the newest frame; the oldest goes where too many wait.

        Args:
            image_hwc: (H, W, 3) uint8 RGB; the queue's from now on.
        """
        with self._changed:
            if self._started_s is None:
                return
            time_s = time.monotonic() - self._started_s
            self._waiting.append(Frame(self._source, self._next_number, time_s, image_hwc))
            self._next_number += 1
            self._frames_waiting += 1
            if self._frames_waiting > self._limit:
                self._drop_oldest()
            self._changed.notify_all()

    def put_event(self, kind: EventKind, reason: str, count: int = 0) -> None:
        """Add an event about the next `count` frames, which are not there."""
        with self._changed:
            if self._started_s is None:
                return
            self._waiting.append(self._event(kind, reason, count))
            self._next_number += count
            self._changed.notify_all()

    def event_now(self, kind: EventKind, reason: str) -> SourceEvent:
        """An event before the next frame, for whoever takes frames to give on at once."""
        with self._changed:
            return self._event(kind, reason, 0)

    def take(self, timeout_s: float) -> Frame | SourceEvent | None:
        """The oldest that waits; None if nothing came in time or nothing will."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._waiting) or self._finished, timeout_s)
            if not self._waiting:
                return None
            item = self._waiting.popleft()
            if isinstance(item, Frame):
                self._frames_waiting -= 1
            return item

    def _event(self, kind: EventKind, reason: str, count: int) -> SourceEvent:
        time_s = 0.0 if self._started_s is None else time.monotonic() - self._started_s
        return SourceEvent(kind, self._source, self._next_number, count, time_s, reason)

    def _drop_oldest(self) -> None:
        # Events wait in front of the oldest frame at most, and few of them.
        place = next(i for i, item in enumerate(self._waiting) if isinstance(item, Frame))
        frame = self._waiting[place]
        self._frames_waiting -= 1
        before = self._waiting[place - 1] if place else None
        if isinstance(before, SourceEvent) and before.kind is EventKind.DROPPED:
            del self._waiting[place]
            self._waiting[place - 1] = replace(
                before, count=before.count + 1, reason=_dropped(before.count + 1)
            )
            return
        self._waiting[place] = SourceEvent(
            EventKind.DROPPED, self._source, frame.number, 1, frame.time_s, _dropped(1)
        )


def _dropped(count: int) -> str:
    frames = "1 frame" if count == 1 else f"{count} frames"
    return (
        f"{frames} came while nobody had time, expected a pipeline as fast as the source; "
        "ask the camera for fewer or smaller frames, or use a faster model"
    )
