"""The paper on which a face is drawn: filled shapes in face units, and light and dark on skin.

Shapes are drawn anti-aliased on a canvas larger than the picture, which is then shrunk. OpenCV's
own random numbers are never used.
"""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from edge_arm.data.face_geometry import Points, View, ribbon
from edge_arm.data.face_parameters import RGB

Image = npt.NDArray[np.uint8]  # (H, W, 3) RGB
Plane = npt.NDArray[np.float32]  # (H, W)

_SHIFT = 4  # fractional bits of OpenCV's fixed-point coordinates


@dataclass(frozen=True)
class Canvas:
    """An RGB picture, changed in place, and the view that places face units on it."""

    image: Image
    view: View

    def fill(self, points: Points, colour: RGB) -> None:
        """Fill a closed shape given in face units (n, 2)."""
        _fill_pixels(self.image, self.view.project(points), colour)

    def stroke(self, line: Points, colour: RGB, width: float) -> None:
        """Draw a line of even width; `width` is in face units."""
        self.fill(ribbon(line, np.full(len(line), width)), colour)

    def blended(self, points: Points, draw: Callable[["Canvas"], None], opacity: float) -> None:
        """Draw only inside a closed shape, mixed into what is there.

        Args:
            points: the shape in face units (n, 2).
            draw: draws on a canvas of the same view.
            opacity: 0..1.
        """
        pixels = self.view.project(points)
        low = np.clip(np.floor(pixels.min(axis=0)).astype(int) - 2, 0, self.view.size)
        high = np.clip(np.ceil(pixels.max(axis=0)).astype(int) + 2, 0, self.view.size)
        if np.any(high <= low):
            return
        window = np.s_[low[1] : high[1], low[0] : high[0]]
        mask = self.mask(points)[window].astype(np.float32)[:, :, None] * (opacity / 255.0)
        copy = Canvas(self.image.copy(), self.view)
        draw(copy)
        below = self.image[window].astype(np.float32)
        mixed = below + (copy.image[window] - below) * mask
        self.image[window] = np.rint(mixed).astype(np.uint8)

    def mask(self, points: Points) -> npt.NDArray[np.uint8]:
        """Coverage (H, W) of a closed shape, 0..255."""
        mask = np.zeros(self.image.shape[:2], dtype=np.uint8)
        _fill_pixels(mask, self.view.project(points), 255.0)
        return mask


class Relief:
    """Light and dark on the skin as the logarithm of brightness, gathered before it is applied.

    Folds are drawn dark and then blurred; blobs are separable Gaussians, which cost next to
    nothing. Adding logarithms keeps folds visible on very light and very deep skin alike.
    """

    def __init__(self, view: View) -> None:
        self._view = view
        self._blobs: list[tuple[float, float, float, float, float]] = []
        self._folds: list[tuple[float, bool, Points]] = []

    def blob(self, centre: tuple[float, float], radius: tuple[float, float], amount: float) -> None:
        """Lighten (amount > 0) or darken a soft spot; centre and radii in face units."""
        self._blobs.append((*centre, *radius, amount))

    def fold(self, line: Points, depth: float, *, width: float = 0.022, soft: bool = False) -> None:
        """Add a fold of the skin along a line in face units; `depth` 0..1, tapered ends."""
        if depth > 0.02:
            taper = np.sin(np.linspace(0.15, np.pi - 0.15, len(line)))
            shape = ribbon(line, width * taper)
            self._folds.append((min(depth, 1.0), soft, shape))

    def rendered(self) -> Plane:
        """The gathered log brightness (H, W)."""
        size = self._view.size
        total = self._rendered_blobs()
        for soft, sigma, strength in ((False, 0.008, 0.75), (True, 0.035, 0.75)):
            layer = np.zeros((size, size), dtype=np.uint8)
            # A later fold overwrites an earlier one, so the deepest comes last.
            for depth, is_soft, shape in sorted(self._folds, key=lambda fold: fold[0]):
                if is_soft == soft:
                    _fill_pixels(layer, self._view.project(shape), 255.0 * depth)
            blurred = cv2.GaussianBlur(layer, (0, 0), max(0.4, sigma * self._view.unit_px))
            total -= blurred.astype(np.float32) * np.float32(strength / 255.0)
        return total

    def _rendered_blobs(self) -> Plane:
        """All blobs at once: each is a column times a row, so their sum is one matrix product."""
        blobs = np.array(self._blobs).reshape(-1, 5)
        centres = self._view.project(blobs[:, :2])[:, :, None]  # (n, 2, 1)
        radii = blobs[:, 2:4, None] * self._view.unit_px
        axis = np.arange(self._view.size) + 0.5
        profiles = np.exp(-0.5 * ((axis - centres) / radii) ** 2)  # (n, 2, size)
        down = (profiles[:, 1] * blobs[:, 4:]).astype(np.float32)
        across = np.ascontiguousarray(profiles[:, 0], dtype=np.float32)
        # OpenCV's product, not BLAS: its rounding does not depend on the number of threads.
        nothing = np.zeros((self._view.size, self._view.size), dtype=np.float32)
        product = cv2.gemm(down, across, 1.0, nothing, 0.0, flags=cv2.GEMM_1_T)
        return np.asarray(product, dtype=np.float32)


def _fill_pixels(target: npt.NDArray[np.uint8], pixels: Points, colour: RGB | float) -> None:
    fixed = np.rint(pixels * (1 << _SHIFT)).astype(np.int32)
    cv2.fillPoly(target, [fixed], colour, lineType=cv2.LINE_AA, shift=_SHIFT)
