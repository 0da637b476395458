"""The content of an accuracy-drop report, before it takes a form (JSON, HTML, Markdown, a table).

Every form is made from the same `Report`, so they cannot say different things.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edge_arm.runtime.accuracy_drop import (
    DEFAULT_CONFIDENCE,
    AccuracyDrop,
    ModelAccuracy,
    accuracy_of,
    compare,
)
from edge_arm.runtime.baselines import Baseline
from edge_arm.runtime.batch_invariance import InvarianceCheck
from edge_arm.runtime.errors import BundleError, UsageError
from edge_arm.runtime.explanation import DropSource
from edge_arm.runtime.faces import FaceIndex, Split
from edge_arm.runtime.flips import FlippedFace
from edge_arm.runtime.labels import LabelSet
from edge_arm.runtime.leaks import LeakCheck
from edge_arm.runtime.manifest import Precision
from edge_arm.runtime.predictions import Predictions
from edge_arm.runtime.slices import SliceDrop
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
        drops: of each other model, highest precision first and other files of one last; may be
            empty.
        gate: largest accepted drop, if one was asked for.
        provenance: how it came about.
        class_gate: largest accepted drop of any class, as a fraction, if one was asked for.
        reference_origin: how the reference's answers were had: "run now", or where they were
            recorded.
        temperature_origin: the faces that stored temperatures were fitted on; empty without any.
        baselines: of FP32 by protocol; empty where PyTorch or the checkpoint is missing.
        invariance: of every model that ran, by arrangement.
        flipped: faces that a candidate answers otherwise than the reference, by precision and
            then by the reference's margin, largest first.
        leaks: between calibration and these faces; None if nobody looked.
        slices: of every candidate, where the data set says who is on the pictures.
        explanation: one source of error at a time; empty if it was not asked for.
        not_measured: what is missing from this report and why, a sentence each.
    """

    data: MeasuredData
    labels: LabelSet
    reference: ModelAccuracy
    drops: tuple[AccuracyDrop, ...]
    gate: Gate | None
    provenance: Provenance
    class_gate: float | None = None
    reference_origin: str = "run now"
    temperature_origin: str = ""
    baselines: tuple[Baseline, ...] = ()
    invariance: tuple[InvarianceCheck, ...] = ()
    flipped: tuple[FlippedFace, ...] = ()
    leaks: LeakCheck | None = None
    slices: tuple[SliceDrop, ...] = ()
    explanation: tuple[DropSource, ...] = ()
    not_measured: tuple[str, ...] = ()

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
        """Over all candidates and both gates: PASS only if each passes, FAIL as soon as one fails.

        Each candidate keeps the gate's full confidence: "all of them pass" needs no correction,
        because more candidates make it harder and not easier. None without a gate.
        """
        verdicts = {
            verdict
            for drop in self.drops
            for verdict in (drop.verdict, drop.classes.verdict)
            if verdict is not None
        }
        if not verdicts:
            return None
        for verdict in (Verdict.FAIL, Verdict.CANNOT_TELL):
            if verdict in verdicts:
                return verdict
        return Verdict.PASS

    @property
    def accepted(self) -> bool:
        """Whether a CI job may go on: no gate withholds its PASS and no model is batch-dependent.

        A model whose answers depend on the other faces of a batch has no accuracy of its own, so
        no verdict about it can be relied on, and it is not accepted whether or not a gate was
        asked for.
        """
        return self.verdict in (None, Verdict.PASS) and all(
            check.holds for check in self.invariance
        )


def report_from_predictions(
    predictions: Mapping[Precision, Predictions],
    index: FaceIndex,
    *,
    gate: Gate | None,
    provenance: Provenance,
    class_gate: float | None = None,
    beside: Sequence[Predictions] = (),
) -> Report:
    """Compare every precision with FP32.

    Args:
        predictions: of all models over `index`, as `predict_all` gives them.
        index: the faces.
        gate: largest accepted drop of each candidate.
        provenance: how the predictions came about.
        class_gate: largest accepted drop of any class of a candidate, as a fraction.
        beside: of other files of a precision, compared and judged likewise.

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
    require_something_to_judge(
        [*predictions, *(item.precision for item in beside)], gate=gate, class_gate=class_gate
    )
    main = [item for item in Precision if item in predictions and item is not REFERENCE]
    candidates = [*(predictions[item] for item in main), *beside]
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
        drops=tuple(
            compare(reference, item, gate, max_class_drop=class_gate) for item in candidates
        ),
        gate=gate,
        provenance=provenance,
        class_gate=class_gate,
    )


def require_something_to_judge(
    precisions: Collection[Precision], *, gate: Gate | None, class_gate: float | None
) -> None:
    """Refuse a gate for a bundle that has nothing to judge, before anything runs.

    Args:
        precisions: of the models.
        gate: largest accepted drop of each candidate.
        class_gate: largest accepted drop of any class of a candidate.

    Raises:
        UsageError: if FP32 is alone and there is a gate.
    """
    if set(precisions) - {REFERENCE} or (gate is None and class_gate is None):
        return
    option = "--max-class-drop" if gate is None else "--max-drop"
    raise UsageError(
        f"got {option} and a bundle with fp32 alone, expected a model to judge; make one with "
        "'edge-arm export --fp16' or 'edge-arm calibrate --data NAME'"
    )
