"""Boxes and labels drawn into a frame, to be read on any background and at any size.

Lines have a dark edge and text has a ground of its own, so neither vanishes in a picture of their
colour. Text grows with the picture and with the face. It goes above its box, below it or into it,
wherever it covers no other face and no other text, and is shortened if need be: in a crowd, faces
of a few pixels keep their coloured box alone.

Shapes: H, W picture height and width; R rectangles.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from edge_arm.runtime.labels import LabelSet
from edge_arm.runtime.live.frame_result import FrameResult, LabelledFace
from edge_arm.runtime.preprocess import Uint8Array

Color = tuple[int, int, int]

# Okabe and Ito's colours, told apart by people with colour blindness too; then repeated.
_COLORS: tuple[Color, ...] = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
    (200, 200, 200),
)
_DARK: Color = (16, 16, 16)
_LIGHT: Color = (255, 255, 255)
_FONT = cv2.FONT_HERSHEY_SIMPLEX
# Height of a capital: below 8 pixels nobody reads this font.
_MIN_LETTER_PX = 8
_LETTER_SHARE, _LETTER_SHARE_OF_FACE = 1 / 36, 1 / 6
_LINE_SHARE, _LINE_SHARE_OF_FACE = 1 / 320, 1 / 24
_MIN_FACE_PX = 20
_LARGE_FACE_PX = 64


@dataclass(frozen=True)
class _Text:
    """A text at a size.

    Attributes:
        words: ASCII, all that this font has.
        scale: of the font.
        line_px: thickness of the letters.
        width: in pixels, margins included.
        height: likewise.
        base: from the lower edge up to the base line.
    """

    words: str
    scale: float
    line_px: int
    width: int
    height: int
    base: int


@dataclass(frozen=True)
class _Rectangle:
    """Pixels from (left, top) up to but without (right, bottom)."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def side(self) -> int:
        """The shorter one."""
        return min(self.right - self.left, self.bottom - self.top)


def annotated(result: FrameResult, labels: LabelSet) -> Uint8Array:
    """The picture of a frame with its faces marked.

    Args:
        result: the frame and its faces.
        labels: of the model; a class keeps its colour in every frame.

    Returns:
        (H, W, 3) uint8 RGB of its own.
    """
    image_hwc = result.frame.image_hwc.copy()
    height, width = image_hwc.shape[:2]
    boxes = [_on_picture(face, width, height) for face in result.faces]
    for face, box in zip(result.faces, boxes, strict=True):
        color = _color(face, labels)
        thickest = min(min(height, width) * _LINE_SHARE, box.side * _LINE_SHARE_OF_FACE)
        line_px = max(1, round(thickest))
        for drawn, thickness in ((_DARK, line_px + 2), (color, line_px)):
            corners = (box.left, box.top), (box.right - 1, box.bottom - 1)
            cv2.rectangle(image_hwc, *corners, drawn, thickness)
    taken = _Taken(boxes)
    for place, (face, box) in enumerate(zip(result.faces, boxes, strict=True)):
        if box.side >= min(_MIN_FACE_PX, height, width):
            chosen = _chosen_text(face, box, labels, taken=taken.without(place), picture=image_hwc)
            if chosen is not None:
                text, ground = chosen
                taken.add(ground)
                _write(image_hwc, text, ground, _color(face, labels))
    return image_hwc


class _Taken:
    """What no text may cover: faces and the texts before it."""

    def __init__(self, boxes: list[_Rectangle]) -> None:
        self._rectangles = np.array(
            [(box.left, box.top, box.right, box.bottom) for box in boxes], np.int64
        ).reshape(-1, 4)

    def add(self, ground: _Rectangle) -> None:
        row = [(ground.left, ground.top, ground.right, ground.bottom)]
        self._rectangles = np.concatenate([self._rectangles, np.array(row, np.int64)])

    def without(self, place: int) -> npt.NDArray[np.int64]:
        """(R, 4) int64; a text may lie on its own face."""
        return np.delete(self._rectangles, place, axis=0)


