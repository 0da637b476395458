from __future__ import annotations

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.special import softmax as scipy_softmax

from edge_arm.runtime.errors import DataError, UsageError
from edge_arm.runtime.statistics import confidence_quality, softmax


def two_class_logits(confidences: list[float]) -> np.ndarray:  # type: ignore[type-arg]
    """Rows whose first class has the given probability."""
    p = np.array(confidences)
    return np.stack([np.log(p), np.log1p(-p)], axis=1)


def test_softmax_is_scipys() -> None:
    logits = np.random.default_rng(0).normal(size=(50, 7)).astype(np.float32) * 8
    expected = scipy_softmax(logits.astype(np.float64) / 2.5, axis=1)
    np.testing.assert_allclose(softmax(logits, temperature=2.5), expected, rtol=1e-12)


def test_softmax_of_huge_logits_does_not_overflow() -> None:
    np.testing.assert_array_equal(softmax(np.array([[3e38, -3e38]], np.float32)), [[1.0, 0.0]])


def test_the_nll_is_the_mean_log_likelihood() -> None:
    rng = np.random.default_rng(1)
    logits, targets = rng.normal(size=(40, 5)), rng.integers(0, 5, 40)
    expected = (logsumexp(logits, axis=1) - logits[np.arange(40), targets]).mean()
    assert confidence_quality(logits, targets).nll == pytest.approx(expected, rel=1e-12)


def test_the_ece_of_four_faces_is_the_one_by_hand() -> None:
    # Bins of width 1/15. Confidences 0.61 and 0.65 share (0.6, 0.667]: mean 0.63, accuracy 1/2;
    # 0.9 is in (0.867, 0.933]: accuracy 1; 0.95 in (0.933, 1]: accuracy 0.
    logits = two_class_logits([0.61, 0.65, 0.9, 0.95])
    quality = confidence_quality(logits, np.array([0, 1, 0, 1]))
    expected = (2 * abs(0.63 - 0.5) + abs(0.9 - 1) + abs(0.95 - 0)) / 4
    assert quality.ece == pytest.approx(expected, rel=1e-12)


def test_the_reliability_curve_has_15_bins_and_none_where_there_are_no_faces() -> None:
    bins = confidence_quality(two_class_logits([0.61, 0.65]), np.array([0, 1])).bins
    assert len(bins) == 15
    assert (bins[9].low, bins[9].high) == pytest.approx((0.6, 2 / 3))
    assert (bins[9].num_faces, bins[9].accuracy) == (2, 0.5)
    assert bins[9].mean_confidence == pytest.approx(0.63, rel=1e-12)
    assert {(b.num_faces, b.mean_confidence, b.accuracy) for b in bins if b is not bins[9]} == {
        (0, None, None)
    }


def test_a_confidence_of_one_is_in_the_last_bin() -> None:
    quality = confidence_quality(np.array([[1000.0, 0.0]]), np.array([0]))
    assert quality.bins[14].num_faces == 1
    assert (quality.ece, quality.nll) == (0.0, 0.0)


def test_a_confidence_on_an_edge_is_in_the_bin_below() -> None:
    # Three equal classes: confidence 1/3 is the upper edge of the fifth bin, (4/15, 5/15]. Exactly
    # representable edges only: with four classes 1/4 lies inside a bin.
    quality = confidence_quality(np.zeros((1, 5)), np.array([0]))
    assert [index for index, b in enumerate(quality.bins) if b.num_faces] == [2]


def test_a_temperature_changes_confidence_and_no_answer() -> None:
    logits = two_class_logits([0.8, 0.9])
    targets = np.array([0, 1])
    warm = confidence_quality(logits, targets, temperature=2.0)
    # By hand: sqrt(0.8) : sqrt(0.2) = 2 : 1, sqrt(0.9) : sqrt(0.1) = 3 : 1.
    assert warm.nll == pytest.approx(-(np.log(2 / 3) + np.log(1 / 4)) / 2, rel=1e-12)
    assert sum((b.accuracy or 0) * b.num_faces for b in warm.bins) == 1


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("inf"), float("nan")])
def test_a_temperature_that_is_not_positive_is_refused(temperature: float) -> None:
    with pytest.raises(UsageError, match="temperature is .*1 leaves the logits as they are"):
        softmax(np.zeros((1, 2)), temperature=temperature)


def test_targets_of_other_faces_are_refused() -> None:
    with pytest.raises(DataError, match="2 rows of logits and 1 targets"):
        confidence_quality(np.zeros((2, 3)), np.array([0]))


def test_certainty_that_is_right_costs_nothing_and_has_no_sign() -> None:
    nll = confidence_quality(np.array([[1e5, 0.0]]), np.array([0])).nll
    assert str(nll) == "0.0"
