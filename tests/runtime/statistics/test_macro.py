from __future__ import annotations

import numpy as np
import pytest

from edge_arm.runtime.errors import DataError
from edge_arm.runtime.statistics import confusion_matrix, macro_scores

TARGETS = np.array([0, 0, 0, 0, 1, 1, 1, 2, 2, 2, 2, 2])
PREDICTIONS = np.array([0, 0, 1, 2, 1, 1, 0, 2, 2, 2, 1, 2])


def test_the_confusion_matrix_has_true_classes_in_rows() -> None:
    # scikit-learn 1.9.1: confusion_matrix(t, q)
    assert confusion_matrix(TARGETS, PREDICTIONS, 3).tolist() == [[2, 1, 1], [1, 2, 0], [0, 1, 4]]


def test_the_scores_are_the_ones_of_scikit_learn() -> None:
    # scikit-learn 1.9.1: balanced_accuracy_score(t, q), f1_score(t, q, average="macro")
    scores = macro_scores(confusion_matrix(TARGETS, PREDICTIONS, 3))
    assert scores.mean_class_accuracy == pytest.approx(0.6555555555555556, rel=1e-12)
    assert scores.macro_f1 == pytest.approx(0.6476190476190476, rel=1e-12)


def test_a_class_without_faces_is_left_out_of_both_means() -> None:
    # By hand: class 2 has no faces and is answered once. Recalls 1/2 and 1; F1 2/3 and 1.
    scores = macro_scores(confusion_matrix(np.array([0, 0, 1]), np.array([0, 2, 1]), 3))
    assert scores.mean_class_accuracy == pytest.approx(0.75, rel=1e-12)
    assert scores.macro_f1 == pytest.approx((2 / 3 + 1) / 2, rel=1e-12)


def test_a_class_that_is_never_answered_scores_zero() -> None:
    # By hand: recalls 1 and 0; F1 2*2/(2*2+1) = 0.8 and 0.
    scores = macro_scores(confusion_matrix(np.array([0, 0, 1]), np.array([0, 0, 0]), 2))
    assert scores.mean_class_accuracy == 0.5
    assert scores.macro_f1 == pytest.approx(0.4, rel=1e-12)


def test_predictions_for_other_faces_are_refused() -> None:
    with pytest.raises(DataError, match="3 targets and 2 predictions"):
        confusion_matrix(np.array([0, 0, 1]), np.array([0, 0]), 2)
