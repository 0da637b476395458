"""One pass over the faces gives the whole report."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_arm.runtime.backend import BackendInfo, Float32Array
from edge_arm.runtime.baselines import Protocol, SharedPart
from edge_arm.runtime.errors import DataError, InferenceError, UsageError
from edge_arm.runtime.explanation import Source
from edge_arm.runtime.face_attributes import FaceAttribute
from edge_arm.runtime.faces import FaceIndex, FaceSample, Split
from edge_arm.runtime.labels import LabelSet
from edge_arm.runtime.manifest import Precision
from edge_arm.runtime.measurement import (
    Known,
    MeasureConfig,
    ModelsToMeasure,
    measurement_from_models,
)
from edge_arm.runtime.predictions import ModelToRun, PredictConfig, Predictions
from edge_arm.runtime.preprocess import Uint8Array
from edge_arm.runtime.report.html_page import html_from_report
from edge_arm.runtime.report.json_form import write_json_report
from edge_arm.runtime.report.markdown_form import markdown_from_report
from edge_arm.runtime.report.report import Provenance, Report
from edge_arm.runtime.report.text import model_name
from edge_arm.runtime.statistics import Gate, Verdict

LABELS = LabelSet("three", ("anger", "fear", "neutral"))
SIZE, COUNT = 4, 30
CONFIG = MeasureConfig(predict=PredictConfig(batch_size=7, workers=1))
FP32, FP16, INT8 = Precision


class Colors:
    """Answers with the brightest of red, green and blue, after adding something to each."""

    def __init__(self, *added: float, name: str = "onnxruntime/cpu") -> None:
        self.info = BackendInfo(name, "1", "f" * 64, 10, SIZE, 3)
        self._added = np.array(added or (0.0, 0.0, 0.0), np.float32)

    def infer(self, images_nhwc: Uint8Array) -> Float32Array:
        return (images_nhwc.mean(axis=(1, 2)) / 10 + self._added).astype(np.float32)

    def __enter__(self) -> Colors:
        return self

    def __exit__(self, *exception: object) -> None: ...


class Neighbours(Colors):
    def infer(self, images_nhwc: Uint8Array) -> Float32Array:
        own = super().infer(images_nhwc)
        return own + own.mean(axis=0)


class NotANumber(Colors):
    def infer(self, images_nhwc: Uint8Array) -> Float32Array:
        logits = super().infer(images_nhwc)
        logits[-1, 2] = np.nan
        return logits


@pytest.fixture
def index(tmp_path: Path) -> FaceIndex:
    """Thirty faces, brightest in the colour of their class; every tenth only by a little."""
    samples = []
    for number in range(COUNT):
        color = np.full(3, 100 + number)  # no two pictures are the same
        color[number % 3] += 5 if number % 10 == 0 else 60
        path = tmp_path / f"{number:02d}.png"
        cv2.imwrite(str(path), np.full((SIZE, SIZE, 3), color[::-1], np.uint8))
        samples.append(FaceSample(path.name, path, number % 3))
    return FaceIndex("colors", Split.TEST, LABELS, tuple(samples))


def provenance(predictions: Mapping[Precision, Predictions]) -> Provenance:
    return Provenance("measure", "2030-01-02", {"models": str(len(predictions))}, {}, {}, None)


def measured(
    index: FaceIndex,
    backends: dict[Precision, Colors],
    config: MeasureConfig = CONFIG,
    known: Known | None = None,
) -> Report:
    return measurement_from_models(
        ModelsToMeasure(backends), index, config, known=known or Known(), provenance=provenance
    ).report


# Adding 1 to red turns the faces of green and blue that are brightest by a little: 10 and 20.
REDDER = {FP32: Colors(), INT8: Colors(1.0, 0.0, 0.0)}


def test_drops_flips_and_checks_are_of_the_same_faces(index: FaceIndex) -> None:
    report = measured(index, REDDER)
    assert report.reference.accuracy == 1.0
    assert report.drops[0].counts.reference_only_right == 2
    assert [face.sample_id for face in report.flipped] == ["10.png", "20.png"]
    assert {item.precision for item in report.invariance} == {FP32, INT8}
    assert all(item.max_logit_difference == 0.0 for item in report.invariance)
    assert report.invariance[0].arrangement == "batch 7, as measured"
    assert report.provenance.versions == {"models": "2"}


def test_another_file_of_a_precision_is_judged_in_a_row_of_its_own(index: FaceIndex) -> None:
    # The main file keeps every answer; the one for CPUs turns two.
    cpu = ModelToRun(INT8, Colors(1.0, 0.0, 0.0), "cpu")
    models = ModelsToMeasure({FP32: Colors(), INT8: Colors()}, variants=[cpu])
    steps: list[int] = []
    measurement = measurement_from_models(
        models, index, CONFIG, known=Known(), provenance=provenance, progress=steps.append
    )
    report = measurement.report
    assert sum(steps) == COUNT * len(models) == COUNT * 3
    assert [(drop.candidate.precision, drop.candidate.variant) for drop in report.drops] == [
        (INT8, "main"),
        (INT8, "cpu"),
    ]
    assert [drop.counts.reference_only_right for drop in report.drops] == [0, 2]
    assert {(face.sample_id, face.variant) for face in report.flipped} == {
        ("10.png", "cpu"),
        ("20.png", "cpu"),
    }
    assert {(item.precision, item.variant) for item in report.invariance} == {
        (FP32, "main"),
        (INT8, "main"),
        (INT8, "cpu"),
    }
    assert set(measurement.predictions) == {FP32, INT8}


def test_the_model_for_cpus_alone_is_something_to_judge(index: FaceIndex) -> None:
    cpu = ModelToRun(INT8, Colors(), "cpu")
    models = ModelsToMeasure({FP32: Colors()}, variants=[cpu])
    config = replace(CONFIG, gate=Gate(0.5))
    report = measurement_from_models(
        models, index, config, known=Known(), provenance=provenance
    ).report
    assert [model_name(model) for model in report.models] == ["FP32", "INT8 (CPU)"]
    assert report.verdict is Verdict.PASS


def test_both_gates_reach_the_verdict(index: FaceIndex) -> None:
    lax = replace(CONFIG, gate=Gate(0.5))
    assert measured(index, REDDER, lax).verdict is Verdict.PASS
    strict = replace(lax, class_gate=0.001)
    assert measured(index, REDDER, strict).verdict is Verdict.CANNOT_TELL


def test_a_model_that_looks_at_its_neighbours_is_not_accepted(index: FaceIndex) -> None:
    report = measured(index, {FP32: Colors(), INT8: Neighbours()})
    assert not report.accepted
    failed = {item.precision for item in report.invariance if not item.holds}
    assert failed == {INT8}
    # Even the measurement itself is told from the faces one by one.
    assert not next(item for item in report.invariance if item.precision is INT8).holds


def test_the_baselines_come_with_the_checkpoints_numbers(index: FaceIndex) -> None:
    shared = SharedPart(0.5, np.zeros(3), np.zeros(3))
    found = measured(index, REDDER, known=Known(shared=shared)).baselines
    assert [item.protocol for item in found] == list(Protocol)
    assert found[2].num_right == COUNT
    assert measured(index, REDDER).baselines == ()


def test_slices_are_of_every_candidate(index: FaceIndex) -> None:
    by_sample = {
        sample.sample_id: "low" if number < 15 else "high"
        for number, sample in enumerate(index.samples)
    }
    known = Known(attributes=(FaceAttribute("number", ("low", "high"), by_sample),))
    found = measured(index, {**REDDER, FP16: Colors()}, known=known).slices
    assert [(item.precision, item.value, item.counts.reference_only_right) for item in found] == [
        (FP16, "low", 0),
        (FP16, "high", 0),
        (INT8, "low", 1),
        (INT8, "high", 1),
    ]


def test_what_cannot_be_measured_is_passed_on(index: FaceIndex) -> None:
    assert measured(index, REDDER, known=Known(missing=("No camera.",))).not_measured == (
        "No camera.",
    )


def test_a_bundle_without_calibration_says_so(index: FaceIndex) -> None:
    leaks = measured(index, REDDER).leaks
    assert leaks is not None
    assert leaks.not_checked.startswith("the bundle names no faces that calibrated it")


def explained(index: FaceIndex, sources: dict[Source, ModelToRun], name: str) -> Report:
    backends = {
        FP32: Colors(name=name),
        FP16: Colors(name=name),
        INT8: Colors(1.0, 0.0, 0.0, name=name),
    }
    return measurement_from_models(
        ModelsToMeasure(backends, sources), index, CONFIG, known=Known(), provenance=provenance
    ).report


def test_what_ships_stands_beside_what_explains_it(index: FaceIndex) -> None:
    sources = {
        Source.CONTROL: ModelToRun(FP32, Colors()),
        Source.ACTIVATIONS: ModelToRun(INT8, Colors(0.0, 1.0, 0.0)),
    }
    report = explained(index, sources, "onnxruntime/cpu")
    assert [(item.name, item.flips) for item in report.explanation] == [
        ("FP32 again", 0),
        ("FP16", 0),
        ("activations rounded", 2),
        ("INT8: both", 2),
    ]


def test_an_engine_stands_beside_its_own_file(index: FaceIndex) -> None:
    sources = {Source.INT8: ModelToRun(INT8, Colors())}
    report = explained(index, sources, "tensorrt")
    assert [(item.name, item.flips) for item in report.explanation] == [
        ("FP16", 0),
        ("INT8: both", 0),
        ("INT8 on the device", 2),
    ]
    assert report.explanation[1].meaning.endswith("Run by onnxruntime/cpu.")
    assert report.explanation[2].meaning.endswith("Run by tensorrt.")


def test_progress_reaches_every_face_of_every_model(index: FaceIndex) -> None:
    steps: list[int] = []
    models = ModelsToMeasure(REDDER, {Source.CONTROL: ModelToRun(FP32, Colors())})
    measurement_from_models(
        models, index, CONFIG, known=Known(), provenance=provenance, progress=steps.append
    )
    assert sum(steps) == COUNT * len(models) == 90


def test_one_face_is_a_report(index: FaceIndex) -> None:
    report = measured(index.subset([3]), REDDER, replace(CONFIG, gate=Gate(0.01), class_gate=0.01))
    assert report.data.num_images == 1
    assert report.verdict is Verdict.CANNOT_TELL
    assert [one is None for one in report.drops[0].classes.drops] == [False, True, True]


def test_no_face_is_refused(index: FaceIndex) -> None:
    with pytest.raises(DataError, match="test split of 'colors' has no faces"):
        measured(index.subset([]), REDDER)


def test_a_logit_that_is_no_number_ends_it_with_model_and_picture(index: FaceIndex) -> None:
    with pytest.raises(InferenceError, match=r"the int8 model ffffffffffff gave .*06\.png"):
        measured(index, {FP32: Colors(), INT8: NotANumber()})


def test_a_gate_with_nothing_to_judge_is_refused_before_anything_runs(index: FaceIndex) -> None:
    index.samples[0].path.unlink()  # reading it would be another error
    with pytest.raises(UsageError, match="got --max-drop and a bundle with fp32 alone"):
        measured(index, {FP32: Colors()}, replace(CONFIG, gate=Gate(0.01)))


@pytest.mark.parametrize(
    ("positions", "answers"),
    [
        pytest.param([4], REDDER, id="one face"),
        pytest.param(range(COUNT), {FP32: Colors(), INT8: Colors()}, id="all right"),
        pytest.param(
            # Faces of green, answered with red.
            range(1, COUNT, 3),
            {FP32: Colors(99.0, 0.0, 0.0), INT8: Colors(98.0, 0.0, 0.0)},
            id="all wrong",
        ),
        pytest.param(
            range(1, COUNT, 3), {FP32: Colors(), INT8: Colors(99.0, 0.0, 0.0)}, id="all lost"
        ),
    ],
)
def test_the_corners_have_a_report_in_every_form(
    index: FaceIndex, tmp_path: Path, positions: Sequence[int], answers: dict[Precision, Colors]
) -> None:
    config = replace(CONFIG, gate=Gate(0.01), class_gate=0.05)
    report = measured(index.subset(positions), answers, config)
    write_json_report(report, tmp_path / "report.json")
    value = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert value["data"]["num_images"] == len(positions)
    assert value["verdict"] in ("cannot_tell", "fail")
    for text in (html_from_report(report), markdown_from_report(report)):
        assert "nan" not in re.findall("[a-z]+", text)
