"""How often two models answer alike, whether right or wrong.

Equal accuracies can hide changed answers: what one face loses another wins. A user who sees the
label sees every flip.

Letters: N faces, C classes, F flipped faces.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_arm.runtime.errors import DataError
from edge_arm.runtime.statistics.arrays import check_same_faces, checked_logits
from edge_arm.runtime.statistics.binomial import Floats, Ints
from edge_arm.runtime.statistics.calibration_error import log_softmax


@dataclass(frozen=True, eq=False)
class Agreement:
    """Answers of a candidate beside those of the reference.

    Attributes:
        agreement: share of faces with the same top-1, 0..1.
        flips: (C, C) int64, faces by the reference's answer (row) and the candidate's (column);
            the diagonal holds those that agree.
        flipped_faces: (F,) int64, indices of the others, rising.
        flipped_margins: (F,) float64, top-1 minus top-2 probability of the reference on them. Small
            ones were a toss-up before; a large one says that something broke.
        median_margin: median of the same margin over all N faces: what the flipped ones have to be
            held against.
        mean_kl: mean of KL(reference || candidate) over the faces, in nats, at least 0: how far the
            probabilities moved, flips or not.
    """

    agreement: float
    flips: Ints
    flipped_faces: Ints
    flipped_margins: Floats
    median_margin: float
    mean_kl: float


def top_margins(probabilities: Floats) -> Floats:
    """Largest probability minus the second: 0 is a coin toss, 1 is certainty.

    Args:
        probabilities: (N, C) float64, C at least 2.

    Returns:
        (N,) float64.
    """
    top_two = np.partition(probabilities, -2, axis=1)[:, -2:]  # (N, 2), the larger one last
    margins: Floats = top_two[:, 1] - top_two[:, 0]
    return margins


def compare_answers(reference: NDArray[Any], candidate: NDArray[Any]) -> Agreement:
    """Compare the logits of two models on the same faces.

    Equal largest logits are answered with the first of the classes, by both models.

    Args:
        reference: (N, C) floating, logits.
        candidate: (N, C) floating, logits.

    Raises:
        DataError: if logits cannot be used, or are of different faces or classes.
    """
    before = checked_logits(reference, "reference logits")
    after = checked_logits(candidate, "candidate logits")
    check_same_faces(before, after, ("rows of reference logits", "rows of candidate logits"))
    num_classes = before.shape[1]
    if after.shape[1] != num_classes:
        raise DataError(
            f"{num_classes} classes of the reference and {after.shape[1]} of the candidate, "
            "expected the same; compare models with one label set"
        )
    answers, new_answers = before.argmax(axis=1), after.argmax(axis=1)
    flipped = np.flatnonzero(answers != new_answers)
    cells = np.bincount(answers * num_classes + new_answers, minlength=num_classes**2)

    log_before, log_after = log_softmax(before), log_softmax(after)
    probabilities = np.exp(log_before)
    kl = (probabilities * (log_before - log_after)).sum(axis=1)  # (N,)
    margins = top_margins(probabilities)
    return Agreement(
        agreement=(answers.size - flipped.size) / answers.size,
        flips=cells.reshape(num_classes, num_classes).astype(np.int64),
        flipped_faces=flipped.astype(np.int64),
        flipped_margins=margins[flipped],
        median_margin=float(np.median(margins)),
        mean_kl=max(0.0, float(kl.mean())),
    )
