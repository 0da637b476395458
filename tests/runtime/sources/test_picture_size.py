"""Sizes of pictures that OpenCV encoded, and of headers written by hand."""

from __future__ import annotations

import struct

import cv2
import numpy as np
import pytest

from edge_arm.runtime.sources.picture_size import picture_size

WIDTH, HEIGHT = 37, 21


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".webp", ".tif"])
def test_the_size_of_an_encoded_picture_is_in_its_header(suffix: str) -> None:
    done, content = cv2.imencode(suffix, np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    assert done
    assert picture_size(content.tobytes()) == (WIDTH, HEIGHT)


def test_a_lossless_webp_has_its_size_in_14_bits_each() -> None:
    quality_above_100 = [cv2.IMWRITE_WEBP_QUALITY, 101]  # OpenCV's way to ask for lossless
    done, content = cv2.imencode(".webp", np.zeros((300, 5000, 3), np.uint8), quality_above_100)
    assert done
    assert content.tobytes()[12:16] == b"VP8L"
    assert picture_size(content.tobytes()) == (5000, 300)


def test_an_extended_webp_has_the_size_of_its_canvas() -> None:
    header = b"RIFF\0\0\0\0WEBPVP8X" + struct.pack("<I", 10) + bytes(4)
    sides = (WIDTH - 1).to_bytes(3, "little") + (HEIGHT - 1).to_bytes(3, "little")
    assert picture_size(header + sides) == (WIDTH, HEIGHT)


def test_a_bmp_from_the_top_has_a_negative_height() -> None:
    header = b"BM" + bytes(12) + struct.pack("<Iii", 40, WIDTH, -HEIGHT)
    assert picture_size(header) == (WIDTH, HEIGHT)


def test_a_bmp_of_os2_has_short_sides() -> None:
    header = b"BM" + bytes(12) + struct.pack("<IHH", 12, WIDTH, HEIGHT)
    assert picture_size(header) == (WIDTH, HEIGHT)


def test_a_big_endian_tiff_with_short_sides_is_read() -> None:
    entries = struct.pack(">HHIHH", 256, 3, 1, WIDTH, 0) + struct.pack(">HHIHH", 257, 3, 1, 21, 0)
    header = b"MM\x00*" + struct.pack(">I", 8) + struct.pack(">H", 2) + entries
    assert picture_size(header) == (WIDTH, HEIGHT)


def test_a_thumbnail_in_a_jpeg_is_not_its_size() -> None:
    done, thumbnail = cv2.imencode(".jpg", np.zeros((4, 4, 3), np.uint8))
    done_too, whole = cv2.imencode(".jpg", np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    assert done and done_too
    payload = b"Exif\0\0" + thumbnail.tobytes()
    segment = b"\xff\xe1" + struct.pack(">H", len(payload) + 2) + payload
    content = whole.tobytes()
    assert picture_size(content[:2] + segment + content[2:]) == (WIDTH, HEIGHT)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".webp", ".tif"])
def test_a_header_that_ends_early_has_no_size_and_is_no_error(suffix: str) -> None:
    done, content = cv2.imencode(suffix, np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    assert done
    sizes = {picture_size(content.tobytes()[:length]) for length in range(30)}
    assert sizes <= {None, (WIDTH, HEIGHT)}
    assert picture_size(content.tobytes()[:12]) is None


@pytest.mark.parametrize("content", [b"", b"hello", b"GIF89a\x05\x00\x05\x00", b"\xff\xd8\xff\xd9"])
def test_what_is_no_known_picture_has_no_size(content: bytes) -> None:
    assert picture_size(content) is None
