from __future__ import annotations

import pytest
from scipy.stats import binomtest

from edge_arm.runtime.errors import UsageError
from edge_arm.runtime.statistics import IntervalMethod, wilson_interval

# statsmodels 0.15.0: proportion_confint(k, n, alpha=1 - confidence, method="wilson")
STATSMODELS = [
    (0, 10, 0.95, 0.0, 0.27753279986288926),
    (10, 10, 0.95, 0.7224672001371106, 1.0),
    (1, 1, 0.95, 0.2065493143772374, 1.0),
    (51, 74, 0.95, 0.5766138969178797, 0.7830915919591633),
    (2645, 3068, 0.95, 0.849471864452636, 0.8738727579137295),
    (3, 20, 0.9, 0.06158241047736826, 0.3218280756753069),
]


@pytest.mark.parametrize(("right", "faces", "confidence", "low", "high"), STATSMODELS)
def test_the_wilson_interval_is_the_one_of_statsmodels(
    right: int, faces: int, confidence: float, low: float, high: float
) -> None:
    interval = wilson_interval(right, faces, confidence=confidence)
    assert (interval.low, interval.high) == pytest.approx((low, high), rel=1e-12)
    assert (interval.confidence, interval.method) == (confidence, IntervalMethod.WILSON)


@pytest.mark.parametrize("right", range(8))
def test_the_wilson_interval_is_the_one_of_scipy_for_every_count_of_seven(right: int) -> None:
    expected = binomtest(right, 7).proportion_ci(0.95, method="wilson")
    interval = wilson_interval(right, 7)
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high), abs=1e-12)


@pytest.mark.parametrize(("right", "faces"), [(3, 2), (-1, 2), (0, 0)])
def test_impossible_counts_are_refused(right: int, faces: int) -> None:
    with pytest.raises(UsageError, match=f"a proportion of {right} right among {faces} faces"):
        wilson_interval(right, faces)
