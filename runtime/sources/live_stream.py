"""A source that gives frames whether or not somebody is ready, and that may go away and come back.

A thread of its own reads, so that the newest frame is always at hand. What a camera or a stream is
made of stays behind `Connection`: OpenCV (`opencv_connection`) or a process (`gstreamer_process`).

- The first opening is tried once: a wrong address should be an error now, not in a minute.
- Lost later, it is opened again after 0.5 s, then 1, 2, 4 and every 8 s, until `give_up_s`.
  RECONNECTED is said when a frame is there, not when a connection is.
- A device driver may hang in a call that nobody can interrupt. Whoever takes frames notices the
  silence, says LOST and gives up in time; the hanging thread is left behind.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from threading import Event, Thread
from typing import Protocol

from edge_arm.runtime.errors import DataError
from edge_arm.runtime.preprocess import Uint8Array
from edge_arm.runtime.sources.frame import EventKind, Frame, SourceEvent
from edge_arm.runtime.sources.newest_frames import NewestFrames
from edge_arm.runtime.sources.source_config import SourceConfig

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 8.0
_LOOK_UP_S = 0.1
"""How soon `close` from another thread is noticed."""
_JOIN_S = 2.0


@dataclass(frozen=True)
class Gone:
    """There will be no further frame over this connection.

    Attributes:
        reason: as the middle of a sentence, such as "no frame came for 10 s".
        ended: the source is at its end, so that opening it again has no sense.
    """

    reason: str
    ended: bool = False


class Broken(Enum):
    """One frame came and cannot be decoded."""

    FRAME = "frame"


Reading = Uint8Array | Broken | Gone


class Connection(Protocol):
    """An open camera or stream. One thread uses it, from opening to closing."""

    @property
    def frames_per_s(self) -> float | None:
        """Nominal rate; None if it is not known."""
        ...

    def read(self) -> Reading:
        """The next frame, (H, W, 3) uint8 RGB of its own; waits no longer than its time-out."""
        ...

    def close(self) -> None:
        """Give the device back."""
        ...


Connect = Callable[[Event], Connection]
"""Opens the source, once. The event is set when nobody wants frames any more.

Raises DataError if the source does not open.
"""


class LiveStream:
    """A camera, a network stream or a live pipeline.

    Attributes:
        name: as the user wrote it, without a password.
        live: yes; what nobody has time for is dropped and counted.
        moving: yes.
        frames_per_s: as the device announces it.
    """

    live = True
    moving = True
    expected_frames: int | None = None

    def __init__(self, name: str, connect: Connect, *, config: SourceConfig) -> None:
        """Open the source and begin to read.

        Raises:
            DataError: if it does not open.
        """
        self.name = name
        self._connect = connect
        self._config = config
        self._closed = Event()
        # The reading thread's; whoever takes frames looks at the first alone.
        self._lost = False
        self._lost_since_s = 0.0
        self._pause_s = _FIRST_PAUSE_S
        self._failure: BaseException | None = None
        self._frames = NewestFrames(name, config.waiting_frames)
        connection = connect(self._closed)
        self.frames_per_s = connection.frames_per_s
        self._thread = Thread(
            target=self._read_to_the_end, args=(connection,), name=f"read {name}", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop reading. The device is given back as soon as its driver returns."""
        self._closed.set()
        self._thread.join(_JOIN_S)

    def __iter__(self) -> Iterator[Frame | SourceEvent]:
        self._frames.start()
        got_frame = silence_reported = False
        last_sign_s = time.monotonic()
        while not self._closed.is_set():
            item = self._frames.take(_LOOK_UP_S)
            if item is None:
                if self._frames.finished:
                    break
                silent_s = time.monotonic() - last_sign_s
                if silent_s > self._config.give_up_s + 3 * self._config.timeout_s:
                    break
                if silent_s > 2 * self._config.timeout_s and not (self._lost or silence_reported):
                    silence_reported = True
                    yield self._frames.event_now(EventKind.LOST, self._silence())
                continue
            last_sign_s = time.monotonic()
            if isinstance(item, Frame):
                got_frame = True
                if silence_reported:
                    yield self._back(item)
                silence_reported = False
            elif silence_reported and item.kind is EventKind.LOST:
                silence_reported = False  # the driver returned with an error: said already
                continue
            yield item
        if self._failure is not None:
            raise self._failure
        if not got_frame and not self._closed.is_set():
            raise DataError(
                f"{self.name!r} opened and gave no frame, expected pictures; "
                "look at it with another program, or try another address or pipeline"
            )

    def _back(self, frame: Frame) -> SourceEvent:
        return SourceEvent(
            EventKind.RECONNECTED,
            self.name,
            frame.number,
            0,
            frame.time_s,
            self._answers_again(),
        )

    def _silence(self) -> str:
        return (
            f"{self.name!r} is lost: its driver has not returned for "
            f"{2 * self._config.timeout_s:g} s, expected frames; plug it in again"
        )

    def _read_to_the_end(self, connection: Connection) -> None:
        """What the thread does; the only place where connections are used."""
        try:
            open_connection: Connection | None = connection
            while open_connection is not None:
                gone = self._frames_of(open_connection)
                open_connection = None if gone.ended else self._connected_again(gone.reason)
        except BaseException as error:  # a thread has nobody to raise to: the consumer does it
            self._failure = error
        finally:
            self._frames.finish()

    def _frames_of(self, connection: Connection) -> Gone:
        """Read a connection until it is gone, and close it."""
        broken = 0
        try:
            while not self._closed.is_set():
                reading = connection.read()
                if isinstance(reading, Gone):  # failures that end in a loss are the loss
                    if not (reading.ended or self._lost):
                        # Told before closing, which may take its time.
                        self._lost, self._lost_since_s = True, time.monotonic()
                        self._frames.put_event(EventKind.LOST, self._lost_because(reading.reason))
                    return reading
                if isinstance(reading, Broken):
                    broken += 1
                    continue
                if self._lost:
                    self._lost, self._pause_s = False, _FIRST_PAUSE_S
                    self._frames.put_event(EventKind.RECONNECTED, self._answers_again())
                if broken:
                    self._frames.put_event(EventKind.BROKEN, self._broken(broken), broken)
                    broken = 0
                self._frames.put(reading)
        finally:
            connection.close()
        return Gone("nobody wants frames any more", ended=True)

    def _connected_again(self, reason: str) -> Connection | None:
        """Open the source again; None if it is given up or nobody wants frames any more."""
        while True:
            if time.monotonic() - self._lost_since_s + self._pause_s > self._config.give_up_s:
                self._frames.put_event(EventKind.LOST, self._given_up(reason))
                return None
            if self._closed.wait(self._pause_s):
                return None
            self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)
            try:
                return self._connect(self._closed)
            except DataError as error:
                reason = str(error)

    def _answers_again(self) -> str:
        return f"{self.name!r} answers again"

    def _lost_because(self, reason: str) -> str:
        return (
            f"{self.name!r} is lost ({reason}), expected frames without end; it is opened again "
            f"for {self._config.give_up_s:g} s, check cable, power and network"
        )

    def _given_up(self, reason: str) -> str:
        return (
            f"{self.name!r} did not come back within {self._config.give_up_s:g} s and is given up "
            f"({reason}); start again when it is there, or wait longer with --give-up"
        )

    def _broken(self, count: int) -> str:
        frames = "1 frame" if count == 1 else f"{count} frames"
        return (
            f"{frames} of {self.name!r} cannot be decoded, expected whole ones; the rest goes on, "
            "a better cable or a lower rate may help"
        )
