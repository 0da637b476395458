"""Facial expressions as action units (FACS), the language in which the synthetic faces move.

Each of the seven labels is a handful of variants: which action units fire, and how strongly, when
the expression is fully shown. The prototypes follow the usual EMFACS descriptions (happiness
AU6+12, sadness AU1+4+15, surprise AU1+2+5+26, fear AU1+2+4+5+7+20+26, anger AU4+5+7+23/24, disgust
AU9+10+15/16). A drawn face then differs from its prototype in four ways, and these four are what
makes the set hard rather than a lookup: intensity, a trace of a second expression, movements that
mean nothing (speech, a blink, a raised brow) and a small share of faces half way between two
labels.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType

import numpy as np

from edge_arm.runtime.errors import DataError

# Share of faces drawn half way between their label and a neighbouring one. The label of such a
# face is one of the two by decree, as it is when human annotators disagree, so no classifier can
# be right on much more than half of them.
AMBIGUOUS_SHARE = 0.05
# Share of the other faces with a trace of a second expression, too weak to change the label.
BLEND_SHARE = 0.2


@dataclass(frozen=True)
class ActionUnits:
    """Strengths of the action units, 0 (at rest) to 1 (as far as this face goes).

    Values a little over 1 are drawable; the field names are FACS numbers.
    """

    au1: float = 0.0  # inner brow raiser
    au2: float = 0.0  # outer brow raiser
    au4: float = 0.0  # brow lowerer
    au5: float = 0.0  # upper lid raiser
    au6: float = 0.0  # cheek raiser
    au7: float = 0.0  # lid tightener
    au9: float = 0.0  # nose wrinkler
    au10: float = 0.0  # upper lip raiser
    au12: float = 0.0  # lip corner puller
    au15: float = 0.0  # lip corner depressor
    au16: float = 0.0  # lower lip depressor
    au17: float = 0.0  # chin raiser
    au18: float = 0.0  # lip pucker
    au20: float = 0.0  # lip stretcher
    au23: float = 0.0  # lip tightener
    au24: float = 0.0  # lip pressor
    au25: float = 0.0  # lips part
    au26: float = 0.0  # jaw drop
    au43: float = 0.0  # eyes closed

    def scaled(self, factor: float) -> "ActionUnits":
        """The same movement, `factor` times as strong."""
        return ActionUnits(*(getattr(self, f.name) * factor for f in fields(self)))

    def strongest(self, other: "ActionUnits") -> "ActionUnits":
        """Both movements at once: muscles do not add up, so the stronger pull of each wins."""
        return ActionUnits(
            *(max(getattr(self, f.name), getattr(other, f.name)) for f in fields(self))
        )


@dataclass(frozen=True)
class Expression:
    """What a face does at one moment.

    `asymmetry` is -1..1: the share by which the image-right half moves more than the left.
    `gaze_x` and `gaze_y` are -1..1, positive to the image's right and down.
    """

    action_units: ActionUnits
    asymmetry: float = 0.0
    gaze_x: float = 0.0
    gaze_y: float = 0.0

    def side(self, side: int) -> ActionUnits:
        """The action units of one half of the face, -1 for image left and 1 for image right."""
        return self.action_units.scaled(1.0 + side * self.asymmetry)


@dataclass(frozen=True)
class _Variant:
    """One way to show an expression: its weight among the variants, ranges at full strength."""

    weight: float
    ranges: Mapping[str, tuple[float, float]]


_PROTOTYPES: Mapping[str, tuple[_Variant, ...]] = MappingProxyType(
    {
        "surprise": (
            _Variant(
                0.75,
                {
                    "au1": (0.7, 1.0),
                    "au2": (0.7, 1.0),
                    "au5": (0.5, 1.0),
                    "au25": (0.4, 0.9),
                    "au26": (0.5, 1.0),
                },
            ),
            _Variant(
                0.25,
                {
                    "au1": (0.8, 1.0),
                    "au2": (0.8, 1.0),
                    "au5": (0.6, 1.0),
                    "au25": (0.2, 0.6),
                    "au26": (0.2, 0.5),
                    "au18": (0.0, 0.4),
                },
            ),
        ),
        "fear": (
            _Variant(
                1.0,
                {
                    "au1": (0.7, 1.0),
                    "au2": (0.2, 0.5),
                    "au4": (0.5, 0.8),
                    "au5": (0.7, 1.0),
                    "au7": (0.2, 0.5),
                    "au20": (0.6, 1.0),
                    "au25": (0.4, 0.9),
                    "au26": (0.1, 0.5),
                },
            ),
        ),
        "disgust": (
            _Variant(
                0.6,
                {
                    "au4": (0.2, 0.6),
                    "au7": (0.3, 0.7),
                    "au9": (0.7, 1.0),
                    "au10": (0.6, 1.0),
                    "au15": (0.2, 0.6),
                    "au17": (0.2, 0.8),
                },
            ),
            _Variant(
                0.4,
                {
                    "au4": (0.2, 0.6),
                    "au6": (0.1, 0.4),
                    "au7": (0.3, 0.7),
                    "au9": (0.7, 1.0),
                    "au10": (0.6, 1.0),
                    "au16": (0.4, 0.9),
                    "au25": (0.4, 0.8),
                    "au26": (0.0, 0.3),
                },
            ),
        ),
        "happiness": (
            _Variant(
                0.7,
                {
                    "au6": (0.5, 1.0),
                    "au12": (0.7, 1.0),
                    "au25": (0.4, 1.0),
                    "au26": (0.0, 0.4),
                },
            ),
            _Variant(0.3, {"au6": (0.2, 0.8), "au12": (0.6, 1.0)}),
        ),
        "sadness": (
            _Variant(
                0.7,
                {
                    "au1": (0.6, 1.0),
                    "au4": (0.4, 0.8),
                    "au15": (0.6, 1.0),
                    "au17": (0.1, 0.7),
                    "au43": (0.0, 0.3),
                },
            ),
            _Variant(
                0.3,
                {
                    "au1": (0.6, 1.0),
                    "au4": (0.5, 0.9),
                    "au6": (0.2, 0.6),
                    "au7": (0.2, 0.6),
                    "au15": (0.5, 1.0),
                    "au20": (0.0, 0.4),
                    "au25": (0.2, 0.6),
                    "au43": (0.0, 0.6),
                },
            ),
        ),
        "anger": (
            _Variant(
                0.65,
                {
                    "au4": (0.8, 1.0),
                    "au5": (0.2, 0.7),
                    "au7": (0.4, 0.9),
                    "au17": (0.0, 0.5),
                    "au23": (0.4, 1.0),
                    "au24": (0.4, 1.0),
                },
            ),
            _Variant(
                0.35,
                {
                    "au4": (0.8, 1.0),
                    "au5": (0.3, 0.8),
                    "au7": (0.4, 0.9),
                    "au10": (0.2, 0.6),
                    "au16": (0.4, 0.9),
                    "au23": (0.3, 0.7),
                    "au25": (0.5, 1.0),
                    "au26": (0.2, 0.7),
                },
            ),
        ),
        "neutral": (_Variant(1.0, {}),),
    }
)

# Which labels people mistake for each other: a trace of the second is added to the first.
_NEIGHBOURS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "surprise": ("fear", "happiness", "neutral"),
        "fear": ("surprise", "sadness"),
        "disgust": ("anger", "sadness", "neutral"),
        "happiness": ("neutral", "surprise"),
        "sadness": ("neutral", "fear", "disgust"),
        "anger": ("disgust", "neutral", "sadness"),
        "neutral": ("sadness", "happiness", "anger", "surprise"),
    }
)


def full_expression(rng: np.random.Generator, label: str) -> ActionUnits:
    """Draw one fully shown variant of `label`.

    Raises:
        DataError: `label` is not one of the seven.
    """
    if label not in _PROTOTYPES:
        raise DataError(
            f"got the expression {label!r}, expected one of {', '.join(_PROTOTYPES)}; "
            "use one of these names"
        )
    variants = _PROTOTYPES[label]
    weights = [variant.weight for variant in variants]
    variant = variants[int(rng.choice(len(variants), p=weights))]
    return ActionUnits(**{name: float(rng.uniform(*r)) for name, r in variant.ranges.items()})


def sample_expression(rng: np.random.Generator, label: str) -> Expression:
    """Draw the expression of one photograph labelled `label`, with all that blurs it.

    Low intensities are common on purpose: RAF-DB's faces are mostly spontaneous, and a set of
    posed extremes is solved to 100 % by any network.
    """
    full = full_expression(rng, label)
    neighbour = str(rng.choice(_NEIGHBOURS[label]))
    second = full_expression(rng, neighbour)
    intensity = 0.5 + 0.5 * float(rng.beta(2.0, 1.2))
    kind = float(rng.random())
    if kind < AMBIGUOUS_SHARE:
        share = float(rng.uniform(0.42, 0.58))
        action_units = full.scaled(share * 0.9).strongest(second.scaled((1.0 - share) * 0.9))
    elif kind < AMBIGUOUS_SHARE + (1.0 - AMBIGUOUS_SHARE) * BLEND_SHARE:
        trace = float(rng.uniform(0.1, 0.25))
        action_units = full.scaled(intensity).strongest(second.scaled(trace))
    else:
        action_units = full.scaled(intensity)
    return Expression(
        action_units.strongest(_meaningless_movement(rng)),
        asymmetry=float(np.clip(rng.normal(0.0, 0.1), -0.35, 0.35)),
        gaze_x=float(np.clip(rng.normal(0.0, 0.3), -1.0, 1.0)),
        gaze_y=float(np.clip(rng.normal(0.0, 0.2) + 0.3 * (label == "sadness"), -1.0, 1.0)),
    )


def _meaningless_movement(rng: np.random.Generator) -> ActionUnits:
    """Muscle tone everywhere, and now and then speech, a blink or a raised brow."""
    tone = np.abs(rng.normal(0.0, 0.04, len(fields(ActionUnits))))
    movement = ActionUnits(*(float(value) for value in tone))
    speech, brow, blink = rng.random(3)
    size = float(rng.uniform(0.1, 0.4))
    if speech < 0.12:
        movement = movement.strongest(ActionUnits(au18=size * 0.6, au25=size, au26=size * 0.5))
    if brow < 0.06:
        movement = movement.strongest(ActionUnits(au1=size * 0.7, au2=size))
    if blink < 0.03:
        movement = movement.strongest(ActionUnits(au43=0.3 + size))
    return movement
