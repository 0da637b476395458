"""A grey PNG whose bytes are the same on every machine.

An encoder's choice of filters and matches changes with its version, and results here are bound to
the hashes of picture files. So the pixels are stored and not compressed: PNG (W3C, 3rd edition)
around a zlib stream (RFC 1950) of one stored block (RFC 1951, 3.2.4).
"""

from __future__ import annotations

import struct
from zlib import adler32, crc32

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_LARGEST_BLOCK = 0xFFFF


def grey_png(pixels: bytes, side: int) -> bytes:
    """A square 8-bit grey picture as the bytes of a file.

    Args:
        pixels: side * side of them, row by row.
        side: height and width; at most 255, so that the rows fit into one block.
    """
    assert len(pixels) == side * side, "the caller has counted the pixels"
    # Before each row the number of its filter: 0, none.
    rows = b"".join(b"\0" + pixels[start : start + side] for start in range(0, len(pixels), side))
    assert len(rows) <= _LARGEST_BLOCK, "larger pictures need more than one block"
    block = b"\x01" + struct.pack("<HH", len(rows), len(rows) ^ 0xFFFF) + rows
    stream = b"\x78\x01" + block + struct.pack(">I", adler32(rows))
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return _SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", stream) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, content: bytes) -> bytes:
    return (
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", crc32(kind + content))
    )
