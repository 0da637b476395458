"""Every face once, in order, through every model; what is no number never becomes a result."""

from __future__ import annotations

import math
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_arm.runtime import predictions as predictions_module
from edge_arm.runtime.backend import BackendInfo, Float32Array, check_input
from edge_arm.runtime.errors import DataError, ImageError, InferenceError, UsageError
from edge_arm.runtime.faces import FaceIndex, FaceSample, Split
from edge_arm.runtime.labels import LabelSet
from edge_arm.runtime.manifest import Precision
from edge_arm.runtime.predictions import (
    ModelToRun,
    PredictConfig,
    predict,
    predict_all,
    predict_models,
)
from edge_arm.runtime.preprocess import Uint8Array

LABELS = LabelSet("three", ("anger", "fear", "neutral"))
SIZE = 4
ONE_WORKER = PredictConfig(batch_size=4, workers=1)


class MeanColor:
    """Logits are the mean red, green and blue of each face."""

    def __init__(self, *, size: int = SIZE, classes: int = 3, offset: float = 0.0) -> None:
        self.info = BackendInfo("fake", "1", "f" * 64, 10, size, classes)
        self.batches: list[int] = []
        self._offset = offset

    def infer(self, images_nhwc: Uint8Array) -> Float32Array:
        check_input(images_nhwc, SIZE)
        self.batches.append(len(images_nhwc))
        return (images_nhwc.mean(axis=(1, 2)) + self._offset).astype(np.float32)

    def __enter__(self) -> MeanColor:
        return self

    def __exit__(self, *exception: object) -> None: ...


