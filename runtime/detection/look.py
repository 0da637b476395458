"""How a detector is shown a picture: reduced, or in tiles where all of it is to be looked at.

What finding costs grows with the area, so by default a picture is reduced to 640 pixels. Looked at
in full, a large one is shown twice: reduced, for the large faces, and in overlapping tiles, for the
small ones. So memory is that of a tile whatever the size, and time grows with the area alone,
although OpenCV compares all boxes of what it is shown with each other.

Shapes: H, W picture height and width; h, w of what the detector sees; N faces.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import cv2
import numpy as np
import numpy.typing as npt

from edge_arm.runtime.crop import CropBox
from edge_arm.runtime.detection.detection_config import DetectionConfig
from edge_arm.runtime.detection.detector import FoundFace
from edge_arm.runtime.detection.distinct import Boxes, distinct
from edge_arm.runtime.preprocess import Uint8Array

Scores = npt.NDArray[np.float64]
"""(N,), on the detector's own scale."""

Seek = Callable[[Uint8Array, float], tuple[Boxes, Scores]]
"""Finds the faces of a picture as shown, (h, w) or (h, w, 3), from a side in pixels on."""

_WHOLE_PX = 1280
"""Longer side up to which a picture is shown in one piece."""

_TILE_PX = 1024
_OVERLAP_PX = 256
"""Of neighbouring tiles: a face up to this size lies wholly in one of them."""

_MOST_SHRUNK = 10.0
"""How much the whole is reduced beside tiles, so that a face of the overlap's size is still larger
than the 24 pixels that a cascade needs."""


def faces_seen(image: Uint8Array, config: DetectionConfig, seek: Seek) -> tuple[FoundFace, ...]:
    """Show a picture to a detector.

    Args:
        image: (H, W) or (H, W, 3) uint8, as the detector takes it.
        config: how closely it is looked at, and the smallest face.
        seek: the detector.

    Returns:
        The faces from left to right.
    """
    height, width = image.shape[:2]
    longer = max(height, width)
    smallest_px = config.smallest.side_px(height, width)
    look_px = min(config.look_px or longer, longer)
    if look_px <= _WHOLE_PX:
        boxes, scores = _reduced(image, longer / look_px, smallest_px, seek)
    else:
        shrink = longer / look_px
        apart = _OVERLAP_PX * shrink
        whole = min(longer / _WHOLE_PX, _MOST_SHRUNK * shrink)
        parts = [_reduced(image, whole, max(smallest_px, apart), seek)]
        if smallest_px < apart:
            parts.append(_tiled(image, shrink, smallest_px, seek))
        boxes = np.concatenate([part[0] for part in parts])
        scores = np.concatenate([part[1] for part in parts])
    found = [
        FoundFace(_crop_box(boxes[place]), float(scores[place]))
        for place in distinct(boxes, scores)
    ]
    return tuple(sorted(found, key=lambda face: (face.box.x, face.box.y)))


def _reduced(
    image: Uint8Array, shrink: float, smallest_px: float, seek: Seek
) -> tuple[Boxes, Scores]:
    """Boxes in pixels of the picture, although the detector sees it reduced."""
    seen, scale = _shrunk(image, shrink)
    boxes, scores = seek(seen, smallest_px / shrink)
    return boxes * np.array([*scale, *scale]), scores


def _tiled(
    image: Uint8Array, shrink: float, smallest_px: float, seek: Seek
) -> tuple[Boxes, Scores]:
    """Boxes up to the size of the overlap, in pixels of the picture."""
    seen, scale = _shrunk(image, shrink)
    boxes, scores = [np.empty((0, 4))], [np.empty(0)]
    height, width = seen.shape[:2]
    for top in _starts(height):
        for left in _starts(width):
            tile = seen[top : top + _TILE_PX, left : left + _TILE_PX]
            in_tile, sure = seek(np.ascontiguousarray(tile), smallest_px / shrink)
            small = in_tile[:, 2:].max(axis=1, initial=0.0) <= _OVERLAP_PX
            boxes.append(in_tile[small] + [left, top, 0, 0])
            scores.append(sure[small])
    return np.concatenate(boxes) * np.array([*scale, *scale]), np.concatenate(scores)


def _starts(length: int) -> Iterator[int]:
    """Where tiles begin along a side, the last one ending with it."""
    last = max(length - _TILE_PX, 0)
    yield from range(0, last, _TILE_PX - _OVERLAP_PX)
    yield last


def _shrunk(image: Uint8Array, shrink: float) -> tuple[Uint8Array, tuple[float, float]]:
    """The reduced picture, and what a column and a row of it are in the picture."""
    height, width = image.shape[:2]
    if shrink <= 1:
        return image, (1.0, 1.0)
    size = max(round(width / shrink), 1), max(round(height / shrink), 1)
    # Area and not linear: rows that are skipped alias, and a cascade looks at fine structure.
    seen = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    return seen, (width / size[0], height / size[1])


def _crop_box(box: npt.NDArray[np.float64]) -> CropBox:
    left, top, width, height = box.tolist()
    return CropBox(round(left), round(top), max(round(width), 1), max(round(height), 1))
