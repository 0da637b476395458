"""How many times as fast one model is as another, with an interval, from rounds that both took.

In each round both models run within a fraction of a second, so whatever slows the machine slows
both, and the ratio of the round's medians is spared. Rounds are then the observations: the ratio is
their median, and the interval is the distribution-free one of a median (H. A. David and
H. N. Nagaraja, "Order Statistics", 3rd edition (2003), section 7.1)::

    ratios in order r(1) <= ... <= r(n); X ~ Binomial(n, 1/2)
    k = the largest number with P(X <= k - 1) <= (1 - confidence) / 2
    interval = r(k) to r(n + 1 - k)

A noisy neighbour in a few rounds moves it little, and no normal distribution is assumed. It does
assume that rounds do not lean on each other; a machine that drifts one way all the while breaks
that for any interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge_arm.runtime.errors import UsageError
from edge_arm.runtime.statistics.binomial import binomial_lower_tail
from edge_arm.runtime.statistics.interval import one_sided_error

FEWEST_ROUNDS = 6
"""From which an interval at 95 % exists: 2 * (1/2)^6 is 3.1 %, 2 * (1/2)^5 is 6.3 %."""


@dataclass(frozen=True)
class SpeedRatio:
    """How many times as fast as the base.

    Attributes:
        ratio: time of the base by time of the model, the median of the rounds; above 1 is faster.
        low: lower limit of its interval; None with too few rounds for any.
        high: upper limit.
        confidence: of the interval, at least.
        rounds: that were compared.
    """

    ratio: float
    low: float | None
    high: float | None
    confidence: float
    rounds: int


def speed_ratio(
    base_seconds: Sequence[float], model_seconds: Sequence[float], *, confidence: float = 0.95
) -> SpeedRatio:
    """Compare two models round by round.

    Args:
        base_seconds: what a call of the base took in each round.
        model_seconds: what a call of the model took in the same rounds.
        confidence: two-sided, of the interval.

    Raises:
        UsageError: if there are no rounds, or not the same number, or the confidence is off.
    """
    if not base_seconds or len(base_seconds) != len(model_seconds):
        raise UsageError(
            f"got {len(base_seconds)} rounds of the base and {len(model_seconds)} of the model, "
            "expected the same number and one at least; compare models of the same run"
        )
    ratios = np.sort(np.asarray(base_seconds) / np.asarray(model_seconds))
    k = _rank(len(ratios), one_sided_error(confidence))
    return SpeedRatio(
        ratio=float(np.median(ratios)),
        low=float(ratios[k - 1]) if k else None,
        high=float(ratios[len(ratios) - k]) if k else None,
        confidence=confidence,
        rounds=len(ratios),
    )


def _rank(rounds: int, error: float) -> int:
    """The k of the module's formula; 0 if even the extremes promise too little."""
    k = 0
    while k < rounds // 2 and binomial_lower_tail(k, rounds, 0.5) <= error:
        k += 1
    return k
