"""Quantiles of Student's t, for any real number of degrees of freedom from 1.

With t = sqrt(v) tan(a) the distribution function is an integral of a smooth function over a short
stretch (Abramowitz and Stegun 26.7.3 in this form)::

    P(T <= t) = 1/2 + G((v + 1) / 2) / (sqrt(pi) G(v / 2)) * integral from 0 to a of cos^(v - 1)
"""

from __future__ import annotations

import math

import numpy as np

from edge_arm.runtime.statistics.interval import normal_quantile, one_sided_error

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(64)
_AS_NORMAL = 1e7
"""Degrees of freedom from which the normal distribution is the same to seven digits."""
_HALVINGS = 60


def student_quantile(confidence: float, degrees: float) -> float:
    """The t that leaves half of `1 - confidence` above it (12.71 for 0.95 and one degree).

    Args:
        confidence: two-sided, from 0.5 to 0.999.
        degrees: of freedom, from 1; infinity gives the normal distribution's.

    Raises:
        UsageError: if the confidence lies outside that range.
    """
    assert degrees >= 1, "the integrand is infinite at its end below that"
    if degrees > _AS_NORMAL:
        return normal_quantile(confidence)
    wanted = 0.5 - one_sided_error(confidence)
    factor = math.exp(math.lgamma((degrees + 1) / 2) - math.lgamma(degrees / 2)) / math.sqrt(
        math.pi
    )
    # Beyond 12 standard deviations the integrand is a needle that the nodes would miss.
    low, high = 0.0, min(math.pi / 2, 12.0 / math.sqrt(degrees))
    for _ in range(_HALVINGS):
        angle = (low + high) / 2
        if factor * _integral(angle, degrees) < wanted:
            low = angle
        else:
            high = angle
    return math.sqrt(degrees) * math.tan((low + high) / 2)


def _integral(angle: float, degrees: float) -> float:
    """Of cos^(degrees - 1) from 0 to `angle`."""
    points = angle * (_NODES + 1) / 2
    return float(angle / 2 * (_WEIGHTS * np.cos(points) ** (degrees - 1)).sum())
