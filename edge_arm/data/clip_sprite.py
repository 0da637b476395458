"""People cut out, to be put into a scene: colour and coverage of each pixel.

The person is painted twice, on black and on white. What differs is background, so the coverage of
every pixel is known, thin hairs and soft edges included, whatever the drawing does.

An expression moves only the head. Shoulders and long hair are painted once, and each expression
replaces a window around the face: both are the same drawing on the same grid, so no seam shows.

Shapes: F side of the aligned face in pixels, P = 2 F side of the cut-out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from edge_arm.data.action_units import ActionUnits, Expression
from edge_arm.data.face_canvas import Canvas
from edge_arm.data.face_degradation import lit
from edge_arm.data.face_drawing import paint_person
from edge_arm.data.face_geometry import View
from edge_arm.data.face_parameters import Identity, Light, Pose

Uint8Array = npt.NDArray[np.uint8]

# Size of the head in an aligned face, the middle of what synthetic data sets have.
_SCALE = 0.98
_OVERSAMPLING = 2
# Sides of the whole cut-out and of the window that moves, in sides of the aligned face.
_WHOLE = 2.0
_WINDOW = 1.36
# The collar ends at 2.0 face units; the last row shown is repeated downwards as the trunk.
_BOTTOM_UNITS = 1.94
# The neck begins; 0.4 further down, inside the window, the light of the head has ended.
_NECK_UNITS = 0.95


@dataclass(frozen=True)
class Person:
    """Who is drawn and how they hold their head.

    Attributes:
        identity: who.
        pose: of the head; its shift and scale are not used.
        light: with contrast 1, because coverage is mixed before the light is applied.
        face_px: F.
    """

    identity: Identity
    pose: Pose
    light: Light
    face_px: int


class CutOuts:
    """All cut-outs of one person; each is drawn when it is first asked for.

    Args:
        person: who.
    """

    def __init__(self, person: Person) -> None:
        self._person = person
        self._rest = self._drawn(Expression(ActionUnits()), _WHOLE)

    def showing(self, expression: Expression) -> Uint8Array:
        """The person with an expression.

        Returns:
            (rows, P, 4) uint8: RGB times coverage, and coverage. The aligned face is the square
            of F pixels in the middle of the P x P picture whose last rows are cut off.
        """
        window = self._drawn(expression, _WINDOW)
        whole = self._rest.copy()
        margin = (len(whole) - len(window)) // 2
        whole[margin : margin + len(window), margin : margin + len(window)] = window
        small = cv2.resize(whole, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        face_px = self._person.face_px
        rows = int(0.5 * len(small) + 0.5 * _SCALE * face_px * _BOTTOM_UNITS)
        return np.ascontiguousarray(small[:rows])

    def _drawn(self, expression: Expression, extent: float) -> Uint8Array:
        """(size, size, 4) on the large grid; `extent` in sides of the aligned face."""
        face = self._person.face_px * _OVERSAMPLING
        size = 2 * round(0.5 * face * extent)  # even, so that windows share the middle
        pose = replace(self._person.pose, shift_x=0.0, shift_y=0.0, scale=_SCALE * face / size)
        view = View(pose, size)
        black = Canvas(np.zeros((size, size, 3), dtype=np.uint8), view)
        white = Canvas(np.full((size, size, 3), 255, dtype=np.uint8), view)
        for canvas in (black, white):
            paint_person(canvas, self._person.identity, expression)
        background = cv2.subtract(white.image, black.image).max(axis=2, keepdims=True)
        return np.concatenate([self._lit(black), 255 - background], axis=2)

    def _lit(self, canvas: Canvas) -> Uint8Array:
        """(size, size, 3) in the person's light: of the head from above, even from the neck down.

        The light takes everything for an ellipsoid; repeated downwards, its lower end would be a
        dark stripe from the chin to the floor.
        """
        even = Canvas(canvas.image.copy(), canvas.view)
        lit(canvas, self._person.light)
        lit(even, replace(self._person.light, directional=0.0))
        down = (np.arange(canvas.view.size) - 0.5 * canvas.view.size) / canvas.view.unit_px
        share = np.clip((down - _NECK_UNITS) / 0.4, 0.0, 1.0).astype(np.float32)[:, None, None]
        mixed = canvas.image + (even.image.astype(np.float32) - canvas.image) * share
        return np.asarray(np.rint(mixed), dtype=np.uint8)
