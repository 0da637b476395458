"""Folds, hollows and highlights of the skin: where action units show besides brows, eyes, mouth.

Each group below names the action units that make it. Old skin folds deeper and keeps part of its
folds at rest, which is one of the honest confusions of the set: lines are no proof of expression.
"""

import numpy as np

from edge_arm.data.action_units import Expression
from edge_arm.data.face_canvas import Plane, Relief
from edge_arm.data.face_geometry import EYE_Y, MOUTH_Y, Points, View, chin_drop, smooth
from edge_arm.data.face_parameters import Identity

_SIDES = (-1, 1)


def skin_relief(identity: Identity, expression: Expression, view: View) -> Plane:
    """Log brightness (H, W) of the skin under even light."""
    relief = Relief(view)
    _bones(relief, identity, expression)
    _forehead(relief, identity, expression)
    _around_the_eyes(relief, identity, expression)
    _nose(relief, identity, expression)
    _cheeks(relief, identity, expression)
    _chin(relief, identity, expression)
    return relief.rendered()


def _mirrored(controls: list[tuple[float, float]], side: int) -> Points:
    return smooth(controls, steps=4) * [side, 1.0]


def _fold_depth(identity: Identity, strength: float, resting: float) -> float:
    """Depth of a fold: deeper with age, and `resting` of it stays when nothing moves."""
    return float(strength * (0.55 + 0.6 * identity.age) + resting * max(0.0, identity.age - 0.2))


def _bones(relief: Relief, identity: Identity, expression: Expression) -> None:
    for side in _SIDES:
        relief.blob((0.33 * side, -0.29), (0.17, 0.08), -0.14)
        relief.blob((0.70 * side * identity.face_width, -0.55), (0.10, 0.22), -0.14)
        relief.blob((0.60 * side, 0.55), (0.16, 0.28), -0.12)
    relief.blob((0.0, -0.68), (0.32, 0.14), 0.08)
    drop = chin_drop(expression.action_units)
    relief.blob((0.0, 0.70 + drop), (0.15, 0.035), -0.2)
    relief.blob((0.0, 0.83 + drop), (0.13, 0.08), 0.09)


def _forehead(relief: Relief, identity: Identity, expression: Expression) -> None:
    """AU1 wrinkles the middle, AU2 the sides, AU4 draws the brows into furrows."""
    for row, y in enumerate((-0.63, -0.71, -0.79)):
        weight = 1.0 - 0.15 * row
        middle = expression.action_units.au1 * weight
        depth = _fold_depth(identity, 0.75 * middle, 0.35)
        relief.fold(smooth([(-0.24, y + 0.02), (0.0, y), (0.24, y + 0.02)]), depth)
        for side in _SIDES:
            outer = expression.side(side).au2 * weight
            depth = _fold_depth(identity, 0.7 * outer, 0.25)
            line = [(0.22, y + 0.02), (0.40, y - 0.01), (0.56, y + 0.06)]
            relief.fold(_mirrored(line, side), depth)
    for side in _SIDES:
        au = expression.side(side)
        furrow = _fold_depth(identity, 0.95 * au.au4, 0.3)
        relief.fold(_mirrored([(0.055, -0.55), (0.045, -0.46), (0.06, -0.37)], side), furrow)
        relief.blob((0.12 * side, -0.40), (0.07, 0.06), -0.22 * au.au4)
    relief.blob((0.0, -0.45), (0.06, 0.08), -0.12 * expression.action_units.au4)


def _around_the_eyes(relief: Relief, identity: Identity, expression: Expression) -> None:
    """AU5 bares the lid, AU6 makes crow's feet and lifts the cheek, AU7 tightens below."""
    centre = 0.345 * identity.eye_spacing
    for side in _SIDES:
        au = expression.side(side)
        crease_y = EYE_Y - 0.125 - 0.03 * au.au5 + 0.03 * au.au4
        crease = [(centre - 0.13, crease_y + 0.05), (centre, crease_y), (centre + 0.17, -0.25)]
        relief.fold(_mirrored(crease, side), identity.lid_crease * 0.6 * (1 - 0.5 * au.au4))
        bag_y = EYE_Y + 0.115 - 0.025 * au.au6
        bag = [(centre - 0.14, bag_y - 0.03), (centre, bag_y), (centre + 0.13, bag_y - 0.04)]
        depth = _fold_depth(identity, 0.75 * max(au.au6, 0.75 * au.au7), 0.4)
        relief.fold(_mirrored(bag, side), depth)
        relief.blob((centre * side, bag_y), (0.12, 0.035), -0.08 - 0.12 * identity.age)
        feet = _fold_depth(identity, 0.8 * au.au6, 0.3)
        for tilt in (-0.09, 0.0, 0.08):
            start = (centre + 0.19, EYE_Y + 0.25 * tilt)
            end = (centre + 0.31, EYE_Y - 0.01 + 1.1 * tilt)
            middle = ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2 + 0.01)
            relief.fold(_mirrored([start, middle, end], side), feet, width=0.016)


