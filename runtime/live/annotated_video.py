"""A video with the faces marked, checked after writing because OpenCV's writer never complains.

`cv2.VideoWriter` drops frames of another size, cuts odd sizes, and goes on when the disk is full,
all without a word. So sizes are made even here (the last row or column is repeated), frames of
another size are fitted in, and the finished file is opened again: it counts only if every frame is
in it.

The file plays at one rate. Where frames are missing or came late the one before is repeated, so
that a second of the source stays a second of the file. Sound is not copied.

Shapes: H, W picture height and width.
"""

from __future__ import annotations

import errno
import logging
import math
import shutil
from contextlib import ExitStack
from pathlib import Path

import cv2
import numpy as np

from edge_arm.runtime.errors import StorageError, UsageError
from edge_arm.runtime.labels import LabelSet
from edge_arm.runtime.live.annotation import annotated
from edge_arm.runtime.live.frame_result import FrameResult
from edge_arm.runtime.preprocess import Uint8Array
from edge_arm.runtime.storage import require_result_places, storage_error, written_atomically

_MPEG4, _MOTION_JPEG = "mp4v", "MJPG"
VIDEO_CODECS = {
    ".mp4": _MPEG4,
    ".m4v": _MPEG4,
    ".mov": _MPEG4,
    ".mkv": _MPEG4,
    ".avi": _MOTION_JPEG,
}
"""By suffix: what the FFmpeg in OpenCV's wheels can write, and every player reads."""

_USUAL_RATE = 30.0
_RATES = (1.0, 240.0)
# A camera that was away for an hour must not leave an hour of the same picture.
_LONGEST_FILL_S = 1.0
_FRAMES_BETWEEN_LOOKS = 64
_MIN_FREE_BYTES = 1 << 20
_log = logging.getLogger(__name__)


class AnnotatedVideo:
    """Writes frames until it is closed; the file appears under its name then.

    Args:
        path: of the file; its suffix chooses the codec.
        labels: of the model.
        frames_per_s: of the file; None if the source does not know.

    Raises:
        UsageError: for a suffix that is none of `VIDEO_CODECS`.
        StorageError: if the file cannot be written there, or not with this codec.
    """

    def __init__(self, path: Path, labels: LabelSet, frames_per_s: float | None) -> None:
        self._path, self._labels = path, labels
        self._codec = _codec_of(path)
        self._rate = _sane_rate(frames_per_s, path)
        require_result_places([path])
        self._stack = ExitStack()
        self._temporary = self._stack.enter_context(written_atomically(path))
        # Now and not at the first frame, which may come when a model has been loaded for it.
        self._open(64, 64).release()
        self._writer: cv2.VideoWriter | None = None
        self._size = (0, 0)
        self._first_s = 0.0
        self._last: Uint8Array | None = None
        self._written = 0

    def write(self, result: FrameResult) -> None:
        """Add a frame.

        Raises:
            StorageError: if the disk is full; the file is gone then.
        """
        bgr = cv2.cvtColor(annotated(result, self._labels), cv2.COLOR_RGB2BGR)
        picture = _even(bgr.astype(np.uint8, copy=False))
        if self._writer is None:
            height, width = picture.shape[:2]
            self._size = (width, height)
            self._first_s = result.frame.time_s
            self._writer = self._open(width, height)
        picture = self._fitted(picture)
        if self._last is not None:
            for _ in range(self._missing_before(result.frame.time_s)):
                self._add(self._last)
        self._add(picture)
        self._last = picture

    def close(self) -> None:
        """Finish the file, or leave none if no frame came; may be called more than once.

        Raises:
            StorageError: if it is not whole; it is gone then.
        """
        if self._writer is None:
            self._discard()
            return
        self._writer.release()
        self._writer = None
        try:
            _require_whole(self._temporary, self._path, self._written)
        except StorageError:
            self._discard()
            raise
        self._stack.close()

    def _open(self, width: int, height: int) -> cv2.VideoWriter:
        fourcc = cv2.VideoWriter.fourcc(*self._codec)
        writer = cv2.VideoWriter(
            str(self._temporary), cv2.CAP_FFMPEG, fourcc, self._rate, (width, height)
        )
        if not writer.isOpened():
            self._discard()
            raise StorageError(
                f"OpenCV cannot write {str(self._path)!r} as a video ({self._codec}, "
                f"{width} x {height} pixels, {self._rate:g} frames a second), expected a place to "
                "write to and an OpenCV with FFmpeg; 'edge-arm doctor' tells which one is here, "
                "pip's opencv-python-headless has it"
            )
        return writer

    def _missing_before(self, time_s: float) -> int:
        """How often the last frame is to be repeated, so that the next one comes at its time."""
        place = round((time_s - self._first_s) * self._rate)
        return min(max(place - self._written, 0), round(_LONGEST_FILL_S * self._rate))

    def _add(self, picture: Uint8Array) -> None:
        assert self._writer is not None
        self._writer.write(picture)
        self._written += 1
        if self._written % _FRAMES_BETWEEN_LOOKS == 0 and self._is_disk_full():
            self._writer.release()
            self._writer = None
            self._discard()
            raise storage_error(self._path, OSError(errno.ENOSPC, ""))

    def _is_disk_full(self) -> bool:
        return shutil.disk_usage(self._temporary.parent).free < _MIN_FREE_BYTES

    def _fitted(self, picture: Uint8Array) -> Uint8Array:
        """A frame of another size than the first one's, shrunk or grown, with black beside it."""
        width, height = self._size
        if picture.shape[:2] == (height, width):
            return picture
        share = min(width / picture.shape[1], height / picture.shape[0])
        inner = (max(1, int(picture.shape[1] * share)), max(1, int(picture.shape[0] * share)))
        left, top = (width - inner[0]) // 2, (height - inner[1]) // 2
        fitted = np.zeros((height, width, 3), np.uint8)
        fitted[top : top + inner[1], left : left + inner[0]] = cv2.resize(
            picture, inner, interpolation=cv2.INTER_AREA if share < 1 else cv2.INTER_LINEAR
        )
        return fitted

    def _discard(self) -> None:
        # An error thrown into the block is what removes the temporary file.
        self._stack.__exit__(_Unwanted, _Unwanted(), None)


