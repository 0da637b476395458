"""Test faces that calibrated are refused, near copies of them are listed and can be left out."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_arm.data.face_drawing import draw_face
from edge_arm.data.face_parameters import sample_face, sample_identity
from edge_arm.runtime.batches import PixelHash, face_batches
from edge_arm.runtime.calibration_faces import CalibrationFaces
from edge_arm.runtime.errors import DataError, UsageError
from edge_arm.runtime.faces import FaceIndex, FaceSample, Split
from edge_arm.runtime.fingerprints import FingerprintCollector, Fingerprints, fingerprints_of
from edge_arm.runtime.labels import LabelSet
from edge_arm.runtime.leak_exclusion import without_near_duplicates
from edge_arm.runtime.leaks import (
    Duplicate,
    LeakCheck,
    calibration_looks,
    leak_check,
    noted_looks,
    require_unseen,
)
from edge_arm.runtime.predictions import Predictions
from edge_arm.runtime.preprocess import PreprocessSpec

LABELS = LabelSet("three", ("anger", "fear", "neutral"))
SPEC = PreprocessSpec(size=64)


@dataclass(frozen=True)
class Faces:
    """A training split of 6 drawn faces, 4 of which calibrated, and a test split of 5 others."""

    root: Path
    train: FaceIndex
    test: FaceIndex
    calibration: CalibrationFaces

    def check(self, **options: int) -> LeakCheck:
        return leak_check(
            fingerprints_of(self.test, SPEC),
            self.calibration,
            calibration_looks(self.calibration, self.train, SPEC),
            **options,
        )

    def with_test(self, name: str, content: bytes) -> Faces:
        path = self.root / name
        path.write_bytes(content)
        samples = (*self.test.samples, FaceSample(name, path, 1))
        return replace(self, test=replace(self.test, samples=samples))


def _draw(path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    face = draw_face(sample_face(rng, "neutral", sample_identity(rng)))
    assert cv2.imwrite(str(path), face)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("drawn")
    for seed in range(11):
        split = "train" if seed < 6 else "test"
        _draw(root / f"{split}_{seed}.png", seed)
    return root


@pytest.fixture
def faces(drawn: Path, tmp_path: Path) -> Faces:
    root = tmp_path / "faces"
    shutil.copytree(drawn, root)
    indices = {
        split: FaceIndex(
            "mini",
            split,
            LABELS,
            tuple(
                FaceSample(path.name, path, place % 3)
                for place, path in enumerate(sorted(root.glob(f"{split.value}_*.png")))
            ),
        )
        for split in (Split.TRAIN, Split.TEST)
    }
    chosen = indices[Split.TRAIN].subset([4, 0, 2, 5])
    calibration = CalibrationFaces(
        "mini",
        Split.TRAIN,
        tuple(sample.sample_id for sample in chosen.samples),
        tuple(sha256(sample.path.read_bytes()).hexdigest() for sample in chosen.samples),
    )
    return Faces(root, indices[Split.TRAIN], indices[Split.TEST], calibration)


def _jpeg_of(path: Path) -> bytes:
    _, content = cv2.imencode(".jpg", cv2.imread(str(path)), [cv2.IMWRITE_JPEG_QUALITY, 60])
    return content.tobytes()


def test_faces_of_other_people_are_no_leak(faces: Faces) -> None:
    check = faces.check()
    assert check.duplicates == ()
    assert (check.num_calibration, check.num_test) == (4, 5)
    assert (check.max_distance, check.hash_bits) == (48, 256)
    assert check.not_checked == ""


def test_a_copy_in_another_encoding_is_listed(faces: Faces) -> None:
    check = faces.with_test("copy.jpg", _jpeg_of(faces.root / "train_2.png")).check()
    (found,) = check.duplicates
    assert (found.test_id, found.calibration_id) == ("copy.jpg", "train_2.png")
    assert found.distance is not None
    assert 0 <= found.distance <= 12
    assert check.test_ids == ("copy.jpg",)


def test_a_copy_of_a_training_face_that_did_not_calibrate_is_no_leak(faces: Faces) -> None:
    assert not faces.with_test("copy.jpg", _jpeg_of(faces.root / "train_1.png")).check().duplicates


def test_duplicates_are_sorted_by_test_face_and_then_by_distance(faces: Faces) -> None:
    for name, number in (("b.jpg", 0), ("a.jpg", 4)):
        faces = faces.with_test(name, _jpeg_of(faces.root / f"train_{number}.png"))
    near = faces.check(max_distance=120).duplicates
    assert near[0].test_id == "a.jpg"
    assert list(near) == sorted(near, key=lambda item: (item.test_id, item.distance))


def test_the_same_file_under_another_name_is_an_error(faces: Faces) -> None:
    content = (faces.root / "train_2.png").read_bytes()
    with pytest.raises(
        DataError,
        match=r"1 of the faces to measure on chose the INT8 ranges: 'x.png' \(there 'train_2.png'\)"
        r", expected none of the 4 calibration faces \(from the train split of 'mini'\)",
    ):
        faces.with_test("x.png", content).check()


def test_measuring_on_the_calibration_faces_is_refused_before_any_model_runs(faces: Faces) -> None:
    with pytest.raises(
        DataError,
        match=r"4 of the faces .*: 'train_0.png', 'train_2.png', 'train_4.png' and 1 more, .*"
        r"measure with --split test",
    ):
        require_unseen(faces.train, faces.calibration)


def test_a_test_face_of_the_same_name_with_another_picture_is_fine(faces: Faces) -> None:
    renamed = tuple(
        replace(sample, sample_id=name)
        for sample, name in zip(faces.test.samples, faces.calibration.sample_ids, strict=False)
    )
    require_unseen(replace(faces.test, samples=renamed), faces.calibration)


def test_without_a_calibration_there_is_nothing_to_compare(faces: Faces) -> None:
    require_unseen(faces.train, None)
    check = leak_check(fingerprints_of(faces.test, SPEC), None)
    assert (check.num_calibration, check.num_test) == (0, 5)
    assert check.not_checked.startswith("the bundle names no faces that calibrated it; it was not")


def test_without_the_training_split_only_files_are_compared_and_that_is_said(faces: Faces) -> None:
    looks = calibration_looks(faces.calibration, faces.test, SPEC)
    check = leak_check(fingerprints_of(faces.test, SPEC), faces.calibration, looks)
    assert check.num_calibration == 4
    assert check.duplicates == ()
    assert check.not_checked.startswith(
        "near duplicates were not looked for: the test split of 'mini' has no 'train_4.png'"
    )


def test_a_face_that_changed_since_calibration_stops_the_search_for_near_ones(faces: Faces) -> None:
    _draw(faces.root / "train_0.png", 99)
    assert "as it had when it calibrated" in faces.check().not_checked


@pytest.mark.parametrize("distance", [-1, 256])
def test_a_distance_out_of_range_is_refused(faces: Faces, distance: int) -> None:
    with pytest.raises(UsageError, match=r"largest distance .*expected 0 to 255 bits"):
        faces.check(max_distance=distance)


def test_fingerprints_do_not_depend_on_how_the_faces_are_batched(faces: Faces) -> None:
    whole = fingerprints_of(faces.test, SPEC)
    collector = FingerprintCollector(faces.test)
    for batch in face_batches(faces.test, SPEC, 2):
        collector.add(batch)
    pieces = collector.fingerprints()
    assert pieces.sample_ids == whole.sample_ids
    assert pieces.sha256s == whole.sha256s
    assert (pieces.hashes == whole.hashes).all()
    assert len(FingerprintCollector(faces.test).fingerprints()) == 0


# ---- leaving near duplicates out ------------------------------------------------------------


def _check(test_ids: tuple[str, ...], not_checked: str = "") -> LeakCheck:
    return LeakCheck(
        4, 5, 48, tuple(Duplicate(i, "train_2.png", 7) for i in test_ids), False, not_checked
    )


def _fingerprints(index: FaceIndex) -> Fingerprints:
    hashes = np.zeros((len(index), 32), np.uint8)
    digests = tuple(str(place) * 64 for place in range(len(index)))
    return Fingerprints(tuple(item.sample_id for item in index.samples), digests, hashes)


def test_near_duplicates_are_left_out_of_every_models_answers(
    faces: Faces, predictions_from_answers: Callable[..., Predictions]
) -> None:
    remaining = without_near_duplicates(
        faces.test, _fingerprints(faces.test), _check(("test_10.png", "test_7.png"))
    )
    left = [item.sample_id for item in remaining.index.samples]
    assert left == ["test_6.png", "test_8.png", "test_9.png"]
    assert remaining.check.excluded
    # sorted by name: test_10, test_6, test_7, test_8, test_9
    before = predictions_from_answers([0, 1, 2, 0, 1], [0, 1, 1, 2, 1], seconds=10.0)
    after = remaining.of_all({"fp32": before})["fp32"]
    assert after.targets.tolist() == [1, 0, 1]
    assert after.answers.tolist() == [1, 2, 1]
    assert after.sample_ids == tuple(before.sample_ids[place] for place in (1, 3, 4))
    assert after.seconds_inference == pytest.approx(6.0)


def test_the_data_hash_is_that_of_the_faces_that_are_left(faces: Faces) -> None:
    remaining = without_near_duplicates(
        faces.test, _fingerprints(faces.test), _check(("test_10.png",))
    )
    expected = PixelHash()
    for place, sample in list(enumerate(faces.test.samples))[1:]:
        expected.add(sample, LABELS.classes[sample.target], str(place) * 64)
    assert remaining.data_sha256 == expected.hexdigest()


def test_with_no_duplicates_nothing_is_left_out(faces: Faces) -> None:
    remaining = without_near_duplicates(faces.test, _fingerprints(faces.test), _check(()))
    assert remaining.index == faces.test
    assert not remaining.check.excluded


def test_nothing_can_be_left_out_that_was_not_looked_for(faces: Faces) -> None:
    with pytest.raises(
        DataError, match="cannot leave out near duplicates: no pictures here; bring"
    ):
        without_near_duplicates(
            faces.test, _fingerprints(faces.test), _check((), "no pictures here")
        )


def test_a_test_set_of_duplicates_alone_is_refused(faces: Faces) -> None:
    everything = tuple(item.sample_id for item in faces.test.samples)
    with pytest.raises(DataError, match=r"all 5 faces of the test split of 'mini' repeat"):
        without_near_duplicates(faces.test, _fingerprints(faces.test), _check(everything))


def test_noted_looks_find_near_copies_without_the_pictures(faces: Faces) -> None:
    copied = faces.with_test("copy.jpg", _jpeg_of(faces.root / "train_2.png"))
    looked = calibration_looks(copied.calibration, copied.train, SPEC)
    assert looked.fingerprints is not None
    noted = noted_looks(
        replace(
            copied.calibration,
            looks=tuple(row.tobytes().hex() for row in looked.fingerprints.hashes),
        )
    )
    assert noted is not None
    test = fingerprints_of(copied.test, SPEC)
    assert leak_check(test, copied.calibration, noted) == copied.check()
    assert copied.check().test_ids == ("copy.jpg",)


def test_a_calibration_that_noted_no_looks_has_none(faces: Faces) -> None:
    assert noted_looks(faces.calibration) is None
