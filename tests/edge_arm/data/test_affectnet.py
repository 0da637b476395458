"""Which release of AffectNet is there, and the two that hold faces already cut out."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from miniature_affectnet import write_annotations_release, write_csv_release

from edge_arm.data.affectnet import list_affectnet, looks_like_affectnet
from edge_arm.data.affectnet_annotations import number_from_npy
from edge_arm.data.registry import face_index
from edge_arm.runtime.errors import DataError
from edge_arm.runtime.faces import Split

TRAIN = {f"{number}.jpg": str(number % 8) for number in range(16)}
VAL = {f"{number}.jpg": str(number) for number in range(8)}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_annotations_release(tmp_path / "AffectNet", TRAIN, VAL)


def _npy(value: object, **how: object) -> bytes:
    file = BytesIO()
    np.save(file, np.array(value, **how))
    return file.getvalue()


def test_the_npy_release_is_read_by_its_annotations(root: Path) -> None:
    assert looks_like_affectnet(root)
    listing = list_affectnet(root, "affectnet8")
    assert listing.problems == listing.ignored == ()
    train = listing.index(Split.TRAIN)
    assert train.counts().tolist() == [2] * 8
    assert [sample.sample_id for sample in train.samples] == [f"train_set/{name}" for name in TRAIN]
    assert train.labels.classes[train.samples[3].target] == "surprise"
    assert train.samples[3].path == root / "train_set" / "images" / "3.jpg"
    assert train.samples[3].crop is None
    assert listing.index(Split.TEST).counts().tolist() == [1] * 8


def test_seven_classes_leave_contempt_out_of_it_too(root: Path) -> None:
    listing = list_affectnet(root)
    assert listing.index(Split.TEST).counts().tolist() == [1] * 7
    assert listing.ignored == (
        "3 faces of contempt, which is not among the seven: 2 in the training part, 1 in the "
        "validation part",
    )


@pytest.mark.parametrize(
    "content",
    [_npy("3"), _npy(b"3"), _npy(3), _npy(3.0), _npy(["3"]), _npy(3, dtype=np.uint8), _npy(" 3 ")],
    ids=["text", "bytes", "integer", "float", "one in a row", "uint8", "blanks"],
)
def test_an_annotation_may_be_text_or_a_number(content: bytes) -> None:
    assert number_from_npy(content) == 3


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "got 0 bytes that are no .npy array, expected one number of an expression"),
        (b"3\n", "got 2 bytes that are no .npy array"),
        (_npy("3")[:-2], "got an array of another form, expected one number"),
        (_npy("3")[:20], "got an array of another form"),
        (_npy([3, 4]), "got an array of another form"),
        (_npy(3, dtype=object), "got an array of another form"),
        (_npy("11"), "got the expression '11', expected 0 to 10"),
        (_npy(-1), "got the expression '-1', expected 0 to 10"),
        (_npy(2.5), "got the expression '2.5', expected 0 to 10"),
        (_npy(np.nan), "got the expression 'nan', expected 0 to 10"),
        (_npy("happy"), "got the expression 'happy', expected 0 to 10"),
        (_npy(b"\xff"), "got the expression '\ufffd', expected 0 to 10"),
    ],
)
def test_an_annotation_that_is_none_is_refused(content: bytes, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        number_from_npy(content)


def test_a_broken_annotation_is_a_problem_that_names_the_file(root: Path) -> None:
    (root / "val_set" / "annotations" / "5_exp.npy").write_bytes(b"")
    with pytest.raises(DataError, match=r"annotations/5_exp.npy': got 0 bytes .*; restore it"):
        face_index("affectnet7", root, Split.TEST)
    assert len(face_index("affectnet7", root, Split.TRAIN)) == 14


def test_an_annotation_that_cannot_be_read_is_a_problem(root: Path) -> None:
    path = root / "val_set" / "annotations" / "5_exp.npy"
    path.unlink()
    path.mkdir()
    with pytest.raises(DataError, match=r"5_exp.npy': cannot be read \(Is a directory\), expected"):
        face_index("affectnet7", root, Split.TEST)


def test_a_picture_without_annotation_is_a_problem(root: Path) -> None:
    (root / "train_set" / "annotations" / "4_exp.npy").unlink()
    expected = (
        r"annotations/4_exp.npy' is missing, and there is the picture of it \(1 in all: '4'\), "
        "expected both; restore the file or move the picture away"
    )
    with pytest.raises(DataError, match=expected):
        face_index("affectnet7", root, Split.TRAIN)


def test_an_annotation_without_picture_is_a_problem(root: Path) -> None:
    (root / "train_set" / "images" / "4.jpg").unlink()
    expected = r"images/4.jpg' is missing, and there is the annotation of it \(1 in all"
    with pytest.raises(DataError, match=expected):
        face_index("affectnet7", root, Split.TRAIN)


def test_two_pictures_of_one_annotation_are_a_problem(root: Path) -> None:
    (root / "train_set" / "images" / "4.PNG").touch()
    with pytest.raises(DataError, match=r"images/4.jpg' and '4.PNG' have one annotation, expected"):
        face_index("affectnet7", root, Split.TRAIN)


def test_endings_in_capitals_are_pictures_and_other_files_are_none(tmp_path: Path) -> None:
    root = write_annotations_release(tmp_path, {"1.JPG": "0", "2.Png": "1"}, VAL)
    (root / "train_set" / "images" / "Thumbs.db").touch()
    (root / "train_set" / "images" / "._1.JPG").touch()
    (root / "train_set" / "annotations" / "._1_exp.npy").touch()
    assert [sample.path.name for sample in face_index("affectnet7", root, Split.TRAIN).samples] == [
        "1.JPG",
        "2.Png",
    ]


def test_a_missing_part_of_the_npy_release_is_a_problem_of_that_part(root: Path) -> None:
    (root / "val_set").rename(root / "validation")
    with pytest.raises(DataError, match=r"val_set/images' is missing, expected a folder of Affect"):
        face_index("affectnet7", root, Split.TEST)
    assert len(face_index("affectnet7", root, Split.TRAIN)) == 14


def _sorted_faces(root: Path) -> Path:
    for part, count in (("train", 2), ("val", 1)):
        for number in range(8):
            (root / part / str(number)).mkdir(parents=True)
            for face in range(count):
                (root / part / str(number) / f"{face}.jpg").touch()
    return root


def test_faces_sorted_by_number_are_read_by_affectnets_numbers(tmp_path: Path) -> None:
    root = _sorted_faces(tmp_path / "a")
    (root / "test").mkdir()
    (root / "train" / "0" / "notes.txt").touch()
    train = face_index("affectnet7", root, Split.TRAIN)
    assert train.counts().tolist() == [2] * 7
    assert train.samples[0].sample_id == "train/0/0.jpg"
    assert train.labels.classes[train.samples[0].target] == "neutral"
    listing = list_affectnet(root, "affectnet8")
    assert listing.index(Split.TEST).counts().tolist() == [1] * 8
    assert listing.ignored == ("'test': no part of AffectNet sorted by number",)


def test_a_folder_that_is_no_number_is_a_problem(tmp_path: Path) -> None:
    root = _sorted_faces(tmp_path / "a")
    (root / "train" / "happy").mkdir()
    with pytest.raises(DataError, match=r"train/happy': got the expression 'happy', expected 0 to"):
        face_index("affectnet7", root, Split.TRAIN)


def test_sorted_faces_without_validation_are_a_problem_of_it(tmp_path: Path) -> None:
    root = _sorted_faces(tmp_path / "a")
    (root / "val").rename(root / "valid")
    with pytest.raises(DataError, match=r"val' is missing, expected the folders 0 to 7"):
        face_index("affectnet7", root, Split.TEST)


def test_pictures_to_leave_out_are_left_out_of_every_release(root: Path, tmp_path: Path) -> None:
    for folder, name in ((root, "12.jpg"), (_sorted_faces(tmp_path / "b"), "1.jpg")):
        before = len(list_affectnet(folder))
        (folder / "exclude.txt").write_text(name)
        after = list_affectnet(folder)
        assert after.problems == ()
        assert len(after) == before - (1 if folder == root else 7)


def test_another_layout_is_refused_with_what_is_there_and_what_is_expected(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "labels.csv").touch()
    assert not looks_like_affectnet(tmp_path)
    expected = (
        r"holds 'labels.csv', 'pictures', expected 'Manually_Annotated_Images' with .* or "
        r"'train_set' and 'val_set' .* or 'train/0..7' and 'val/0..7'; point --root at the folder"
    )
    with pytest.raises(DataError, match=expected):
        list_affectnet(tmp_path)


@pytest.mark.parametrize(
    ("there", "advice"),
    [
        ("Manually_Annotated_Images", "; add its two csv files, point --root at"),
        ("training.csv", "; unpack its pictures beside the csv files, point --root at"),
    ],
)
def test_half_of_a_release_is_told_what_it_lacks(tmp_path: Path, there: str, advice: str) -> None:
    (tmp_path / there).mkdir()
    with pytest.raises(DataError, match=advice):
        list_affectnet(tmp_path)


def test_two_releases_in_one_folder_are_refused(root: Path) -> None:
    write_csv_release(root)
    with pytest.raises(DataError, match=r"holds 2 releases of AffectNet \('.*Images', annotations"):
        list_affectnet(root)
