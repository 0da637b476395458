from __future__ import annotations

import math

import numpy as np
import pytest

from edge_arm.runtime.errors import UsageError
from edge_arm.runtime.tracking.smoothing import SmoothedExpression, SmoothingConfig

LN2 = math.log(2.0)


def test_the_first_frame_counts_whole() -> None:
    face = SmoothedExpression(SmoothingConfig(), np.array([0.2, 0.7, 0.1]), 3.0)
    assert face.class_index == 1
    np.testing.assert_array_equal(face.probabilities, [0.2, 0.7, 0.1])


def test_a_frame_weighs_one_half_when_tau_times_ln_2_has_passed() -> None:
    face = SmoothedExpression(SmoothingConfig(time_constant_s=0.5), np.array([1.0, 0.0]), 0.0)
    face.update(np.array([0.0, 1.0]), 0.5 * LN2)
    np.testing.assert_allclose(face.probabilities, [0.5, 0.5], rtol=0, atol=1e-12)
    face.update(np.array([0.0, 1.0]), 1.0 * LN2)
    np.testing.assert_allclose(face.probabilities, [0.25, 0.75], rtol=0, atol=1e-12)


def test_the_frame_rate_does_not_change_how_much_is_smoothed() -> None:
    slow = SmoothedExpression(SmoothingConfig(), np.array([1.0, 0.0]), 0.0)
    fast = SmoothedExpression(SmoothingConfig(), np.array([1.0, 0.0]), 0.0)
    slow.update(np.array([0.3, 0.7]), 0.2)
    for step in range(1, 21):
        fast.update(np.array([0.3, 0.7]), 0.01 * step)
    np.testing.assert_allclose(fast.probabilities, slow.probabilities, rtol=0, atol=1e-12)


def test_smoothed_probabilities_still_sum_to_one() -> None:
    rng = np.random.default_rng(0)
    face = SmoothedExpression(SmoothingConfig(), rng.dirichlet(np.ones(7)), 0.0)
    for step in range(1, 200):
        face.update(rng.dirichlet(np.ones(7)), step / 30)
    assert face.probabilities.sum() == pytest.approx(1.0, abs=1e-12)


def test_the_label_stays_until_another_class_leads_by_more_than_the_hysteresis() -> None:
    # The weight is one half each time: 0.5/0.5, then 0.45/0.55 (a lead of 0.1), then 0.425/0.575.
    config = SmoothingConfig(time_constant_s=1.0, hysteresis=0.12)
    face = SmoothedExpression(config, np.array([0.6, 0.4]), 0.0)
    labels = []
    for step, first in enumerate((0.4, 0.4, 0.4), start=1):
        face.update(np.array([first, 1.0 - first]), step * LN2)
        labels.append(face.class_index)
    assert labels == [0, 0, 1]


def test_without_hysteresis_a_tie_changes_nothing() -> None:
    face = SmoothedExpression(SmoothingConfig(1.0, hysteresis=0.0), np.array([0.4, 0.6]), 0.0)
    face.update(np.array([0.6, 0.4]), LN2)
    assert face.class_index == 1
    face.update(np.array([0.6, 0.4]), 2.0 * LN2)
    assert face.class_index == 0


def test_two_classes_that_alternate_frame_by_frame_give_one_label() -> None:
    face = SmoothedExpression(SmoothingConfig(), np.array([0.6, 0.4]), 0.0)
    shown = set()
    for step in range(1, 90):
        face.update(np.array([0.4, 0.6] if step % 2 else [0.6, 0.4]), step / 30)
        shown.add(face.class_index)
    assert shown == {0}


@pytest.mark.parametrize("tau", [0.0, -1.0, math.inf, math.nan])
def test_a_smoothing_time_of_nothing_is_refused(tau: float) -> None:
    with pytest.raises(UsageError, match="got a smoothing time of .* expected more than 0; turn"):
        SmoothingConfig(time_constant_s=tau)


@pytest.mark.parametrize("hysteresis", [-0.1, 1.0, math.nan])
def test_a_hysteresis_that_no_probability_reaches_is_refused(hysteresis: float) -> None:
    with pytest.raises(UsageError, match="got a hysteresis of .* expected 0 or more and less"):
        SmoothingConfig(hysteresis=hysteresis)


@pytest.mark.parametrize("gap", [-0.1, math.inf])
def test_a_longest_gap_that_is_no_time_is_refused(gap: float) -> None:
    with pytest.raises(UsageError, match="got a longest gap of .* expected 0 or more"):
        SmoothingConfig(max_gap_s=gap)
