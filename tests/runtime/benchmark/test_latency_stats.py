from __future__ import annotations

import numpy as np
import pytest

from edge_arm.runtime.benchmark.latency_stats import latency_stats
from edge_arm.runtime.errors import UsageError


def test_percentiles_are_calls_that_happened() -> None:
    # By hand: of 1, 2, ..., 1000 ms half are at most 500, 900 at most 900, 990 at most 990, 999
    # at most 999. scipy.stats.mstats.mquantiles(range(1, 1001), [.5, .9, .99, .999], alphap=0,
    # betap=1), which is R's type 4 and agrees where n * p is whole: [500., 900., 990., 999.].
    shuffled = np.random.default_rng(0).permutation(np.arange(1, 1001)) / 1e3
    stats = latency_stats(shuffled)
    found = (stats.p50_ms, stats.p90_ms, stats.p99_ms, stats.p999_ms)
    np.testing.assert_allclose(found, (500, 900, 990, 999), rtol=1e-12)
    assert (stats.count, stats.min_ms, stats.max_ms) == (1000, 1.0, 1000.0)
    assert stats.mean_ms == pytest.approx(500.5)


def test_the_median_of_an_even_number_is_the_lower_of_the_middle_two() -> None:
    # numpy.quantile([1, 2, 30, 40], .5, method="inverted_cdf") in numpy 2.4.6 is 2; its default
    # would be 16, a latency that no call had.
    assert latency_stats([0.040, 0.001, 0.030, 0.002]).p50_ms == 2.0


@pytest.mark.parametrize(
    ("count", "meaningful"),
    [
        (1, ""),
        (2, "p50"),
        (9, "p50"),
        (10, "p50 p90"),
        (99, "p50 p90"),
        (100, "p50 p90 p99"),
        (999, "p50 p90 p99"),
        (1000, "p50 p90 p99 p999"),
    ],
)
def test_a_percentile_of_too_few_calls_is_not_told(count: int, meaningful: str) -> None:
    stats = latency_stats([0.001] * count)
    told = [name for name in ("p50", "p90", "p99", "p999") if getattr(stats, f"{name}_ms")]
    assert " ".join(told) == meaningful


@pytest.mark.parametrize("seconds", [[], [0.1, -0.1], [0.1, float("nan")]], ids=str)
def test_what_is_no_latency_is_refused(seconds: list[float]) -> None:
    with pytest.raises(UsageError, match=r"latencies of which .* expected one at least"):
        latency_stats(seconds)
