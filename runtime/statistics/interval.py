"""An interval with its confidence and the method it comes from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from statistics import NormalDist

from edge_arm.runtime.errors import UsageError

MAX_CONFIDENCE = 0.999
"""The exact test spends 1e-5 of its error on the nuisance parameter (exact.py), so a one-sided
error near that cannot be promised; nobody gates at more than 99.9 % either."""


class IntervalMethod(Enum):
    """Where an interval comes from; the value is what the reports print."""

    WILSON = "wilson_score"
    TANGO = "tango_score"
    EXACT = "exact_unconditional"
    BOOTSTRAP = "stratified_paired_bootstrap"


@dataclass(frozen=True)
class Interval:
    """A two-sided interval, each side with half of the error.

    Attributes:
        low: lower limit, in the unit of the estimate (a fraction, not percentage points).
        high: upper limit.
        confidence: two-sided, 0..1.
        method: how it was computed.
    """

    low: float
    high: float
    confidence: float
    method: IntervalMethod


def one_sided_error(confidence: float) -> float:
    """The error allowed on each side of a two-sided interval: (1 - confidence) / 2.

    Args:
        confidence: two-sided, from 0.5 to 0.999.

    Raises:
        UsageError: if the confidence lies outside that range.
    """
    # `not <=` so that NaN is refused as well.
    if not 0.5 <= confidence <= MAX_CONFIDENCE:
        raise UsageError(
            f"confidence is {confidence!r}, expected a fraction from 0.5 to {MAX_CONFIDENCE}; "
            "write 95 % as 0.95"
        )
    return (1.0 - confidence) / 2.0


def normal_quantile(confidence: float) -> float:
    """The z that leaves half of `1 - confidence` above it (1.96 for 0.95).

    Args:
        confidence: two-sided, from 0.5 to 0.999.

    Raises:
        UsageError: if the confidence lies outside that range.
    """
    return -NormalDist().inv_cdf(one_sided_error(confidence))


def normal_tail(z: float) -> float:
    """P(Z <= z) of a standard normal, accurate far below zero, where 1 + erf is not.

    Args:
        z: any number, infinities included.
    """
    return 0.5 * math.erfc(-z / math.sqrt(2.0))
