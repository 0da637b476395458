from __future__ import annotations

import pytest
from scipy.stats import norm

from edge_arm.runtime.errors import UsageError
from edge_arm.runtime.statistics.interval import normal_quantile, normal_tail, one_sided_error


def test_a_95_percent_interval_leaves_a_fortieth_on_each_side() -> None:
    assert one_sided_error(0.95) == pytest.approx(0.025, rel=1e-12)


@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.95, 0.99, 0.999])
def test_normal_quantiles_are_scipys(confidence: float) -> None:
    # NormalDist.inv_cdf is a rational approximation with about 16 digits.
    assert normal_quantile(confidence) == pytest.approx(norm.ppf((1 + confidence) / 2), rel=1e-12)


@pytest.mark.parametrize("z", [-30.0, -5.0, -1.96, 0.0, 3.0, float("-inf"), float("inf")])
def test_normal_tails_are_scipys_even_where_they_are_tiny(z: float) -> None:
    assert normal_tail(z) == pytest.approx(norm.cdf(z), rel=1e-10)


@pytest.mark.parametrize("confidence", [95.0, 1.0, 0.4, 0.9999, float("nan")])
def test_a_confidence_that_is_no_usable_fraction_is_refused(confidence: float) -> None:
    with pytest.raises(UsageError, match=r"confidence is .*from 0\.5 to 0\.999; write 95 % as 0"):
        one_sided_error(confidence)
