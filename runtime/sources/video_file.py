"""A video file as a source: every frame, in order, at the speed of whoever takes them.

Time comes from the container, which makes variable frame rates right; where it stands still or runs
backwards, position over rate stands in for it from there on, and the log says so once.

What is reported, and what cannot be:

1. A frame that does not decode is BROKEN; frames that follow each other are one event with a count.
2. At the end, frames that the container counts and nobody saw are BROKEN as well: a file that was
   cut off, or data that FFmpeg skipped. MP4 and AVI count frames; an MP4 that was trimmed by an
   edit list counts some that it does not show, so it must also end before its duration or have
   gaps. Matroska, WebM and streams only announce a duration, often that of a longer sound track, so
   there the end must come more than a second and 5 % early, or a quarter, before anything is said;
   and gaps between otherwise regular frames are a line in the log, because damage and a recorder
   that dropped frames look alike.
3. Damage inside a frame is concealed by FFmpeg, as in every player; its lines on stderr are the
   only sign.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Lock

import cv2

from edge_arm.runtime.errors import DataError
from edge_arm.runtime.sources.frame import EventKind, Frame, SourceEvent
from edge_arm.runtime.sources.frame_clock import FrameClock
from edge_arm.runtime.sources.mp4_duration import shown_duration_s
from edge_arm.runtime.sources.source_config import SourceConfig
from edge_arm.runtime.sources.video_capture import (
    announced_frames,
    grabbed_picture,
    nominal_rate,
    open_with_ffmpeg,
    refuse_too_large,
)

_logger = logging.getLogger(__name__)

_MP4, _MATROSKA = b"ftyp", b"\x1a\x45\xdf\xa3"
_TRIES_BEYOND = 16
"""OpenCV's `grab` fails alike for a broken frame and at the end; so many failures are the end."""
_MOST_TRIES = 100_000
"""Of failures in a row, whatever a container announces: a second at the end of a file."""
_MOST_TRIES_S = 20.0
"""The same for a URL whose server is silent, where each failure is a time-out."""
_EARLY_S, _EARLY_SHARE, _SURELY_EARLY_SHARE = 1.0, 0.05, 0.25


