"""One box for each face, where a detector answers with several.

Shapes: N boxes.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Boxes = npt.NDArray[np.float64]
"""(N, 4): left, top, width, height."""

INSIDE = 0.5
"""Of two boxes of which the smaller lies in the larger by more than this share, one is no face.
Intersection over union would let a mouth stand inside its face."""


def distinct(boxes: Boxes, scores: npt.NDArray[np.float64]) -> list[int]:
    """Positions of the boxes that do not lie in a surer one, the surest first.

    Args:
        boxes: (N, 4) float64.
        scores: (N,) float64; of equal ones the first stays.
    """
    left, top, width, height = boxes.T
    right, bottom, area = left + width, top + height, width * height
    kept: list[int] = []
    for place in np.argsort(-scores, kind="stable").tolist():
        across = np.minimum(right[place], right[kept]) - np.maximum(left[place], left[kept])
        down = np.minimum(bottom[place], bottom[kept]) - np.maximum(top[place], top[kept])
        common = np.clip(across, 0, None) * np.clip(down, 0, None)
        if np.all(common <= INSIDE * np.minimum(area[place], area[kept])):
            kept.append(place)
    return kept
