"""Pictures with drawn faces at known places, for whatever finds faces."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import cv2
import numpy as np
import numpy.typing as npt

from edge_arm.data.action_units import ActionUnits, Expression
from edge_arm.data.face_drawing import draw_face
from edge_arm.data.face_parameters import FaceParameters, HairStyle, Identity, Pose, Shot
from edge_arm.runtime.crop import CropBox

Picture = npt.NDArray[np.uint8]


@cache
def frontal_face() -> Picture:
    """(160, 160, 3): one clean face that fills its picture as a training face does."""
    shot = Shot(pose=Pose(scale=1.0), texture_seed=3)
    face = FaceParameters(
        Identity(hair_style=HairStyle.SHORT), Expression(action_units=ActionUnits()), shot
    )
    return draw_face(face, size=160)


def picture_with(height: int, width: int, boxes: Sequence[CropBox]) -> Picture:
    """A soft gradient, (height, width, 3), with that face in each box."""
    down, across = np.mgrid[:height, :width]
    grey = 90 + 60 * across / width + 40 * down / height
    picture = np.repeat(grey.astype(np.uint8)[..., np.newaxis], 3, axis=2)
    for box in boxes:
        face = cv2.resize(frontal_face(), (box.width, box.height), interpolation=cv2.INTER_AREA)
        picture[box.y : box.y + box.height, box.x : box.x + box.width] = face
    return picture


def overlap(first: CropBox, second: CropBox) -> float:
    """Intersection over union."""
    across = min(first.x + first.width, second.x + second.width) - max(first.x, second.x)
    down = min(first.y + first.height, second.y + second.height) - max(first.y, second.y)
    common = max(across, 0) * max(down, 0)
    return common / (first.width * first.height + second.width * second.height - common)
