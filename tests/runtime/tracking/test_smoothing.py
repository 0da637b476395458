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


def test_an_old_frame_weighs_half_as_much_after_tau_times_ln_2() -> None:
    # Weights 1/2 and 1, then 1/4, 1/2 and 1: the first frame has 1/3, then 1/7.
    face = SmoothedExpression(SmoothingConfig(time_constant_s=0.5), np.array([1.0, 0.0]), 0.0)
    face.update(np.array([0.0, 1.0]), 0.5 * LN2)
    np.testing.assert_allclose(face.probabilities, [1 / 3, 2 / 3], rtol=0, atol=1e-12)
    face.update(np.array([0.0, 1.0]), 1.0 * LN2)
    np.testing.assert_allclose(face.probabilities, [1 / 7, 6 / 7], rtol=0, atol=1e-12)


def test_a_frame_of_the_same_time_counts_as_much() -> None:
    face = SmoothedExpression(SmoothingConfig(), np.array([1.0, 0.0]), 2.0)
    face.update(np.array([0.0, 1.0]), 2.0)
    np.testing.assert_allclose(face.probabilities, [0.5, 0.5], rtol=0, atol=1e-12)


def test_it_is_the_mean_of_all_frames_by_their_age() -> None:
    rng = np.random.default_rng(1)
    times = np.cumsum(rng.uniform(0.01, 0.2, 60))
    rows = rng.dirichlet(np.ones(7), 60)
    face = SmoothedExpression(SmoothingConfig(time_constant_s=0.4), rows[0], times[0])
    for row, time_s in zip(rows[1:], times[1:], strict=True):
        face.update(row, float(time_s))
    expected = np.average(rows, axis=0, weights=np.exp((times - times[-1]) / 0.4))
    np.testing.assert_allclose(face.probabilities, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("frames_per_s", [10, 30, 120])
def test_at_any_frame_rate_a_change_is_followed_after_about_tau_times_ln_2(
    frames_per_s: int,
) -> None:
    # After a long time of one class the other has one half when exp(-t / tau) = 1/2.
    config = SmoothingConfig(time_constant_s=0.5, hysteresis=0.0)
    face = SmoothedExpression(config, np.array([1.0, 0.0]), 0.0)
    for step in range(1, 5 * frames_per_s):
        face.update(np.array([1.0, 0.0]), step / frames_per_s)
    since = 0
    while face.class_index == 0:
        since += 1
        face.update(np.array([0.0, 1.0]), 5.0 + (since - 1) / frames_per_s)
    assert since / frames_per_s == pytest.approx(0.5 * LN2, abs=1 / frames_per_s)


def test_a_wrong_first_frame_does_not_stay() -> None:
    face = SmoothedExpression(SmoothingConfig(0.5, hysteresis=0.1), np.array([0.7, 0.3]), 0.0)
    for step in range(1, 4):
        face.update(np.array([0.2, 0.8]), step / 30)
    # An average that began with all of its weight would take 11 frames.
    assert face.class_index == 1


def test_smoothed_probabilities_still_sum_to_one() -> None:
    rng = np.random.default_rng(0)
    face = SmoothedExpression(SmoothingConfig(), rng.dirichlet(np.ones(7)), 0.0)
    for step in range(1, 200):
        face.update(rng.dirichlet(np.ones(7)), step / 30)
    assert face.probabilities.sum() == pytest.approx(1.0, abs=1e-12)


def test_the_label_stays_until_another_class_leads_by_more_than_the_hysteresis() -> None:
    # Frames of one time weigh the same: the leads are 0, 0.067 and 0.1.
    face = SmoothedExpression(SmoothingConfig(hysteresis=0.08), np.array([0.6, 0.4]), 0.0)
    labels = []
    for _ in range(3):
        face.update(np.array([0.4, 0.6]), 0.0)
        labels.append(face.class_index)
    assert labels == [0, 0, 1]


def test_without_hysteresis_a_tie_changes_nothing() -> None:
    face = SmoothedExpression(SmoothingConfig(hysteresis=0.0), np.array([0.25, 0.75]), 0.0)
    face.update(np.array([0.75, 0.25]), 0.0)  # exactly one half each
    assert face.class_index == 1
    face.update(np.array([0.75, 0.25]), 0.0)
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
