"""The seam between whatever finds faces and whatever uses them.

Shapes: H, W picture height and width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from edge_arm.runtime.crop import CropBox
from edge_arm.runtime.preprocess import Uint8Array


@dataclass(frozen=True)
class FoundFace:
    """A face as a detector sees it.

    Attributes:
        box: in pixels of the picture; it may reach over the edge.
        score: of the detector, on its own scale; larger is surer.
    """

    box: CropBox
    score: float


class FaceDetector(Protocol):
    """Finds faces. OpenCV's detectors keep state, so each thread makes one of its own."""

    @property
    def name(self) -> str:
        """For results, such as "haar" or "yunet"; framings are kept by it."""
        ...

    def find(self, image_hwc: Uint8Array) -> tuple[FoundFace, ...]:
        """The faces of a picture, from left to right.

        Args:
            image_hwc: (H, W, 3) uint8 RGB, of any size.
        """
        ...


DetectorFactory = Callable[[], FaceDetector]
"""Makes a detector of its own for each thread that looks for faces."""
