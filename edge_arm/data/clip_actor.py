"""What one person of a clip does: where they move, what their face shows, when they blink.

Everything is a smooth function of time, decided once by a generator, so a clip may have any frame
rate and any frame may be asked for first.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass, fields

import numpy as np

from edge_arm.data.action_units import ActionUnits, Expression, full_expression
from edge_arm.runtime.labels import RAFDB

# Steps in which a transition is drawn, and strengths of a held expression: each is drawn once.
_STEPS = 6
_STRENGTHS = (0.85, 0.92, 1.0)
_HOLD_S = (1.6, 3.2)
_BLINK_S = 0.16
_BETWEEN_BLINKS_S = (2.5, 5.0)
# Periods of what moves to and fro, in seconds; each person's differ a little.
_PERIODS_S = {
    "wander x": 5.3,
    "step x": 3.1,
    "wander y": 4.1,
    "step y": 2.3,
    "near": 6.7,
    "tilt": 3.7,
    "tremor x": 0.31,
    "tremor y": 0.23,
}
# Away from the place, out of the frame, and back.
_WALK_S, _AWAY_S = 1.1, 0.8
_SHORTEST_WITH_A_WALK_S = 8.0


@dataclass(frozen=True)
class Place:
    """The part of the frame in which a person moves, in pixels.

    Attributes:
        x: of the middle.
        y: of the middle.
        sway_x: how far the face's middle goes to each side.
        sway_y: how far it goes up and down.
        face_px: largest side of the aligned face.
        exit_x: where the face's middle is when the person has left; None if they stay.
    """

    x: float
    y: float
    sway_x: float
    sway_y: float
    face_px: float
    exit_x: float | None


@dataclass(frozen=True)
class Position:
    """Where a face is: the middle of the aligned face, its side, and the turn in the picture."""

    x: float
    y: float
    face_px: float
    roll_deg: float


@dataclass(frozen=True)
class Showing:
    """What a face shows: one drawing, and the truth about it.

    Attributes:
        expression: as it is drawn; few different ones, so that each need be drawn only once.
        label: canonical name; in a transition the nearer end.
        in_transition: it is on the way from one label to another.
    """

    expression: Expression
    label: str
    in_transition: bool


@dataclass(frozen=True)
class _Segment:
    """An expression from the moment at which a face begins to move towards it."""

    start_s: float
    label: str
    units: ActionUnits
    asymmetry: float
    gaze_x: float


class Actor:
    """One person's part.

    Args:
        place: to move in.
        seconds: length of the clip.
        transition_s: that a change of expression takes.
        rng: decides everything else.
    """

    def __init__(
        self, place: Place, *, seconds: float, transition_s: float, rng: np.random.Generator
    ) -> None:
        self._place = place
        self._transition_s = transition_s
        self._segments = _segments(seconds, transition_s, rng)
        self._starts = [segment.start_s for segment in self._segments]
        self._blinks = np.cumsum(rng.uniform(*_BETWEEN_BLINKS_S, int(seconds / 2.5) + 2)).tolist()
        count = len(_PERIODS_S)
        phases = rng.uniform(0.0, 2.0 * math.pi, count).tolist()
        self._phases = dict(zip(_PERIODS_S, phases, strict=True))
        periods_s = (rng.uniform(0.8, 1.25, count) * list(_PERIODS_S.values())).tolist()
        self._periods_s = dict(zip(_PERIODS_S, periods_s, strict=True))
        self._leaves_s = math.inf
        if place.exit_x is not None and seconds >= _SHORTEST_WITH_A_WALK_S:
            # Those at the left go in the first half of the clip, those at the right in the second.
            half_s = 0.0 if place.exit_x < 0.0 else 0.5 * seconds
            latest_s = 0.5 * seconds - 2.0 * _WALK_S - _AWAY_S
            self._leaves_s = half_s + float(rng.uniform(0.5 * latest_s, latest_s))

    def position(self, time_s: float) -> Position:
        """Where the face is."""
        place = self._place
        wide = 0.7 * self._wave("wander x", time_s) + 0.3 * self._wave("step x", time_s)
        high = 0.7 * self._wave("wander y", time_s) + 0.3 * self._wave("step y", time_s)
        face_px = place.face_px * (0.86 + 0.14 * self._wave("near", time_s))
        # Nobody holds still: a tremor of less than a hundredth of the face.
        tremor = 0.006 * face_px
        x = place.x + place.sway_x * wide + tremor * self._wave("tremor x", time_s)
        y = place.y + place.sway_y * high + tremor * self._wave("tremor y", time_s)
        if place.exit_x is not None:
            x += (place.exit_x - x) * self._walked(time_s)
        return Position(x, y, face_px, 3.5 * self._wave("tilt", time_s))

    def brightness(self, time_s: float) -> float:
        """Of the light on this person, about 1: they move through a room with several lamps."""
        return 1.0 + 0.05 * self._wave("step x", 0.7 * time_s)

    def showing(self, time_s: float) -> Showing:
        """What the face shows."""
        number = max(bisect_right(self._starts, time_s) - 1, 0)
        segment = self._segments[number]
        passed_s = time_s - segment.start_s
        if number > 0 and passed_s < self._transition_s:
            before = self._segments[number - 1]
            share = passed_s / self._transition_s
            label = segment.label if share >= 0.5 else before.label
            step = math.floor(share * _STEPS + 0.5) / _STEPS
            return Showing(_between(before, segment, step), label, True)
        strength = _STRENGTHS[int(1.4999 * (1.0 + self._wave("near", 3.0 * time_s)))]
        units = segment.units.scaled(strength)
        units = units.strongest(ActionUnits(au43=self._blink(time_s)))
        expression = Expression(units, segment.asymmetry, segment.gaze_x)
        return Showing(expression, segment.label, False)

    def _wave(self, name: str, time_s: float) -> float:
        """-1..1."""
        return math.sin(2.0 * math.pi * time_s / self._periods_s[name] + self._phases[name])

    def _walked(self, time_s: float) -> float:
        """0 at the place, 1 out of the frame."""
        passed_s = time_s - self._leaves_s
        there = min(max(passed_s / _WALK_S, 0.0), 1.0)
        back = min(max((passed_s - _WALK_S - _AWAY_S) / _WALK_S, 0.0), 1.0)
        return _eased(there) - _eased(back)

    def _blink(self, time_s: float) -> float:
        """AU43: closing, closed, opening."""
        for start_s in self._blinks:
            if 0.0 <= time_s - start_s < _BLINK_S:
                return (0.5, 1.0, 0.5)[int(3.0 * (time_s - start_s) / _BLINK_S)]
        return 0.0


def _segments(
    seconds: float, transition_s: float, rng: np.random.Generator
) -> tuple[_Segment, ...]:
    """Neutral at first, then one label after another, never the same twice in a row."""
    segments: list[_Segment] = []
    start_s, label = 0.0, "neutral"
    while start_s < seconds:
        units = full_expression(rng, label)
        asymmetry = float(np.clip(rng.normal(0.0, 0.06), -0.15, 0.15))
        gaze_x = float(np.clip(rng.normal(0.0, 0.2), -0.5, 0.5))
        segments.append(_Segment(start_s, label, units, asymmetry, gaze_x))
        start_s += transition_s + float(rng.uniform(*_HOLD_S))
        label = str(rng.choice([name for name in RAFDB.classes if name != label]))
    return tuple(segments)


def _between(before: _Segment, after: _Segment, share: float) -> Expression:
    """Every action unit on its way from one expression to the next."""
    mixed = ActionUnits(
        *(
            (1.0 - share) * getattr(before.units, field.name)
            + share * getattr(after.units, field.name)
            for field in fields(ActionUnits)
        )
    )
    return Expression(
        mixed,
        before.asymmetry + share * (after.asymmetry - before.asymmetry),
        before.gaze_x + share * (after.gaze_x - before.gaze_x),
    )


def _eased(share: float) -> float:
    """0..1 without a jerk at either end."""
    return share * share * (3.0 - 2.0 * share)
