"""Exact unconditional limits and tests for the drop, for few discordant faces.

Where the score test's normal approximation is weak (few discordant faces), the probabilities are
summed instead. b, c and the rest of n faces are trinomial; with the discordance w = P(b) + P(c)
and a drop d,

    m = b + c  is binomial (n, w),     b given m  is binomial (m, (w + d) / 2w).

1. Tables are ordered by Tango's upper limit: a table is "at least as good" as the observed one
   if its 97.5 % limit is at most the observed table's. This order does not depend on d, so the
   tests at all margins and the interval are one and the same object: the interval is the set of
   drops that the test does not refuse, and p and interval can never contradict each other.
2. P(at least as good | d, w) falls with d for every w (b given m grows with d), so its largest
   value over w does too, the largest p of "drop >= margin" lies at drop = margin, and bisection
   finds the limit. Limits of this kind: R. J. Buehler, Journal of the American Statistical
   Association 52 (1957) 482-493; for paired proportions with the p at the border of the null
   hypothesis: Hsueh, Liu and Chen, "Unconditional exact tests for equivalence or noninferiority
   for paired binary endpoints", Biometrics 57 (2001) 478-483; Lloyd and Moldovan, Statistics in
   Medicine 27 (2008) 3540-3549.
3. The unknown w is not estimated but maximised over: over its exact 99.999 % confidence interval,
   and the missing 1e-5 is added to p. R. L. Berger and D. D. Boos, "P values maximized over a
   confidence set for the nuisance parameter", Journal of the American Statistical Association 89
   (1994) 1012-1016: the test keeps its level, and far-off w cannot make it needlessly timid.

Letters: n faces, m discordant ones (M of them likely), G values of w.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from edge_arm.runtime.statistics.binomial import (
    Floats,
    Ints,
    boundary_tails,
    clopper_pearson_limits,
    likely_trials,
    log_binomial_pmf,
)
from edge_arm.runtime.statistics.interval import normal_quantile
from edge_arm.runtime.statistics.tango import pass_boundary, tango_statistic, tango_upper_limit

NUISANCE_ERROR = 1e-5
"""What p is raised by for looking at plausible discordances only (rule 3)."""

_GRID = 48
_LIMIT_TOLERANCE = 1e-7
"""Of a limit, as a fraction of 1: 0.00001 percentage points."""


@dataclass(frozen=True)
class _Tail:
    """The tables at least as good as the observed one, ready to be summed.

    Attributes:
        num_faces: n.
        first_discordant: smallest likely m.
        boundary: (M,) the largest b inside for each m.
        lowest_discordance: lower end of the confidence interval of w.
        highest_discordance: upper end.
    """

    num_faces: int
    first_discordant: int
    boundary: Ints
    lowest_discordance: float
    highest_discordance: float


def _tail_of_table(b: int, c: int, num_faces: int) -> _Tail:
    z = normal_quantile(0.95)  # rule 1: the order is the same whatever confidence is asked for
    limit = tango_upper_limit(b, c, num_faces, z)
    observed = float(tango_statistic(np.array(b), np.array(c), num_faces, np.array(limit)))
    lowest, highest = clopper_pearson_limits(b + c, num_faces, error=NUISANCE_ERROR)
    first, last = likely_trials(num_faces, lowest, highest)
    boundary = pass_boundary(first, last, num_faces, drop=limit, statistic=observed)
    # At a limit of 1 only 0 and infinities are left of T; the observed table is inside its own
    # tail whatever became of them.
    boundary[b + c - first] = max(b, boundary[b + c - first])
    return _Tail(num_faces, first, boundary, lowest, highest)


def _tail_probabilities(tail: _Tail, drop: float, discordance: Floats) -> Floats:
    """P(at least as good | drop, w), (G,) for `discordance` (G,) >= drop.

    A drop below -w does not exist; the nearest one that does, -w, is taken in its place (share 0).
    It belongs to "the drop is at least this" as well, and its probability is the largest there.
    """
    m = tail.first_discordant + np.arange(tail.boundary.size)
    weights = np.exp(log_binomial_pmf(m, tail.num_faces, discordance[:, None]))  # (G, M)
    # Without discordance there is no b, whatever its share.
    divisor = np.where(discordance > 0, 2 * discordance, 1.0)
    share = (discordance + drop) / divisor
    tails = boundary_tails(tail.first_discordant, tail.boundary, np.clip(share, 0.0, 1.0))
    probabilities: Floats = (weights * tails).sum(axis=1)
    return probabilities


def _largest_tail_probability(tail: _Tail, drop: float) -> float:
    """Rule 3: the largest value over the plausible discordances, plus what they leave out."""
    low = max(drop, tail.lowest_discordance)
    high = tail.highest_discordance
    if low > high:
        # No plausible discordance allows such a drop: whatever is left is the 1e-5.
        return NUISANCE_ERROR
    # Even steps in the square root: the probability changes over a standard deviation of m,
    # which is proportional to it.
    roots = np.linspace(np.sqrt(low), np.sqrt(high), _GRID)
    values = _tail_probabilities(tail, drop, roots**2)
    best = int(values.argmax())
    finer = np.linspace(roots[max(0, best - 1)], roots[min(_GRID - 1, best + 1)], 9)
    # Below w = -drop the share of b stays 0 (see above): a corner that no grid would hit.
    corner = np.sqrt(min(max(-drop, low), high))
    refined = _tail_probabilities(tail, drop, np.append(finer, corner) ** 2)
    return min(1.0, max(float(values[best]), float(refined.max())) + NUISANCE_ERROR)


def exact_noninferiority_p(b: int, c: int, num_faces: int, margin: float) -> float:
    """Exact p of "the drop is at least the margin" against "the drop is smaller".

    Args:
        b: faces right by the reference only.
        c: faces right by the candidate only.
        num_faces: n.
        margin: supposed drop, -1..1.

    Returns:
        p, from 1e-5 (rule 3) to 1.
    """
    return _largest_tail_probability(_tail_of_table(b, c, num_faces), margin)


def exact_upper_limit(b: int, c: int, num_faces: int, *, error: float) -> float:
    """The largest drop that the exact test does not refuse at the one-sided error.

    Args:
        b: faces right by the reference only.
        c: faces right by the candidate only.
        num_faces: n.
        error: one-sided, above 1e-5.

    Returns:
        The limit, rounded up by at most 1e-7.
    """
    tail = _tail_of_table(b, c, num_faces)
    low = (b - c) / num_faces
    # Beyond the largest plausible discordance everything is refused, so the limit is below it.
    high = min(1.0, max(low, tail.highest_discordance) + _LIMIT_TOLERANCE)

    def excess(drop: float) -> float:
        return math.log(_largest_tail_probability(tail, drop) / error)

    at_low, at_high = excess(low), excess(high)
    if at_high >= 0:
        return 1.0
    if at_low < 0:
        return low
    # False position in the Illinois form: an end that stays twice counts half, so that both move.
    # About 8 evaluations where halving needs 23. A step that would land within half a tolerance
    # of an end is moved inside, which closes the bracket.
    last_side = 0
    while high - low > _LIMIT_TOLERANCE:
        step = low + (high - low) * at_low / (at_low - at_high)
        drop = min(max(step, low + _LIMIT_TOLERANCE / 2), high - _LIMIT_TOLERANCE / 2)
        value = excess(drop)
        if value >= 0:
            low, at_low = drop, value
            at_high = at_high / 2 if last_side == 1 else at_high
            last_side = 1
        else:
            high, at_high = drop, value
            at_low = at_low / 2 if last_side == -1 else at_low
            last_side = -1
    return min(1.0, high)