def _nose(relief: Relief, identity: Identity, expression: Expression) -> None:
    """AU9 wrinkles the root and lifts the wings; the rest is the nose itself."""
    width, base = identity.nose_width, 0.215 * identity.nose_length
    lift = 0.065 * expression.action_units.au9 + 0.02 * expression.action_units.au10
    relief.blob((0.0, -0.06), (0.03, 0.16), 0.13)
    relief.blob((0.0, base - 0.07 - 0.3 * lift), (0.05 * width, 0.04), 0.16)
    relief.blob((0.0, base + 0.04), (0.11 * width, 0.025), -0.22)
    for side in _SIDES:
        au = expression.side(side)
        relief.blob((0.095 * side * width, 0.02), (0.035, 0.14), -0.14)
        relief.blob((0.07 * side, -0.24), (0.035, 0.08), -0.15)
        wing = [
            (0.10 * width, base - 0.075 - lift),
            (0.145 * width, base - 0.02 - lift),
            (0.105 * width, base + 0.02 - 0.7 * lift),
        ]
        relief.fold(_mirrored(wing, side), 0.5 + 0.3 * au.au9, width=0.024)
        wrinkle = _fold_depth(identity, 1.1 * au.au9, 0.0)
        for step in range(3):
            y = -0.27 + 0.075 * step
            line = [(0.015, y - 0.015), (0.06, y), (0.115, y + 0.045)]
            relief.fold(_mirrored(line, side), wrinkle)
        relief.blob((0.07 * side, -0.17), (0.05, 0.07), -0.22 * au.au9)


def _cheeks(relief: Relief, identity: Identity, expression: Expression) -> None:
    """AU6 and AU12 round the cheek; AU9, AU10, AU12 and AU20 draw the fold beside the mouth."""
    for side in _SIDES:
        au = expression.side(side)
        raised = max(au.au6, 0.7 * au.au12)
        relief.blob((0.42 * side, 0.09 - 0.06 * raised), (0.15, 0.10), 0.09 + 0.17 * raised)
        relief.blob((0.45 * side, 0.28), (0.14, 0.07), -0.10 * raised)
        out = 0.11 * au.au12 + 0.07 * au.au20
        top = 0.16 - 0.05 * au.au9 - 0.03 * au.au10
        controls = [
            (0.155 * identity.nose_width, top),
            (0.25 + 0.5 * out + 0.03 * au.au10, 0.27 - 0.04 * au.au12),
            (0.325 + out, 0.41 - 0.02 * au.au12),
            (0.345 + out - 0.02 * au.au15, 0.53 + 0.05 * au.au26),
        ]
        pull = max(0.85 * au.au12, 0.85 * au.au10, 0.7 * au.au9, 0.4 * au.au20, 0.3 * au.au15)
        depth = _fold_depth(identity, pull, 0.65)
        relief.fold(_mirrored(controls, side), 0.8 * depth, width=0.03)
        relief.fold(_mirrored(controls, side), 0.9 * depth, width=0.07, soft=True)
        relief.blob((0.5 * side, 0.45), (0.09, 0.17), -0.16 * au.au26 - 0.08 * au.au20)


def _chin(relief: Relief, identity: Identity, expression: Expression) -> None:
    """AU15 draws lines down from the corners, AU17 dimples the chin, AU20 stretches beside it."""
    drop = chin_drop(expression.action_units)
    for side in _SIDES:
        au = expression.side(side)
        corner_y = MOUTH_Y + 0.105 * au.au15 + identity.mouth_corner
        line = [(0.255, corner_y + 0.02), (0.29, corner_y + 0.08), (0.30, corner_y + 0.15)]
        relief.fold(_mirrored(line, side), _fold_depth(identity, 0.8 * au.au15, 0.35), width=0.03)
        relief.blob((0.30 * side, corner_y + 0.05), (0.05, 0.06), -0.15 * au.au15)
        stretched = _fold_depth(identity, 0.6 * au.au20, 0.0)
        for step in range(2):
            x = 0.40 + 0.07 * step
            stretch = [(x, 0.45), (x + 0.03, 0.56), (x + 0.01, 0.68)]
            relief.fold(_mirrored(stretch, side), stretched)
    boss = expression.action_units.au17
    arc = smooth([(-0.13, 0.735 + drop), (0.0, 0.69 + drop), (0.13, 0.735 + drop)])
    relief.fold(arc, 0.8 * boss, width=0.03)
    for x, y in np.array([(-0.06, 0.80), (0.05, 0.79), (0.0, 0.86), (-0.09, 0.87), (0.1, 0.86)]):
        relief.blob((float(x), float(y) + drop), (0.018, 0.018), -0.25 * boss)
