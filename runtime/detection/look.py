"""The picture that a detector sees: reduced, because what finding costs grows with the area.

Shapes: H, W picture height and width; h, w of the picture that the detector sees.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from edge_arm.runtime.crop import CropBox
from edge_arm.runtime.preprocess import Uint8Array

LOOK_AT_MOST_PX = 4096
"""Where "full" ends, so that no picture takes more than about 1 GB to look at."""


@dataclass(frozen=True, eq=False)
class Look:
    """A picture as a detector sees it, and the way back.

    Attributes:
        image: (h, w) or (h, w, 3) uint8, as the picture.
        scale_x: columns of the picture to one that the detector sees, at least 1.
        scale_y: rows likewise; it differs a little, because sides are whole pixels.
    """

    image: Uint8Array
    scale_x: float
    scale_y: float

    def box(self, x: float, y: float, width: float, height: float) -> CropBox:
        """A box that the detector found, in pixels of the picture."""
        return CropBox(
            round(x * self.scale_x),
            round(y * self.scale_y),
            max(round(width * self.scale_x), 1),
            max(round(height * self.scale_y), 1),
        )


def look_at(image: Uint8Array, look_px: int | None) -> Look:
    """Reduce a picture for a detector; a small one stays as it is.

    Args:
        image: (H, W) or (H, W, 3) uint8.
        look_px: the longer side at most; None for all of it, up to `LOOK_AT_MOST_PX`.
    """
    height, width = image.shape[:2]
    limit = LOOK_AT_MOST_PX if look_px is None else look_px
    shrink = max(height, width) / limit
    if shrink <= 1:
        return Look(image, 1.0, 1.0)
    seen_height, seen_width = max(round(height / shrink), 1), max(round(width / shrink), 1)
    # Area and not linear: rows that are skipped alias, and the cascade looks at fine structure.
    seen = cv2.resize(image, (seen_width, seen_height), interpolation=cv2.INTER_AREA)
    return Look(np.asarray(seen, np.uint8), width / seen_width, height / seen_height)
