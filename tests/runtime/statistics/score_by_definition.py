"""Tango's score test from its definition, as slow and as plain as possible.

The likelihood under a supposed drop is maximised numerically (no closed form), and limits are
roots found by scipy. Shares no line with the code it checks.
"""

from __future__ import annotations

import math

from scipy.optimize import brentq, minimize_scalar


def most_likely_won(b: int, c: int, n: int, drop: float) -> float:
    """Share of faces won by the candidate that explains (b, c) best if the drop is `drop`."""

    def term(count: float, probability: float) -> float:
        if count == 0:
            return 0.0
        return count * math.log(probability) if probability > 0 else -math.inf

    def minus_log_likelihood(won: float) -> float:
        rest = 1 - 2 * won - drop
        return -(term(b, won + drop) + term(c, won) + term(n - b - c, rest))

    low, high = max(0.0, -drop), (1 - drop) / 2
    found = minimize_scalar(
        minus_log_likelihood, bounds=(low, high), method="bounded", options={"xatol": 1e-13}
    )
    # The bounded method never evaluates the ends, where the maximum lies if c or b is 0.
    return float(min((low, found.x, high), key=minus_log_likelihood))


def score(b: int, c: int, n: int, drop: float) -> float:
    won = most_likely_won(b, c, n, drop)
    variance = 2 * won + drop - drop**2
    difference = b - c - n * drop
    if variance <= 0:
        return math.copysign(math.inf, difference) if difference else 0.0
    return difference / math.sqrt(n * variance)


def upper_limit(b: int, c: int, n: int, z: float) -> float:
    if b == n:
        return 1.0
    observed = (b - c) / n
    start = observed + 1e-9  # at b = c = 0 the variance is 0 at the observed drop itself
    return float(brentq(lambda d: score(b, c, n, d) + z, start, 1 - 1e-12, xtol=1e-12))


def lower_limit(b: int, c: int, n: int, z: float) -> float:
    return -upper_limit(c, b, n, z)
