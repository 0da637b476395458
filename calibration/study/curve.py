"""How many faces are needed: ranges and answers of bootstrap draws, size by size.

A draw takes as many blocks of the pool as make its size, with replacement, as if other faces had
been collected (B. Efron, R. J. Tibshirani, An Introduction to the Bootstrap, 1993, chapter 6). How
much its ranges differ from draw to draw is how much they are chance.

The agreement is measured, not derived: the INT8 model of some draws answers the held-out faces.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np

from edge_arm.calibration.study.blocks import BLOCK_FACES, FaceBlocks
from edge_arm.calibration.study.subject import HeldOut, Studied


@dataclass(frozen=True)
class Draws:
    """How many draws of each size.

    Attributes:
        ranges: whose ranges are chosen.
        answers: of these, whose INT8 model answers the held-out faces.
    """

    ranges: int = 20
    answers: int = 3


@dataclass(frozen=True)
class Size:
    """What calibrations with one number of faces come to.

    Attributes:
        num_faces: of each draw.
        spread: standard deviation of a scale over the draws by its mean, by tensor.
        relative: mean of a scale over the draws by the scale of the whole pool, by tensor.
        agreements: with FP32 on the held-out faces, 0..1, of the draws that answered.
        mean_kls: of the same draws, in nats.
    """

    num_faces: int
    spread: dict[str, float]
    relative: dict[str, float]
    agreements: tuple[float, ...]
    mean_kls: tuple[float, ...]

    @property
    def agreement(self) -> float:
        """Mean over the draws."""
        return float(np.mean(self.agreements))

    @property
    def median_spread(self) -> float:
        """Of the tensor in the middle."""
        return float(np.median(list(self.spread.values())))

    @property
    def median_relative(self) -> float:
        """Of the tensor in the middle."""
        return float(np.median(list(self.relative.values())))

    @property
    def worst(self) -> str:
        """The tensor whose scale varies most."""
        return max(self.spread, key=lambda name: self.spread[name])


@dataclass(frozen=True)
class Curve:
    """The answer.

    Attributes:
        sizes: rising.
        held_out: faces that were answered.
        pool: faces that were drawn from.
    """

    sizes: tuple[Size, ...]
    held_out: int
    pool: int

    @property
    def tolerance(self) -> float:
        """Standard error of the largest size's agreement: what so few faces cannot tell apart."""
        share = self.sizes[-1].agreement
        # One face at least, or an agreement of 1 would call every other one worse.
        return max(sqrt(share * (1 - share) / self.held_out), 1 / self.held_out)

    @property
    def enough(self) -> int:
        """The smallest size from which on no agreement is farther below the last than that."""
        goal = self.sizes[-1].agreement - self.tolerance
        found = self.sizes[-1].num_faces
        for size in reversed(self.sizes):
            if size.agreement < goal - 1e-12:
                break
            found = size.num_faces
        return found


def sizes_of(num_faces: int) -> tuple[int, ...]:
    """16, 32, 64 and so on, up to the pool.

    Args:
        num_faces: in the pool.
    """
    sizes = []
    size = BLOCK_FACES
    while size <= num_faces:
        sizes.append(size)
        size *= 2
    return tuple(sizes)


def faces_curve(
    studied: Studied,
    pool: FaceBlocks,
    held_out: HeldOut,
    *,
    draws: Draws,
    seed: int,
    progress: Callable[[int], None],
) -> Curve:
    """Calibrate with draws of every size.

    Args:
        studied: the model.
        pool: to draw from.
        held_out: to answer.
        draws: how many.
        seed: of the draws.
        progress: called with the number of faces answered since the last call.

    Raises:
        CalibrationError: if a draw gives no usable range or model.
    """
    whole = studied.ranges(pool.merged(range(len(pool.blocks))))
    sizes = []
    for num_faces in sizes_of(len(pool.faces)):
        generator = np.random.default_rng([seed, num_faces])
        found: list[dict[str, float]] = []
        agreements, kls = [], []
        for number in range(draws.ranges):
            chosen = generator.integers(0, len(pool.blocks), num_faces // BLOCK_FACES)
            ranges = studied.ranges(pool.merged(chosen.tolist()))
            found.append(ranges)
            if number < draws.answers:
                judged = held_out.judged(studied.int8(ranges))
                agreements.append(judged.agreement)
                kls.append(judged.mean_kl)
                progress(len(held_out.faces))
        sizes.append(_size(num_faces, found, whole=whole, answers=(agreements, kls)))
    return Curve(tuple(sizes), len(held_out.faces), len(pool.faces))


def _size(
    num_faces: int,
    found: Sequence[dict[str, float]],
    *,
    whole: dict[str, float],
    answers: tuple[list[float], list[float]],
) -> Size:
    by_tensor = {name: np.array([ranges[name] for ranges in found]) for name in whole}
    agreements, kls = answers
    return Size(
        num_faces=num_faces,
        # An amax and its scale differ by the factor 127, so their relative spread is the same.
        spread={
            name: float(values.std(ddof=1) / values.mean()) for name, values in by_tensor.items()
        },
        relative={name: float(values.mean() / whole[name]) for name, values in by_tensor.items()},
        agreements=tuple(agreements),
        mean_kls=tuple(kls),
    )
