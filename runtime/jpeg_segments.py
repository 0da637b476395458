"""The segments of a JPEG file before its entropy-coded data, without decoding.

ITU-T T.81, B.1.1.4: a segment is a marker and a length that counts itself; B.1.1.2: any number of
fill bytes may stand before a marker, and some markers have no length.
"""

from __future__ import annotations

from collections.abc import Iterator

END_OF_IMAGE, START_OF_SCAN = 0xD9, 0xDA


def jpeg_segments(content: bytes) -> Iterator[tuple[int, int]]:
    """Each marker that has a length, the end of image as well, and where it stands.

    Behind a start of scan no length says where it ends, so whoever meets one stops.

    Args:
        content: the file, or its beginning.

    Yields:
        The marker's second byte, and the position of its first.
    """
    position = 2
    while position + 4 <= len(content):
        if content[position] != 0xFF:
            position += 1
            continue
        marker = content[position + 1]
        if marker == 0xFF:  # a fill byte
            position += 1
        elif marker == 0x01 or 0xD0 <= marker <= 0xD8:  # without a length
            position += 2
        else:
            yield marker, position
            position += 2 + int.from_bytes(content[position + 2 : position + 4], "big")
