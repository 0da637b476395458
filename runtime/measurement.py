"""The measuring stage: loaded models and faces in, the whole report out.

Every face is decoded once. All models see it, and so does whoever needs its pixels for a check, so
that the checks cost little beside the models (benchmarks/measure_cost.py has the figure).

Shapes: N faces, C classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from edge_arm.runtime.backend import Backend
from edge_arm.runtime.baselines import SharedPart, fp32_baselines
from edge_arm.runtime.batch_invariance import (
    AsMeasured,
    InvarianceCheck,
    PixelKeeper,
    check_invariance,
    invariance_positions,
)
from edge_arm.runtime.batches import FaceBatch
from edge_arm.runtime.calibration_faces import CalibrationFaces
from edge_arm.runtime.explanation import Source, drop_sources
from edge_arm.runtime.face_attributes import FaceAttributes
from edge_arm.runtime.faces import FaceIndex
from edge_arm.runtime.fingerprints import FingerprintCollector, Fingerprints
from edge_arm.runtime.flips import FlippedFace, flipped_faces
from edge_arm.runtime.leak_exclusion import without_near_duplicates
from edge_arm.runtime.leaks import CalibrationLooks, leak_check
from edge_arm.runtime.manifest import MAIN_VARIANT, Precision
from edge_arm.runtime.predictions import ModelToRun, PredictConfig, Predictions, predict_models
from edge_arm.runtime.reference_predictions import RecordedReference
from edge_arm.runtime.report.report import (
    REFERENCE,
    Provenance,
    Report,
    report_from_predictions,
    require_something_to_judge,
)
from edge_arm.runtime.slices import SliceDrop, slice_drops
from edge_arm.runtime.statistics import ClassRules, Gate


@dataclass(frozen=True, eq=False)
class ModelsToMeasure:
    """What runs.

    Attributes:
        backends: of the main files, by precision, highest first.
        sources: models that explain a drop, if that was asked for.
        variants: other files of a precision, each with a row of its own.
    """

    backends: Mapping[Precision, Backend]
    sources: Mapping[Source, ModelToRun] = field(default_factory=dict)
    variants: Sequence[ModelToRun] = ()

    @property
    def named(self) -> dict[str, ModelToRun]:
        """All of them, by the name that errors call them by."""
        return {
            **self.shipping,
            **{source.value: model for source, model in self.sources.items()},
        }

    @property
    def shipping(self) -> dict[str, ModelToRun]:
        """Those with a row of their own: all but the sources."""
        return {
            **{item.value: ModelToRun(item, backend) for item, backend in self.backends.items()},
            **{_variant_name(model): model for model in self.variants},
        }

    def __len__(self) -> int:
        return len(self.backends) + len(self.sources) + len(self.variants)


@dataclass(frozen=True)
class MeasureConfig:
    """How to measure and what to ask.

    Attributes:
        predict: how faces are fed.
        gate: largest accepted drop of each candidate.
        class_gate: largest accepted drop of any class of a candidate, as a fraction.
        exclude_near_duplicates: measure without the faces that repeat a calibration face.
    """

    predict: PredictConfig = field(default_factory=PredictConfig)
    gate: Gate | None = None
    class_gate: float | None = None
    exclude_near_duplicates: bool = False


@dataclass(frozen=True, eq=False)
class Known:
    """What is known beside the models and the faces; each part may be missing.

    Attributes:
        shared: of the FP32 model, for its baselines.
        calibration: the faces that chose the INT8 ranges.
        looks: of these faces.
        attributes: of the people on the test faces.
        recorded: FP32's answers, to be used in place of running it.
        temperatures: by precision, fitted on other faces.
        temperature_origin: these faces, in words.
        missing: what cannot be measured here and why, a sentence each.
    """

    shared: SharedPart | None = None
    calibration: CalibrationFaces | None = None
    looks: CalibrationLooks | None = None
    attributes: FaceAttributes = ()
    recorded: RecordedReference | None = None
    temperatures: Mapping[Precision, float] = field(default_factory=dict)
    temperature_origin: str = ""
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Measurement:
    """What came of it.

    Attributes:
        report: on the faces that are judged by.
        predictions: of every model that ran, over all faces, near duplicates included.
        fingerprints: of all faces.
    """

    report: Report
    predictions: Mapping[Precision, Predictions]
    fingerprints: Fingerprints


def measurement_from_models(
    models: ModelsToMeasure,
    index: FaceIndex,
    config: MeasureConfig,
    *,
    known: Known,
    provenance: Callable[[Mapping[Precision, Predictions]], Provenance],
    progress: Callable[[int], None] | None = None,
) -> Measurement:
    """Run all models over all faces and judge what they answer.

    Args:
        models: what runs.
        index: the faces, with the model's class indices.
        config: how.
        known: what else there is.
        provenance: says how the report came about, once the models have run.
        progress: called with the number of faces after each call of each model.

    Raises:
        BundleError, UsageError: see `report_from_predictions`.
        DataError: also if a face is one of the calibration's, none is left to measure on, or
            pictures are not those that recorded answers are about.
        ImageError, InferenceError: see `predict_models`.
    """
    require_something_to_judge(
        [model.precision for model in models.shipping.values()],
        gate=config.gate,
        class_gate=config.class_gate,
    )
    keeper = PixelKeeper(invariance_positions(max(1, len(index))))
    collector = FingerprintCollector(index)

    def watch(batch: FaceBatch) -> None:
        keeper.watch(batch)
        collector.add(batch)

    ran = predict_models(models.named, index, config=config.predict, progress=progress, watch=watch)
    fingerprints = collector.fingerprints()
    invariance = _invariance(models.shipping, keeper, ran)
    found = dict(ran)
    if known.recorded is not None:
        known.recorded.require_same_pictures(fingerprints)
        found[REFERENCE.value] = known.recorded.predictions
    leaks = leak_check(fingerprints, known.calibration, known.looks)
    if config.exclude_near_duplicates:
        remaining = without_near_duplicates(index, fingerprints, leaks)
        index, leaks, found = remaining.index, remaining.check, remaining.of_all(found)

    predictions = {
        precision: replace(found[precision.value], temperature=known.temperatures.get(precision))
        for precision in Precision
        if precision.value in found
    }
    beside = tuple(found[_variant_name(model)] for model in models.variants)
    report = report_from_predictions(
        predictions,
        index,
        gate=config.gate,
        provenance=provenance(predictions),
        class_gate=config.class_gate,
        beside=beside,
    )
    reference, confidence = predictions[REFERENCE], report.confidence
    candidates = (*_candidates(predictions), *beside)
    return Measurement(
        replace(
            report,
            reference_origin=(
                report.reference_origin if known.recorded is None else known.recorded.origin
            ),
            temperature_origin=known.temperature_origin if known.temperatures else "",
            baselines=(
                ()
                if known.shared is None
                else fp32_baselines(reference, known.shared, confidence=confidence)
            ),
            invariance=invariance,
            flipped=_flipped(reference, candidates, index),
            leaks=leaks,
            slices=_slices(
                reference,
                candidates,
                known.attributes,
                ClassRules(max_drop=config.class_gate, confidence=confidence),
            ),
            explanation=(
                drop_sources(reference, _sources(models, found), confidence=confidence)
                if models.sources
                else ()
            ),
            not_measured=known.missing,
        ),
        {precision: ran[precision.value] for precision in models.backends},
        fingerprints,
    )


def _variant_name(model: ModelToRun) -> str:
    assert model.variant != MAIN_VARIANT
    return f"{model.precision.value} ({model.variant})"


def _invariance(
    models: Mapping[str, ModelToRun], keeper: PixelKeeper, found: Mapping[str, Predictions]
) -> tuple[InvarianceCheck, ...]:
    checks: list[InvarianceCheck] = []
    for name, model in models.items():
        answers = found[name]
        checks += check_invariance(
            model.backend,
            keeper.images_nhwc,
            precision=model.precision,
            variant=model.variant,
            measured=AsMeasured(answers.logits[keeper.positions], answers.batch_size),
        )
    return tuple(checks)


def _flipped(
    reference: Predictions, candidates: Sequence[Predictions], index: FaceIndex
) -> tuple[FlippedFace, ...]:
    return tuple(
        face for candidate in candidates for face in flipped_faces(reference, candidate, index)
    )


def _slices(
    reference: Predictions,
    candidates: Sequence[Predictions],
    attributes: FaceAttributes,
    rules: ClassRules,
) -> tuple[SliceDrop, ...]:
    return tuple(
        item
        for candidate in candidates
        for item in slice_drops(reference, candidate, attributes, rules=rules)
    )


def _candidates(predictions: Mapping[Precision, Predictions]) -> list[Predictions]:
    """Highest precision first."""
    others = [item for item in Precision if item in predictions and item is not REFERENCE]
    return [predictions[precision] for precision in others]


def _sources(
    models: ModelsToMeasure, found: Mapping[str, Predictions]
) -> dict[Source, Predictions]:
    """The models that explain, and those that ship, each under what it stands for."""
    sources = {source: found[source.value] for source in models.sources}
    for precision, file, engine in (
        (Precision.FP16, Source.FP16, Source.FP16_DEVICE),
        (Precision.INT8, Source.INT8, Source.INT8_DEVICE),
    ):
        if precision in models.backends:
            # Where ONNX Runtime ran the file as well, what ships is something else: an engine.
            sources[engine if file in sources else file] = found[precision.value]
    return sources
