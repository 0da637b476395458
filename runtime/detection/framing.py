"""From a detector's box to the crop that the model was trained on.

A data set's faces were cut out by somebody's rule; a detector draws its rectangle by another. So
a training face is looked at with the detector: where its box lies inside that picture is the
framing, and turning it round gives the crop for a box that is found in a photograph.

Shapes: H, W picture height and width; N faces; S model input size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from edge_arm.runtime.crop import CropBox
from edge_arm.runtime.detection.detection_config import HAAR
from edge_arm.runtime.detection.detector import FaceDetector, FoundFace
from edge_arm.runtime.preprocess import Uint8Array, resize_face

_PADDED_AT_MOST_PX = 2048
"""Longer side of a crop that reaches over the edge; a larger one is reduced before it is padded,
far above what any model takes."""


@dataclass(frozen=True)
class FaceFraming:
    """Where a detector's box lies in a training face, as shares of that picture's sides.

    Attributes:
        detector: by its name.
        left: from the picture's left edge to the box; negative if the box reaches over the edge.
        top: from its upper edge likewise.
        width: of the box.
        height: of the box.
        aspect: width by height of the training pictures.
        faces: that it was measured on; 0 for a default.
        overlap: median of intersection over union of this box and the single faces' boxes, 0..1:
            low for faces that are not aligned. 0 for a default.
        data_name: of the data set that the faces are from; empty for a default.
    """

    detector: str
    left: float
    top: float
    width: float
    height: float
    aspect: float = 1.0
    faces: int = 0
    overlap: float = 0.0
    data_name: str = ""

    def __post_init__(self) -> None:
        assert self.width > 0
        assert self.height > 0

    @property
    def origin(self) -> str:
        """Where it comes from, for people."""
        if self.faces == 0:
            return "a default, not measured on this model's training faces"
        return f"measured on {self.faces} training faces of {self.data_name}"

    def crop_of(self, found: FoundFace) -> CropBox:
        """What a training picture of this face would have shown; it may reach over the edge.

        It has the shape of a training picture whatever the shape of the box: an open mouth makes
        a box higher, and a crop of that shape would be squeezed by `resize_face`. (Squeezed by 10 %
        a model trained on synthetic faces changed 32 % of its answers.)
        """
        box = found.box
        # The area that the box speaks for, with the two sides' say in it as a geometric mean.
        area = (box.width / self.width) * (box.height / self.height)
        width, height = math.sqrt(area * self.aspect), math.sqrt(area / self.aspect)
        # The middles coincide.
        left = box.x + box.width / 2 - (self.left + self.width / 2) * width
        top = box.y + box.height / 2 - (self.top + self.height / 2) * height
        return CropBox(round(left), round(top), max(round(width), 1), max(round(height), 1))


def default_framing(detector: str) -> FaceFraming:
    """A framing for faces that are cut as tightly as RAF-DB's and the synthetic ones.

    Haar's is between what was measured on synthetic faces (0.06, 0.05, 0.88) and on photographs
    cut like RAF-DB's (0.02, 0.02, 0.96). YuNet's is argued, not measured: its boxes go from hair
    line to chin and from cheek to cheek, so they are narrower and begin higher. Any other box
    counts as the crop.

    Args:
        detector: by its name.
    """
    if detector.split(":")[0] == HAAR:
        return FaceFraming(detector, 0.04, 0.035, 0.92, 0.92)
    if detector == "yunet":
        return FaceFraming(detector, 0.08, -0.08, 0.83, 1.08)
    return FaceFraming(detector, 0.0, 0.0, 1.0, 1.0)


def faces_in(
    image_hwc: Uint8Array, detector: FaceDetector, framing: FaceFraming, size: int
) -> tuple[tuple[FoundFace, ...], Uint8Array]:
    """Find the faces of a picture and cut them out as the model takes them.

    Args:
        image_hwc: (H, W, 3) uint8 RGB.
        detector: finds them.
        framing: of this detector.
        size: S.

    Returns:
        The faces from left to right, and (N, S, S, 3) uint8 RGB in the same order.
    """
    found = detector.find(image_hwc)
    return found, crops_of(image_hwc, found, framing, size)


def crops_of(
    image_hwc: Uint8Array, found: Sequence[FoundFace], framing: FaceFraming, size: int
) -> Uint8Array:
    """Cut out faces that were found; a part of them at a time where there are thousands.

    Args:
        image_hwc: (H, W, 3) uint8 RGB.
        found: faces in it.
        framing: of the detector that found them.
        size: S.

    Returns:
        (N, S, S, 3) uint8 RGB, a new array.
    """
    crops = np.empty((len(found), size, size, 3), np.uint8)
    for place, face in enumerate(found):
        crops[place] = resize_face(_cut(image_hwc, framing.crop_of(face)), size)
    return crops


def _cut(image_hwc: Uint8Array, box: CropBox) -> Uint8Array:
    """A view where the box lies inside; the edge repeated where it reaches over.

    Not cut as a data set's boxes are (`runtime/crop.py`), because a cut box squeezes the face: with
    a tenth of the crop outside, 68 % of 400 synthetic faces were answered as the whole crop when
    cut, and 99 % when the edge was repeated (docs/log.md).
    """
    height, width = image_hwc.shape[:2]
    right, bottom = box.x + box.width, box.y + box.height
    left_in, top_in = min(max(box.x, 0), width - 1), min(max(box.y, 0), height - 1)
    right_in, bottom_in = max(min(right, width), left_in + 1), max(min(bottom, height), top_in + 1)
    inside = image_hwc[top_in:bottom_in, left_in:right_in]
    over = (top_in - box.y, bottom - bottom_in, left_in - box.x, right - right_in)
    if max(over) <= 0:
        return inside
    # A huge face cut loosely would be padded to many times its picture.
    shrink = max(box.width, box.height) / _PADDED_AT_MOST_PX
    if shrink > 1:
        rows, columns = (max(round(side / shrink), 1) for side in inside.shape[:2])
        inside = np.asarray(
            cv2.resize(inside, (columns, rows), interpolation=cv2.INTER_AREA), np.uint8
        )
    above, below, before, behind = (max(round(side / max(shrink, 1)), 0) for side in over)
    return np.asarray(
        cv2.copyMakeBorder(inside, above, below, before, behind, cv2.BORDER_REPLICATE), np.uint8
    )
