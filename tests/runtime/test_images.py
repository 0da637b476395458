"""PNG files are put together by hand here (zlib, struct), so that their exact values are known."""

from __future__ import annotations

import struct
import zlib
from hashlib import sha256
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from edge_arm.runtime.errors import ImageError
from edge_arm.runtime.images import decode_image, read_image

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6  # PNG's colour types


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _png(
    values: npt.NDArray[np.uint8] | npt.NDArray[np.uint16], color_type: int, extra: bytes = b""
) -> bytes:
    """A PNG of (H, W, channels) values; without filters, and big-endian where 16 bits."""
    height, width = values.shape[:2]
    rows = [b"\x00" + row.astype(row.dtype.newbyteorder(">")).tobytes() for row in values]
    header = struct.pack(">IIBBBBB", width, height, values.dtype.itemsize * 8, color_type, 0, 0, 0)
    return (
        PNG_SIGNATURE
        + _chunk(b"IHDR", header)
        + extra
        + _chunk(b"IDAT", zlib.compress(b"".join(rows)))
        + _chunk(b"IEND", b"")
    )


def _noise(*shape: int, bits: int = 8) -> npt.NDArray[np.uint8] | npt.NDArray[np.uint16]:
    kind = np.uint8 if bits == 8 else np.uint16
    return np.random.default_rng(0).integers(0, 1 << bits, shape, dtype=kind)


def _encoded(suffix: str, *parameters: int) -> bytes:
    done, content = cv2.imencode(suffix, _noise(40, 30, 3), list(parameters))
    assert done
    return content.tobytes()


def _with_exif(jpeg: bytes, orientation: int, thumbnail: bytes) -> bytes:
    """The JPEG with an APP1 segment: IFD0 with the orientation, IFD1 with a thumbnail."""
    first = struct.pack("<H", 1) + struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0)
    second_at = 8 + len(first) + 4
    thumbnail_at = second_at + 2 + 2 * 12 + 4
    second = (
        struct.pack("<H", 2)
        + struct.pack("<HHII", 0x0201, 4, 1, thumbnail_at)
        + struct.pack("<HHII", 0x0202, 4, 1, len(thumbnail))
        + struct.pack("<I", 0)
    )
    tiff = b"II*\x00" + struct.pack("<I", 8) + first + struct.pack("<I", second_at) + second
    payload = b"Exif\x00\x00" + tiff + thumbnail
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(payload) + 2) + payload + jpeg[2:]


def test_8_bit_rgb_is_read_as_it_is() -> None:
    values = _noise(5, 7, 3)
    np.testing.assert_array_equal(decode_image(_png(values, RGB), "x"), values)


def test_8_bit_grey_is_repeated_in_three_channels() -> None:
    values = _noise(5, 7, 1)
    np.testing.assert_array_equal(
        decode_image(_png(values, GREY), "x"), np.broadcast_to(values, (5, 7, 3))
    )


def test_16_bit_grey_keeps_its_high_byte() -> None:
    values = _noise(5, 7, 1, bits=16)
    image = decode_image(_png(values, GREY), "x")
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, np.broadcast_to(values >> 8, (5, 7, 3)))


def test_16_bit_rgb_keeps_its_high_byte() -> None:
    values = _noise(5, 7, 3, bits=16)
    np.testing.assert_array_equal(decode_image(_png(values, RGB), "x"), values >> 8)


def test_alpha_is_dropped_and_not_blended() -> None:
    values = _noise(5, 7, 4)
    values[0, 0, 3] = 0
    np.testing.assert_array_equal(decode_image(_png(values, RGBA), "x"), values[..., :3])


def test_alpha_of_16_bits_is_dropped() -> None:
    values = _noise(5, 7, 4, bits=16)
    np.testing.assert_array_equal(decode_image(_png(values, RGBA), "x"), values[..., :3] >> 8)


def test_grey_with_alpha_is_read_as_grey() -> None:
    values = _noise(5, 7, 2)
    np.testing.assert_array_equal(
        decode_image(_png(values, GREY_ALPHA), "x"), np.broadcast_to(values[..., :1], (5, 7, 3))
    )


def test_a_palette_is_looked_up() -> None:
    palette = np.array([[200, 10, 30], [0, 255, 7]], np.uint8)
    indices = np.array([[[0], [1], [1]], [[1], [0], [0]]], np.uint8)
    content = _png(indices, PALETTE, _chunk(b"PLTE", palette.tobytes()))
    np.testing.assert_array_equal(decode_image(content, "x"), palette[indices[..., 0]])


def test_grey_jpeg_has_three_equal_channels() -> None:
    grey = np.full((8, 8), 77, np.uint8)
    image = decode_image(cv2.imencode(".jpg", grey)[1].tobytes(), "x")
    assert image.shape == (8, 8, 3)
    assert (image == 77).all()


def test_jpeg_channels_are_red_green_blue() -> None:
    bgr = np.zeros((16, 16, 3), np.uint8)
    bgr[..., 2] = 255
    image = decode_image(
        cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 100])[1].tobytes(), ""
    )
    # atol 2: JPEG computes in YCbCr with rounding.
    np.testing.assert_allclose(image[8, 8], [255, 0, 0], rtol=0, atol=2)


def test_the_rotation_in_the_exif_data_is_applied() -> None:
    plain = _encoded(".jpg")
    turned = _with_exif(plain, 6, _encoded(".jpg"))  # 6: turn clockwise to view
    np.testing.assert_array_equal(
        decode_image(turned, "x"), np.rot90(decode_image(plain, "x"), k=-1)
    )


@pytest.mark.parametrize("suffix", [".bmp", ".webp", ".tiff"])
def test_other_formats_are_read(suffix: str) -> None:
    assert decode_image(_encoded(suffix), "x").shape == (40, 30, 3)


