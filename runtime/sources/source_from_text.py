"""What a user types, as a source of frames.

In this order:

1. ``gst:PIPELINE``: a GStreamer pipeline, without its sink.
2. ``camera:N`` or ``camera:/dev/v4l/by-id/...``, and a video device by its own name.
3. ``rtsp://``, ``rtsps://``, ``http://``, ``https://``: a stream. A finite video behind http(s) is
   read as a file.
4. what exists: a folder of pictures; a picture or a video, told apart by what is in it.
5. a pattern with ``*``, ``?`` or ``[``: the pictures that it matches.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from pathlib import Path
from threading import Event
from urllib.parse import urlsplit, urlunsplit

from edge_arm.runtime.errors import DataError
from edge_arm.runtime.images import IMAGE_SUFFIXES
from edge_arm.runtime.sources.frame import FrameSource
from edge_arm.runtime.sources.gstreamer_process import (
    gstreamer_connection,
    pipeline_words,
    reads_files,
)
from edge_arm.runtime.sources.live_stream import Connection, LiveStream
from edge_arm.runtime.sources.opencv_connection import (
    OpenCvConnection,
    camera_connection,
    url_connection,
)
from edge_arm.runtime.sources.picture_list import (
    PictureList,
    pictures_of_folder,
    pictures_of_pattern,
)
from edge_arm.runtime.sources.pictures import PictureSource
from edge_arm.runtime.sources.source_config import SourceConfig
from edge_arm.runtime.sources.stored_stream import StoredStream
from edge_arm.runtime.sources.video_file import VideoFile, begins_like_a_video, open_video_file

_logger = logging.getLogger(__name__)

URL_SCHEMES = ("rtsp", "rtsps", "http", "https")
_JPEGS_IN_A_ROW = (".mjpeg", ".mjpg")
"""A video that begins with a picture because it is nothing but pictures."""
EXPECTED = (
    "a picture, a folder, a quoted pattern ('photos/*.jpg'), a video file, camera:0, "
    "rtsp://..., http://... or 'gst:PIPELINE'"
)


def open_source(text: str, config: SourceConfig | None = None) -> FrameSource:
    """Open what a user typed; whoever gets it closes it.

    Args:
        text: see the rules above.
        config: patience and limits.

    Raises:
        DataError: if it is not there, does not open, or is neither a picture nor a video.
        UsageError: if a pipeline is written wrongly.
    """
    config = config or SourceConfig()
    if text.startswith("gst:"):  # rule 1
        return _pipeline(text, config)
    if text.startswith("camera:"):  # rule 2
        return _camera(text, config)
    scheme = urlsplit(text).scheme.lower() if "://" in text else ""
    if scheme in URL_SCHEMES:  # rule 3
        return _url(text, config)
    path = Path(text)
    if text and path.is_char_device():  # rule 2
        return LiveStream(text, camera_connection(path, text, config), config=config)
    if text and path.is_dir():  # rule 4
        return _listed(text, pictures_of_folder(path), config)
    if text and path.exists():
        return _file(path, text, config)
    if re.search(r"[*?\[]", text):  # rule 5
        return _listed(text, pictures_of_pattern(text), config)
    raise _nothing(text, scheme)


def open_pictures(
    name: str, paths: Sequence[Path], config: SourceConfig | None = None
) -> FrameSource:
    """Several pictures by name, as a shell's own pattern gives them.

    Args:
        name: for messages.
        paths: in the order in which they are read.
        config: threads and limits.
    """
    return PictureSource(name, paths, config=config or SourceConfig())


def _pipeline(text: str, config: SourceConfig) -> FrameSource:
    words = pipeline_words(text.removeprefix("gst:"))
    connect = gstreamer_connection(words, text, config)
    if reads_files(words):
        return StoredStream(text, connect)
    return LiveStream(text, connect, config=config)


def _camera(text: str, config: SourceConfig) -> FrameSource:
    wanted = text.removeprefix("camera:")
    if re.fullmatch(r"[0-9]+", wanted):
        device = Path("/dev", f"video{int(wanted)}")
    elif wanted.startswith("/"):
        device = Path(wanted)
    else:
        raise DataError(
            f"got the camera {text!r}, expected a number or a device; use camera:0 or "
            "camera:/dev/video0"
        )
    return LiveStream(text, camera_connection(device, text, config), config=config)


def _url(text: str, config: SourceConfig) -> FrameSource:
    name = without_password(text)
    again = url_connection(text, name, config)
    first: OpenCvConnection | None = again(Event())
    assert first is not None
    if first.finite:
        return VideoFile(name, first.capture, counts_frames=False)

    def connect(stopped: Event) -> Connection:
        nonlocal first
        taken, first = first, None
        return taken or again(stopped)

    return LiveStream(name, connect, config=config)


def without_password(url: str) -> str:
    """A URL as it may stand in logs and results."""
    parts = urlsplit(url)
    if parts.password is None:
        return url
    user, host = parts.username or "", parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{user}:***@{host}"))


def _listed(text: str, pictures: PictureList, config: SourceConfig) -> FrameSource:
    if pictures.left_alone:
        _logger.warning(
            "%s: %d pictures; %d files of other kinds are left alone",
            text,
            len(pictures.paths),
            pictures.left_alone,
        )
    return PictureSource(text, pictures.paths, config=config)


def _file(path: Path, text: str, config: SourceConfig) -> FrameSource:
    if not path.is_file():
        raise DataError(f"{text!r} is neither a file, a folder nor a camera, expected {EXPECTED}")
    try:
        with path.open("rb") as file:
            start = file.read(16)
    except OSError as error:
        raise DataError(
            f"cannot read {text!r} ({error.strerror}), expected a picture or a video; "
            "make it readable"
        ) from error
    if not start:
        raise DataError(f"{text!r} has 0 bytes, expected a picture or a video; copy it again")
    if _begins_like_a_picture(start) and path.suffix.lower() not in _JPEGS_IN_A_ROW:
        return PictureSource(text, [path], config=config)
    # FFmpeg takes anything by the name of a picture for one, so that content decides here.
    named_like_a_picture = path.suffix.lower() in IMAGE_SUFFIXES
    if not named_like_a_picture or begins_like_a_video(start):
        video = open_video_file(path, text, config)
        if video is not None:
            return video
    if named_like_a_picture:  # a damaged picture says best what is wrong with it
        return PictureSource(text, [path], config=config)
    raise DataError(
        f"{text!r} opens neither as a picture nor as a video (it starts with {start[:8]!r}), "
        "expected JPEG, PNG, BMP, WebP, TIFF, or what FFmpeg decodes; copy it again (a video that "
        "was cut off has lost its index), or convert it"
    )


def _begins_like_a_picture(start: bytes) -> bool:
    return start.startswith(
        (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM", b"II*\x00", b"MM\x00*")
    ) or (start.startswith(b"RIFF") and start[8:12] == b"WEBP")


def _nothing(text: str, scheme: str) -> DataError:
    if scheme:
        known = ", ".join(f"{known}://" for known in URL_SCHEMES)
        return DataError(
            f"got the address {without_password(text)!r}, expected one of {known}; "
            "read other streams by 'gst:PIPELINE'"
        )
    if re.fullmatch(r"[0-9]+", text):
        return DataError(f"there is no file {text!r}, expected {EXPECTED}; use camera:{text}")
    return DataError(f"there is no {text!r}, expected {EXPECTED}; check the name")
