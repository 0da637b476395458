"""Cameras and network streams through OpenCV, as connections."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event

import cv2

from edge_arm.runtime.errors import DataError
from edge_arm.runtime.sources.live_stream import Broken, Connect, Gone, Reading
from edge_arm.runtime.sources.source_config import SourceConfig
from edge_arm.runtime.sources.video_capture import (
    announced_frames,
    grabbed_picture,
    nominal_rate,
    open_with_ffmpeg,
    quiet_opencv,
    refuse_too_large,
)

_MOST_BROKEN = 16
"""OpenCV's `grab` fails alike for a broken frame and for a source that went away."""


class OpenCvConnection:
    """An open capture.

    Attributes:
        capture: for whoever takes it over instead of reading here.
        frames_per_s: as announced.
        finite: it announces an end: a file behind a URL.
    """

    def __init__(self, capture: cv2.VideoCapture, timeout_s: float) -> None:
        self.capture = capture
        self.frames_per_s = nominal_rate(capture)
        self.finite = announced_frames(capture) > 0
        self._timeout_s = timeout_s
        self._broken = 0

    def read(self) -> Reading:
        """See `Connection`."""
        start = time.monotonic()
        image_hwc = grabbed_picture(self.capture) if self.capture.grab() else None
        if image_hwc is not None:
            self._broken = 0
            return image_hwc
        waited_s = time.monotonic() - start
        self._broken += 1
        if waited_s > self._timeout_s / 2:
            return Gone(f"no frame came for {waited_s:.1f} s")
        if self._broken >= _MOST_BROKEN:
            return Gone(f"{self._broken} reads in a row failed")
        return Broken.FRAME

    def close(self) -> None:
        """See `Connection`."""
        self.capture.release()


def url_connection(
    url: str, name: str, config: SourceConfig
) -> Callable[[Event], OpenCvConnection]:
    """How a network stream is opened.

    Args:
        url: with its password, if it has one.
        name: without.
        config: time-out and largest frame.
    """

    def connect(_stopped: Event) -> OpenCvConnection:
        start = time.monotonic()
        capture = open_with_ffmpeg(url, config.timeout_s)
        if capture is None:
            raise DataError(
                f"{name!r} does not open (tried for {time.monotonic() - start:.1f} s), expected a "
                "stream; check address, user, password and network, for example with ffplay"
            )
        refuse_too_large(capture, name, config.max_pixels)
        return OpenCvConnection(capture, config.timeout_s)

    return connect


def camera_connection(device: Path, name: str, config: SourceConfig) -> Connect:
    """How a camera is opened, by Video4Linux.

    Args:
        device: such as /dev/video0.
        name: as the user wrote it.
        config: time-out and largest frame.
    """

    def connect(_stopped: Event) -> OpenCvConnection:
        if not device.exists():
            raise DataError(f"{name!r} needs {str(device)!r}, which is not there; {_cameras()}")
        if not os.access(device, os.R_OK | os.W_OK):
            raise DataError(
                f"{name!r} needs {str(device)!r}, which you may not read; "
                "join its group (sudo usermod -aG video $USER) and log in again"
            )
        with quiet_opencv():
            capture = cv2.VideoCapture(str(device), cv2.CAP_V4L2)
        if not capture.isOpened():
            raise DataError(
                f"{name!r} ({str(device)!r}) does not open, expected a camera that gives pictures; "
                "close other programs that use it; a CSI camera of a Jetson is read by "
                "gst:nvarguscamerasrc"
            )
        refuse_too_large(capture, name, config.max_pixels)
        return OpenCvConnection(capture, config.timeout_s)

    return connect


def _cameras() -> str:
    devices = sorted(Path("/dev").glob("video*"))
    if not devices:
        return "expected a camera and there is no /dev/video* at all; plug one in"
    found = ", ".join(str(device) for device in devices)
    return f"expected one of {found}; name it by its number, such as camera:0"
