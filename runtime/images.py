"""Reading one picture from disk, completely or not at all.

OpenCV decodes a truncated JPEG to a picture with a grey lower half and only prints a warning.
A toolkit that measures accuracy cannot accept that, so the end of the file is checked here. Not
covered: a JPEG whose middle was overwritten decodes to wrong pixels that nothing gives away.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from zlib import crc32

import cv2
import numpy as np

from edge_arm.runtime.crop import CropBox, cropped
from edge_arm.runtime.errors import ImageError
from edge_arm.runtime.jpeg_segments import END_OF_IMAGE, START_OF_SCAN, jpeg_segments
from edge_arm.runtime.preprocess import Uint8Array

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
"""File names that are read as pictures, compared in lower case."""


_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_SIGNATURES = (b"\xff\xd8\xff", _PNG_SIGNATURE, b"BM", b"RIFF", b"II*\x00", b"MM\x00*")


@dataclass(frozen=True)
class DecodedImage:
    """A picture and the identity of the file that it came from.

    Attributes:
        image_hwc: (H, W, 3) uint8 RGB, the face box alone if one was given.
        sha256: of the file's bytes, whatever the box.
    """

    image_hwc: Uint8Array
    sha256: str


def read_image(path: Path, crop: CropBox | None = None) -> DecodedImage:
    """Decode a picture to 8-bit RGB: grey is repeated, 16-bit scaled down, alpha dropped.

    A rotation in the EXIF data is applied, as every viewer does.

    Args:
        path: JPEG, PNG, BMP, WebP or TIFF, told by content and not by name.
        crop: the face in it; None for the whole picture.

    Raises:
        ImageError: if the file is missing, empty, truncated or no picture, or the box is outside.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ImageError(
            f"cannot read {str(path)!r} ({error.strerror}), expected a picture; "
            "restore the file or take it off the list"
        ) from error
    image_hwc = decode_image(content, str(path))
    if crop is not None:
        image_hwc = cropped(image_hwc, crop, str(path))
    return DecodedImage(image_hwc, sha256(content).hexdigest())


def decode_image(content: bytes, name: str) -> Uint8Array:
    """Decode the bytes of a picture; see `read_image`.

    Args:
        content: the whole file.
        name: for the error message.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        ImageError: if the bytes are empty, truncated or no picture.
    """
    if not content:
        raise ImageError(f"{name!r} has 0 bytes, expected a picture; restore or remove it")
    if not _is_whole(content, name):
        raise ImageError(
            f"{name!r} ends before its picture is complete ({len(content)} bytes), "
            "expected a whole file; copy it again or remove it"
        )
    try:
        bgr = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:  # such as a picture beyond OpenCV's limit on pixels
        raise ImageError(
            f"{name!r} cannot be decoded ({str(error).strip().splitlines()[-1]}), "
            "expected a picture; convert or remove it"
        ) from error
    if bgr is None and any(content.startswith(start) for start in _SIGNATURES):
        raise ImageError(
            f"{name!r} is damaged ({len(content)} bytes), expected a whole picture of 8 or 16 "
            "bits; copy it again, convert or remove it"
        )
    if bgr is None:
        raise ImageError(
            f"{name!r} is not a picture (it starts with {content[:4]!r}), "
            "expected JPEG, PNG, BMP, WebP or TIFF; convert or remove it"
        )
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)


def _is_whole(content: bytes, name: str) -> bool:
    if content.startswith(b"\xff\xd8"):
        return _jpeg_has_end(content)
    if content.startswith(_PNG_SIGNATURE):
        return _png_has_end(content, name)
    return True  # OpenCV refuses the other formats when they end early


def _png_has_end(content: bytes, name: str) -> bool:
    # PNG, 5.3: length, type, data, CRC-32 of type and data. Checked here although libpng does so
    # too, because libpng writes to stderr by itself, and older OpenCV returned what came before.
    position = len(_PNG_SIGNATURE)
    while position + 12 <= len(content):
        length = int.from_bytes(content[position : position + 4], "big")
        kind = content[position + 4 : position + 8]
        end = position + 12 + length
        if end > len(content):
            return False
        checksum = int.from_bytes(content[end - 4 : end], "big")
        # Chunks that begin with a small letter can be left out of a picture without harm.
        if kind[:1].isupper() and crc32(content[position + 4 : end - 4]) != checksum:
            raise ImageError(
                f"{name!r} is damaged (wrong checksum of its part {kind!r}), expected a whole "
                "picture; copy it again or remove it"
            )
        if kind == b"IEND":
            return True
        position = end
    return False


def _jpeg_has_end(content: bytes) -> bool:
    # An EXIF thumbnail has an end marker of its own, so the segments are walked up to the start of
    # scan and the end marker is looked for only behind it; entropy-coded data never contains FF D9.
    for marker, position in jpeg_segments(content):
        if marker == END_OF_IMAGE:
            return True
        if marker == START_OF_SCAN:
            return content.find(b"\xff\xd9", position) >= 0
    return False
