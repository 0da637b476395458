from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import gammaln
from scipy.stats import beta, binom

from edge_arm.runtime.statistics.binomial import (
    binomial_lower_tail,
    boundary_tails,
    clopper_pearson_limits,
    likely_trials,
    log_binomial_pmf,
    log_factorials,
)


def test_log_factorials_are_the_gamma_functions() -> None:
    np.testing.assert_allclose(log_factorials(5000), gammaln(np.arange(5001) + 1), rtol=1e-13)


def test_the_kept_table_of_factorials_cannot_be_changed_by_accident() -> None:
    with pytest.raises(ValueError, match="read-only"):
        log_factorials(10)[0] = 1.0


@pytest.mark.parametrize("probability", [0.0, 0.003, 0.5, 1.0])
def test_the_probabilities_of_all_counts_are_scipys(probability: float) -> None:
    k = np.arange(-1, 42)
    ours = np.exp(log_binomial_pmf(k, 40, probability))
    np.testing.assert_allclose(ours, binom.pmf(k, 40, probability), rtol=1e-11, atol=1e-300)


@pytest.mark.parametrize("k", [-1, 0, 3, 19, 20, 25])
def test_lower_tails_are_scipys(k: int) -> None:
    assert binomial_lower_tail(k, 20, 0.3) == pytest.approx(binom.cdf(k, 20, 0.3), rel=1e-12)


@pytest.mark.parametrize(("k", "trials"), [(0, 1), (1, 1), (0, 50), (7, 50), (50, 50), (31, 3068)])
def test_clopper_pearson_limits_are_beta_quantiles(k: int, trials: int) -> None:
    lower, upper = clopper_pearson_limits(k, trials, error=0.01)
    assert lower == pytest.approx(0.0 if k == 0 else beta.ppf(0.005, k, trials - k + 1), abs=1e-12)
    assert upper == pytest.approx(
        1.0 if k == trials else beta.ppf(0.995, k + 1, trials - k), abs=1e-12
    )


def test_tails_below_a_staircase_are_scipys_whichever_way_it_steps() -> None:
    boundary = np.array([2, 2, 3, 6, 5, 1, -1, -1, 4, 12])
    probability = np.array([0.0, 0.02, 0.4, 0.5, 0.97, 1.0])
    expected = binom.cdf(boundary, 3 + np.arange(10), probability[:, None])
    # Steps are added up, so errors are absolute: a few times 1e-16 per step.
    np.testing.assert_allclose(boundary_tails(3, boundary, probability), expected, atol=1e-13)


def test_a_staircase_of_one_step_is_one_tail() -> None:
    tails = boundary_tails(10, np.array([4]), np.array([0.5]))
    assert tails.shape == (1, 1)
    assert tails[0, 0] == pytest.approx(binom.cdf(4, 10, 0.5), rel=1e-12)


@pytest.mark.parametrize(("total", "p"), [(1, 0.5), (100, 0.0), (3068, 0.001), (100_000, 0.3)])
def test_likely_numbers_of_trials_leave_out_less_than_1e_14(total: int, p: float) -> None:
    first, last = likely_trials(total, p, p)
    assert 0 <= first <= last <= total
    assert binom.cdf(first - 1, total, p) + binom.sf(last, total, p) < 1e-14
    assert math.isclose(likely_trials(total, p, min(1.0, p + 0.1))[0], first)
