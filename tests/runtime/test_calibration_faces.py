"""The calibration faces of a bundle, and finding them again on disk."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

import pytest

from edge_arm.runtime.calibration_faces import calibration_faces, calibration_index
from edge_arm.runtime.errors import BundleError, DataError
from edge_arm.runtime.faces import FaceIndex, FaceSample, Split
from edge_arm.runtime.labels import RAFDB
from edge_arm.runtime.manifest import Bundle, Manifest, open_bundle, write_manifest
from edge_arm.runtime.preprocess import PreprocessSpec
from edge_arm.runtime.storage import sha256_of_file

TABLE = {
    "schema_version": 1,
    "data": {"name": "rafdb", "split": "train"},
    "images": [
        {"sample_id": f"train_{number:05d}.jpg", "sha256": sha256(b"%d" % number).hexdigest()}
        for number in (3, 1)
    ],
}


def write_bundle(folder: Path, table: str | None) -> Bundle:
    files = {}
    if table is not None:
        (folder / "calibration.json").write_text(table, encoding="utf-8")
        files["calibration.json"] = sha256_of_file(folder / "calibration.json")
    write_manifest(folder, Manifest(RAFDB, PreprocessSpec(8), (), files, {}, {}))
    return open_bundle(folder)


@pytest.fixture
def train_index(tmp_path: Path) -> FaceIndex:
    """Five files whose content is their number; the hashes above are those of 3 and 1."""
    samples = []
    for number in range(5):
        path = tmp_path / f"{number}.jpg"
        path.write_bytes(b"%d" % number)
        samples.append(FaceSample(f"train_{number:05d}.jpg", path, 0))
    return FaceIndex("rafdb", Split.TRAIN, RAFDB, tuple(samples))


def test_names_and_hashes_are_read_in_order(tmp_path: Path) -> None:
    faces = calibration_faces(write_bundle(tmp_path, json.dumps(TABLE)))
    assert faces is not None
    assert len(faces) == 2
    assert (faces.data_name, faces.split) == ("rafdb", Split.TRAIN)
    assert faces.sample_ids == ("train_00003.jpg", "train_00001.jpg")
    assert faces.sha256s[1] == sha256(b"1").hexdigest()


def test_looks_are_read_where_the_calibration_noted_them(tmp_path: Path) -> None:
    images = [{**item, "perceptual_hash": "0f" * 32} for item in TABLE["images"]]
    noted = calibration_faces(write_bundle(tmp_path, json.dumps({**TABLE, "images": images})))
    assert noted is not None
    assert noted.looks == ("0f" * 32, "0f" * 32)


def test_an_older_calibration_notes_no_looks(tmp_path: Path) -> None:
    faces = calibration_faces(write_bundle(tmp_path, json.dumps(TABLE)))
    assert faces is not None
    assert faces.looks == ()


def test_looks_of_some_faces_only_are_refused(tmp_path: Path) -> None:
    images = [{**TABLE["images"][0], "perceptual_hash": "0f" * 32}, TABLE["images"][1]]
    bundle = write_bundle(tmp_path, json.dumps({**TABLE, "images": images}))
    with pytest.raises(BundleError, match="None is no hash of 64 hex digits"):
        calibration_faces(bundle)


def test_a_bundle_without_calibration_has_none(tmp_path: Path) -> None:
    assert calibration_faces(write_bundle(tmp_path, None)) is None


def test_ranges_from_a_tensorrt_cache_name_no_faces(tmp_path: Path) -> None:
    table = {"schema_version": 1, "method": "from cache", "cache": {"file": "old"}, "images": []}
    assert calibration_faces(write_bundle(tmp_path, json.dumps(table))) is None


def test_another_schema_version_is_refused(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path, json.dumps({**TABLE, "schema_version": 2}))
    with pytest.raises(BundleError, match=r"schema version 2, this edge-arm reads 1; calibrate"):
        calibration_faces(bundle)


@pytest.mark.parametrize(
    "table",
    [
        "{}",
        "[]",
        "not JSON",
        '{"schema_version": 1}',
        json.dumps({**TABLE, "images": [{"sample_id": "a.jpg", "sha256": "12"}]}),
        json.dumps({**TABLE, "images": [{"sample_id": "a.jpg"}]}),
        json.dumps({**TABLE, "data": {"name": "rafdb", "split": "holiday"}}),
    ],
)
def test_a_table_without_its_faces_is_refused(tmp_path: Path, table: str) -> None:
    bundle = write_bundle(tmp_path, table)
    with pytest.raises(BundleError, match="does not say which faces calibrated"):
        calibration_faces(bundle)


def test_a_changed_table_is_refused(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path, json.dumps(TABLE))
    (tmp_path / "calibration.json").write_text("{}")
    with pytest.raises(BundleError, match="the file was changed"):
        calibration_faces(bundle)


def test_the_faces_are_found_on_disk_in_the_order_of_the_table(
    tmp_path: Path, train_index: FaceIndex
) -> None:
    faces = calibration_faces(write_bundle(tmp_path, json.dumps(TABLE)))
    assert faces is not None
    found = calibration_index(faces, train_index)
    assert [sample.path.name for sample in found.samples] == ["3.jpg", "1.jpg"]


def test_a_missing_face_is_named(tmp_path: Path, train_index: FaceIndex) -> None:
    faces = calibration_faces(write_bundle(tmp_path, json.dumps(TABLE)))
    assert faces is not None
    with pytest.raises(DataError, match=r"has no 'train_00003.jpg', expected all 2 .*1 are miss"):
        calibration_index(faces, train_index.subset([0, 1, 2]))


def test_a_changed_face_is_named(tmp_path: Path, train_index: FaceIndex) -> None:
    faces = calibration_faces(write_bundle(tmp_path, json.dumps(TABLE)))
    assert faces is not None
    (tmp_path / "1.jpg").write_bytes(b"other")
    with pytest.raises(DataError, match=r"1\.jpg' has SHA-256 .*as it had when it calibrated"):
        calibration_index(faces, train_index)


def test_a_face_whose_file_vanished_is_named(tmp_path: Path, train_index: FaceIndex) -> None:
    faces = calibration_faces(write_bundle(tmp_path, json.dumps(TABLE)))
    assert faces is not None
    (tmp_path / "3.jpg").unlink()
    with pytest.raises(DataError, match=r"cannot read .*3\.jpg' \(No such file"):
        calibration_index(faces, train_index)