def _chosen_text(
    face: LabelledFace,
    box: _Rectangle,
    labels: LabelSet,
    *,
    taken: npt.NDArray[np.int64],
    picture: Uint8Array,
) -> tuple[_Text, _Rectangle] | None:
    """The most that can be said of a face without covering anything, and where."""
    height, width = picture.shape[:2]
    first: tuple[_Text, _Rectangle] | None = None
    largest_px = min(min(height, width) * _LETTER_SHARE, box.side * _LETTER_SHARE_OF_FACE)
    for words in _wordings(face, labels):
        for letter_px in _shrinking(max(_MIN_LETTER_PX, round(largest_px))):
            text = _text(words, letter_px)
            if text.width > width or text.height > height:
                continue
            for ground in _grounds(text, box, width, height):
                first = first or (text, ground)
                if not _covers(ground, taken):
                    return text, ground
    # A large face always has its label, even where faces lie on each other.
    return first if box.side >= min(_LARGE_FACE_PX, height, width) else None


def _grounds(text: _Text, box: _Rectangle, width: int, height: int) -> Iterator[_Rectangle]:
    """Above the box, below it, in it; those that are on the picture."""
    left = min(box.left, width - text.width)
    for top in (box.top - text.height, box.bottom, min(box.top, height - text.height)):
        if 0 <= top <= height - text.height:
            yield _Rectangle(left, top, left + text.width, top + text.height)


def _covers(ground: _Rectangle, taken: npt.NDArray[np.int64]) -> bool:
    left, top, right, bottom = taken.T
    apart = (
        (ground.left >= right)
        | (ground.right <= left)
        | (ground.top >= bottom)
        | (ground.bottom <= top)
    )
    return not bool(apart.all())


def _write(image_hwc: Uint8Array, text: _Text, ground: _Rectangle, color: Color) -> None:
    corners = (ground.left, ground.top), (ground.right - 1, ground.bottom - 1)
    cv2.rectangle(image_hwc, *corners, color, cv2.FILLED)
    cv2.putText(
        image_hwc,
        text.words,
        (ground.left + max(1, text.height // 6), ground.bottom - 1 - text.base),
        _FONT,
        text.scale,
        _DARK if _is_bright(color) else _LIGHT,
        text.line_px,
        cv2.LINE_AA,
    )


def _on_picture(face: LabelledFace, width: int, height: int) -> _Rectangle:
    """The part of a box that is in the picture, at least a pixel of its edge."""
    box = face.box
    left, top = min(max(box.x, 0), width - 1), min(max(box.y, 0), height - 1)
    right = max(left + 1, min(box.x + box.width, width))
    bottom = max(top + 1, min(box.y + box.height, height))
    return _Rectangle(left, top, right, bottom)


def _color(face: LabelledFace, labels: LabelSet) -> Color:
    return _COLORS[labels.index(face.label) % len(_COLORS)]


def _wordings(face: LabelledFace, labels: LabelSet) -> tuple[str, ...]:
    """What can be said of a face, from most to least."""
    index = labels.index(face.label)
    # This font has ASCII alone and would draw question marks; the number can be looked up.
    name = face.label if face.label.isascii() else f"class {index}"
    sure = f"{name} {round(100 * face.probabilities[index])}%"
    whole = sure if face.track is None else f"#{face.track} {sure}"
    return (whole, sure, name, name[:3])


def _shrinking(letter_px: int) -> Iterator[int]:
    smallest = max(_MIN_LETTER_PX, round(0.6 * letter_px))
    yield from range(letter_px, smallest - 1, -1)


def _text(words: str, letter_px: int) -> _Text:
    line_px = max(1, round(letter_px / 9))
    scale = cv2.getFontScaleFromHeight(_FONT, letter_px, line_px)
    (width, height), base = cv2.getTextSize(words, _FONT, scale, line_px)
    margin = max(1, (height + base) // 6)
    return _Text(
        words, scale, line_px, width + 2 * margin, height + base + 2 * margin, base + margin
    )


def _is_bright(color: Color) -> bool:
    # Luma of ITU-R BT.601.
    return 0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2] > 128
