"""What a set of faces can show at all, and how many faces would decide.

Both answers are probabilities of Tango's test (tango.py) summed exactly over the trinomial tables,
not the usual normal formula, which is far off where a set has five discordant faces. Up to 100
discordant faces the exact test decides, which asks a little more: a promised 80 % is 74 to 86 %
then (docs/statistics.md has the simulation). The rates they start from are known much less well.

Letters: n faces, w discordance (share of faces that exactly one model gets right), M likely
numbers of discordant faces.
"""

from __future__ import annotations

import numpy as np

from edge_arm.runtime.errors import UsageError
from edge_arm.runtime.statistics.binomial import (
    boundary_tails,
    likely_trials,
    log_binomial_pmf,
)
from edge_arm.runtime.statistics.interval import normal_quantile
from edge_arm.runtime.statistics.paired import PairedCounts
from edge_arm.runtime.statistics.tango import pass_boundary

MAX_FACES = 1_000_000
"""`faces_needed` gives up beyond this: nobody labels more, and the answer is "not like this"."""


def _probability_at_most(
    num_faces: int, discordance: float, drop: float, *, margin: float, statistic: float
) -> float:
    """P(T(margin) <= statistic) when the true drop and discordance are these."""
    first, last = likely_trials(num_faces, discordance, discordance)
    boundary = pass_boundary(first, last, num_faces, drop=margin, statistic=statistic)
    m = np.arange(first, last + 1)
    weights = np.exp(log_binomial_pmf(m, num_faces, discordance))  # (M,)
    share = 0.5 if discordance == 0 else (discordance + drop) / (2 * discordance)
    tails = boundary_tails(first, boundary, np.clip(np.array([share]), 0.0, 1.0))[0]  # (M,)
    return min(1.0, float(weights @ tails))


def pass_probability(
    num_faces: int, discordance: float, drop: float, *, margin: float, confidence: float = 0.95
) -> float:
    """How often a set of n faces shows that the drop is below the margin.

    Args:
        num_faces: n.
        discordance: true share of faces that exactly one model gets right, 0..1.
        drop: true drop, at most `discordance` in size.
        margin: of the gate.
        confidence: of the gate, two-sided.

    Returns:
        Probability of PASS, 0..1.
    """
    z = normal_quantile(confidence)
    return _probability_at_most(num_faces, discordance, drop, margin=margin, statistic=-z)


def fail_probability(
    num_faces: int, discordance: float, drop: float, *, margin: float, confidence: float = 0.95
) -> float:
    """How often a set of n faces shows that the drop is at least the margin.

    Args:
        num_faces: n.
        discordance: true share of faces that exactly one model gets right, 0..1.
        drop: true drop, at most `discordance` in size.
        margin: of the gate.
        confidence: of the gate, two-sided.

    Returns:
        Probability of FAIL, 0..1.
    """
    z = normal_quantile(confidence)
    return 1.0 - _probability_at_most(num_faces, discordance, drop, margin=margin, statistic=z)


def _estimated_discordance(num_faces: int, num_discordant: int) -> float:
    # (m + 1/2) / (n + 1): the mean under Jeffreys' prior. No disagreement among n faces does not
    # mean that there is none, and a rate of zero would make every question below trivially easy.
    return (num_discordant + 0.5) / (num_faces + 1)


def _check_power(power: float) -> None:
    if not 0.5 <= power < 1.0:
        raise UsageError(f"power is {power!r}, expected from 0.5 to below 1; write 80 % as 0.8")


def minimum_detectable_drop(
    num_faces: int, num_discordant: int, *, confidence: float = 0.95, power: float = 0.8
) -> float:
    """The smallest margin that this set could certify, if the candidate were as good.

    Precisely: the smallest margin at which a set of n faces passes with probability `power` when
    the true drop is zero and the models disagree as often as they did here. A gate below it will
    mostly end in CANNOT_TELL, however good the candidate is. It depends on the data only through
    the disagreement, not through the drop that was observed.

    The rate of disagreement is taken as (m + 1/2) / (n + 1), so that it is never zero: with no
    disagreement at all among n faces the answer is about 5 / n.

    Args:
        num_faces: n, at least 1.
        num_discordant: m, faces that exactly one model answers rightly.
        confidence: of the gate, two-sided.
        power: probability of PASS asked for.

    Returns:
        A fraction; 1.0 if no margin below 1 could be certified.

    Raises:
        UsageError: if counts, confidence or power are out of range.
    """
    if not 0 <= num_discordant <= num_faces or num_faces < 1:
        raise UsageError(
            f"{num_discordant} discordant faces among {num_faces}, expected at least one face "
            "and no more discordant ones than there are; check the counts"
        )
    _check_power(power)
    discordance = _estimated_discordance(num_faces, num_discordant)
    low, high = 0.0, 1.0
    while high - low > 1e-6:
        margin = (low + high) / 2
        reached = pass_probability(
            num_faces, discordance, 0.0, margin=margin, confidence=confidence
        )
        if reached >= power:
            high = margin
        else:
            low = margin
    return high


def faces_needed(
    counts: PairedCounts, margin: float, *, confidence: float = 0.95, power: float = 0.8
) -> int | None:
    """How many faces in total would decide, if the rates seen here are the true ones.

    Below the margin: the n at which PASS has probability `power`; above it, the n for FAIL. The
    rates are the observed drop and (m + 1/2) / (n + 1) discordant faces. It may be fewer than there
    are, when the verdict is clear already. It is an estimate from the same few faces: plan with
    room to spare.

    Args:
        counts: the paired table.
        margin: of the gate, as a fraction.
        confidence: of the gate, two-sided.
        power: probability of a decision asked for.

    Returns:
        Number of faces, or None if the observed drop is at the margin or so near it that a
        million faces would not decide.

    Raises:
        UsageError: if confidence or power are out of range.
    """
    _check_power(power)
    discordance = _estimated_discordance(counts.num_faces, counts.num_discordant)
    drop = max(-discordance, min(discordance, counts.drop))
    decided = pass_probability if drop < margin else fail_probability

    def enough(num_faces: int) -> bool:
        reached = decided(num_faces, discordance, drop, margin=margin, confidence=confidence)
        return reached >= power

    if drop == margin or not enough(MAX_FACES):
        return None
    too_few, many = 0, 1
    while not enough(many):
        too_few, many = many, min(2 * many, MAX_FACES)
    # The probability rises with n but for small teeth, so halving ends at one of its crossings.
    while many - too_few > 1:
        middle = (too_few + many) // 2
        if enough(middle):
            many = middle
        else:
            too_few = middle
    return many
