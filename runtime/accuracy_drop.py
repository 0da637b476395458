"""What a lower precision cost: two models on the same faces, compared and judged.

The comparison is paired: only the faces that one of the two gets right count, so it needs far
fewer faces than two separate accuracies with their intervals would. That is valid only if both
really saw the same faces in the same order with the same labels, so anything else is refused here.

Shapes: N faces, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_arm.runtime.backend import BackendInfo
from edge_arm.runtime.errors import DataError
from edge_arm.runtime.labels import LabelSet
from edge_arm.runtime.manifest import MAIN_VARIANT, Precision
from edge_arm.runtime.predictions import Predictions
from edge_arm.runtime.statistics import (
    Agreement,
    ClassComparison,
    ClassRules,
    ConfidenceQuality,
    Gate,
    Interval,
    MacroDrop,
    MacroScores,
    PairedCounts,
    Verdict,
    compare_answers,
    compare_classes,
    confidence_quality,
    confusion_matrix,
    drop_interval,
    faces_needed,
    macro_drop,
    macro_scores,
    mcnemar_exact_p,
    minimum_detectable_drop,
    paired_counts,
    verdict_from_interval,
    wilson_interval,
)

DEFAULT_CONFIDENCE = 0.95
"""Of every interval where no gate asks for another."""

BOOTSTRAP_SEED = 0
"""Of the macro scores' intervals: the same predictions give the same report."""


@dataclass(frozen=True, eq=False)
class ModelAccuracy:
    """How one model answers, by itself.

    Attributes:
        precision: of the model.
        info: of what ran.
        batch_size: faces per call.
        num_faces: N.
        num_right: faces answered rightly.
        interval: Wilson, around `accuracy`.
        scores: that give every class the same weight.
        confusion: (C, C) int64, faces by true class (row) and answer (column).
        confidence_quality: how far its probabilities can be believed.
        images_per_second: see `Predictions.seconds_inference` for what it is worth.
        temperature: that the bundle keeps for this model, fitted on other faces; None if there is
            none.
        tempered: `confidence_quality` with the logits divided by it; None likewise.
        variant: of the model file, see `Artifact`.
    """

    precision: Precision
    info: BackendInfo
    batch_size: int
    num_faces: int
    num_right: int
    interval: Interval
    scores: MacroScores
    confusion: npt.NDArray[np.int64]
    confidence_quality: ConfidenceQuality
    images_per_second: float
    temperature: float | None = None
    tempered: ConfidenceQuality | None = None
    variant: str = MAIN_VARIANT

    @property
    def accuracy(self) -> float:
        """Share of the faces answered rightly, 0..1."""
        return self.num_right / self.num_faces


@dataclass(frozen=True, eq=False)
class AccuracyDrop:
    """A candidate against a reference on the same faces.

    Attributes:
        labels: of both.
        reference: the model of higher precision.
        candidate: the model that is judged.
        counts: who is right where.
        interval: of the drop in accuracy, as a fraction.
        mcnemar_p: two-sided p of "the accuracies are equal"; a large one proves nothing.
        agreement: equal answers and flips, right or wrong.
        classes: the same by class.
        macro: drop in the scores that give every class the same weight.
        minimum_detectable_drop: smallest margin this set could certify, as a fraction.
        gate: what was asked for, if anything.
        verdict: None without a gate.
        faces_to_decide: estimate of how many faces would decide where the verdict is CANNOT_TELL;
            None otherwise, or if a million would not.
    """

    labels: LabelSet
    reference: ModelAccuracy
    candidate: ModelAccuracy
    counts: PairedCounts
    interval: Interval
    mcnemar_p: float
    agreement: Agreement
    classes: ClassComparison
    macro: MacroDrop
    minimum_detectable_drop: float
    gate: Gate | None
    verdict: Verdict | None
    faces_to_decide: int | None

    @property
    def drop_pp(self) -> float:
        """Reference minus candidate accuracy in percentage points, positive if it got worse."""
        return 100.0 * self.counts.drop

    @property
    def drop_pp_interval(self) -> tuple[float, float]:
        """Limits of the drop in percentage points."""
        return 100.0 * self.interval.low, 100.0 * self.interval.high


