"""Where the face is on one of RAF-DB's original photographs, by its five landmarks.

The photographs show whole scenes, and the set names no face box. Our choice, close to how aligned
faces are cut for recognition (there the eyes are 35 of 112 pixels apart): a square of three times
the larger of eye distance and distance from eyes to mouth, around the point between the two. The
larger, because a face turned aside has its eyes together and one that looks up its mouth near them.
"""

from __future__ import annotations

import math
from pathlib import Path

from edge_arm.data.rafdb_attributes import NUM_LANDMARKS, annotation_lines
from edge_arm.runtime.crop import CropBox
from edge_arm.runtime.errors import DataError

SIDE_IN_DISTANCES = 3.0


def face_box(annotation: Path) -> CropBox:
    """The square around a face.

    Args:
        annotation: file with the landmarks, see rafdb_attributes.py.

    Raises:
        DataError: if it is broken, or its points are all in one place.
    """
    lines = annotation_lines(annotation)[:NUM_LANDMARKS]
    points = [tuple(map(float, line.split())) for line in lines]
    left_eye, right_eye, _, left_mouth, right_mouth = points
    eyes, mouth = _between(left_eye, right_eye), _between(left_mouth, right_mouth)
    distance = max(math.dist(left_eye, right_eye), math.dist(eyes, mouth))
    side = round(SIDE_IN_DISTANCES * distance)
    if side < 1:
        raise DataError(
            f"{str(annotation)!r} has both eyes and the mouth at {lines[0]!r}, expected the "
            "landmarks of a face; restore it from RAF-DB"
        )
    x, y = _between(eyes, mouth)
    return CropBox(round(x - side / 2), round(y - side / 2), side, side)


def _between(one: tuple[float, ...], other: tuple[float, ...]) -> tuple[float, ...]:
    return tuple((a + b) / 2 for a, b in zip(one, other, strict=True))