class VideoFile:
    """A video file, or a finite video at a URL.

    Attributes:
        name: as the user wrote it.
        live: no; nothing is dropped.
        moving: yes.
        frames_per_s: as the container announces it.
        expected_frames: likewise; right in most files.
    """

    live = False
    moving = True

    def __init__(
        self,
        name: str,
        capture: cv2.VideoCapture,
        *,
        counts_frames: bool,
        shown_s: float | None = None,
    ) -> None:
        """Take over an open capture.

        Args:
            name: as the user wrote it.
            capture: released by `close`.
            counts_frames: the container knows how many frames it has, and not only how long it is.
            shown_s: how long it is, where it may count frames that it does not show.
        """
        self.name = name
        self.frames_per_s = nominal_rate(capture)
        self._announced = announced_frames(capture)
        self.expected_frames = self._announced or None
        self._capture = capture
        self._counts_frames = counts_frames
        self._shown_s = shown_s
        self._reading = Lock()  # a capture must not be released while another thread reads it
        self._closed = Event()

    def close(self) -> None:
        """Close the file; the iteration ends at the next frame."""
        self._closed.set()
        with self._reading:
            self._capture.release()

    def __iter__(self) -> Iterator[Frame | SourceEvent]:
        announced = self._announced
        clock = FrameClock(self.name, self.frames_per_s)
        failing_since = 0.0
        number = decoded = 0
        # Two kinds of failure, because only the first is surely a frame and not the end.
        undecodable = failed_grabs = 0
        while not self._closed.is_set():
            with self._reading:
                if self._closed.is_set():
                    break
                grabbed = self._capture.grab()
                image_hwc = grabbed_picture(self._capture) if grabbed else None
                position_s = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
            if not grabbed:
                failing_since = time.perf_counter() if failed_grabs == 0 else failing_since
                failed_grabs += 1
                if (
                    failed_grabs >= min(max(announced - number, 0) + _TRIES_BEYOND, _MOST_TRIES)
                    or time.perf_counter() - failing_since > _MOST_TRIES_S
                ):
                    break
                continue
            undecodable += failed_grabs
            failed_grabs = 0
            if image_hwc is None:
                undecodable += 1
                continue
            if undecodable:
                yield self._broken(number, undecodable, clock.last_s)
                number += undecodable
                undecodable = 0
            yield Frame(self.name, number, clock.time_s(number, position_s), image_hwc)
            number += 1
            decoded += 1
        if self._closed.is_set():
            return
        if not decoded:
            raise DataError(
                f"no frame of {self.name!r} can be decoded, expected a video; "
                "copy it again, or convert it (ffmpeg -i IN -c:v libx264 OUT.mp4)"
            )
        if undecodable:
            yield self._broken(number, undecodable, clock.last_s)
            number += undecodable
        missing = self._missing(announced, number, clock)
        if not missing and not self._counts_frames and clock.skipped_frames:
            _logger.warning(
                "%s: the time stamps jump over about %d frames; it has gaps or is damaged",
                self.name,
                clock.skipped_frames,
            )
        if missing:
            yield SourceEvent(
                EventKind.BROKEN,
                self.name,
                number,
                missing,
                clock.last_s,
                f"{self.name!r} announces {announced} frames and ended after {number}, expected "
                "all of them; it was cut off or is damaged: copy it again",
            )

    def _broken(self, number: int, count: int, time_s: float) -> SourceEvent:
        frames = f"frame {number}" if count == 1 else f"frames {number} to {number + count - 1}"
        return SourceEvent(
            EventKind.BROKEN,
            self.name,
            number,
            count,
            time_s,
            f"{frames} of {self.name!r} cannot be decoded, expected a whole video; "
            "the rest goes on, copy the file again if it should not be damaged",
        )

    def _missing(self, announced: int, number: int, clock: FrameClock) -> int:
        """How many frames the end came early; 0 where that cannot be told (rule 2)."""
        missing = announced - number
        if missing <= 0:
            return 0
        if self._counts_frames:
            to_the_end = self._shown_s is not None and clock.last_s + 2 / clock.rate > self._shown_s
            return 0 if to_the_end and not clock.skipped_frames else missing
        length_s = announced / clock.rate
        early_s = length_s - (clock.last_s + 1 / clock.rate)
        if early_s <= min(
            max(_EARLY_S, _EARLY_SHARE * length_s), max(_SURELY_EARLY_SHARE * length_s, 0.1)
        ):
            return 0
        return min(missing, max(1, round(early_s * clock.rate)))


def open_video_file(path: Path, name: str, config: SourceConfig) -> VideoFile | None:
    """A file as a video.

    Args:
        path: of an existing file.
        name: as the user wrote it.
        config: limits.

    Returns:
        None if FFmpeg finds no video in it.

    Raises:
        DataError: if its frames are too large, or this OpenCV reads no videos.
    """
    capture = open_with_ffmpeg(str(path.resolve()), config.timeout_s)
    if capture is None:
        return None
    refuse_too_large(capture, name, config.max_pixels)
    with path.open("rb") as file:
        start = file.read(12)
    shown_s = shown_duration_s(path) if start[4:8] == _MP4 else None
    # An MP4 in fragments has no duration in front, and FFmpeg guesses how many frames there are.
    counts_frames = _is_avi(start) or shown_s is not None
    return VideoFile(name, capture, counts_frames=counts_frames, shown_s=shown_s)


def begins_like_a_video(start: bytes) -> bool:
    """Whether the first 16 bytes of a file are those of MP4, AVI, or Matroska and WebM.

    FFmpeg knows many more; these are told apart from a picture whatever the file's name is.
    """
    return start[4:8] == _MP4 or _is_avi(start) or start.startswith(_MATROSKA)


def _is_avi(start: bytes) -> bool:
    return start.startswith(b"RIFF") and start[8:12] == b"AVI "