class _Unwanted(Exception):  # noqa: N818 - a sign, never raised to anybody
    """There is no file to keep."""


def _codec_of(path: Path) -> str:
    codec = VIDEO_CODECS.get(path.suffix.lower())
    if codec is None:
        raise UsageError(
            f"got {str(path)!r} as an annotated video, expected a name that ends in "
            f"{', '.join(VIDEO_CODECS)}; choose one, .mp4 is usual"
        )
    return codec


def _sane_rate(frames_per_s: float | None, path: Path) -> float:
    slowest, fastest = _RATES
    if frames_per_s is not None and slowest <= frames_per_s <= fastest:
        return frames_per_s
    known = "no rate" if frames_per_s is None else f"{frames_per_s:g}"
    _log.info(
        "the source gives %s as its frames a second: %s is written with %g",
        *(known, path.name, _USUAL_RATE),
    )
    return _USUAL_RATE


def _even(picture: Uint8Array) -> Uint8Array:
    """(H, W, 3) with H and W even: MPEG-4 halves the colours in both directions."""
    height, width = picture.shape[:2]
    if height % 2 == 0 and width % 2 == 0:
        return picture
    padded = cv2.copyMakeBorder(picture, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
    return padded.astype(np.uint8, copy=False)


def _require_whole(temporary: Path, path: Path, written: int) -> None:
    """Open the finished file again and look whether its container holds what was written."""
    try:
        size_bytes = temporary.stat().st_size
    except OSError:
        size_bytes = 0
    capture = cv2.VideoCapture(str(temporary), cv2.CAP_FFMPEG)
    try:
        counted = capture.get(cv2.CAP_PROP_FRAME_COUNT) if capture.isOpened() else 0.0
        readable = capture.isOpened() and capture.read()[0]
    finally:
        capture.release()
    # Matroska keeps a duration and no count, which rounds.
    if not readable or not math.isfinite(counted) or abs(counted - written) > 1:
        raise StorageError(
            f"the video {str(path)!r} could not be written whole: {written} frames went in, "
            f"{max(counted, 0):.0f} can be read from {size_bytes} bytes, expected all of them; "
            "free some space on the disk or choose another place, then run the command again"
        )
