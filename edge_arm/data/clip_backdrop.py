"""A room behind the people of a clip: walls, shelves and a carpet of textures, with no face in it.

A face finder that takes patterns for faces is caught by it, so it has edges and contrast of every
size, as rooms have.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

Uint8Array = npt.NDArray[np.uint8]
Plane = npt.NDArray[np.float32]

_FLOOR = 0.72  # share of the height at which the wall ends


def draw_backdrop(width: int, height: int, rng: np.random.Generator) -> Uint8Array:
    """Draw a room.

    Args:
        width: of the picture in pixels.
        height: of the picture in pixels.
        rng: decides everything.

    Returns:
        (height, width, 3) uint8 RGB.
    """
    wall = rng.uniform(70.0, 190.0) + rng.normal(0.0, 18.0, 3)
    image = np.full((height, width, 3), wall, dtype=np.float32)
    image += 26.0 * _clouds(width, height, rng)[:, :, None]
    _hang_pictures(image, rng)
    _fill_shelf(image, rng)
    _lay_floor(image, rng)
    grain = _clouds(width, height, rng, finest=2)[:, :, None]
    image *= 1.0 + np.float32(0.06) * grain
    softened = cv2.GaussianBlur(image, (0, 0), 0.9 * height / 480.0)
    return np.clip(softened, 0.0, 255.0).astype(np.uint8)


def _clouds(width: int, height: int, rng: np.random.Generator, finest: int = 16) -> Plane:
    """(height, width) noise about 0 with a standard deviation of about 1, in every size of spot.

    Args:
        width: in pixels.
        height: in pixels.
        rng: its source.
        finest: diameter of the smallest spots in pixels.
    """
    total = np.zeros((height, width), dtype=np.float32)
    cell, weight, power = max(width, height) // 2, 1.0, 0.0
    while cell >= finest:
        coarse = rng.normal(0.0, weight, (height // cell + 2, width // cell + 2))
        total += cv2.resize(
            coarse.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC
        )
        power += weight * weight
        cell, weight = cell // 2, weight * 0.75
    return np.asarray(total / np.float32(np.sqrt(max(power, 1.0))), dtype=np.float32)


def _colour(rng: np.random.Generator) -> tuple[float, float, float]:
    """Of a thing in a room: seldom garish."""
    pure = rng.uniform(25.0, 225.0, 3)
    red, green, blue = (pure.mean() + 0.5 * (pure - pure.mean())).tolist()
    return (red, green, blue)


def _hang_pictures(image: Plane, rng: np.random.Generator) -> None:
    """Frames with patterns in them, and a window with its bars."""
    height, width = image.shape[:2]
    for _ in range(int(rng.integers(2, 5))):
        w, h = (rng.uniform(0.08, 0.22, 2) * width).astype(int)
        x, y = int(rng.uniform(0, width - w)), int(rng.uniform(0, _FLOOR * height - h))
        y = max(y, 0)
        inside = image[y : y + h, x : x + w]
        inside[:] = np.array(_colour(rng), dtype=np.float32)
        inside += 30.0 * _clouds(inside.shape[1], inside.shape[0], rng)[:, :, None]
        bars = int(rng.integers(0, 4))
        for bar in range(1, bars):
            place = bar * w // bars
            cv2.line(image, (x + place, y), (x + place, y + h), _colour(rng), max(1, width // 200))
        cv2.rectangle(image, (x, y), (x + int(w), y + int(h)), _colour(rng), max(2, width // 130))


def _fill_shelf(image: Plane, rng: np.random.Generator) -> None:
    """A row or two of books: many upright edges."""
    height, width = image.shape[:2]
    for _ in range(int(rng.integers(1, 3))):
        left, right = sorted((rng.uniform(0.0, 1.0, 2) * width).astype(int).tolist())
        right = max(right, left + width // 4)
        base = int(rng.uniform(0.25, 0.65) * height)
        x = left
        while x < min(right, width):
            thick = int(rng.uniform(0.008, 0.025) * width) + 2
            top = base - int(rng.uniform(0.07, 0.14) * height)
            cv2.rectangle(image, (x, top), (x + thick, base), _colour(rng), thickness=-1)
            cv2.line(image, (x, top), (x, base), (30.0, 28.0, 26.0), 1)
            x += thick
        cv2.rectangle(image, (left, base), (right, base + height // 60), (92.0, 66.0, 44.0), -1)


def _lay_floor(image: Plane, rng: np.random.Generator) -> None:
    """A carpet of stripes or a floor of tiles."""
    height, width = image.shape[:2]
    top = int(_FLOOR * height)
    first, second = np.array(_colour(rng)), np.array(_colour(rng))
    tile = max(6, int(rng.uniform(0.03, 0.08) * width))
    rows, columns = np.mgrid[0 : height - top, 0:width]
    checks = (columns // tile + (rows // max(tile // 2, 3) if rng.random() < 0.5 else 0)) % 2
    image[top:] = np.where(checks[:, :, None] == 0, first, 0.6 * first + 0.4 * second)
