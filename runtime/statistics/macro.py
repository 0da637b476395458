"""Scores that give every class the same weight, whatever its number of faces.

Letters: N faces, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_arm.runtime.statistics.arrays import check_same_faces, checked_labels
from edge_arm.runtime.statistics.binomial import Floats, Ints


@dataclass(frozen=True)
class MacroScores:
    """Means over the classes that have faces.

    Attributes:
        mean_class_accuracy: mean of the recalls, 0..1; also called macro recall or balanced
            accuracy.
        macro_f1: mean of the F1 scores, 0..1.
    """

    mean_class_accuracy: float
    macro_f1: float


def confusion_matrix(
    targets: NDArray[Any], predictions: NDArray[Any], num_classes: int
) -> NDArray[np.int64]:
    """Counts of faces by true class (row) and answer (column).

    Args:
        targets: (N,) integer.
        predictions: (N,) integer.
        num_classes: C.

    Returns:
        (C, C) int64.

    Raises:
        DataError: if the arrays are no labels or of two lengths.
    """
    targets = checked_labels(targets, num_classes, "targets")
    predictions = checked_labels(predictions, num_classes, "predictions")
    check_same_faces(targets, predictions, ("targets", "predictions"))
    cells = np.bincount(targets * num_classes + predictions, minlength=num_classes**2)
    return cells.reshape(num_classes, num_classes).astype(np.int64)


def macro_scores(confusion: Ints) -> MacroScores:
    """Mean class accuracy and macro-F1 of one confusion matrix.

    Args:
        confusion: (C, C), rows are true classes; at least one face.
    """
    recalls, f1_scores = macro_means(confusion[None].astype(np.float64))
    return MacroScores(float(recalls[0]), float(f1_scores[0]))


def macro_means(confusions: Floats) -> tuple[Floats, Floats]:
    """Mean recall and mean F1 of many confusion matrices at once.

    F1 = 2 TP / (2 TP + FP + FN), the harmonic mean of precision and recall, 0 for a class that is
    never answered. A class without faces has no recall; it is left out of both means instead of
    counting as 0 or 1 (other tools differ here; scikit-learn's f1_score counts it as 0 if it is
    ever answered).

    Args:
        confusions: (..., C, C) float64.

    Returns:
        Mean recall (...) and mean F1 (...), float64.
    """
    support = confusions.sum(axis=-1)  # (..., C)
    answered = confusions.sum(axis=-2)  # (..., C)
    right = np.diagonal(confusions, axis1=-2, axis2=-1)  # (..., C)
    present = support > 0
    num_present = present.sum(axis=-1)
    recall = right / np.where(present, support, 1.0)
    # FP + FN + 2 TP is all faces of the class and all answers of it.
    f1 = 2 * right / np.where(present, support + answered, 1.0)
    return (
        np.where(present, recall, 0.0).sum(axis=-1) / num_present,
        np.where(present, f1, 0.0).sum(axis=-1) / num_present,
    )