def accuracy_of(
    predictions: Predictions, *, confidence: float = DEFAULT_CONFIDENCE
) -> ModelAccuracy:
    """Accuracy of one model with its interval.

    Args:
        predictions: at least one face.
        confidence: two-sided, of the interval.

    Raises:
        DataError: if there are no faces, or logits or targets cannot be used.
    """
    confusion = confusion_matrix(
        predictions.targets, predictions.answers, num_classes=len(predictions.labels)
    )
    num_right = int(confusion.trace())
    return ModelAccuracy(
        precision=predictions.precision,
        info=predictions.info,
        batch_size=predictions.batch_size,
        num_faces=len(predictions),
        num_right=num_right,
        interval=wilson_interval(num_right, len(predictions), confidence=confidence),
        scores=macro_scores(confusion),
        confusion=confusion,
        confidence_quality=confidence_quality(predictions.logits, predictions.targets),
        images_per_second=predictions.images_per_second,
        variant=predictions.variant,
        temperature=predictions.temperature,
        tempered=(
            None
            if predictions.temperature is None
            else confidence_quality(
                predictions.logits, predictions.targets, temperature=predictions.temperature
            )
        ),
    )


def compare(
    reference: Predictions,
    candidate: Predictions,
    gate: Gate | None = None,
    *,
    max_class_drop: float | None = None,
) -> AccuracyDrop:
    """Measure what the candidate loses against the reference, and judge it if a gate is given.

    Args:
        reference: of the higher precision.
        candidate: the same faces, in the same order.
        gate: largest accepted drop and confidence; without one there is no verdict.
        max_class_drop: largest accepted drop of any class, as a fraction; without one the classes
            have no verdict.

    Raises:
        DataError: if the two are not about the same faces and labels, naming the first difference.
    """
    require_same_faces(reference, candidate)
    confidence = DEFAULT_CONFIDENCE if gate is None else gate.confidence
    counts = paired_counts(reference.right, candidate.right)
    interval = drop_interval(counts, confidence=confidence)
    verdict = None if gate is None else verdict_from_interval(interval, gate)
    undecided = gate is not None and verdict is Verdict.CANNOT_TELL
    return AccuracyDrop(
        labels=reference.labels,
        reference=accuracy_of(reference, confidence=confidence),
        candidate=accuracy_of(candidate, confidence=confidence),
        counts=counts,
        interval=interval,
        mcnemar_p=mcnemar_exact_p(counts),
        agreement=compare_answers(reference.logits, candidate.logits),
        classes=compare_classes(
            reference.targets,
            reference.answers,
            candidate.answers,
            num_classes=len(reference.labels),
            rules=ClassRules(max_drop=max_class_drop, confidence=confidence),
        ),
        macro=macro_drop(
            reference.targets,
            reference.answers,
            candidate.answers,
            num_classes=len(reference.labels),
            rng=np.random.default_rng(BOOTSTRAP_SEED),
            confidence=confidence,
        ),
        minimum_detectable_drop=minimum_detectable_drop(
            counts.num_faces, counts.num_discordant, confidence=confidence
        ),
        gate=gate,
        verdict=verdict,
        faces_to_decide=(
            faces_needed(counts, gate.max_drop, confidence=confidence)
            if gate is not None and undecided
            else None
        ),
    )


def require_same_faces(reference: Predictions, candidate: Predictions) -> None:
    """Refuse two models that cannot be compared face by face.

    Args:
        reference: the one.
        candidate: the other.

    Raises:
        DataError: if labels, faces, their order, their true classes or their pictures differ,
            naming the first difference.
    """
    pair = f"{reference.precision.value} (reference) and {candidate.precision.value} (candidate)"
    if reference.labels.classes != candidate.labels.classes:
        raise DataError(
            f"{pair} have the classes {', '.join(reference.labels.classes)} and "
            f"{', '.join(candidate.labels.classes)}, expected the same in the same order; "
            "compare models of one bundle"
        )
    if len(reference) != len(candidate):
        raise DataError(
            f"{pair} answered {len(reference)} and {len(candidate)} faces, expected the same "
            "faces; run both over one index"
        )
    for position, (first, second) in enumerate(
        zip(reference.sample_ids, candidate.sample_ids, strict=True)
    ):
        if first != second:
            raise DataError(
                f"{pair} differ first at face {position}: {first!r} and {second!r}, expected the "
                "same faces in the same order; run both over one index"
            )
    different = np.flatnonzero(reference.targets != candidate.targets)
    if different.size:
        position = int(different[0])
        names = [
            reference.labels.classes[int(predictions.targets[position])]
            for predictions in (reference, candidate)
        ]
        raise DataError(
            f"{pair} have the labels {names[0]!r} and {names[1]!r} for "
            f"{reference.sample_ids[position]!r}, expected the same; run both over one index"
        )
    if reference.data_sha256 != candidate.data_sha256:
        raise DataError(
            f"{pair} name the same faces, but their pictures differ (SHA-256 over all "
            f"{reference.data_sha256[:12]}... and {candidate.data_sha256[:12]}...), expected the "
            "same files; run both over one copy of the data set"
        )
