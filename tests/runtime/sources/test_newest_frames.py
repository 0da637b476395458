"""The queue by itself, in one thread where order matters."""

from __future__ import annotations

import threading
import time

import numpy as np

from edge_arm.runtime.sources.frame import EventKind, Frame, SourceEvent
from edge_arm.runtime.sources.newest_frames import NewestFrames


def _image(value: int) -> np.ndarray:
    return np.full((1, 1, 3), value, np.uint8)


def _all(queue: NewestFrames) -> list[Frame | SourceEvent]:
    queue.finish()
    items = []
    while (item := queue.take(0.0)) is not None:
        items.append(item)
    return items


def test_the_newest_frames_stay_and_the_dropped_are_counted_before_them() -> None:
    queue = NewestFrames("camera:0", limit=2)
    queue.start()
    for value in range(7):
        queue.put(_image(value))
    dropped, *frames = _all(queue)
    assert isinstance(dropped, SourceEvent)
    assert (dropped.kind, dropped.number, dropped.count) == (EventKind.DROPPED, 0, 5)
    assert "5 frames came while nobody had time" in dropped.reason
    assert [(frame.number, int(frame.image_hwc[0, 0, 0])) for frame in frames] == [(5, 5), (6, 6)]


def test_drops_on_both_sides_of_an_event_are_told_apart() -> None:
    queue = NewestFrames("camera:0", limit=1)
    queue.start()
    queue.put(_image(0))
    queue.put(_image(1))
    queue.put_event(EventKind.LOST, "gone")
    queue.put(_image(2))
    queue.put(_image(3))
    found = [
        (item.kind.value, item.number, item.count)
        if isinstance(item, SourceEvent)
        else ("frame", item.number, 1)
        for item in _all(queue)
    ]
    assert found == [("dropped", 0, 2), ("lost", 2, 0), ("dropped", 2, 1), ("frame", 3, 1)]


def test_broken_frames_have_numbers_too() -> None:
    queue = NewestFrames("camera:0", limit=4)
    queue.start()
    queue.put(_image(0))
    queue.put_event(EventKind.BROKEN, "3 frames", count=3)
    queue.put(_image(0))
    assert [item.number for item in _all(queue)] == [0, 1, 4]


def test_nothing_counts_before_somebody_is_ready() -> None:
    queue = NewestFrames("camera:0", limit=1)
    for _ in range(5):
        queue.put(_image(0))
    queue.put_event(EventKind.LOST, "gone")
    queue.start()
    queue.put(_image(9))
    (frame,) = _all(queue)
    assert isinstance(frame, Frame)
    assert frame.number == 0
    assert 0 <= frame.time_s < 1


def test_taking_waits_no_longer_than_asked() -> None:
    queue = NewestFrames("camera:0", limit=1)
    queue.start()
    start = time.perf_counter()
    assert queue.take(0.05) is None
    assert 0.04 < time.perf_counter() - start < 1
    assert not queue.finished


def test_finishing_wakes_whoever_waits() -> None:
    queue = NewestFrames("camera:0", limit=1)
    queue.start()
    threading.Timer(0.05, queue.finish).start()
    start = time.perf_counter()
    assert queue.take(30.0) is None
    assert time.perf_counter() - start < 5
    assert queue.finished


def test_every_number_is_seen_once_with_two_threads() -> None:
    queue = NewestFrames("camera:0", limit=2)
    queue.start()

    def produce() -> None:
        for value in range(2000):
            queue.put(_image(value % 256))
        queue.finish()

    thread = threading.Thread(target=produce)
    thread.start()
    seen: list[int] = []
    while not queue.finished:
        item = queue.take(1.0)
        if item is not None:
            count = item.count if isinstance(item, SourceEvent) else 1
            seen += range(item.number, item.number + count)
    thread.join()
    assert seen == list(range(2000))
