"""When the frames of a video file belong: by the container's time stamps while they make sense."""

from __future__ import annotations

import logging

_logger = logging.getLogger(__name__)

UNKNOWN_RATE = 30.0
"""Frames per second where a container announces none."""

_JUMP = 1.5
"""In frames: a longer step is a gap. Matroska rounds time stamps to milliseconds, which is less."""
_MOST_JUMPS = 0.1
"""With more of them among the steps, the frame rate varies, and no step is a gap."""


class FrameClock:
    """Times of frames, one after the other, that never run backwards.

    Attributes:
        rate: frames per second, for a container that cannot be trusted.
        last_s: time of the last frame.
    """

    def __init__(self, name: str, rate: float | None) -> None:
        """A clock at 0.

        Args:
            name: of the video, for the log.
            rate: nominal; 30 where it is not known.
        """
        self.rate = rate or UNKNOWN_RATE
        self.last_s = 0.0
        self._name = name
        self._trusted = True
        self._last_number: int | None = None
        self._steps = self._jumps = 0
        self._skipped = 0.0

    @property
    def skipped_frames(self) -> int:
        """Frames that have room in the gaps of an otherwise regular video; 0 if it is irregular."""
        if not self._trusted or self._jumps > _MOST_JUMPS * self._steps:
            return 0
        return round(self._skipped)

    def time_s(self, number: int, position_s: float) -> float:
        """The next frame's time.

        Args:
            number: of the frame, larger than the last one.
            position_s: what the container says.
        """
        first = self._last_number is None
        if self._trusted and not (position_s >= 0 if first else position_s > self.last_s):
            self._trusted = False
            _logger.warning(
                "%s: the time stamps stand still or run backwards at frame %d; from here on, times "
                "are the frame's number over %g frames per second",
                self._name,
                number,
                self.rate,
            )
        if not self._trusted:
            position_s = max(number / self.rate, self.last_s)
        if self._last_number is not None:
            self._steps += 1
            step = (position_s - self.last_s) * self.rate - (number - self._last_number)
            if step > _JUMP - 1:
                self._jumps += 1
                self._skipped += step
        self._last_number = number
        self.last_s = position_s
        return position_s
