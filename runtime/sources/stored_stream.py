"""A pipeline that reads files: every frame, in order, as slowly as somebody takes them."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Event, Lock

from edge_arm.runtime.errors import DataError
from edge_arm.runtime.sources.frame import EventKind, Frame, SourceEvent
from edge_arm.runtime.sources.live_stream import Broken, Connect, Gone

_UNKNOWN_RATE = 30.0


class StoredStream:
    """A connection that waits for its reader.

    Attributes:
        name: as the user wrote it.
        live: no; nothing is dropped.
        moving: yes.
        frames_per_s: as the connection announces it.
    """

    live = False
    moving = True
    expected_frames: int | None = None

    def __init__(self, name: str, connect: Connect) -> None:
        """Open it.

        Raises:
            DataError: if it does not open.
        """
        self.name = name
        self._closed = Event()
        self._using = Lock()
        self._connection = connect(self._closed)
        self.frames_per_s = self._connection.frames_per_s

    def close(self) -> None:
        """End it; a read that waits returns soon."""
        self._closed.set()
        with self._using:
            self._connection.close()

    def __iter__(self) -> Iterator[Frame | SourceEvent]:
        rate = self.frames_per_s or _UNKNOWN_RATE
        number = 0
        got_frame = False
        while True:
            with self._using:
                if self._closed.is_set():
                    return
                reading = self._connection.read()
            if isinstance(reading, Gone):
                break
            if isinstance(reading, Broken):
                reason = f"frame {number} of {self.name!r} cannot be decoded; the rest goes on"
                yield SourceEvent(EventKind.BROKEN, self.name, number, 1, number / rate, reason)
            else:
                got_frame = True
                yield Frame(self.name, number, number / rate, reading)
            number += 1
        if self._closed.is_set():
            return
        if not got_frame:
            raise DataError(
                f"{self.name!r} gave no frame ({reading.reason}), expected a video; "
                "try the pipeline by itself"
            )
        if not reading.ended:
            yield SourceEvent(
                EventKind.BROKEN,
                self.name,
                number,
                0,
                number / rate,
                f"{self.name!r} stopped after {number} frames ({reading.reason}), expected an end "
                "without an error; how many frames are missing cannot be told",
            )
