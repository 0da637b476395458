"""How far a model's confidence can be believed.

Quantization can keep every answer and ruin its confidence, which matters to whoever thresholds it.

Letters: N faces, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_arm.runtime.errors import UsageError
from edge_arm.runtime.statistics.arrays import (
    Labels,
    Logits,
    check_same_faces,
    checked_labels,
    checked_logits,
)
from edge_arm.runtime.statistics.binomial import Floats

NUM_BINS = 15
"""As in Guo et al. (2017); ECEs with different bins are not comparable, so this is no option."""


@dataclass(frozen=True)
class ReliabilityBin:
    """The faces whose confidence lies in (low, high].

    Attributes:
        low: lower edge, outside the bin (0 belongs to the first).
        high: upper edge, inside.
        num_faces: how many there are.
        mean_confidence: None if there are none.
        accuracy: share answered rightly, None if there are none.
    """

    low: float
    high: float
    num_faces: int
    mean_confidence: float | None
    accuracy: float | None


@dataclass(frozen=True)
class ConfidenceQuality:
    """How confidence and truth agree.

    Attributes:
        nll: mean negative log likelihood of the true class, in nats; lower is better.
        ece: expected calibration error, 0..1; lower is better.
        bins: the reliability curve.
    """

    nll: float
    ece: float
    bins: tuple[ReliabilityBin, ...]


def log_softmax(logits: Logits) -> Floats:
    """Log probabilities; the largest logit of a row is subtracted first, so nothing overflows.

    Args:
        logits: (N, C) float64.

    Returns:
        (N, C) float64.
    """
    shifted: Floats = logits - logits.max(axis=1, keepdims=True)
    normalizer: Floats = np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return shifted - normalizer


def softmax(logits: NDArray[Any], *, temperature: float = 1.0) -> Floats:
    """Probabilities of the classes: the softmax of logits / temperature, in float64.

    Args:
        logits: (N, C) floating.
        temperature: above 0; larger makes the model less sure.

    Returns:
        (N, C) float64, rows sum to 1.

    Raises:
        DataError: if the logits cannot be used.
        UsageError: if the temperature is not a positive number.
    """
    return np.exp(log_softmax(checked_logits(logits, "logits") / checked_temperature(temperature)))


def checked_temperature(temperature: float) -> float:
    """The temperature, if it is one.

    Args:
        temperature: finite and above 0.

    Raises:
        UsageError: if it is not.
    """
    if not 0.0 < temperature < float("inf"):
        raise UsageError(
            f"temperature is {temperature!r}, expected a finite number above 0; "
            "1 leaves the logits as they are"
        )
    return temperature


def checked_answers(logits: NDArray[Any], targets: NDArray[Any]) -> tuple[Logits, Labels]:
    """Logits and true classes that belong together.

    Args:
        logits: (N, C) floating.
        targets: (N,) integer.

    Returns:
        (N, C) float64 and (N,) int64.

    Raises:
        DataError: if they cannot be used or have different lengths.
    """
    checked = checked_logits(logits, "logits")
    labels = checked_labels(targets, checked.shape[1], "targets")
    check_same_faces(checked, labels, ("rows of logits", "targets"))
    return checked, labels


def confidence_quality(
    logits: NDArray[Any], targets: NDArray[Any], *, temperature: float = 1.0
) -> ConfidenceQuality:
    """NLL, ECE and the reliability curve of one model.

    Guo, Pleiss, Sun and Weinberger, "On calibration of modern neural networks", ICML 2017,
    equation (3), with 15 bins of equal width of the top-1 probability, closed above::

        ECE = sum over bins of (faces in the bin / N) |accuracy - mean confidence|

    ECE is biased upwards on few faces (about 0.05 for a perfect model on 436), so compare two
    models on the same faces and do not read one value alone.

    Args:
        logits: (N, C) floating.
        targets: (N,) integer, true classes.
        temperature: the logits are divided by it first.

    Raises:
        DataError: if logits or targets cannot be used or have different lengths.
        UsageError: if the temperature is not a positive number.
    """
    checked, labels = checked_answers(logits, targets)
    log_probabilities = log_softmax(checked / checked_temperature(temperature))
    confidence = np.exp(log_probabilities.max(axis=1))  # (N,)
    # From the logits themselves: dividing by a temperature must not move an answer.
    right = checked.argmax(axis=1) == labels
    edges = np.linspace(0.0, 1.0, NUM_BINS + 1)
    # Confidence 1 is in the last bin although rounding may put it a hair above 1.
    member = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, NUM_BINS - 1)

    bins = []
    ece = 0.0
    for index in range(NUM_BINS):
        inside = member == index
        num_faces = int(np.count_nonzero(inside))
        mean_confidence = float(confidence[inside].mean()) if num_faces else None
        accuracy = float(right[inside].mean()) if num_faces else None
        bins.append(
            ReliabilityBin(
                float(edges[index]), float(edges[index + 1]), num_faces, mean_confidence, accuracy
            )
        )
        if mean_confidence is not None and accuracy is not None:
            ece += num_faces / labels.size * abs(accuracy - mean_confidence)
    # 0 minus it, and not its negative: certainty costs 0 nats and not -0.
    nll = 0.0 - float(log_probabilities[np.arange(labels.size), labels].mean())
    return ConfidenceQuality(nll=nll, ece=ece, bins=tuple(bins))
