"""Frames of a YUV4MPEG2 stream, the form in which a GStreamer pipeline hands them over.

The format says its own size and rate, so nothing about a pipeline has to be guessed: one line
"YUV4MPEG2 W640 H480 F30:1 C420 ...", then for each frame a line "FRAME ..." and the planes Y, U, V,
the last two at half size (rounded up).

GStreamer's encoder pads: rows to a multiple of four bytes, luma height to an even number, as its
own memory has them (seen in 1.22). The format knows no padding, and other versions write none.
Where the two lengths differ, what follows the first frame tells which one it is.

Shapes: H, W picture height and width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import cv2
import numpy as np
import numpy.typing as npt

from edge_arm.runtime.errors import DataError
from edge_arm.runtime.preprocess import Uint8Array

_MAGIC = b"YUV4MPEG2"
_FRAME = b"FRAME"
_CHROMA = ("420", "420jpeg", "420mpeg2", "420paldv")  # they differ in where a sample sits
_LONGEST_LINE = 512


@dataclass(frozen=True)
class _Planes:
    """Where the planes lie in the bytes of a frame."""

    luma_stride: int
    luma_rows: int
    chroma_stride: int
    chroma_rows: int

    @property
    def num_bytes(self) -> int:
        return self.luma_stride * self.luma_rows + 2 * self.chroma_stride * self.chroma_rows


class Y4mReader:
    """Reads frame after frame.

    Attributes:
        width: W.
        height: H.
        frames_per_s: None where the stream says that it varies.
    """

    def __init__(self, read: Callable[[int], bytes | bytearray], *, max_pixels: int) -> None:
        """Read the header.

        Args:
            read: gives as many bytes as asked; fewer only if there will be no more.
            max_pixels: of a frame.

        Raises:
            DataError: if it is another format, another kind of chroma, or too large.
        """
        self._read = read
        self._ahead = b""
        line = self._line()
        fields = line.split()
        if not fields or fields[0] != _MAGIC:
            raise DataError(
                f"got {line[:40]!r} as the beginning of the pipeline's frames, expected "
                f"{_MAGIC.decode()}; let the pipeline end in raw video"
            )
        values = {field[:1]: field[1:].decode("ascii", "replace") for field in fields[1:]}
        try:
            self.width, self.height = int(values[b"W"]), int(values[b"H"])
            rate = values.get(b"F", "0:1").replace(":", "/")
            frames_per_s = float(Fraction(rate)) if not rate.endswith("/0") else 0.0
        except (KeyError, ValueError) as error:
            raise DataError(
                f"got {line!r} as the header of the pipeline's frames, expected W, H and F in it; "
                "let the pipeline end in raw video"
            ) from error
        self.frames_per_s = frames_per_s if frames_per_s > 0 else None
        chroma = values.get(b"C", "420")
        if chroma not in _CHROMA:
            raise DataError(
                f"got frames of the kind {chroma!r}, expected 420 with 8 bits; "
                "end the pipeline in raw video and let edge-arm convert it"
            )
        if not 0 < self.width * self.height <= max_pixels:
            raise DataError(
                f"the pipeline announces frames of {self.width} x {self.height} pixels, expected "
                f"1 to {max_pixels} in all; scale them in the pipeline, or raise --max-pixels"
            )
        tight, padded = _tight(self.width, self.height), _padded(self.width, self.height)
        self._planes = tight
        self._other_planes = padded if padded.num_bytes != tight.num_bytes else None

    def next_picture(self) -> Uint8Array | None:
        """The next frame.

        Returns:
            (H, W, 3) uint8 RGB of its own; None at the end, also inside a frame.

        Raises:
            DataError: if something else stands where a frame should begin.
        """
        line = self._line()
        if not line:
            return None
        if line.split(b" ")[0] != _FRAME:
            raise DataError(
                f"got {line[:40]!r} where a frame should begin, expected {_FRAME.decode()}; "
                "the pipeline writes something else between its frames"
            )
        content = self._take(self._planes.num_bytes)
        if len(content) < self._planes.num_bytes:
            return None
        if self._other_planes is not None:
            content = self._settle_padding(content, self._other_planes)
            self._other_planes = None
        return _rgb(np.frombuffer(content, np.uint8), self._planes, (self.width, self.height))

    def _settle_padding(self, content: bytes | bytearray, padded: _Planes) -> bytes | bytearray:
        """Look at what follows the first frame; the frame in the form that it turns out to have."""
        follows = self._take(len(_FRAME))
        if not follows or follows == _FRAME:
            self._ahead = bytes(follows)
            return content
        rest = self._take(padded.num_bytes - len(content) - len(follows))
        self._planes = padded
        return bytes(content) + bytes(follows) + bytes(rest)

    def _take(self, count: int) -> bytes | bytearray:
        if not self._ahead:
            return self._read(count)
        taken, self._ahead = self._ahead[:count], self._ahead[count:]
        return taken + self._read(count - len(taken)) if len(taken) < count else taken

    def _line(self) -> bytes:
        line = bytearray()
        while (byte := self._take(1)) and byte != b"\n" and len(line) < _LONGEST_LINE:
            line += byte
        return bytes(line)


def _tight(width: int, height: int) -> _Planes:
    return _Planes(width, height, (width + 1) // 2, (height + 1) // 2)


def _padded(width: int, height: int) -> _Planes:
    even_width, even_height = _up(width, 2), _up(height, 2)
    return _Planes(_up(width, 4), even_height, _up(even_width // 2, 4), even_height // 2)


def _up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


def _rgb(content: Uint8Array, planes: _Planes, size: tuple[int, int]) -> Uint8Array:
    width, height = size
    if planes == _tight(width, height) and width % 2 == height % 2 == 0:
        yuv = content.reshape(height * 3 // 2, width)
        return cv2.cvtColor(yuv, cv2.COLOR_YUV2RGB_I420).astype(np.uint8, copy=False)
    # OpenCV converts even sizes only: the last row and column stand twice, and are cut off again.
    chroma_width, chroma_height = (width + 1) // 2, (height + 1) // 2
    luma_end = planes.luma_stride * planes.luma_rows
    chroma_bytes = planes.chroma_stride * planes.chroma_rows
    luma = content[:luma_end].reshape(planes.luma_rows, planes.luma_stride)[:height, :width]
    luma = np.pad(luma, ((0, height % 2), (0, width % 2)), mode="edge")
    chroma: list[npt.NDArray[np.uint8]] = [
        content[start : start + chroma_bytes]
        .reshape(planes.chroma_rows, planes.chroma_stride)[:chroma_height, :chroma_width]
        .ravel()
        for start in (luma_end, luma_end + chroma_bytes)
    ]
    yuv = np.concatenate([luma.ravel(), *chroma]).reshape(3 * chroma_height, 2 * chroma_width)
    rgb = cv2.cvtColor(yuv, cv2.COLOR_YUV2RGB_I420)[:height, :width]
    return np.ascontiguousarray(rgb).astype(np.uint8, copy=False)
