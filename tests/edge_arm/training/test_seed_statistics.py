"""Means over trainings and faces against scipy and against arithmetic by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from edge_arm.runtime.statistics.student_t import student_quantile
from edge_arm.training.seed_statistics import mean_over_seeds


@pytest.mark.parametrize("degrees", [1, 1.5, 2, 3.3, 10, 200, 5e4, 9e6])
@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.999])
def test_students_quantiles_are_scipys(degrees: float, confidence: float) -> None:
    expected = stats.t.ppf(0.5 + confidence / 2, degrees)
    assert student_quantile(confidence, degrees) == pytest.approx(expected, rel=1e-6)


def test_with_no_end_of_degrees_it_is_the_normal_distribution() -> None:
    assert student_quantile(0.95, math.inf) == pytest.approx(1.959963984540054, rel=1e-12)


def test_the_mean_squares_are_those_of_a_table_done_by_hand() -> None:
    # Two trainings, three faces. By hand: means by seed 1/3 and 1, by face 1/2, 1/2, 1, all 2/3.
    # MS_s = 3 (2/9) = 2/3; MS_n = 2 (1/6) / 2 = 1/6; residuals of +-1/6, 1/6, 1/3: squares sum to
    # 1/3 over 2 degrees: MS_e = 1/6. Variance (2/3 + 0) / 6 = 1/9, degrees (2/3)^2 / (2/3)^2 = 1.
    values = np.array([[0.0, 0.0, 1.0], [1.0, 1.0, 1.0]])
    got = mean_over_seeds(values)
    reach = 12.706204736174694 / 3  # scipy.stats.t.ppf(0.975, 1)
    assert got.mean == pytest.approx(2 / 3)
    assert (got.low, got.high) == pytest.approx((2 / 3 - reach, 2 / 3 + reach), rel=1e-6)
    assert got.by_seed == pytest.approx((1 / 3, 1.0))


def test_one_training_has_the_interval_over_faces_alone() -> None:
    values = np.random.default_rng(0).integers(0, 2, (1, 400)).astype(float)
    got = mean_over_seeds(values, confidence=0.9)
    expected = stats.norm.interval(0.9, values.mean(), stats.sem(values[0]))
    assert (got.low, got.high) == pytest.approx(expected)


def test_values_that_are_all_alike_have_no_width() -> None:
    got = mean_over_seeds(np.zeros((3, 50)))
    assert (got.low, got.mean, got.high) == (0.0, 0.0, 0.0)


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    """Two models whose true difference is 0: faces of different difficulty, seeds of own skill."""
    rng = np.random.default_rng(1)
    held, runs = 0, 400
    for _ in range(runs):
        hard = rng.normal(0, 1, 300)
        skills = rng.normal(0, 0.15, (2, 4, 1))
        right = (rng.normal(0, 1, (2, 4, 300)) + skills > hard).astype(float)
        got = mean_over_seeds(right[0] - right[1])
        held += got.low <= 0 <= got.high
    # 95 % of 400 is 380; three standard deviations of a binomial are 13.
    assert 367 <= held <= 399
