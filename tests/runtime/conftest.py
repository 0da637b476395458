"""Predictions and reports made from chosen answers, with no model and no picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from edge_arm.runtime.backend import BackendInfo
from edge_arm.runtime.faces import FaceIndex, FaceSample, Split
from edge_arm.runtime.labels import LabelSet
from edge_arm.runtime.manifest import Precision
from edge_arm.runtime.predictions import Predictions
from edge_arm.runtime.report import Provenance, Report, report_from_predictions
from edge_arm.runtime.statistics import Gate

LABELS = LabelSet("three", ("anger", "fear", "neutral"))

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
        provenance=Provenance(
            command="edge-arm measure --data rafdb",
            created_at="2030-01-02T03:04:05+00:00",
            versions={"edge-arm": "9.9"},
            bundle_versions={"torch": "7.7"},
            source={"head": "folded", "metrics": {"validation_accuracy": 0.75}},
            calibration={"method": "entropy", "images": [f"face-{i}" for i in range(20)]},
        ),
    )


@pytest.fixture
def predictions_from_answers() -> PredictionsFromAnswers:
    return _predictions


@pytest.fixture
def report_from_answers() -> ReportFromAnswers:
    return _report
