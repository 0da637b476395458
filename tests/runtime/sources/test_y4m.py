"""Streams written by hand; the expected colours follow from BT.601's matrix for limited range."""

from __future__ import annotations

import io

import numpy as np
import pytest

from edge_arm.runtime.errors import DataError
from edge_arm.runtime.sources.y4m import Y4mReader

RED = (81, 90, 240)  # Y, U, V of pure red: 16 + 65.481, 128 - 37.797, 128 + 112
MID_GREY = (126, 128, 128)  # 16 + 219 / 2


def _up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


def _frame(width: int, height: int, yuv: tuple[int, int, int], padded: bool = False) -> bytes:
    """A frame of one colour; padding has other values, which must not show."""

    def plane(value: int, columns: int, rows: int, stride: int, all_rows: int) -> bytes:
        content = np.full((all_rows, stride), 255 - value, np.uint8)
        content[:rows, :columns] = value
        return content.tobytes()

    half = ((width + 1) // 2, (height + 1) // 2)
    luma_stride = (_up(width, 4), _up(height, 2)) if padded else (width, height)
    chroma_stride = (_up(half[0], 4), half[1]) if padded else half
    return (
        b"FRAME\n"
        + plane(yuv[0], width, height, *luma_stride)
        + plane(yuv[1], *half, *chroma_stride)
        + plane(yuv[2], *half, *chroma_stride)
    )


def _reader(content: bytes, max_pixels: int = 10**6) -> Y4mReader:
    return Y4mReader(io.BytesIO(content).read, max_pixels=max_pixels)


def _header(width: int, height: int, rest: str = "F30000:1001 Ip A1:1 C420") -> bytes:
    return f"YUV4MPEG2 W{width} H{height} {rest}\n".encode()


def test_the_header_says_size_and_rate() -> None:
    reader = _reader(_header(16, 4))
    assert (reader.width, reader.height) == (16, 4)
    assert reader.frames_per_s == pytest.approx(29.97, abs=0.001)


@pytest.mark.parametrize("rest", ["F0:1 C420", "F0:0 C420", "C420"])
def test_a_rate_that_varies_is_none(rest: str) -> None:
    assert _reader(_header(16, 4, rest)).frames_per_s is None


def test_frames_without_a_kind_of_chroma_are_420() -> None:
    reader = _reader(_header(16, 4, "F30:1") + _frame(16, 4, MID_GREY))
    assert reader.next_picture() is not None


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("size", [(16, 4), (8, 2), (6, 4), (7, 5), (321, 241), (1, 1), (2, 3)])
def test_colours_are_right_at_any_size_and_padding(size: tuple[int, int], padded: bool) -> None:
    frames = [_frame(*size, colour, padded) for colour in (RED, MID_GREY, RED)]
    reader = _reader(_header(*size) + b"".join(frames))
    pictures = [reader.next_picture() for _ in range(3)]
    for picture, expected in zip(
        pictures, [(255, 0, 0), (128, 128, 128), (255, 0, 0)], strict=True
    ):
        assert picture is not None
        assert picture.shape == (size[1], size[0], 3)
        # Two levels: Y, U and V above are rounded.
        np.testing.assert_allclose(picture, np.broadcast_to(expected, picture.shape), atol=2)
    assert reader.next_picture() is None


@pytest.mark.parametrize("padded", [False, True])
def test_a_single_odd_frame_is_read_too(padded: bool) -> None:
    reader = _reader(_header(7, 5) + _frame(7, 5, RED, padded))
    picture = reader.next_picture()
    assert picture is not None
    np.testing.assert_allclose(picture[..., 0], 255, atol=2)
    assert reader.next_picture() is None


def test_what_stands_behind_frame_is_left_alone() -> None:
    content = _frame(16, 4, RED).replace(b"FRAME\n", b"FRAME Ip X1\n")
    assert _reader(_header(16, 4) + content).next_picture() is not None


def test_a_frame_that_ends_early_is_the_end() -> None:
    reader = _reader(_header(16, 4) + _frame(16, 4, RED)[:-1])
    assert reader.next_picture() is None


def test_another_format_is_refused() -> None:
    with pytest.raises(DataError, match="as the beginning of the pipeline's frames, expected YUV4"):
        _reader(b"RIFF....AVI \n")


def test_a_header_without_a_size_is_refused() -> None:
    with pytest.raises(DataError, match="expected W, H and F in it"):
        _reader(b"YUV4MPEG2 F30:1\n")


@pytest.mark.parametrize("kind", ["444", "422", "mono", "420p10"])
def test_another_kind_of_chroma_is_refused(kind: str) -> None:
    with pytest.raises(DataError, match=f"got frames of the kind '{kind}', expected 420 with 8"):
        _reader(_header(16, 4, f"F30:1 C{kind}"))


def test_too_large_frames_are_refused_before_they_are_read() -> None:
    with pytest.raises(DataError, match="announces frames of 50000 x 50000 pixels"):
        _reader(_header(50_000, 50_000))


def test_something_else_between_frames_is_refused() -> None:
    reader = _reader(_header(16, 4) + _frame(16, 4, RED) + b"GST_ARGUS: hello\n")
    reader.next_picture()
    with pytest.raises(DataError, match="where a frame should begin, expected FRAME"):
        reader.next_picture()
