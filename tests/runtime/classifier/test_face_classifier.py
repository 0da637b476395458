"""The model of a tiny bundle behind the interface that people use; ONNX Runtime is the witness."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from tiny_bundle import SIZE, golden_faces, run_onnx

from edge_arm.data.action_units import ActionUnits
from edge_arm.data.face_drawing import draw_face
from edge_arm.data.face_parameters import Expression, FaceParameters, Identity, Shot
from edge_arm.runtime.backend import BackendInfo, Float32Array
from edge_arm.runtime.classifier.face_classifier import ClassifierConfig, FaceClassifier
from edge_arm.runtime.classifier.model_choice import ModelChoice
from edge_arm.runtime.classifier.opening import open_classifier
from edge_arm.runtime.errors import ImageError, InferenceError, UsageError
from edge_arm.runtime.labels import RAFDB
from edge_arm.runtime.live.frame_result import FrameResult
from edge_arm.runtime.manifest import Bundle, Precision
from edge_arm.runtime.model_spec import ModelSpec, Place
from edge_arm.runtime.preprocess import Uint8Array

CHOICE = ModelChoice(ModelSpec(Place("onnxruntime"), Precision.FP32), "a test")


class Recorder:
    """A backend with chosen logits that remembers the size of each call."""

    def __init__(self, logits: Float32Array) -> None:
        self.info = BackendInfo("recorder", "0", "0" * 64, 1, SIZE, logits.shape[1])
        self.calls: list[int] = []
        self._logits = logits

    def infer(self, images_nhwc: Uint8Array) -> Float32Array:
        start = sum(self.calls)
        self.calls.append(len(images_nhwc))
        return self._logits[start : start + len(images_nhwc)]

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *_: object) -> None:
        return None


def faces(count: int) -> Uint8Array:
    return np.zeros((count, SIZE, SIZE, 3), np.uint8)


def classifier_of(bundle: Bundle, backend: Recorder, **more: object) -> FaceClassifier:
    return FaceClassifier(bundle, backend, choice=CHOICE, **more)  # type: ignore[arg-type]


def drawn_picture() -> Uint8Array:
    """(200, 300, 3): one face on grey, at x 100, y 50, 100 pixels wide."""
    picture = np.full((200, 300, 3), 128, np.uint8)
    face = FaceParameters(Identity(), Expression(ActionUnits()), Shot())
    picture[50:150, 100:200] = draw_face(face)
    return picture


def test_probabilities_are_the_softmax_of_what_onnx_runtime_answers(bundle: Bundle) -> None:
    logits = run_onnx(bundle.model(Precision.FP32)[0], golden_faces()).astype(np.float64)
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    with open_classifier(bundle.path, precision="fp32") as classifier:
        answers = classifier.classify(golden_faces())
        assert classifier.labels == RAFDB
        assert classifier.size == SIZE
        assert classifier.info.file == "model.fp32.onnx"
    assert answers.dtype == np.float32
    # atol: float32 exponentials of logits of a few units.
    np.testing.assert_allclose(answers, expected, atol=1e-5)
    np.testing.assert_allclose(answers.sum(axis=1), 1.0, atol=1e-6)


def test_a_temperature_divides_the_logits(bundle: Bundle) -> None:
    backend = Recorder(np.array([[np.log(16.0), 0, -np.inf]], np.float32).clip(-90))
    (row,) = classifier_of(bundle, backend, temperature=2.0).classify(faces(1))
    # exp(log(16) / 2) = 4 against 1.
    np.testing.assert_allclose(row, [0.8, 0.2, 0.0], atol=1e-6)


def test_a_batch_of_another_shape_is_named_as_it_was_given(bundle: Bundle) -> None:
    backend = Recorder(np.zeros((20, 7), np.float32))
    classifier = classifier_of(bundle, backend, config=ClassifierConfig(max_batch=4))
    # One face without its batch axis, many of another size, and none at all of another size.
    for shape in ((SIZE, SIZE, 3), (20, SIZE + 1, SIZE, 3), (0, SIZE, 3)):
        with pytest.raises(InferenceError, match=re.escape(f"got an input of shape {shape} and")):
            classifier.classify(np.zeros(shape, np.uint8))
    assert backend.calls == []


def test_large_logits_do_not_overflow(bundle: Bundle) -> None:
    backend = Recorder(np.array([[1e4, 0.0]], np.float32))
    np.testing.assert_array_equal(classifier_of(bundle, backend).classify(faces(1)), [[1.0, 0.0]])


@pytest.mark.parametrize(("count", "calls"), [(0, []), (1, [1]), (4, [4]), (9, [4, 4, 1])])
def test_calls_are_no_larger_than_the_batch(count: int, calls: list[int], bundle: Bundle) -> None:
    logits = np.arange(7 * count, dtype=np.float32).reshape(count, 7)
    backend = Recorder(logits)
    answers = classifier_of(bundle, backend, config=ClassifierConfig(max_batch=4)).classify(
        faces(count)
    )
    assert backend.calls == calls
    assert answers.shape == (count, 7)
    np.testing.assert_array_equal(answers.argmax(axis=1), np.full(count, 6))


def test_the_batch_is_what_suits_the_model_unless_it_is_named(bundle: Bundle) -> None:
    backend = Recorder(np.zeros((1, 7), np.float32))
    suits = replace(CHOICE, max_batch=16)
    assert FaceClassifier(bundle, backend, choice=suits).max_batch == 16
    named = ClassifierConfig(max_batch=3)
    assert FaceClassifier(bundle, backend, choice=suits, config=named).max_batch == 3


def test_a_batch_of_no_face_is_refused() -> None:
    with pytest.raises(UsageError, match="got batches of 0 faces, expected at least 1"):
        ClassifierConfig(max_batch=0)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_answer_that_is_no_number_is_an_error_and_no_label(value: float, bundle: Bundle) -> None:
    logits = np.zeros((2, 7), np.float32)
    logits[1, 3] = value
    with pytest.raises(InferenceError, match=f"gave the logit {value} for 'happiness'"):
        classifier_of(bundle, Recorder(logits)).classify(faces(2))


def test_faces_of_the_wrong_size_are_refused(bundle: Bundle) -> None:
    with (
        open_classifier(bundle.path, precision="fp32") as classifier,
        pytest.raises(InferenceError, match=r"got an input of shape \(1, 8, 8, 3\)"),
    ):
        classifier.classify(np.zeros((1, 8, 8, 3), np.uint8))


def test_a_closed_classifier_answers_no_more(bundle: Bundle) -> None:
    with open_classifier(bundle.path, precision="fp32") as classifier:
        pass
    classifier.close()  # twice does no harm
    with pytest.raises(InferenceError, match="was closed"):
        classifier.classify(faces(1))


def test_the_faces_of_a_picture_are_found_and_labelled(bundle: Bundle, tmp_path: Path) -> None:
    path = tmp_path / "two words ä.png"
    picture = drawn_picture()
    path.write_bytes(cv2.imencode(".png", picture[:, :, ::-1])[1].tobytes())
    with open_classifier(bundle.path, precision="fp32") as classifier:
        (face,) = classifier.faces_in(path)
        assert classifier.faces_in(str(path)) == (face,)
        assert classifier.faces_in(picture) == (face,)
    # The drawn face fills its 100 pixels; the detector's box is somewhat smaller or larger.
    assert abs(face.box.x + face.box.width / 2 - 150) < 12
    assert abs(face.box.y + face.box.height / 2 - 100) < 15
    assert face.track is None
    assert face.label == face.frame_label == RAFDB.classes[int(np.argmax(face.probabilities))]
    assert sum(face.probabilities) == pytest.approx(1.0, abs=1e-5)


def test_a_picture_without_faces_has_none(bundle: Bundle) -> None:
    with open_classifier(bundle.path, precision="fp32") as classifier:
        assert classifier.faces_in(np.full((120, 160, 3), 90, np.uint8)) == ()


def test_an_aligned_face_is_the_whole_picture(bundle: Bundle) -> None:
    face = golden_faces()[0]
    with open_classifier(bundle.path, precision="fp32", detector=None) as classifier:
        (found,) = classifier.faces_in(face)
        expected = classifier.classify(face[None])[0]
    assert (found.box.width, found.box.height, found.score) == (SIZE, SIZE, None)
    assert found.probabilities == pytest.approx(expected.tolist())


def test_a_source_is_run_frame_by_frame(bundle: Bundle, tmp_path: Path) -> None:
    for number, face in enumerate(golden_faces()):
        (tmp_path / f"{number}.png").write_bytes(cv2.imencode(".png", face[:, :, ::-1])[1])
    (tmp_path / "9.png").write_bytes(b"no picture")
    with open_classifier(bundle.path, precision="fp32", detector=None) as classifier:
        items = list(classifier.run(str(tmp_path)))
        expected = classifier.classify(golden_faces())
    results = [item for item in items if isinstance(item, FrameResult)]
    assert len(items) == 7  # and an event about the one that is broken
    answers = [item.faces[0].probabilities for item in results]
    np.testing.assert_allclose(answers, expected, atol=1e-6)


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((10, 10), np.uint8),
        np.zeros((10, 10, 4), np.uint8),
        np.zeros((10, 10, 3), np.float32),
        np.zeros((0, 10, 3), np.uint8),
    ],
    ids=lambda array: f"{array.shape} {array.dtype}",
)
def test_an_array_that_is_no_picture_is_refused(picture: Uint8Array, bundle: Bundle) -> None:
    with (
        open_classifier(bundle.path, precision="fp32") as classifier,
        pytest.raises(ImageError, match=r"as a picture, expected \(H, W, 3\) uint8 RGB"),
    ):
        classifier.faces_in(picture)