class Broken(MeanColor):
    """Gives one value for class 1 of the third face of each batch."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self._value = value

    def infer(self, images_nhwc: Uint8Array) -> Float32Array:
        logits = super().infer(images_nhwc)
        logits[2, 1] = self._value
        return logits


class Flat(MeanColor):
    """Gives one row too few."""

    def infer(self, images_nhwc: Uint8Array) -> Float32Array:
        return super().infer(images_nhwc)[:-1]


@pytest.fixture
def index(tmp_path: Path) -> FaceIndex:
    """Nine faces; face k has red 10 + k, green 20 + k, blue 30 + k."""
    samples = []
    for number in range(9):
        path = tmp_path / f"face_{number}.png"
        blue_green_red = (30 + number, 20 + number, 10 + number)
        cv2.imwrite(str(path), np.full((SIZE, SIZE, 3), blue_green_red, np.uint8))
        samples.append(FaceSample(path.name, path, number % 3))
    return FaceIndex("colors", Split.TEST, LABELS, tuple(samples))


def test_the_logits_of_each_face_stand_in_its_row(index: FaceIndex) -> None:
    found = predict(MeanColor(), index, config=ONE_WORKER, precision=Precision.FP32)
    expected = [[10 + number, 20 + number, 30 + number] for number in range(9)]
    np.testing.assert_array_equal(found.logits, expected)
    assert found.logits.dtype == np.float32
    assert found.sample_ids == tuple(f"face_{number}.png" for number in range(9))
    assert found.targets.tolist() == [0, 1, 2] * 3


def test_the_last_batch_holds_what_is_left(index: FaceIndex) -> None:
    model = MeanColor()
    predict(model, index, config=ONE_WORKER, precision=Precision.FP32)
    assert model.batches == [4, 4, 1]


def test_all_models_see_the_same_batches_decoded_once(
    index: FaceIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[int] = []
    original = predictions_module.face_batches

    def counted(*arguments: object, **options: object) -> object:
        reads.append(1)
        return original(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(predictions_module, "face_batches", counted)
    models = {Precision.FP32: MeanColor(), Precision.INT8: MeanColor(offset=1.0)}
    found = predict_all(models, index, config=ONE_WORKER)
    assert len(reads) == 1
    np.testing.assert_array_equal(
        found[Precision.INT8].logits, found[Precision.FP32].logits + np.float32(1)
    )
    assert found[Precision.INT8].precision is Precision.INT8


def test_the_data_hash_is_over_names_labels_and_file_contents(index: FaceIndex) -> None:
    digest = sha256()
    for sample in index.samples:
        content = sha256(sample.path.read_bytes()).hexdigest()
        digest.update(f"{sample.sample_id}\t{LABELS.classes[sample.target]}\t{content}\n".encode())
    found = predict(MeanColor(), index, config=ONE_WORKER, precision=Precision.FP32)
    assert found.data_sha256 == digest.hexdigest()


def test_progress_counts_each_face_once_for_each_model(index: FaceIndex) -> None:
    steps: list[int] = []
    models = {Precision.FP32: MeanColor(), Precision.FP16: MeanColor()}
    predict_all(models, index, config=ONE_WORKER, progress=steps.append)
    assert steps == [4, 4, 4, 4, 1, 1]


def test_whoever_watches_sees_each_face_once_before_the_models(index: FaceIndex) -> None:
    seen: list[tuple[int, int, int]] = []
    model = MeanColor()
    predict_all(
        {Precision.FP32: model},
        index,
        config=ONE_WORKER,
        watch=lambda batch: seen.append(
            (batch.start, int(batch.images_nhwc[0, 0, 0, 0]), len(model.batches))
        ),
    )
    assert seen == [(0, 10, 0), (4, 14, 1), (8, 18, 2)]


def test_models_of_one_precision_run_side_by_side_under_their_names(index: FaceIndex) -> None:
    models = {
        name: ModelToRun(Precision.INT8, MeanColor(offset=offset))
        for name, offset in (("weights rounded", 1.0), ("activations rounded", 2.0))
    }
    found = predict_models(models, index, config=ONE_WORKER)
    assert found["weights rounded"].logits[0].tolist() == [11, 21, 31]
    assert found["activations rounded"].logits[0].tolist() == [12, 22, 32]
    assert found["activations rounded"].precision is Precision.INT8


def test_only_the_time_inside_the_model_is_counted(
    index: FaceIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = iter([0.0, 0.5, 100.0, 100.25, 200.0, 200.25])
    monkeypatch.setattr(predictions_module.time, "perf_counter", lambda: next(ticks))
    found = predict(MeanColor(), index, config=ONE_WORKER, precision=Precision.FP32)
    assert found.seconds_inference == 1.0
    assert found.images_per_second == 9.0


def test_answers_take_the_first_of_equal_logits(index: FaceIndex) -> None:
    found = predict(MeanColor(), index, config=ONE_WORKER, precision=Precision.FP32)
    flat = replace(found, logits=np.zeros_like(found.logits))
    assert flat.answers.tolist() == [0] * 9
    assert flat.right.tolist() == [True, False, False] * 3


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_logit_that_is_no_finite_number_names_model_class_and_picture(
    index: FaceIndex, value: float
) -> None:
    message = rf"the int8 model ffffffffffff gave the logit {value} for 'fear' on '.*face_2\.png'"
    with pytest.raises(InferenceError, match=message):
        predict(Broken(value), index, config=ONE_WORKER, precision=Precision.INT8)


def test_logits_of_another_shape_are_refused(index: FaceIndex) -> None:
    with pytest.raises(InferenceError, match=r"shape \(3, 3\), expected \(4, 3\)"):
        predict(Flat(), index, config=ONE_WORKER, precision=Precision.FP32)


def test_no_faces_are_refused(index: FaceIndex) -> None:
    with pytest.raises(DataError, match="test split of 'colors' has no faces"):
        predict(MeanColor(), index.subset([]), config=ONE_WORKER, precision=Precision.FP32)


def test_a_model_with_other_classes_is_refused(index: FaceIndex) -> None:
    with pytest.raises(DataError, match="fp32 model has 7 classes, the faces of 'colors' have 3"):
        predict(MeanColor(classes=7), index, config=ONE_WORKER, precision=Precision.FP32)


def test_models_of_two_sizes_are_refused(index: FaceIndex) -> None:
    models = {Precision.FP32: MeanColor(), Precision.INT8: MeanColor(size=8)}
    with pytest.raises(InferenceError, match=r"input sizes \{'fp32': 4, 'int8': 8\}"):
        predict_all(models, index, config=ONE_WORKER)


def test_a_broken_picture_ends_the_measurement(index: FaceIndex) -> None:
    index.samples[5].path.write_bytes(b"")
    with pytest.raises(ImageError, match=r"face_5\.png' has 0 bytes"):
        predict(MeanColor(), index, config=ONE_WORKER, precision=Precision.FP32)


def test_a_batch_of_none_is_refused() -> None:
    with pytest.raises(UsageError, match="got batch size 0, expected at least 1"):
        PredictConfig(batch_size=0)


def test_no_decoding_thread_is_refused() -> None:
    with pytest.raises(UsageError, match="got 0 decoding threads"):
        PredictConfig(workers=0)
