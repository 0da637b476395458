from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from edge_arm.data.listing import Problem
from edge_arm.data.rafdb import list_rafdb, looks_like_rafdb, looks_like_rafdb_original
from edge_arm.data.registry import face_attributes, face_index
from edge_arm.runtime.crop import CropBox
from edge_arm.runtime.errors import DataError
from edge_arm.runtime.faces import Split
from edge_arm.runtime.labels import RAFDB

ROWS = {
    "train_00001.jpg": "5",
    "train_00002.jpg": "1",
    "test_0001.jpg": "7",
    "train_00003.jpg": "4",
}


def _write_set(root: Path, rows: Mapping[str, str] = ROWS) -> Path:
    """A miniature; the reader opens no picture, so the files are empty."""
    (root / "EmoLabel").mkdir(parents=True)
    (root / "Image" / "aligned").mkdir(parents=True)
    _list(root).write_text("".join(f"{name} {label}\n" for name, label in rows.items()))
    for name in rows:
        (root / "Image" / "aligned" / name.replace(".jpg", "_aligned.jpg")).touch()
    return root


def _list(root: Path) -> Path:
    return root / "EmoLabel" / "list_patition_label.txt"


def _problem(root: Path) -> Problem:
    (problem,) = list_rafdb(root).problems
    return problem


def _with_row(root: Path, row: str) -> Path:
    _write_set(root)
    _list(root).write_text(_list(root).read_text() + row + "\n")
    return root


def test_names_splits_and_labels_are_read_in_the_lists_order(tmp_path: Path) -> None:
    root = _write_set(tmp_path)
    listing = list_rafdb(root)
    train, test = listing.index(Split.TRAIN), listing.index(Split.TEST)
    assert [sample.sample_id for sample in train.samples] == [
        "train_00001.jpg",
        "train_00002.jpg",
        "train_00003.jpg",
    ]
    assert [RAFDB.classes[target] for target in train.targets] == [
        "sadness",
        "surprise",
        "happiness",
    ]
    assert [sample.sample_id for sample in test.samples] == ["test_0001.jpg"]
    assert test.targets.tolist() == [6]
    assert train.labels is RAFDB
    assert listing.problems == ()
    assert listing.ignored == ()
    assert len(listing) == 4


def test_the_file_of_a_listed_name_ends_in_aligned(tmp_path: Path) -> None:
    samples = list_rafdb(_write_set(tmp_path)).index(Split.TEST).samples
    assert samples[0].path == tmp_path / "Image" / "aligned" / "test_0001_aligned.jpg"


def test_other_suffixes_than_jpg_are_kept(tmp_path: Path) -> None:
    _write_set(tmp_path, {"train_1.png": "1", "test_1.png": "1"})
    for name in ("train_1", "test_1"):
        (tmp_path / "Image" / "aligned" / f"{name}_aligned.png").touch()
    samples = list_rafdb(tmp_path).index(Split.TRAIN).samples
    assert samples[0].path.name == "train_1_aligned.png"


def test_blank_lines_windows_line_ends_and_a_byte_order_mark_do_no_harm(tmp_path: Path) -> None:
    _write_set(tmp_path)
    text = _list(tmp_path).read_text().replace("\n", "\r\n")
    _list(tmp_path).write_bytes(b"\xef\xbb\xbf" + text.encode() + b"\r\n\r\n")
    listing = list_rafdb(tmp_path)
    assert listing.problems == ()
    assert len(listing) == 4


@pytest.mark.parametrize("inside", ["", "EmoLabel", "Image", "Image/aligned"])
def test_the_root_may_be_a_folder_inside_the_set(tmp_path: Path, inside: str) -> None:
    root = _write_set(tmp_path / "basic")
    assert len(list_rafdb(root / inside)) == 4
    assert looks_like_rafdb(root / inside)


def test_the_root_may_be_the_folder_above_the_set(tmp_path: Path) -> None:
    _write_set(tmp_path / "basic")
    (tmp_path / "compound").mkdir()
    (tmp_path / "readme.txt").touch()
    assert len(list_rafdb(tmp_path)) == 4


def test_the_root_may_be_a_dot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = _write_set(tmp_path / "basic")
    monkeypatch.chdir(root / "EmoLabel")
    assert len(list_rafdb(Path())) == 4


def test_the_list_and_aligned_may_lie_side_by_side(tmp_path: Path) -> None:
    root = _write_set(tmp_path / "set")
    flat = tmp_path / "flat"
    flat.mkdir()
    shutil.copy(_list(root), flat)
    shutil.copytree(root / "Image" / "aligned", flat / "aligned")
    assert len(list_rafdb(flat)) == 4


