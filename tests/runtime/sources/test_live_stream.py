"""A live stream over connections that are scripted: real threads, no device."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from threading import Event

import numpy as np
import pytest

from edge_arm.runtime.errors import DataError
from edge_arm.runtime.sources.frame import EventKind, Frame
from edge_arm.runtime.sources.live_stream import Broken, Connect, Gone, LiveStream, Reading
from edge_arm.runtime.sources.source_config import SourceConfig

LOST = Gone("the cable is out")
END = Gone("no more", ended=True)


class ScriptedConnection:
    """Plays a list: pictures by their grey value, anything else as it is, a float is a pause."""

    frames_per_s = 30.0

    def __init__(self, script: Iterable[int | float | Reading]) -> None:
        self._script = iter(script)
        self.closed = 0

    def read(self) -> Reading:
        for step in self._script:
            if isinstance(step, float):
                time.sleep(step)
                continue
            return np.full((2, 2, 3), step, np.uint8) if isinstance(step, int) else step
        return END

    def close(self) -> None:
        self.closed += 1


class Scripts:
    """One script for each time the source is opened; an error refuses to open."""

    def __init__(self, *scripts: Iterable[int | float | Reading] | DataError) -> None:
        self._scripts = iter(scripts)
        self.opened_s: list[float] = []
        self.connections: list[ScriptedConnection] = []

    def __call__(self, _stopped: Event) -> ScriptedConnection:
        self.opened_s.append(time.monotonic())
        script = next(self._scripts, DataError("still not there"))
        if isinstance(script, DataError):
            raise script
        self.connections.append(ScriptedConnection(script))
        return self.connections[-1]


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    until_s = time.monotonic() + 3.0
    while (left := set(threading.enumerate()) - before) and time.monotonic() < until_s:
        time.sleep(0.01)
    assert not left


def _stream(connect: Connect, **limits: float) -> LiveStream:
    return LiveStream("camera:0", connect, config=SourceConfig(waiting_frames=50, **limits))


def test_frames_come_in_order_until_the_end(outcome: Callable) -> None:
    with closing(_stream(Scripts([0.05, 1, 2, 3]))) as stream:
        assert (stream.live, stream.moving, stream.frames_per_s) == (True, True, 30.0)
        result = outcome(stream)
    assert result.greys == [1, 2, 3]
    assert result.numbers == [0, 1, 2]
    assert not result.events


def test_a_broken_frame_is_counted_where_it_was(outcome: Callable) -> None:
    with closing(_stream(Scripts([0.05, 1, Broken.FRAME, Broken.FRAME, 2]))) as stream:
        result = outcome(stream)
    assert [(event.kind, event.number, event.count) for event in result.events] == [
        (EventKind.BROKEN, 1, 2)
    ]
    assert result.numbers == [0, 3]


def test_a_lost_camera_is_opened_again_and_frames_go_on(outcome: Callable) -> None:
    scripts = Scripts([0.05, 1, LOST], DataError("not yet"), [2, 3])
    with closing(_stream(scripts)) as stream:
        result = outcome(stream)
    assert result.kinds == [EventKind.LOST, EventKind.RECONNECTED]
    assert "the cable is out" in result.events[0].reason
    assert [event.number for event in result.events] == [1, 1]
    assert result.numbers == [0, 1, 2]
    assert [connection.closed for connection in scripts.connections] == [1, 1]
    # 0.5 s before the first try, twice as long before the second.
    pauses = np.diff(scripts.opened_s)
    assert pauses[0] == pytest.approx(0.55, abs=0.25)
    assert pauses[1] == pytest.approx(1.0, abs=0.25)


def test_a_connection_without_a_frame_is_no_reconnection(outcome: Callable) -> None:
    with closing(_stream(Scripts([0.05, 1, LOST], [LOST], [2]))) as stream:
        result = outcome(stream)
    assert result.kinds == [EventKind.LOST, EventKind.RECONNECTED]
    assert result.numbers == [0, 1]


def test_it_is_given_up_in_time_and_said(outcome: Callable) -> None:
    start = time.monotonic()
    with closing(_stream(Scripts([0.05, 1, LOST]), give_up_s=1.0)) as stream:
        result = outcome(stream)
    assert time.monotonic() - start < 3
    assert result.kinds == [EventKind.LOST, EventKind.LOST]
    assert "did not come back within 1 s and is given up" in result.events[1].reason
    assert result.numbers == [0]


def test_a_first_opening_that_fails_is_an_error_at_once() -> None:
    with pytest.raises(DataError, match="no such camera"):
        _stream(Scripts(DataError("no such camera")))


def test_a_source_that_opens_and_gives_nothing_is_an_error() -> None:
    with (
        closing(_stream(Scripts([LOST]), give_up_s=0.0)) as stream,
        pytest.raises(DataError, match="opened and gave no frame"),
    ):
        list(stream)


def test_a_driver_that_does_not_return_is_noticed_and_survived(outcome: Callable) -> None:
    with closing(_stream(Scripts([0.05, 1, 0.7, 2]), timeout_s=0.2)) as stream:
        result = outcome(stream)
    assert result.kinds == [EventKind.LOST, EventKind.RECONNECTED]
    assert "its driver has not returned for 0.4 s" in result.events[0].reason
    assert result.numbers == [0, 1]


def test_a_driver_that_never_returns_is_given_up(outcome: Callable) -> None:
    start = time.monotonic()
    with closing(_stream(Scripts([0.05, 1, 1.5, 2]), timeout_s=0.1, give_up_s=0.3)) as stream:
        result = outcome(stream)
    assert time.monotonic() - start < 2.5
    assert result.numbers == [0]
    assert result.kinds == [EventKind.LOST]


def test_a_slow_consumer_loses_old_frames_and_is_told(outcome: Callable) -> None:
    config = SourceConfig(waiting_frames=1)
    script = [0.05, *(step for value in range(30) for step in (value, 0.005))]
    numbers = []
    with closing(LiveStream("camera:0", Scripts(script), config=config)) as stream:
        for item in stream:
            count = 1 if isinstance(item, Frame) else item.count
            numbers += range(item.number, item.number + count)
            time.sleep(0.03)
    assert numbers == list(range(30))


def test_closing_from_another_thread_ends_the_iteration_soon() -> None:
    stream = _stream(Scripts(value % 256 if value % 2 else 0.01 for value in range(100_000)))
    threading.Timer(0.1, stream.close).start()
    start = time.monotonic()
    assert list(stream)
    assert time.monotonic() - start < 2
    stream.close()


def test_closing_while_it_is_lost_ends_the_iteration_soon(outcome: Callable) -> None:
    stream = _stream(Scripts([0.05, 1, LOST]), give_up_s=60.0)
    threading.Timer(0.3, stream.close).start()
    start = time.monotonic()
    assert outcome(stream).kinds == [EventKind.LOST]
    assert time.monotonic() - start < 2


def test_a_bug_in_the_reading_thread_reaches_whoever_takes_frames() -> None:
    class Buggy(ScriptedConnection):
        def read(self) -> Reading:
            raise ZeroDivisionError("a bug")

    with (
        closing(_stream(lambda _: Buggy([]))) as stream,
        pytest.raises(ZeroDivisionError, match="a bug"),
    ):
        list(stream)
