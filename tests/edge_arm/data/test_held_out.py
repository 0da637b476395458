"""The faces that a training held out are told by seed and hash, or not at all."""

from __future__ import annotations

import json
import logging
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from edge_arm.data.held_out import MAX_FACES, temperature_faces, validation_faces
from edge_arm.data.split import split_validation
from edge_arm.runtime.errors import DataError
from edge_arm.runtime.faces import FaceIndex, FaceSample, Split
from edge_arm.runtime.labels import LabelSet
from edge_arm.runtime.manifest import Bundle, Manifest, open_bundle, write_manifest
from edge_arm.runtime.preprocess import PreprocessSpec
from edge_arm.runtime.storage import sha256_of_file
from edge_arm.runtime.temperature import FittedOn

LABELS = LabelSet("three", ("anger", "fear", "neutral"))


def _index(*counts: int, folder: Path = Path()) -> FaceIndex:
    samples = [
        FaceSample(f"train_{target}_{number:05d}.jpg", folder / f"{target}_{number}.jpg", target)
        for target, count in enumerate(counts)
        for number in range(count)
    ]
    return FaceIndex("rafdb", Split.TRAIN, LABELS, tuple(samples))


def _source(index: FaceIndex, fraction: float, seed: int) -> tuple[dict[str, Any], FaceIndex]:
    """A training's record in the manifest, as trainer.py writes it, and its validation faces."""
    train, validation = split_validation(index, fraction, seed)
    return {
        "metrics": {"seed": seed, "validation_accuracy": 0.5},
        "data": {
            "name": index.name,
            "train_faces": len(train),
            "validation_faces": len(validation),
            "validation_sha256": validation.sha256,
        },
    }, validation


def _bundle(
    folder: Path, source: dict[str, Any], calibrated: tuple[FaceSample, ...] = ()
) -> Bundle:
    folder.mkdir()
    files = {}
    if calibrated:
        images = [
            {"sample_id": item.sample_id, "sha256": sha256(item.path.read_bytes()).hexdigest()}
            for item in calibrated
        ]
        table = {"schema_version": 1, "data": {"name": "rafdb", "split": "train"}, "images": images}
        (folder / "calibration.json").write_text(json.dumps(table))
        files["calibration.json"] = sha256_of_file(folder / "calibration.json")
    labels = LabelSet("model", ("neutral", "anger", "fear"))  # another order than the set's
    write_manifest(folder, Manifest(labels, PreprocessSpec(8), (), files, source, {}))
    return open_bundle(folder)


@pytest.mark.parametrize("fraction", [0.1, 0.2, 0.05, 0.15, 0.123, 1 / 3])
@pytest.mark.parametrize("counts", [(40, 90, 333), (1290, 281, 717)])
def test_the_validation_faces_are_told_for_any_usual_fraction(
    counts: tuple[int, ...], fraction: float
) -> None:
    index = _index(*counts)
    source, validation = _source(index, fraction, seed=7)
    assert validation_faces(source, index) == validation


def test_another_seed_set_or_label_does_not_pass_for_them() -> None:
    index = _index(40, 90, 333)
    source, _ = _source(index, 0.1, seed=7)
    other_seed = {**source, "metrics": {"seed": 8}}
    assert validation_faces(other_seed, index) is None
    assert validation_faces(source, _index(41, 90, 333)) is None
    assert validation_faces(source, _index(1, 90, 333)) is None


@pytest.mark.parametrize(
    "source",
    [
        {},
        {"data": None, "metrics": {}},
        {"data": {}, "metrics": {}},
        {"data": {"validation_faces": 5}, "metrics": {"seed": -1}},
        {"data": {"validation_faces": 500}, "metrics": {"seed": 0}},
        {"data": {"validation_faces": 0}, "metrics": {"seed": 0}},
        {"data": {"validation_faces": "5"}, "metrics": {"seed": 0}},
    ],
)
def test_weights_without_a_record_of_their_training_have_none(source: dict[str, Any]) -> None:
    assert validation_faces(source, _index(10, 10, 10)) is None


def test_temperatures_are_fitted_on_validation_faces_where_they_are_known(tmp_path: Path) -> None:
    index = _index(40, 90, 333)
    source, validation = _source(index, 0.1, seed=7)
    faces = temperature_faces(_bundle(tmp_path / "bundle", source), index)
    assert faces.kind is FittedOn.VALIDATION
    assert faces.index.split is Split.VALIDATION
    assert faces.index.labels.classes == ("neutral", "anger", "fear")
    names = {item.sample_id: LABELS.classes[item.target] for item in validation.samples}
    assert {
        item.sample_id: faces.index.labels.classes[item.target] for item in faces.index.samples
    } == names


def test_more_faces_than_needed_are_drawn_from_by_seed(tmp_path: Path) -> None:
    index = _index(2000, 3000, 2500)
    source, validation = _source(index, 0.1, seed=7)
    bundle = _bundle(tmp_path / "bundle", source)
    first, again = (temperature_faces(bundle, index).index for _ in range(2))
    other = temperature_faces(bundle, index, seed=1).index
    assert first == again
    assert len(first) == MAX_FACES
    ids = [item.sample_id for item in first.samples]
    assert ids == sorted(set(ids))
    assert set(ids) <= {item.sample_id for item in validation.samples}
    assert ids != [item.sample_id for item in other.samples]
    assert all(count > 80 for count in first.counts())  # not the first class alone


def test_else_on_the_calibration_faces_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    index = _index(3, 2, 2, folder=tmp_path)
    for sample in index.samples:
        sample.path.write_bytes(sample.sample_id.encode())
    bundle = _bundle(tmp_path / "bundle", {}, index.samples[1:4])
    with caplog.at_level(logging.WARNING):
        faces = temperature_faces(bundle, index)
    assert faces.kind is FittedOn.CALIBRATION
    ids = [item.sample_id for item in faces.index.samples]
    assert ids == [item.sample_id for item in index.samples[1:4]]
    assert "temperatures are fitted on calibration faces, on which a model is surer" in caplog.text


def test_without_either_there_is_nothing_to_fit_on(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"is not the one that this model was trained on, and the"):
        temperature_faces(_bundle(tmp_path / "bundle", {}), _index(3, 2, 2))


def test_the_validation_part_of_the_set_itself_is_taken_if_it_has_the_hash() -> None:
    index = _index(20, 20, 20)
    own = FaceIndex("rafdb", Split.VALIDATION, LABELS, _index(3, 3, 3).samples)
    source, held_out = _source(index, 0.1, 0)
    assert validation_faces(source, index, own) == held_out  # split off, although there is a part
    source["data"]["validation_sha256"] = own.sha256
    assert validation_faces(source, index, own) is own
