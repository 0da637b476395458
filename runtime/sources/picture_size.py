"""Width and height of a picture from its header, before anything is decoded.

A file of a few hundred kilobytes can announce a picture of gigabytes, and on a small board decoding
it ends in the kernel's out-of-memory killer. Where a header is not understood the answer is None:
then only OpenCV's own limit (2^30 pixels) protects. Rotation in EXIF swaps the sides and is not
looked at, because only their product matters here.
"""

from __future__ import annotations

import struct

from edge_arm.runtime.jpeg_segments import END_OF_IMAGE, START_OF_SCAN, jpeg_segments

_PNG = b"\x89PNG\r\n\x1a\n"
# ITU-T T.81, table B.1: start of frame, all kinds; C4, C8 and CC in this range are other markers.
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_TIFF_WIDTH, _TIFF_HEIGHT = 256, 257
_TIFF_SHORT, _TIFF_LONG = 3, 4


def picture_size(content: bytes) -> tuple[int, int] | None:
    """What a picture's header announces.

    Args:
        content: the file, or its beginning as far as the size is in it.

    Returns:
        Width and height in pixels; None if it is no JPEG, PNG, BMP, WebP or TIFF, or not a whole
        header of one.
    """
    try:
        if content.startswith(b"\xff\xd8"):
            return _jpeg(content)
        if content.startswith(_PNG):
            width, height = struct.unpack_from(">II", content, 16)
            return width, height
        if content.startswith(b"BM"):
            return _bmp(content)
        if content.startswith(b"RIFF") and content[8:12] == b"WEBP":
            return _webp(content)
        if content[:4] in (b"II*\x00", b"MM\x00*"):
            return _tiff(content, "<" if content.startswith(b"II") else ">")
    except (struct.error, IndexError):  # the header ends early
        return None
    return None


def _jpeg(content: bytes) -> tuple[int, int] | None:
    for marker, position in jpeg_segments(content):
        if marker in _JPEG_FRAMES:  # T.81, B.2.2: precision, height, width
            height, width = struct.unpack_from(">HH", content, position + 5)
            return width, height
        if marker in (END_OF_IMAGE, START_OF_SCAN):  # and no frame header came
            return None
    return None


def _bmp(content: bytes) -> tuple[int, int]:
    if struct.unpack_from("<I", content, 14)[0] == 12:  # the header of OS/2, with 16-bit sides
        width, height = struct.unpack_from("<HH", content, 18)
    else:
        width, height = struct.unpack_from("<ii", content, 18)
    return abs(width), abs(height)  # a negative height means rows from the top


def _webp(content: bytes) -> tuple[int, int] | None:
    kind = content[12:16]
    if kind == b"VP8X":  # canvas sides minus one, 24 bits each
        return (
            1 + int.from_bytes(_bytes(content, 24, 3), "little"),
            1 + int.from_bytes(_bytes(content, 27, 3), "little"),
        )
    if kind == b"VP8L":  # behind the byte 0x2F: sides minus one, 14 bits each
        bits = struct.unpack_from("<I", content, 21)[0]
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 ":  # RFC 6386, 9.1: frame tag, start code, sides in the low 14 bits
        width, height = struct.unpack_from("<HH", content, 26)
        return width & 0x3FFF, height & 0x3FFF
    return None


def _bytes(content: bytes, start: int, length: int) -> bytes:
    if len(content) < start + length:
        raise IndexError("the header ends early")
    return content[start : start + length]


def _tiff(content: bytes, order: str) -> tuple[int, int] | None:
    # TIFF 6.0, section 2: the first directory is of the picture that readers show.
    directory = struct.unpack_from(order + "I", content, 4)[0]
    sides: dict[int, int] = {}
    for entry in range(struct.unpack_from(order + "H", content, directory)[0]):
        at = directory + 2 + 12 * entry
        tag, kind = struct.unpack_from(order + "HH", content, at)
        if tag in (_TIFF_WIDTH, _TIFF_HEIGHT) and kind in (_TIFF_SHORT, _TIFF_LONG):
            sides[tag] = struct.unpack_from(order + ("H" if kind == 3 else "I"), content, at + 8)[0]
    if len(sides) < 2:
        return None
    return sides[_TIFF_WIDTH], sides[_TIFF_HEIGHT]
