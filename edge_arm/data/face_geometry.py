"""Where every curve of a face lies: identity and action units in, points out.

Face units: x to the image's right, y down, the origin between eyes and mouth, 1.0 about half the
height of the cropped face. A point gets a depth from a rough head (an ellipsoid with a nose), is
turned by the pose and only then becomes pixels, so pose moves features against the outline as it
does on a real head, and any picture size works.

Legend: n points; arrays of points are (n, 2) float64, columns x and y.
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt

from edge_arm.data.action_units import ActionUnits, Expression
from edge_arm.data.face_parameters import Identity, Pose

Points = npt.NDArray[np.float64]

MOUTH_Y = 0.50
EYE_Y = -0.20
# The head turns about this depth, so that the features stay centred as in an aligned crop and
# it is the outline that wanders.
_PIVOT_DEPTH = 0.55


@dataclass(frozen=True)
class View:
    """Turns face units into pixels of a square canvas of `size` pixels."""

    pose: Pose
    size: int

    @property
    def unit_px(self) -> float:
        """Pixels per face unit, for line widths and blurs."""
        return 0.5 * self.size * self.pose.scale

    def project(self, points: Points) -> Points:
        """(n, 2) face units to (n, 2) pixels, by weak perspective."""
        squares = points * points
        inside = 1.0 - squares[:, 0] - squares[:, 1] * (1.0 / 1.4**2)
        ahead = (points[:, 1] - 0.14) * (1.0 / 0.22)
        nose = np.exp(squares[:, 0] * (-1.0 / 0.16**2) - ahead * ahead)
        depth = 0.72 * np.sqrt(np.maximum(inside, 0.0)) + 0.26 * nose - _PIVOT_DEPTH
        plane, forward, origin = self._placement
        return points @ plane + depth[:, None] * forward + origin

    @cached_property
    def _placement(self) -> tuple[Points, Points, Points]:
        """Rotation by yaw, then pitch, then roll, scale and shift, as what x, y and z add.

        Worked out once: a face projects some two hundred small shapes.
        """
        pose = self.pose
        yaw, pitch, roll = np.radians([pose.yaw_deg, pose.pitch_deg, pose.roll_deg])
        turn = np.array(
            [[np.cos(yaw), 0.0, np.sin(yaw)], [0.0, 1.0, 0.0], [-np.sin(yaw), 0.0, np.cos(yaw)]]
        )
        nod = np.array([[1.0, 0.0, 0.0], [0.0, np.cos(pitch), np.sin(pitch)]])
        tilt = np.array([[np.cos(roll), -np.sin(roll)], [np.sin(roll), np.cos(roll)]])
        matrix = self.unit_px * (tilt @ nod @ turn)  # (2, 3)
        origin = 0.5 * self.size * np.array([1.0 + pose.shift_x, 1.0 + pose.shift_y])
        return matrix[:, :2].T, matrix[:, 2], origin


@dataclass(frozen=True)
class Eye:
    """Upper and lower lid from the inner to the outer corner, and the iris."""

    upper: Points
    lower: Points
    iris_centre: tuple[float, float]
    iris_radius: float


@dataclass(frozen=True)
class Mouth:
    """Four curves from the image-left to the image-right corner, top to bottom."""

    upper_outer: Points
    upper_inner: Points
    lower_inner: Points
    lower_outer: Points
    upper_teeth: float  # visible height in face units
    lower_teeth: float


def smooth(controls: list[tuple[float, float]] | Points, steps: int = 6) -> Points:
    """Catmull-Rom spline through the control points, open, `steps` points a segment."""
    knots = np.asarray(controls, dtype=np.float64)
    return _spline_weights(len(knots), steps) @ knots


@lru_cache(maxsize=64)
def _spline_weights(count: int, steps: int) -> Points:
    """The spline as a matrix (points, `count`): it is linear in its control points."""
    knots = np.eye(count)
    padded = np.concatenate([2 * knots[:1] - knots[1:2], knots, 2 * knots[-1:] - knots[-2:-1]])
    t = np.linspace(0.0, 1.0, steps, endpoint=False)[None, :, None]
    p0, p1, p2, p3 = (padded[i : count - 1 + i, None, :] for i in range(4))
    curve = 0.5 * (
        2 * p1
        + (p2 - p0) * t
        + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2
        + (3 * p1 - p0 - 3 * p2 + p3) * t**3
    )
    return np.concatenate([curve.reshape(-1, count), knots[-1:]])


def ribbon(line: Points, widths: npt.NDArray[np.float64]) -> Points:
    """Outline of a line (n, 2) with its own width at each point (n,): brows, folds, strands."""
    along = np.empty_like(line)
    along[0], along[-1] = line[1] - line[0], line[-1] - line[-2]
    along[1:-1] = line[2:] - line[:-2]
    across = along[:, ::-1] * [-1.0, 1.0]
    across /= np.maximum(np.sqrt((across * across).sum(axis=1, keepdims=True)), 1e-9)
    offset = 0.5 * widths[:, None] * across
    return np.concatenate([line + offset, (line - offset)[::-1]])


def chin_drop(au: ActionUnits) -> float:
    """How far the jaw has opened, in face units; the chin boss (AU17) lifts it a little."""
    return 0.20 * au.au26 - 0.02 * au.au17


def head_outline(identity: Identity, au: ActionUnits, grow: float = 0.0) -> Points:
    """The head without ears, closed, from the crown; `grow` widens the skull for hair."""
    w, length = identity.face_width, identity.face_length
    jaw, drop = identity.jaw_width, chin_drop(au)
    right = [
        (0.0, -1.22 - grow),
        (0.42 * w + 0.6 * grow, -1.13 - grow),
        (0.69 * w + grow, -0.78 - 0.4 * grow),
        (0.77 * w + grow, -0.30),
        (0.75 * w + 0.7 * grow, 0.10),
        (0.66 * w * jaw, 0.50 + 0.3 * drop),
        (0.43 * w * jaw, 0.84 * length + 0.8 * drop),
        (0.18 * identity.chin_width, 0.98 * length + drop),
        (0.0, 1.0 * length + drop),
    ]
    curve = smooth(right)
    return np.concatenate([curve, (curve * [-1.0, 1.0])[-2:0:-1]])


def brow_line(identity: Identity, au: ActionUnits, side: int) -> Points:
    """Centre line of one brow, inner to outer end (n, 2)."""
    raised = -0.49 - identity.brow_height
    spacing = identity.eye_spacing
    inner_x = 0.135 * spacing - 0.045 * au.au4 - 0.01 * au.au9
    inner_y = raised - 0.125 * au.au1 + 0.085 * au.au4 * (1 - 0.75 * au.au1) + 0.05 * au.au9
    middle_y = (
        raised
        - 0.045 * identity.brow_arch
        - identity.brow_slant * 0.5
        - 0.05 * au.au1
        - 0.10 * au.au2
        + 0.085 * au.au4
        + 0.04 * au.au9
    )
    outer_y = raised + 0.045 - identity.brow_slant - 0.105 * au.au2 + 0.03 * au.au4
    controls = [
        (inner_x, inner_y),
        (0.24 * spacing - 0.02 * au.au4, 0.6 * inner_y + 0.4 * middle_y - 0.015),
        (0.42 * spacing, middle_y),
        (0.62 * spacing, outer_y + 0.02 * au.au1 * au.au4),
    ]
    return smooth(controls) * [side, 1.0]


def eye_of(identity: Identity, expression: Expression, side: int) -> Eye:
    """One eye. AU5 shows white above the iris, AU6 and AU7 push the lower lid up."""
    au = expression.side(side)
    centre_x, half = 0.345 * identity.eye_spacing, 0.168 * identity.eye_size
    opening = identity.eye_opening * identity.eye_size
    above = 0.092 * opening * (1 + 0.85 * au.au5 - 0.22 * au.au7 - 0.12 * au.au6 - 0.1 * au.au4)
    above -= 0.03 * au.au9 * opening
    below = 0.058 * opening * (1 + 0.25 * au.au5 - 0.6 * au.au7 - 0.85 * au.au6 - 0.3 * au.au9)
    droop = min(1.0, au.au43 + 0.12 * au.au1 * au.au4)
    above = above * (1 - droop) - (below * 0.8) * droop
    u = np.linspace(-1.0, 1.0, 13)
    tilt = -identity.eye_slant * u + 0.012 * au.au1 * au.au4 * u
    arch = (1 - np.abs(u) ** 2.4) * (1 - 0.12 * u)
    x = centre_x + half * u
    upper = EYE_Y + tilt - above * arch
    lower = np.maximum(EYE_Y + tilt + below * (1 - u**2), upper + 0.004)
    gaze_x, gaze_y = 0.05 * expression.gaze_x, 0.028 * expression.gaze_y
    return Eye(
        upper=np.stack([x * side, upper], axis=1),
        lower=np.stack([x * side, lower], axis=1),
        iris_centre=(centre_x * side + gaze_x, EYE_Y - 0.016 + gaze_y),
        iris_radius=0.084 * identity.eye_size,
    )


def mouth_of(identity: Identity, expression: Expression) -> Mouth:
    """The mouth as four curves over u = -1..1 from corner to corner.

    The lip line bends with the corners (AU12 up, AU15 down, AU20 out), the inner curves part
    with AU10, AU16, AU25 and AU26, and the lips thin with AU12, AU23 and AU24.
    """
    u = np.linspace(-1.0, 1.0, 25)
    bulge = 1 - u**2
    au = expression.action_units
    corners = []
    for side in (-1, 1):
        s = expression.side(side)
        out = 1 + 0.30 * s.au12 + 0.36 * s.au20 - 0.10 * s.au23 - 0.34 * s.au18
        out -= 0.16 * s.au26 * (1 - 0.8 * min(1.0, s.au12 + s.au20)) + 0.04 * s.au24
        down = identity.mouth_corner - 0.125 * s.au12 + 0.105 * s.au15 + 0.035 * s.au20
        down += 0.015 * s.au17 + 0.05 * s.au26
        corners.append((0.265 * identity.mouth_width * out, down))
    width = np.where(u < 0, corners[0][0], corners[1][0])
    corner = np.where(u < 0, corners[0][1], corners[1][1])
    line = MOUTH_Y + corner * np.abs(u) ** 1.7
    line = line - (0.06 * au.au10 + 0.03 * au.au17 + 0.02 * au.au9) * bulge
    part = min(1.0, au.au25 + au.au26)
    up = 0.012 * au.au25 + part * (0.055 * au.au10 + 0.025 * au.au12) + 0.02 * au.au26
    down = 0.055 * au.au25 + 0.25 * au.au26 + 0.05 * au.au16 * part + 0.03 * part * au.au12
    down *= 1 - 0.5 * min(1.0, au.au24)
    square = 0.5 + 0.35 * (1 - min(1.0, au.au16 + au.au20 + au.au12))  # shouting is squarer
    upper_inner = line - up * bulge**square
    lower_inner = line + down * bulge**square + 0.003
    full = identity.lip_fullness * (1 - 0.45 * min(1.0, au.au23)) * (1 - 0.6 * min(1.0, au.au24))
    full *= 1 - 0.15 * au.au20
    pout = 1 + 0.3 * au.au18
    cupid = 1 - 0.22 * np.exp(-((u / 0.13) ** 2)) - 0.25 * np.abs(u) ** 3
    upper_lip = 0.062 * full * (1 - 0.3 * au.au12) * pout * cupid * bulge**0.7
    lower_lip = 0.078 * full * (1 - 0.2 * au.au12 - 0.2 * au.au16) * pout * bulge**0.8
    lower_lip = lower_lip * (1 + 0.25 * au.au17)
    x = width * u

    def curve(y: npt.NDArray[np.float64]) -> Points:
        return np.stack([x, y], axis=1)

    return Mouth(
        upper_outer=curve(upper_inner - upper_lip),
        upper_inner=curve(upper_inner),
        lower_inner=curve(lower_inner),
        lower_outer=curve(lower_inner + lower_lip),
        upper_teeth=0.075 * min(1.0, 0.45 + au.au12 + au.au10 + 0.4 * au.au20),
        lower_teeth=0.05 * min(1.0, 1.3 * au.au16 + 0.6 * au.au20),
    )
