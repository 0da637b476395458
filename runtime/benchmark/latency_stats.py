"""What a list of latencies comes to: mean, percentiles, extremes, faces per second.

A percentile is the smallest latency that was measured which at least that share of the calls did
not exceed (numpy's method "inverted_cdf"): it is a call that happened, and nothing lies between two
calls that was not measured.

A percentile of too few calls is the slowest call by another name. It counts only where one call at
least is expected beyond it: 10 calls for p90, 100 for p99, 1,000 for p99.9; else it is None.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from edge_arm.runtime.errors import UsageError

PERCENTILE_METHOD: Final = "inverted_cdf"
"""Of numpy.quantile."""

_CALLS_BEYOND = {"p50": (0.5, 2), "p90": (0.9, 10), "p99": (0.99, 100), "p999": (0.999, 1000)}
"""The share of each percentile, and the calls from which it counts."""


@dataclass(frozen=True)
class LatencyStats:
    """Latencies of calls of the same kind.

    Attributes:
        count: of calls.
        mean_ms: of all.
        p50_ms: median; None of too few calls, as the others.
        p90_ms: see the module.
        p99_ms: likewise.
        p999_ms: likewise.
        min_ms: the fastest call.
        max_ms: the slowest.
    """

    count: int
    mean_ms: float
    p50_ms: float | None
    p90_ms: float | None
    p99_ms: float | None
    p999_ms: float | None
    min_ms: float
    max_ms: float


def latency_stats(seconds: Sequence[float] | npt.NDArray[np.float64]) -> LatencyStats:
    """The statistics of some latencies.

    Args:
        seconds: of each call, in any order.

    Raises:
        UsageError: if there is none, or one is negative or no number.
    """
    times_ms = 1e3 * np.asarray(seconds, np.float64)
    if times_ms.size == 0 or not (times_ms >= 0).all():
        raise UsageError(
            f"got {times_ms.size} latencies of which {int((~(times_ms >= 0)).sum())} are below 0 "
            "or no number, expected one at least and none like that; measure for more --seconds"
        )
    found = {
        name: float(np.quantile(times_ms, share, method=PERCENTILE_METHOD))
        if times_ms.size >= needed
        else None
        for name, (share, needed) in _CALLS_BEYOND.items()
    }
    return LatencyStats(
        count=int(times_ms.size),
        mean_ms=float(times_ms.mean()),
        p50_ms=found["p50"],
        p90_ms=found["p90"],
        p99_ms=found["p99"],
        p999_ms=found["p999"],
        min_ms=float(times_ms.min()),
        max_ms=float(times_ms.max()),
    )
