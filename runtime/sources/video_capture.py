"""Opening something with OpenCV: with time-outs, and without OpenCV's own noise on stderr.

FFmpeg's lines about damaged data stay: it conceals damage inside a frame (a grey or smeared part),
and these lines are the only sign of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import cv2
import numpy as np

from edge_arm.runtime.errors import DataError
from edge_arm.runtime.preprocess import Uint8Array

_SILENT = 0
FASTEST = 1000.0
"""Frames per second above this are a container's nonsense (90,000 is a clock, not a rate)."""


def open_with_ffmpeg(address: str, timeout_s: float) -> cv2.VideoCapture | None:
    """A file or URL through FFmpeg.

    Args:
        address: an absolute path or a URL; a relative path with a colon would be a protocol.
        timeout_s: for opening, and for each frame later.

    Returns:
        The capture; None if it does not open.

    Raises:
        DataError: if this OpenCV was built without FFmpeg.
    """
    if cv2.CAP_FFMPEG not in cv2.videoio_registry.getBackends():
        raise DataError(
            f"OpenCV {cv2.__version__} here has no FFmpeg, which {address!r} needs; "
            "install the wheel (pip install 'opencv-python-headless<5'), or read it with gst:"
        )
    timeout_ms = round(1000 * timeout_s)
    with quiet_opencv():
        capture = cv2.VideoCapture(
            address,
            cv2.CAP_FFMPEG,
            [
                cv2.CAP_PROP_OPEN_TIMEOUT_MSEC,
                timeout_ms,
                cv2.CAP_PROP_READ_TIMEOUT_MSEC,
                timeout_ms,
            ],
        )
    if not capture.isOpened():
        return None
    capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)  # phones store the turn, not the turned picture
    return capture


@contextmanager
def quiet_opencv() -> Iterator[None]:
    """Without OpenCV's warnings, which say in other words what our error says."""
    # The two functions moved after OpenCV 4.10.
    levels: Any = getattr(cv2.utils, "logging", cv2)
    before = levels.getLogLevel()
    levels.setLogLevel(_SILENT)
    try:
        yield
    finally:
        levels.setLogLevel(before)


def nominal_rate(capture: cv2.VideoCapture) -> float | None:
    """Frames per second as announced; None where it is none or no rate."""
    rate = capture.get(cv2.CAP_PROP_FPS)
    return rate if 0 < rate <= FASTEST else None


def announced_frames(capture: cv2.VideoCapture) -> int:
    """Of the container; 0 where it announces none or nonsense (FFmpeg has huge negative ones)."""
    count = capture.get(cv2.CAP_PROP_FRAME_COUNT)
    return round(count) if 0 < count < 2**31 and math.isfinite(count) else 0


def refuse_too_large(capture: cv2.VideoCapture, name: str, max_pixels: int) -> None:
    """Refuse a video that announces larger frames than anybody wants to decode.

    Raises:
        DataError: if a frame has more than `max_pixels`.
    """
    width = round(capture.get(cv2.CAP_PROP_FRAME_WIDTH))
    height = round(capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
    if width * height > max_pixels:
        raise DataError(
            f"{name!r} announces frames of {width} x {height} pixels, expected at most "
            f"{max_pixels} in all; make it smaller or raise --max-pixels"
        )


def grabbed_picture(capture: cv2.VideoCapture) -> Uint8Array | None:
    """The picture of the frame that was grabbed last.

    Returns:
        (H, W, 3) uint8 RGB of its own; None if it cannot be decoded.
    """
    try:
        decoded, bgr = capture.retrieve()
    except cv2.error:  # such as a pixel format that cannot be converted
        return None
    if not decoded or bgr is None or bgr.size == 0:
        return None
    if bgr.ndim == 2:
        return cv2.cvtColor(bgr, cv2.COLOR_GRAY2RGB).astype(np.uint8, copy=False)
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)