def test_two_sets_below_the_root_are_ambiguous(tmp_path: Path) -> None:
    _write_set(tmp_path / "a")
    _write_set(tmp_path / "b")
    with pytest.raises(DataError, match=r"holds 2 data sets .*point --root at one of them"):
        list_rafdb(tmp_path)


def test_another_folder_is_refused_with_what_is_in_it(tmp_path: Path) -> None:
    (tmp_path / "cats").mkdir()
    (tmp_path / "dogs.zip").touch()
    expected = (
        r"holds 'cats', 'dogs.zip', expected 'EmoLabel/list_patition_label.txt' and "
        r"'Image/aligned/' in it; point --root at the folder that holds EmoLabel and Image"
    )
    with pytest.raises(DataError, match=expected):
        list_rafdb(tmp_path)
    assert not looks_like_rafdb(tmp_path)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds nothing, expected 'EmoLabel/list_patition"):
        list_rafdb(tmp_path)


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot read the folder '.*gone' \(No such file"):
        list_rafdb(tmp_path / "gone")
    assert not looks_like_rafdb(tmp_path / "gone")


def test_a_folder_that_may_not_be_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    _write_set(tmp_path)
    monkeypatch.setattr(os, "scandir", refuse)  # a test may run as root, who may read all
    with pytest.raises(DataError, match=r"cannot read the folder .* \(Permission denied\)"):
        list_rafdb(tmp_path)


def test_pictures_that_were_not_unpacked_are_told_as_such(tmp_path: Path) -> None:
    root = _write_set(tmp_path)
    shutil.rmtree(root / "Image")
    with pytest.raises(DataError, match=r"but no folder '.*Image/aligned', .*aligned.zip there"):
        list_rafdb(root)


@pytest.mark.parametrize("label", ["0", "8", "-1", "x", "1.0", "٣"])
def test_a_label_outside_1_to_7_names_file_and_row(tmp_path: Path, label: str) -> None:
    problem = _problem(_with_row(tmp_path, f"train_00009.jpg {label}"))
    assert problem.text == (
        f"{str(_list(tmp_path))!r}, row 5: got the label {label!r}, expected 1 to 7 "
        "(1 surprise ... 7 neutral); correct the row"
    )
    assert problem.split is None


@pytest.mark.parametrize("row", ["train_00009.jpg", "train_00009.jpg 5 6", "x" * 500])
def test_a_line_that_cannot_be_parsed_names_file_and_row(tmp_path: Path, row: str) -> None:
    text = _problem(_with_row(tmp_path, row)).text
    assert text.startswith(f"{str(_list(tmp_path))!r}, row 5: got {row[:60]!r}"[:-1])
    assert "expected a file name and a label such as 'train_00001.jpg 5'" in text
    assert len(text) < len(str(_list(tmp_path))) + 200


@pytest.mark.parametrize("name", ["valid_00001.jpg", "00001.jpg", "train_a/../../x.jpg"])
def test_a_name_without_a_splits_prefix_is_a_problem(tmp_path: Path, name: str) -> None:
    text = _problem(_with_row(tmp_path, f"{name} 5")).text
    assert f"row 5: got the name {name!r}, expected one that starts with 'train_'" in text


def test_a_name_that_is_listed_twice_names_both_rows(tmp_path: Path) -> None:
    text = _problem(_with_row(tmp_path, "train_00002.jpg 1")).text
    assert "row 5: 'train_00002.jpg' was already in row 2, expected each picture once" in text


def test_a_missing_picture_names_its_row_and_spoils_its_split_only(tmp_path: Path) -> None:
    root = _write_set(tmp_path)
    missing = root / "Image" / "aligned" / "train_00003_aligned.jpg"
    missing.unlink()
    problem = _problem(root)
    assert f"row 4: the list names 'train_00003.jpg', expected the picture {str(missing)!r}" in (
        problem.text
    )
    assert problem.concerns(Split.TRAIN)
    assert not problem.concerns(Split.TEST)


def test_all_problems_are_found_at_once(tmp_path: Path) -> None:
    root = _with_row(tmp_path, "train_00009.jpg 9\nnonsense")
    (root / "Image" / "aligned" / "test_0001_aligned.jpg").unlink()
    texts = [problem.text for problem in list_rafdb(root).problems]
    assert [text.split(", row ")[1][0] for text in texts] == ["5", "6", "3"]


@pytest.mark.parametrize(("kept", "lost"), [("train", Split.TEST), ("test", Split.TRAIN)])
def test_a_split_without_faces_is_a_problem_of_that_split(
    tmp_path: Path, kept: str, lost: Split
) -> None:
    rows = {name: label for name, label in ROWS.items() if name.startswith(kept)}
    problem = _problem(_write_set(tmp_path, rows))
    assert f"has no row for the {lost.value} split, expected names such as" in problem.text
    assert problem.split is lost


def test_a_list_that_is_no_text_is_refused(tmp_path: Path) -> None:
    root = _write_set(tmp_path)
    _list(root).write_bytes(b"train\xff")
    with pytest.raises(DataError, match=r"label.txt' is not text \(byte 5\), expected RAF-DB's"):
        list_rafdb(root)


def test_a_list_that_cannot_be_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> str:
        raise PermissionError(13, "Permission denied")

    root = _write_set(tmp_path)
    monkeypatch.setattr(Path, "read_text", refuse)
    with pytest.raises(DataError, match=r"cannot read '.*label.txt' \(Permission denied\)"):
        list_rafdb(root)


def test_pictures_that_are_not_listed_are_reported(tmp_path: Path) -> None:
    root = _write_set(tmp_path)
    (root / "Image" / "aligned" / "train_00077_aligned.jpg").touch()
    (root / "Image" / "aligned" / "Thumbs.db").touch()
    listing = list_rafdb(root)
    assert listing.problems == ()
    (line,) = listing.ignored
    assert line.startswith("1 pictures in ")
    assert line.endswith("are not on the list: 'train_00077_aligned.jpg'")


def _with_originals(root: Path, points: str) -> Path:
    """The photographs beside the aligned faces, one annotation for all."""
    (root / "Image" / "original").mkdir()
    (root / "Annotation" / "manual").mkdir(parents=True)
    for name in ROWS:
        (root / "Image" / "original" / name).touch()
        annotation = root / "Annotation" / "manual" / name.replace(".jpg", "_manu_attri.txt")
        annotation.write_text(f"{points}\n0\n1\n2\n")
    return root


# Eyes 40 apart at y 50, mouth 44 below them: 3 x 44 = 132 around (60, 72).
_POINTS = "40 50\n80 50\n60 70\n45 94\n75 94"


def test_the_original_photographs_are_cut_by_their_landmarks(tmp_path: Path) -> None:
    root = _with_originals(_write_set(tmp_path), _POINTS)
    index = face_index("rafdb-original", root, Split.TEST)
    (sample,) = index.samples
    assert sample.path == root / "Image" / "original" / "test_0001.jpg"
    assert sample.crop == CropBox(60 - 66, 72 - 66, 132, 132)
    assert sample.sample_id == "test_0001.jpg#xywh=-6,6,132,132"
    # Gender, race and age are found under the same name.
    gender, race, age = face_attributes(root, index)
    assert gender.by_sample == {sample.sample_id: "male"}
    assert (race.name, age.name) == ("race", "age")
    # The aligned faces of the same folder are as they were.
    assert list_rafdb(root).index(Split.TEST).samples[0].crop is None


def test_eyes_close_together_do_not_make_the_face_small(tmp_path: Path) -> None:
    root = _with_originals(_write_set(tmp_path), "58 50\n62 50\n60 70\n58 90\n62 90")
    sample = face_index("rafdb-original", root, Split.TEST).samples[0]
    assert sample.crop == CropBox(0, 10, 120, 120)


def test_a_photograph_without_landmarks_is_a_problem_that_names_row_and_file(
    tmp_path: Path,
) -> None:
    root = _with_originals(_write_set(tmp_path), _POINTS)
    (root / "Annotation" / "manual" / "train_00002_manu_attri.txt").unlink()
    (problem,) = list_rafdb(root, "rafdb-original").problems
    assert "list_patition_label.txt', row 2: cannot read " in problem.text
    assert "train_00002_manu_attri.txt' (No such file or directory), expected" in problem.text
    assert problem.split is Split.TRAIN


def test_landmarks_that_are_all_one_point_are_a_problem(tmp_path: Path) -> None:
    root = _with_originals(_write_set(tmp_path), "\n".join(["5 5"] * 5))
    problem = list_rafdb(root, "rafdb-original").problems[0]
    assert "has both eyes and the mouth at '5 5', expected the landmarks of a face" in problem.text


def test_a_folder_without_the_photographs_is_refused(tmp_path: Path) -> None:
    root = _write_set(tmp_path)
    assert looks_like_rafdb(root)
    assert not looks_like_rafdb_original(root)
    with pytest.raises(DataError, match=r"no folder '.*Image/original', expected the original pic"):
        list_rafdb(root, "rafdb-original")
