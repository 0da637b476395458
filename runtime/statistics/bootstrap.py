"""Intervals of the drop in mean class accuracy and macro-F1, which no formula gives.

Paired, stratified percentile bootstrap: B. Efron and R. Tibshirani, "An Introduction to the
Bootstrap" (1993), chapters 6 and 13. Faces are drawn anew within each class, and each drawn face
brings both answers along. It describes; no verdict rests on it, because it is too optimistic
about classes with few faces.

Letters: C classes, B resamples, K cells (reference answer, candidate answer) that occur.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_arm.runtime.errors import UsageError
from edge_arm.runtime.statistics.interval import Interval, IntervalMethod, one_sided_error
from edge_arm.runtime.statistics.macro import confusion_matrix, macro_means, macro_scores

NUM_RESAMPLES = 2000


@dataclass(frozen=True)
class MacroDrop:
    """Reference minus candidate, positive where the candidate is worse.

    Attributes:
        mean_class_accuracy: drop as a fraction.
        mean_class_accuracy_interval: None if the models answer every face alike: there is nothing
            to draw from, and the bootstrap would claim to be certain.
        macro_f1: drop as a fraction.
        macro_f1_interval: None in the same case.
    """

    mean_class_accuracy: float
    mean_class_accuracy_interval: Interval | None
    macro_f1: float
    macro_f1_interval: Interval | None


def macro_drop(
    targets: NDArray[Any],
    reference: NDArray[Any],
    candidate: NDArray[Any],
    *,
    num_classes: int,
    rng: np.random.Generator,
    confidence: float = 0.95,
) -> MacroDrop:
    """Drop in mean class accuracy and macro-F1 with bootstrap intervals of 2,000 resamples.

    Drawing faces of a class with replacement is drawing how often each pair of answers occurs
    from a multinomial, so a resample costs C draws and not N.

    Args:
        targets: (N,) integer, true classes.
        reference: (N,) integer, answers of the reference.
        candidate: (N,) integer, answers of the candidate.
        num_classes: C.
        rng: source of the resamples; the same state gives the same interval.
        confidence: two-sided.

    Raises:
        DataError: if the arrays are no labels or of different lengths.
        UsageError: if the confidence is out of range or leaves too few resamples beyond a limit.
    """
    error = one_sided_error(confidence)
    if error * NUM_RESAMPLES < 5:
        raise UsageError(
            f"confidence is {confidence!r}, expected at most {1 - 10 / NUM_RESAMPLES} for "
            f"{NUM_RESAMPLES} resamples; use a lower confidence"
        )
    before = macro_scores(confusion_matrix(targets, reference, num_classes))
    after = macro_scores(confusion_matrix(targets, candidate, num_classes))
    accuracy_drop = before.mean_class_accuracy - after.mean_class_accuracy
    f1_drop = before.macro_f1 - after.macro_f1
    if np.array_equal(reference, candidate):
        return MacroDrop(accuracy_drop, None, f1_drop, None)

    shape = (NUM_RESAMPLES, num_classes, num_classes)
    references, candidates = np.zeros(shape), np.zeros(shape)
    for label in range(num_classes):
        mine = targets == label
        support = int(np.count_nonzero(mine))
        if support == 0:
            continue
        answers, counts = np.unique(
            np.stack([reference[mine], candidate[mine]]), axis=1, return_counts=True
        )  # (2, K), (K,)
        drawn = rng.multinomial(support, counts / support, size=NUM_RESAMPLES)  # (B, K)
        for cell in range(counts.size):
            references[:, label, answers[0, cell]] += drawn[:, cell]
            candidates[:, label, answers[1, cell]] += drawn[:, cell]

    recalls_before, f1_before = macro_means(references)
    recalls_after, f1_after = macro_means(candidates)

    def percentiles(drops: NDArray[np.float64]) -> Interval:
        low, high = np.quantile(drops, [error, 1 - error])
        return Interval(float(low), float(high), confidence, IntervalMethod.BOOTSTRAP)

    return MacroDrop(
        accuracy_drop,
        percentiles(recalls_before - recalls_after),
        f1_drop,
        percentiles(f1_before - f1_after),
    )
