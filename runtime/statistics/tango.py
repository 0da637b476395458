"""Tango's score test and interval for the difference of two paired proportions.

T. Tango, "Equivalence test and confidence interval for the difference in proportions for the
paired-sample design", Statistics in Medicine 17 (1998) 891-908, equations (24) to (26). The same
statistic for the test alone: J. Nam, "Establishing equivalence of two treatments and sample size
requirements in matched-pairs design", Biometrics 53 (1997) 1422-1430.

For n faces, b right by the reference only, c by the candidate only, and a supposed drop d::

    T(d) = (b - c - n d) / sqrt(n (2 q + d (1 - d)))

where q is the most likely share of "candidate only" if the drop were d, the larger root of
2 n q^2 + (-b - c + (2 n - b + c) d) q - c d (1 - d) = 0. The variance is the one *under the
supposed drop*, which is why the interval stays inside -1..1 and has a width even for b = c = 0,
where the textbook (Wald) interval claims to be certain.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_arm.runtime.statistics.binomial import Floats

_BISECTIONS = 60
"""Halvings of an interval of length at most 2: the limits are exact to double precision."""


def tango_statistic(b: NDArray[Any], c: NDArray[Any], num_faces: int, drop: Floats) -> Floats:
    """T(d), the distance of the observed drop from a supposed one in standard errors.

    Positive where more was lost than supposed. Infinite where the observation is impossible under
    the supposed drop, 0 where it is the only possible one.

    Args:
        b: faces right by the reference only, any shape, integers or (expected) floats.
        c: faces right by the candidate only, same shape.
        num_faces: n.
        drop: supposed drop d, -1..1, same shape or one number.

    Returns:
        float64 of the common shape.
    """
    # T(b, c, d) = -T(c, b, -d). Taken at |d| no sum below subtracts near-equal numbers.
    negative = drop < 0
    d = np.abs(drop)
    lost = np.where(negative, c, b).astype(np.float64)
    won = np.where(negative, b, c).astype(np.float64)
    n = float(num_faces)

    linear = -lost - won + (2 * n - lost + won) * d
    constant = won * d * (1 - d)  # minus the constant term, so never negative
    root = np.sqrt(linear * linear + 8 * n * constant)
    # The larger root in the form that does not cancel for this sign of the linear term.
    with np.errstate(divide="ignore", invalid="ignore"):
        q = np.where(linear > 0, 2 * constant / (linear + root), (root - linear) / (4 * n))
        variance = n * (2 * q + d * (1 - d))
        difference = lost - won - n * d
        statistic = difference / np.sqrt(variance)
    statistic = np.where(difference == 0, 0.0, statistic)
    signed: Floats = np.where(negative, -statistic, statistic)
    return signed


def tango_upper_limits(b: NDArray[Any], c: NDArray[Any], num_faces: int, z: float) -> Floats:
    """The largest drop with T(d) >= -z: Tango's upper limit, for many tables at once.

    T falls with d, so bisection from the observed drop up to 1 always ends at the limit; Newton
    steps leave the domain near b = c = 0. The lower limit is minus the upper one of the swapped
    table.

    Args:
        b: faces right by the reference only, any shape.
        c: faces right by the candidate only, same shape.
        num_faces: n.
        z: standard normal quantile, 1.96 for a two-sided 95 % interval.

    Returns:
        float64 of the same shape, -1..1.
    """
    low: Floats = (b - c) / num_faces
    high: Floats = np.ones_like(low)
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        inside = tango_statistic(b, c, num_faces, middle) >= -z
        low = np.where(inside, middle, low)
        high = np.where(inside, high, middle)
    return high


def tango_upper_limit(b: int, c: int, num_faces: int, z: float) -> float:
    """`tango_upper_limits` of one table.

    Args:
        b: faces right by the reference only.
        c: faces right by the candidate only.
        num_faces: n.
        z: standard normal quantile.
    """
    return float(tango_upper_limits(np.array([b]), np.array([c]), num_faces, z)[0])


def pass_boundary(
    first_discordant: int, last_discordant: int, num_faces: int, *, drop: float, statistic: float
) -> NDArray[np.int64]:
    """For each number m of discordant faces, the largest b with T(d) <= statistic.

    T rises with b when b + c = m is held, so the tables at least as good as a given one are a
    staircase, described by one number per m. Power and the exact test are sums below it.

    Args:
        first_discordant: smallest m.
        last_discordant: largest m, included.
        num_faces: n.
        drop: d.
        statistic: bound on T.

    Returns:
        (M,) int64, M = last - first + 1; -1 where no table with that m is inside.
    """
    m = np.arange(first_discordant, last_discordant + 1)
    supposed = np.full(m.size, drop)
    inside = np.full(m.size, -1)
    outside = m + 1
    # A tie must count as inside whichever way the rounding falls: 1e-9 of a standard error.
    bound = statistic + 1e-9
    for _ in range(math.ceil(math.log2(last_discordant + 2)) + 1):
        open_ = outside - inside > 1
        # Where nothing is open any more the middle may be -1, which no table has.
        middle = np.maximum((inside + outside) // 2, 0)
        good = tango_statistic(middle, m - middle, num_faces, supposed) <= bound
        inside = np.where(open_ & good, middle, inside)
        outside = np.where(open_ & ~good, middle, outside)
    return inside
