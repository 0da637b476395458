"""Predictions and reports made from chosen answers, with no model and no picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from edge_arm.data.face_degradation import jpeg_bytes
from edge_arm.data.face_drawing import draw_face
from edge_arm.data.face_parameters import sample_face, sample_identity
from edge_arm.runtime.accuracy_drop import ModelAccuracy
from edge_arm.runtime.backend import BackendInfo
from edge_arm.runtime.baselines import Baseline, Protocol
from edge_arm.runtime.batch_invariance import InvarianceCheck
from edge_arm.runtime.explanation import DropSource
from edge_arm.runtime.faces import FaceIndex, FaceSample, Split
from edge_arm.runtime.flips import FlippedFace
from edge_arm.runtime.labels import RAFDB, LabelSet
from edge_arm.runtime.leaks import Duplicate, LeakCheck
from edge_arm.runtime.manifest import Precision
from edge_arm.runtime.predictions import Predictions
from edge_arm.runtime.report.report import Provenance, Report, report_from_predictions
from edge_arm.runtime.slices import SliceDrop
from edge_arm.runtime.statistics import (
    Gate,
    Interval,
    IntervalMethod,
    confidence_quality,
    drop_interval,
    fit_temperature,
    paired_counts,
    softmax,
    wilson_interval,
)

LABELS = LabelSet("three", ("anger", "fear", "neutral"))
PROVENANCE = Provenance(
    command="edge-arm measure --data rafdb",
    created_at="2030-01-02T03:04:05+00:00",
    versions={"edge-arm": "9.9"},
    bundle_versions={"torch": "7.7"},
    source={"head": "folded", "metrics": {"validation_accuracy": 0.75}},
    calibration={"method": "entropy", "images": [f"face-{i}" for i in range(20)]},
)

PredictionsFromAnswers = Callable[..., Predictions]
ReportFromAnswers = Callable[..., Report]


def _predictions(
    targets: Sequence[int],
    answers: Sequence[int],
    *,
    precision: Precision = Precision.FP32,
    labels: LabelSet = LABELS,
    data_sha256: str = "d" * 64,
    seconds: float = 2.0,
) -> Predictions:
    logits = np.zeros((len(answers), len(labels)), np.float32)
    logits[np.arange(len(answers)), list(answers)] = 4.0
    return Predictions(
        logits=logits,
        targets=np.array(targets, np.int64),
        sample_ids=tuple(f"test_{number:04d}.jpg" for number in range(len(targets))),
        labels=labels,
        data_sha256=data_sha256,
        precision=precision,
        info=BackendInfo("onnxruntime/cpu", "1.2.3", precision.value * 16, 5_000_000, 8, 3),
        batch_size=32,
        seconds_inference=seconds,
    )


def _report(
    targets: Sequence[int],
    answers: dict[Precision, Sequence[int]],
    max_drop_pp: float | None = None,
    name: str = "rafdb",
    *,
    max_class_drop_pp: float | None = None,
) -> Report:
    predictions = {
        precision: _predictions(targets, given, precision=precision)
        for precision, given in answers.items()
    }
    samples = tuple(
        FaceSample(f"test_{number:04d}.jpg", Path(f"test_{number:04d}.jpg"), target)
        for number, target in enumerate(targets)
    )
    return report_from_predictions(
        predictions,
        FaceIndex(name, Split.TEST, LABELS, samples),
        gate=None if max_drop_pp is None else Gate(max_drop_pp / 100.0),
        provenance=PROVENANCE,
        class_gate=None if max_class_drop_pp is None else max_class_drop_pp / 100.0,
    )


@pytest.fixture
def predictions_from_answers() -> PredictionsFromAnswers:
    return _predictions


@pytest.fixture
def report_from_answers() -> ReportFromAnswers:
    return _report


# --- a whole report: the faces of RAF-DB's test part in number, drawn pictures, invented answers

_COUNTS = (329, 74, 160, 1185, 478, 162, 680)  # by class, in RAF-DB's order
_ACCURACY = (0.86, 0.62, 0.61, 0.95, 0.86, 0.81, 0.87)


@dataclass(frozen=True)
class ReportParts:
    """How the invented answers come out.

    Attributes:
        int8_noise: deviation of what INT8 adds to each logit.
        gate_pp: --max-drop.
        class_gate_pp: --max-class-drop.
        batch_invariant: whether INT8 answers alike in any company.
    """

    int8_noise: float = 0.5
    gate_pp: float | None = 1.0
    class_gate_pp: float | None = 5.0
    batch_invariant: bool = True


WholeReport = Callable[..., Report]


@pytest.fixture(scope="session")
def whole_report(tmp_path_factory: pytest.TempPathFactory) -> WholeReport:
    """Reports with every part that there is; pictures are drawn once and shared by many faces."""
    drawn = _drawn_faces(tmp_path_factory.mktemp("faces"))
    made = cache(partial(_whole_report, drawn))
    return lambda **parts: made(ReportParts(**parts))


def _drawn_faces(folder: Path) -> list[Path]:
    rng = np.random.default_rng(0)
    paths = []
    for number, emotion in enumerate(RAFDB.classes):
        face = draw_face(sample_face(rng, emotion, sample_identity(rng)))
        path = folder / f"face_{number}.jpg"
        path.write_bytes(jpeg_bytes(face, 90))
        paths.append(path)
    return paths


def _whole_report(drawn: Sequence[Path], parts: ReportParts) -> Report:
    rng = np.random.default_rng(1)
    targets = np.repeat(np.arange(len(_COUNTS)), _COUNTS)
    logits = {Precision.FP32: _invented_logits(rng, targets)}
    for precision, noise in ((Precision.FP16, 0.02), (Precision.INT8, parts.int8_noise)):
        moved = logits[Precision.FP32] + rng.normal(0.0, noise, logits[Precision.FP32].shape)
        logits[precision] = moved.astype(np.float32)
    index_paths = [drawn[target] for target in targets]
    predictions = {
        precision: replace(
            _predictions(targets.tolist(), targets.tolist(), precision=precision, labels=RAFDB),
            logits=values,
            seconds_inference=seconds,
        )
        for (precision, values), seconds in zip(logits.items(), (20.0, 21.0, 33.0), strict=True)
    }
    report = report_from_predictions(
        predictions,
        FaceIndex(
            "rafdb",
            Split.TEST,
            RAFDB,
            tuple(
                FaceSample(f"test_{number:04d}.jpg", path, int(target))
                for number, (path, target) in enumerate(zip(index_paths, targets, strict=True))
            ),
        ),
        gate=None if parts.gate_pp is None else Gate(parts.gate_pp / 100.0),
        class_gate=None if parts.class_gate_pp is None else parts.class_gate_pp / 100.0,
        provenance=PROVENANCE,
    )
    tempered = [_with_temperature(report.reference, logits[Precision.FP32], targets)]
    tempered += [
        _with_temperature(drop.candidate, logits[drop.candidate.precision], targets)
        for drop in report.drops
    ]
    reference, *candidates = tempered
    return replace(
        report,
        reference=reference,
        drops=tuple(
            replace(drop, reference=reference, candidate=candidate)
            for drop, candidate in zip(report.drops, candidates, strict=True)
        ),
        baselines=_baselines(report.reference.num_right),
        invariance=_invariance(parts),
        flipped=_flipped(logits, targets, index_paths),
        leaks=LeakCheck(
            num_calibration=490,
            num_test=len(targets),
            max_distance=48,
            duplicates=tuple(
                Duplicate(f"test_{7 * number:04d}.jpg", f"train_{number:05d}.jpg", number % 7)
                for number in range(25)
            ),
        ),
        slices=_slices(logits, targets, rng),
        explanation=_explanation(),
        not_measured=("The engine's own arithmetic was not looked at: no engine ran.",),
    )


def _invented_logits(
    rng: np.random.Generator, targets: npt.NDArray[np.int64]
) -> npt.NDArray[np.float32]:
    """Noise, and a push towards the true class that is as strong as the class is easy."""
    logits = rng.normal(0.0, 1.0, (len(targets), len(_COUNTS)))
    easy = rng.random(len(targets)) < np.array(_ACCURACY)[targets]
    push = np.where(
        easy, rng.gamma(4.0, 1.6, len(targets)) + 1.0, rng.normal(0.0, 1.0, len(targets))
    )
    logits[np.arange(len(targets)), targets] += push
    return logits.astype(np.float32)


def _with_temperature(
    model: ModelAccuracy, logits: npt.NDArray[np.float32], targets: npt.NDArray[np.int64]
) -> ModelAccuracy:
    temperature = fit_temperature(logits, targets).temperature
    quality = confidence_quality(logits, targets, temperature=temperature)
    return replace(model, temperature=temperature, tempered=quality)


def _baselines(right: int) -> tuple[Baseline, ...]:
    rights = {
        Protocol.PAPER: right + 41,
        Protocol.PAPER_SHUFFLED: right - 6,
        Protocol.DEPLOYABLE: right,
    }
    return tuple(
        Baseline(
            protocol,
            1 if protocol is Protocol.DEPLOYABLE else 64,
            sum(_COUNTS),
            right,
            wilson_interval(right, sum(_COUNTS), confidence=0.95),
        )
        for protocol, right in rights.items()
    )


def _invariance(parts: ReportParts) -> tuple[InvarianceCheck, ...]:
    moved = {Precision.FP32: 2.4e-6, Precision.FP16: 9.8e-4, Precision.INT8: 0.0}
    limits = {Precision.FP32: 1e-4, Precision.FP16: 0.02, Precision.INT8: 0.02}
    arrangements = (
        ("batch 8", 8),
        ("batch 64", 64),
        ("batch 64, sorted by class", 64),
        ("batch 64, shuffled", 64),
        ("batch 64, duplicated", 64),
        ("batch 64, zero-padded", 64),
    )
    checks = []
    for precision, move in moved.items():
        for arrangement, batch_size in arrangements:
            fails = precision is Precision.INT8 and not parts.batch_invariant and batch_size == 64
            checks.append(
                InvarianceCheck(
                    precision=precision,
                    backend="onnxruntime/cpu",
                    arrangement=arrangement,
                    batch_size=batch_size,
                    num_faces=64,
                    max_logit_difference=1.75 if fails else move,
                    changed_answers=5 if fails else 0,
                    limit=limits[precision],
                )
            )
    return tuple(checks)


def _flipped(
    logits: dict[Precision, npt.NDArray[np.float32]],
    targets: npt.NDArray[np.int64],
    paths: Sequence[Path],
) -> tuple[FlippedFace, ...]:
    before = logits[Precision.FP32]
    return tuple(
        FlippedFace(
            precision=precision,
            sample_id=f"test_{position:04d}.jpg",
            path=paths[position],
            target=int(targets[position]),
            reference_answer=int(before[position].argmax()),
            candidate_answer=int(after[position].argmax()),
            reference_margin=_margin(before[position]),
            candidate_margin=_margin(after[position]),
        )
        for precision, after in logits.items()
        for position in np.flatnonzero(before.argmax(axis=1) != after.argmax(axis=1))
    )


def _margin(logits: npt.NDArray[np.float32]) -> float:
    second, first = np.sort(softmax(logits[np.newaxis])[0])[-2:]
    return float(first - second)


def _slices(
    logits: dict[Precision, npt.NDArray[np.float32]],
    targets: npt.NDArray[np.int64],
    rng: np.random.Generator,
) -> tuple[SliceDrop, ...]:
    groups = {
        "gender": {"female": 0.55, "male": 0.40, "unsure": 0.05},
        "age": {"0-3": 0.10, "4-19": 0.16, "20-39": 0.56, "40-69": 0.16, "70+": 0.02},
        "race": {"African-American": 0.08, "Asian": 0.15, "Caucasian": 0.77},
    }
    right = {precision: values.argmax(axis=1) == targets for precision, values in logits.items()}
    slices = []
    for attribute, shares in groups.items():
        member = rng.choice(list(shares), len(targets), p=list(shares.values()))
        for precision in (Precision.FP16, Precision.INT8):
            for value in shares:
                inside = member == value
                counts = paired_counts(right[Precision.FP32][inside], right[precision][inside])
                slices.append(
                    SliceDrop(
                        precision=precision,
                        attribute=attribute,
                        value=value,
                        counts=counts,
                        interval=drop_interval(counts, confidence=0.95),
                        drop_p=0.0123 if (precision, value) == (Precision.INT8, "4-19") else 1.0,
                        too_small=counts.num_faces < 100,
                    )
                )
    return tuple(slices)


def _explanation() -> tuple[DropSource, ...]:
    sources = (
        ("FP32 again", "The same FP32 weights, computed in another order.", 0, 0, 1e-13),
        ("weights rounded", "Weights to INT8, activations left in FP32.", 21, 4, 2.1e-4),
        ("activations rounded", "Activations to INT8, weights left in FP32.", 78, 19, 3.9e-3),
        ("INT8: both", "What ships.", 90, 22, 4.6e-3),
    )
    return tuple(
        DropSource(
            name=name,
            meaning=meaning,
            flips=flips,
            drop=net / 3068,
            interval=Interval(net / 3068 - 0.006, net / 3068 + 0.006, 0.95, IntervalMethod.TANGO),
            mean_kl=mean_kl,
            num_faces=3068,
        )
        for name, meaning, flips, net, mean_kl in sources
    )
