"""The content of an accuracy-drop report, before it takes a form (JSON, HTML, Markdown, a table).

Every form is made from the same `Report`, so they cannot say different things.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edge_arm.runtime.accuracy_drop import (
    DEFAULT_CONFIDENCE,
    AccuracyDrop,
    ModelAccuracy,
    accuracy_of,
    compare,
)
from edge_arm.runtime.errors import BundleError, UsageError
from edge_arm.runtime.faces import FaceIndex, Split
from edge_arm.runtime.labels import LabelSet
from edge_arm.runtime.manifest import Precision
from edge_arm.runtime.predictions import Predictions
from edge_arm.runtime.statistics import Gate, Verdict

REFERENCE = Precision.FP32
"""What every drop is measured against."""


@dataclass(frozen=True)
class MeasuredData:
    """The faces of a report.

    Attributes:
        name: of the data set.
        split: the part of it.
        num_images: N.
        sha256: over ids, labels and file contents of all faces, in order.
        class_counts: faces by class, in the order of the labels.
    """

    name: str
    split: Split
    num_images: int
    sha256: str
    class_counts: tuple[int, ...]


@dataclass(frozen=True)
class Provenance:
    """How a report came about, so that it can be made again.

    Attributes:
        command: as it was typed.
        created_at: date and time in UTC, ISO 8601.
        versions: of what measured: edge-arm, Python, libraries.
        bundle_versions: of the tools that wrote the models.
        source: where the weights come from, as in the manifest.
        calibration: of the INT8 ranges, as in the manifest; None if there is none.
    """

    command: str
    created_at: str
    versions: Mapping[str, str]
    bundle_versions: Mapping[str, str]
    source: Mapping[str, Any]
    calibration: Mapping[str, Any] | None


@dataclass(frozen=True, eq=False)
class Report:
    """One measurement of a bundle.

    Attributes:
        data: the faces.
        labels: the model's classes.
        reference: the FP32 model.
        drops: of each other precision, highest first; may be empty.
        gate: largest accepted drop, if one was asked for.
        provenance: how it came about.
    """

    data: MeasuredData
    labels: LabelSet
    reference: ModelAccuracy
    drops: tuple[AccuracyDrop, ...]
    gate: Gate | None
    provenance: Provenance

    @property
    def models(self) -> tuple[ModelAccuracy, ...]:
        """The reference, then the candidates."""
        return (self.reference, *(drop.candidate for drop in self.drops))

    @property
    def confidence(self) -> float:
        """Of every interval in the report."""
        return DEFAULT_CONFIDENCE if self.gate is None else self.gate.confidence

    @property
    def verdict(self) -> Verdict | None:
        """Over all candidates: PASS only if each passes, FAIL as soon as one fails.

        Each candidate keeps the gate's full confidence: "all of them pass" needs no correction,
        because more candidates make it harder and not easier.
        """
        if self.gate is None:
            return None
        verdicts = {drop.verdict for drop in self.drops}
        for verdict in (Verdict.FAIL, Verdict.CANNOT_TELL):
            if verdict in verdicts:
                return verdict
        return Verdict.PASS


def report_from_predictions(
    predictions: Mapping[Precision, Predictions],
    index: FaceIndex,
    *,
    gate: Gate | None,
    provenance: Provenance,
) -> Report:
    """Compare every precision with FP32.

    Args:
        predictions: of all models over `index`, as `predict_all` gives them.
        index: the faces.
        gate: largest accepted drop of each candidate.
        provenance: how the predictions came about.

    Raises:
        BundleError: if FP32 is missing.
        UsageError: if there is a gate and nothing to judge.
        DataError: if the predictions are not about the same faces.
    """
    reference = predictions.get(REFERENCE)
    if reference is None:
        raise BundleError(
            f"got predictions of {', '.join(item.value for item in predictions) or 'no model'}, "
            "expected fp32 among them as the reference; make it with 'edge-arm export'"
        )
    candidates = [item for item in Precision if item in predictions and item is not REFERENCE]
    if gate is not None and not candidates:
        raise UsageError(
            "got --max-drop and a bundle with fp32 alone, expected a model to judge; make one with "
            "'edge-arm export --fp16' or 'edge-arm calibrate --data NAME'"
        )
    confidence = DEFAULT_CONFIDENCE if gate is None else gate.confidence
    return Report(
        data=MeasuredData(
            name=index.name,
            split=index.split,
            num_images=len(index),
            sha256=reference.data_sha256,
            class_counts=tuple(int(count) for count in index.counts()),
        ),
        labels=reference.labels,
        reference=accuracy_of(reference, confidence=confidence),
        drops=tuple(compare(reference, predictions[item], gate) for item in candidates),
        gate=gate,
        provenance=provenance,
    )
