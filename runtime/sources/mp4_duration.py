"""How long an MP4 says that its video is shown.

Its count of frames holds all that are stored. Phones trim a video by an edit list: frames outside
of it stay in the file and are not shown, so a smaller number of frames is no loss. The track header
has the duration after the edits (ISO 14496-12, 8.3.2).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

_MOST_INDEX_BYTES = 1 << 27
"""Of the index, which is read whole; a day of video at 60 frames a second stays below it."""


def shown_duration_s(path: Path) -> float | None:
    """Duration of the first video track, edits applied.

    Args:
        path: of a file that begins like an MP4.

    Returns:
        None if there is no index, no video track in it, or no duration (as in a fragmented file).
    """
    try:
        index = _index(path)
        scale = _movie_time_scale(_inside(index, b"mvhd"))
        for kind, track in _boxes(index):
            if kind == b"trak" and _inside(_inside(track, b"mdia"), b"hdlr")[8:12] == b"vide":
                return _track_duration(_inside(track, b"tkhd")) / scale or None
    except (OSError, struct.error, ZeroDivisionError):  # damaged, or another kind of file
        return None
    return None


def _index(path: Path) -> bytes:
    """The content of the box `moov`, wherever it stands; empty if there is none."""
    with path.open("rb") as file:
        end = file.seek(0, 2)
        at = 0
        while at + 8 <= end:
            file.seek(at)
            size, kind = struct.unpack(">I4s", file.read(8))
            header = 8
            if size == 1:  # the size has 64 bits and stands behind
                size, header = struct.unpack(">Q", file.read(8))[0], 16
            if kind == b"moov":
                return file.read(size - header) if header < size <= _MOST_INDEX_BYTES else b""
            if size < header:  # 0 means to the end of the file: nothing follows
                return b""
            at += size
    return b""


def _boxes(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and content of the boxes in a box."""
    at = 0
    while at + 8 <= len(content):
        size, kind = struct.unpack_from(">I4s", content, at)
        if size < 8:
            return
        yield kind, content[at + 8 : at + size]
        at += size


def _inside(content: bytes, wanted: bytes) -> bytes:
    """The first box of a kind in a box; empty if there is none."""
    return next((inner for kind, inner in _boxes(content) if kind == wanted), b"")


def _movie_time_scale(header: bytes) -> int:
    # 8.2.2: version and flags; creation and modification time of 32 or 64 bits; time scale.
    scale: int = struct.unpack_from(">I", header, 20 if header[:1] == b"\x01" else 12)[0]
    return scale


def _track_duration(header: bytes) -> int:
    # 8.3.2: version and flags; two times; track; reserved; duration, of 32 or 64 bits.
    long = header[:1] == b"\x01"
    duration: int = struct.unpack_from(">Q" if long else ">I", header, 28 if long else 20)[0]
    return 0 if duration == (2**64 if long else 2**32) - 1 else duration
