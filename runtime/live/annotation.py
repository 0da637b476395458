"""Boxes and labels drawn into a frame, to be read on any background and at any size.

Lines have a dark edge and text has a ground of its own, so neither vanishes in a picture of their
colour. Text grows with the picture, shrinks and is shortened until it lies inside, and is left out
where it would cover more than it tells: a face of a few pixels keeps its coloured box alone.

Shapes: H, W picture height and width.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2

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
_LETTER_SHARE = 1 / 36
_LINE_SHARE = 1 / 320
_MIN_FACE_PX = 20


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


def annotated(result: FrameResult, labels: LabelSet) -> Uint8Array:
    """The picture of a frame with its faces marked.

    Args:
        result: the frame and its faces.
        labels: of the model; a class keeps its colour in every frame.

    Returns:
        (H, W, 3) uint8 RGB of its own.
    """
    image_hwc = result.frame.image_hwc.copy()
    # Large faces first, so that a small one before them is not painted over.
    for face in sorted(result.faces, key=lambda face: -face.box.width * face.box.height):
        _mark(image_hwc, face, labels)
    return image_hwc


def _mark(image_hwc: Uint8Array, face: LabelledFace, labels: LabelSet) -> None:
    height, width = image_hwc.shape[:2]
    index = labels.index(face.label)
    color = _COLORS[index % len(_COLORS)]
    line_px = max(1, round(min(height, width) * _LINE_SHARE))
    left, right = _inside(face.box.x, face.box.width, width)
    top, bottom = _inside(face.box.y, face.box.height, height)
    for dark, thickness in ((_DARK, line_px + 2), (color, line_px)):
        cv2.rectangle(image_hwc, (left, top), (right, bottom), dark, thickness)
    if min(right - left, bottom - top) + 1 < min(_MIN_FACE_PX, height, width):
        return
    text = _fitting_text(_wordings(face, labels), width, height)
    if text is None:
        return
    x = min(max(left - line_px, 0), width - text.width)
    above = top - line_px - text.height
    y = above if above >= 0 else min(top + line_px, height - text.height)
    cv2.rectangle(image_hwc, (x, y), (x + text.width - 1, y + text.height - 1), color, cv2.FILLED)
    margin = max(1, text.height // 6)
    cv2.putText(
        image_hwc,
        text.words,
        (x + margin, y + text.height - 1 - text.base),
        _FONT,
        text.scale,
        _DARK if _is_bright(color) else _LIGHT,
        text.line_px,
        cv2.LINE_AA,
    )


def _inside(start: int, length: int, limit: int) -> tuple[int, int]:
    """First and last pixel of a side, on the picture."""
    first = min(max(start, 0), limit - 1)
    return first, max(first, min(start + length, limit) - 1)


def _wordings(face: LabelledFace, labels: LabelSet) -> tuple[str, ...]:
    """What can be said of a face, from most to least."""
    index = labels.index(face.label)
    # This font has ASCII alone and would draw question marks; the number can be looked up.
    name = face.label if face.label.isascii() else f"class {index}"
    sure = f"{name} {round(100 * face.probabilities[index])}%"
    whole = sure if face.track is None else f"#{face.track} {sure}"
    return (whole, sure, name, name[:3])


def _fitting_text(wordings: tuple[str, ...], width: int, height: int) -> _Text | None:
    """The most that can be said inside a picture of this size, as large as it goes."""
    wanted_px = max(_MIN_LETTER_PX, round(min(height, width) * _LETTER_SHARE))
    for words in wordings:
        for letter_px in _shrinking(wanted_px):
            text = _text(words, letter_px)
            if text.width <= width and text.height <= height:
                return text
    return None


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