def test_bytes_behind_the_end_of_a_jpeg_do_no_harm() -> None:
    plain = _encoded(".jpg")
    np.testing.assert_array_equal(
        decode_image(plain + b"camera's own notes", "x"), decode_image(plain, "x")
    )


@pytest.mark.parametrize("progressive", [0, 1])
@pytest.mark.parametrize("lost", [1, 2, 500, 1500])
def test_a_truncated_jpeg_is_refused(lost: int, progressive: int) -> None:
    content = _encoded(".jpg", cv2.IMWRITE_JPEG_PROGRESSIVE, progressive)
    with pytest.raises(ImageError, match="'x' ends before its picture is complete"):
        decode_image(content[:-lost], "x")


@pytest.mark.parametrize("kept", [2, 3, 10, 100])
def test_a_jpeg_that_ends_in_its_header_is_refused(kept: int) -> None:
    with pytest.raises(ImageError, match="ends before its picture is complete"):
        decode_image(_encoded(".jpg")[:kept], "x")


def test_a_truncated_jpeg_is_refused_although_its_thumbnail_is_whole() -> None:
    thumbnail = _encoded(".jpg")
    content = _with_exif(_encoded(".jpg"), 1, thumbnail)[:-500]
    assert thumbnail in content  # so an end marker is there, and must not be taken for the end
    assert content.count(b"\xff\xd9") >= 1
    with pytest.raises(ImageError, match="ends before its picture is complete"):
        decode_image(content, "x")


def test_a_jpeg_with_a_thumbnail_is_read() -> None:
    plain = _encoded(".jpg")
    np.testing.assert_array_equal(
        decode_image(_with_exif(plain, 1, _encoded(".jpg")), "x"), decode_image(plain, "x")
    )


@pytest.mark.parametrize("lost", [1, 4, 8, 12, 13, 16, 100])
def test_a_truncated_png_is_refused(lost: int) -> None:
    with pytest.raises(ImageError, match="'x' ends before its picture is complete"):
        decode_image(_png(_noise(9, 9, 3), RGB)[:-lost], "x")


def test_a_png_with_a_changed_byte_is_refused() -> None:
    content = bytearray(_png(_noise(9, 9, 3), RGB))
    content[60] ^= 1
    with pytest.raises(ImageError, match=r"'x' is damaged \(wrong checksum of its part b'IDAT'"):
        decode_image(bytes(content), "x")


def test_a_png_with_a_changed_byte_in_a_comment_is_read() -> None:
    comment = bytearray(_chunk(b"tEXt", b"Title\x00face"))
    comment[10] ^= 1
    values = _noise(9, 9, 3)
    np.testing.assert_array_equal(decode_image(_png(values, RGB, bytes(comment)), "x"), values)


@pytest.mark.parametrize("suffix", [".bmp", ".webp", ".tiff"])
def test_the_other_formats_are_refused_when_they_end_early(suffix: str) -> None:
    content = _encoded(suffix)
    with pytest.raises(ImageError, match="'x' is damaged"):
        decode_image(content[: len(content) // 2], "x")


def test_a_picture_of_floats_is_refused() -> None:
    floats = np.random.default_rng(0).random((5, 6), dtype=np.float32)
    content = cv2.imencode(".tiff", floats)[1].tobytes()
    with pytest.raises(ImageError, match="'x' is damaged .* expected a whole picture of 8 or 16"):
        decode_image(content, "x")


def test_an_absurdly_large_picture_is_refused() -> None:
    header = struct.pack(">IIBBBBB", 1 << 24, 1 << 24, 8, RGB, 0, 0, 0)
    content = (
        PNG_SIGNATURE
        + _chunk(b"IHDR", header)
        + _chunk(b"IDAT", zlib.compress(b"\x00" * 100))
        + _chunk(b"IEND", b"")
    )
    with pytest.raises(ImageError, match=r"'x' (cannot be decoded \(|is damaged)"):
        decode_image(content, "x")


def test_an_error_inside_opencv_is_told_as_an_image_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise cv2.error("OpenCV: (-215) too many pixels")

    monkeypatch.setattr(cv2, "imdecode", refuse)
    with pytest.raises(ImageError, match=r"'x' cannot be decoded \(OpenCV: \(-215\) too many"):
        decode_image(_png(_noise(9, 9, 3), RGB), "x")


def test_an_empty_file_is_refused() -> None:
    with pytest.raises(ImageError, match="'x' has 0 bytes, expected a picture"):
        decode_image(b"", "x")


def test_a_text_file_called_jpg_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.jpg").write_text("no picture here\n")
    with pytest.raises(ImageError, match=r"notes.jpg' is not a picture \(it starts with b'no p'\)"):
        read_image(tmp_path / "notes.jpg")


def test_a_png_called_jpg_is_read_by_its_content(tmp_path: Path) -> None:
    values = _noise(5, 7, 3)
    (tmp_path / "face.jpg").write_bytes(_png(values, RGB))
    np.testing.assert_array_equal(read_image(tmp_path / "face.jpg").image_hwc, values)


def test_the_hash_is_of_the_files_bytes(tmp_path: Path) -> None:
    content = _png(_noise(5, 7, 3), RGB)
    (tmp_path / "face.png").write_bytes(content)
    assert read_image(tmp_path / "face.png").sha256 == sha256(content).hexdigest()


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"cannot read '.*gone.jpg' \(No such file"):
        read_image(tmp_path / "gone.jpg")


def test_a_folder_called_jpg_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder.jpg").mkdir()
    with pytest.raises(ImageError, match=r"cannot read '.*folder.jpg' \(Is a directory"):
        read_image(tmp_path / "folder.jpg")
