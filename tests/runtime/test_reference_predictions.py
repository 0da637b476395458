"""FP32's answers kept in the bundle: bound to the weights and to every picture."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_arm.runtime.accuracy_drop import compare
from edge_arm.runtime.backend import BackendInfo
from edge_arm.runtime.batches import PixelHash
from edge_arm.runtime.bundle_file import bundle_with_file
from edge_arm.runtime.errors import BundleError, DataError
from edge_arm.runtime.faces import FaceIndex, FaceSample, Split
from edge_arm.runtime.fingerprints import Fingerprints
from edge_arm.runtime.labels import LabelSet
from edge_arm.runtime.manifest import (
    Artifact,
    Bundle,
    Manifest,
    Precision,
    open_bundle,
    write_manifest,
)
from edge_arm.runtime.npz import read_npz, write_npz
from edge_arm.runtime.predictions import Predictions
from edge_arm.runtime.preprocess import PreprocessSpec
from edge_arm.runtime.reference_predictions import (
    record_reference,
    recorded_reference,
    reference_name,
)

LABELS = LabelSet("three", ("anger", "fear", "neutral"))
FILE = "reference.rafdb-test.npz"
FP32_SHA256 = "ab" * 32
TARGETS = (0, 1, 2, 1, 0)
ARRAYS = ("logits", "targets", "sample_ids", "file_sha256s", "header")


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    model = Artifact("model.fp32.onnx", Precision.FP32, "main", 17, FP32_SHA256, 10)
    write_manifest(tmp_path, Manifest(LABELS, PreprocessSpec(8), (model,), {}, {}, {}))
    return open_bundle(tmp_path)


@pytest.fixture
def index() -> FaceIndex:
    samples = tuple(
        FaceSample(f"test_{number}.jpg", Path(f"{number}.jpg"), target)
        for number, target in enumerate(TARGETS)
    )
    return FaceIndex("rafdb", Split.TEST, LABELS, samples)


@pytest.fixture
def seen(index: FaceIndex) -> Fingerprints:
    names = tuple(sample.sample_id for sample in index.samples)
    digests = tuple(sha256(name.encode()).hexdigest() for name in names)
    return Fingerprints(names, digests, np.zeros((len(names), 32), np.uint8))


@pytest.fixture
def answers(index: FaceIndex, seen: Fingerprints) -> Predictions:
    digest = PixelHash()
    for sample, file_sha256 in zip(index.samples, seen.sha256s, strict=True):
        digest.add(sample, LABELS.classes[sample.target], file_sha256)
    return Predictions(
        logits=np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32),
        targets=index.targets,
        sample_ids=seen.sample_ids,
        labels=LABELS,
        data_sha256=digest.hexdigest(),
        precision=Precision.FP32,
        info=BackendInfo("onnxruntime/cpu", "1.2.3", FP32_SHA256, 10, 8, 3),
        batch_size=32,
        seconds_inference=2.5,
    )


Record = Callable[..., Bundle]


@pytest.fixture
def record(bundle: Bundle, index: FaceIndex, answers: Predictions, seen: Fingerprints) -> Record:
    def made(predictions: Predictions = answers) -> Bundle:
        return record_reference(
            bundle, predictions, seen, index=index, tool_versions={"onnxruntime": "1.2.3"}
        )

    return made


def _rewritten(bundle: Bundle, **changes: Any) -> Bundle:
    """The bundle with arrays of the recording replaced and hashed again."""
    arrays = {**read_npz(bundle.path / FILE, ARRAYS), **changes}
    return bundle_with_file(bundle, FILE, lambda path: write_npz(path, arrays))


def _with_header(bundle: Bundle, **changes: Any) -> Bundle:
    header = json.loads(str(read_npz(bundle.path / FILE, ARRAYS)["header"]))
    return _rewritten(bundle, header=np.array(json.dumps({**header, **changes})))


def test_what_was_recorded_comes_back(
    record: Record, index: FaceIndex, answers: Predictions, seen: Fingerprints
) -> None:
    found = recorded_reference(record(), index)
    assert found is not None
    assert (found.data_name, found.split, found.file) == ("rafdb", Split.TEST, FILE)
    assert found.file_sha256s == seen.sha256s
    assert found.tool_versions == {"onnxruntime": "1.2.3"}
    assert found.origin == f"recorded in {FILE}, made with onnxruntime/cpu 1.2.3"
    after = found.predictions
    assert after.logits.tobytes() == answers.logits.tobytes()
    assert after.targets.tolist() == list(TARGETS)
    for name in ("sample_ids", "labels", "data_sha256", "precision", "info", "batch_size"):
        assert getattr(after, name) == getattr(answers, name)
    found.require_same_pictures(seen)


def test_nothing_ran_here_so_there_is_no_speed(record: Record, index: FaceIndex) -> None:
    found = recorded_reference(record(), index)
    assert found is not None
    assert found.predictions.seconds_inference == math.inf
    assert found.predictions.images_per_second == 0.0


def test_a_candidate_is_compared_with_it_as_with_a_model_that_ran(
    record: Record, index: FaceIndex, answers: Predictions
) -> None:
    found = recorded_reference(record(), index)
    assert found is not None
    candidate = replace(answers, precision=Precision.INT8, logits=-answers.logits)
    assert compare(found.predictions, candidate).counts == compare(answers, candidate).counts


def test_the_same_answers_give_the_same_bytes(record: Record, answers: Predictions) -> None:
    first = (record().path / FILE).read_bytes()
    assert (record(replace(answers, seconds_inference=9.0)).path / FILE).read_bytes() == first


def test_a_bundle_without_a_recording_has_none(
    bundle: Bundle, record: Record, index: FaceIndex
) -> None:
    assert recorded_reference(bundle, index) is None
    assert recorded_reference(record(), replace(index, split=Split.TRAIN)) is None
    assert recorded_reference(record(), replace(index, name="sfew")) is None


@pytest.mark.parametrize(
    ("name", "file"),
    [("sfew", "reference.sfew-test.npz"), ("../a b", "reference._a_b-test.npz")],
)
def test_each_set_and_split_has_its_own_file(name: str, file: str) -> None:
    assert reference_name(name, Split.TEST) == file


# ---- refused ---------------------------------------------------------------------------------


def test_answers_of_another_model_are_not_recorded(record: Record, answers: Predictions) -> None:
    other = replace(answers, info=replace(answers.info, model_sha256="cd" * 32))
    with pytest.raises(BundleError, match=r"the answers came from the fp32 model cdcdcd.*weights"):
        record(other)
    with pytest.raises(BundleError, match=r"the answers came from the int8 model"):
        record(replace(answers, precision=Precision.INT8))


def test_a_recording_of_other_weights_is_refused(record: Record, index: FaceIndex) -> None:
    bundle = record()
    (model,) = bundle.manifest.artifacts
    write_manifest(
        bundle.path, replace(bundle.manifest, artifacts=(replace(model, sha256="cd" * 32),))
    )
    with pytest.raises(
        BundleError,
        match=r"'reference.rafdb-test.npz' came from the fp32 model abab.*expected the fp32 model "
        r"of this bundle, cdcd.*the weights are others; record it again with 'edge-arm measure",
    ):
        recorded_reference(open_bundle(bundle.path), index)


def test_other_faces_are_refused_by_the_first_that_differs(
    record: Record, index: FaceIndex
) -> None:
    bundle = record()
    with pytest.raises(DataError, match=r"first at face 1: 'test_1.jpg' and 'test_2.jpg'"):
        recorded_reference(bundle, index.subset([0, 2, 1, 3, 4]))
    with pytest.raises(
        DataError,
        match=r"about 5 faces, .* has 4; they differ first at face 4: "
        r"'test_4.jpg' and no more face",
    ):
        recorded_reference(bundle, index.subset([0, 1, 2, 3]))


def test_another_label_is_refused_naming_the_face(record: Record, index: FaceIndex) -> None:
    samples = list(index.samples)
    samples[3] = replace(samples[3], target=2)
    with pytest.raises(DataError, match=r"has the label 'fear' for 'test_3.jpg', .* has 'neutral'"):
        recorded_reference(record(), replace(index, samples=tuple(samples)))


def test_another_order_of_labels_is_refused(record: Record, index: FaceIndex) -> None:
    other = LabelSet("three", ("anger", "neutral", "fear"))
    with pytest.raises(DataError, match=r"anger, neutral, fear \(first difference at class 1\)"):
        recorded_reference(record(), replace(index, labels=other))


def test_another_picture_is_refused_naming_the_face(
    record: Record, index: FaceIndex, seen: Fingerprints
) -> None:
    found = recorded_reference(record(), index)
    assert found is not None
    changed = replace(seen, sha256s=(*seen.sha256s[:2], "ef" * 32, *seen.sha256s[3:]))
    with pytest.raises(
        DataError, match=r"the picture of 'test_2.jpg' has SHA-256 efefef.*copy the"
    ):
        found.require_same_pictures(changed)


def test_changed_bytes_are_refused_before_they_are_read(record: Record, index: FaceIndex) -> None:
    bundle = record()
    (bundle.path / FILE).write_bytes((bundle.path / FILE).read_bytes()[:-1])
    with pytest.raises(BundleError, match="the file was changed or not copied whole"):
        recorded_reference(bundle, index)


def test_a_file_that_is_no_recording_is_refused(bundle: Bundle, index: FaceIndex) -> None:
    changed = bundle_with_file(bundle, FILE, lambda path: path.write_bytes(b"junk") and None)
    with pytest.raises(BundleError, match="cannot be read"):
        recorded_reference(changed, index)


def test_another_schema_version_is_refused(record: Record, index: FaceIndex) -> None:
    with pytest.raises(BundleError, match=r"schema version 2, this edge-arm reads 1; record it ag"):
        recorded_reference(_with_header(record(), schema_version=2), index)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"logits": np.zeros((5, 4), np.float32)}, r"logits are float32 \(5, 4\), not float32"),
        ({"logits": np.zeros((5, 3), np.float64)}, r"logits are float64"),
        ({"logits": np.full((5, 3), np.nan, np.float32)}, "a logit is NaN or infinite"),
        ({"targets": np.array([0, 1, 2, 1, 7])}, r"a target is not in 0\.\.2"),
        ({"targets": np.array([0, 1, 2])}, r"targets are int64 \(3,\)"),
        ({"file_sha256s": np.zeros((4, 32), np.uint8)}, "4 hashes for 5 faces"),
        ({"file_sha256s": np.zeros((5, 32), np.uint8)}, "do not give its hash over all faces"),
        ({"sample_ids": np.array([], dtype=str)}, "there is no face in it"),
        ({"header": np.array("{}")}, "KeyError: 'schema_version'"),
        ({"header": np.array("[1")}, "JSONDecodeError"),
        ({"header": np.array("[1]")}, "TypeError"),
    ],
)
def test_a_recording_that_does_not_hold_together_is_refused(
    record: Record, index: FaceIndex, changes: dict[str, np.ndarray], reason: str
) -> None:
    with pytest.raises(BundleError, match=rf"does not hold together \(.*{reason}"):
        recorded_reference(_rewritten(record(), **changes), index)


@pytest.mark.parametrize("key", ["data", "labels", "precision", "model", "batch_size"])
def test_a_header_that_lacks_something_is_refused(
    record: Record, index: FaceIndex, key: str
) -> None:
    with pytest.raises(BundleError, match="does not hold together"):
        recorded_reference(_with_header(record(), **{key: None}), index)
