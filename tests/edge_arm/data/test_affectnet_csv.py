"""AffectNet's csv release, with everything that is known to be odd about it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from miniature_affectnet import (
    ARRANGEMENTS,
    HEADER,
    Row,
    training_rows,
    validation_rows,
    write_csv_release,
    write_list,
)

from edge_arm.data.affectnet import list_affectnet, looks_like_affectnet
from edge_arm.data.describe import describe
from edge_arm.data.registry import face_index, list_faces
from edge_arm.runtime.batches import read_face
from edge_arm.runtime.errors import DataError, ImageError
from edge_arm.runtime.faces import Split
from edge_arm.runtime.images import read_image
from edge_arm.runtime.preprocess import PreprocessSpec

TRAINING = "Manually_Annotated_file_lists/training.csv"
VALIDATION = "Manually_Annotated_file_lists/validation.csv"

# surprise, fear, disgust, happiness, sadness, anger, neutral: RAF-DB's order.
NUMBERS_IN_RAFDBS_ORDER = [3, 4, 5, 1, 2, 6, 0]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_csv_release(tmp_path / "AffectNet")


@pytest.mark.parametrize("arrangement", list(ARRANGEMENTS))
def test_every_arrangement_gives_the_same_faces(tmp_path: Path, arrangement: str) -> None:
    root = write_csv_release(tmp_path / "AffectNet", arrangement=arrangement)
    assert looks_like_affectnet(root)
    listing = list_affectnet(root, "affectnet8")
    assert listing.problems == ()
    train = listing.index(Split.TRAIN)
    assert train.counts().tolist() == [2] * 8
    assert [sample.sample_id for sample in train.samples] == [
        row.sample_id for row in training_rows()[:16]
    ]
    assert all(sample.path.is_file() for sample in train.samples)
    assert listing.index(Split.TEST).counts().tolist() == [1] * 8
    assert len(list_affectnet(root.parent, "affectnet8")) == 24


def test_expressions_are_told_by_affectnets_numbers(root: Path) -> None:
    test = face_index("affectnet7", root, Split.TEST)
    by_number = {row.expression: row.sample_id for row in validation_rows()}
    expected = [by_number[number] for number in NUMBERS_IN_RAFDBS_ORDER]
    in_order = sorted(test.samples, key=lambda sample: sample.target)
    assert [sample.sample_id for sample in in_order] == expected
    assert test.labels.classes[0] == "surprise"
    assert test.labels.classes[-1] == "neutral"


def test_seven_classes_leave_contempt_out_and_everything_left_out_is_counted(root: Path) -> None:
    seven = list_faces("affectnet7", root)
    assert seven.labels.classes == (
        *("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral"),
    )
    assert seven.index(Split.TRAIN).counts().tolist() == [2] * 7
    assert seven.ignored == (
        "2 pictures labelled 'none' (of the expressions): 1 in the training part, 1 in the "
        "validation part",
        "2 pictures labelled 'uncertain': 1 in the training part, 1 in the validation part",
        "2 pictures labelled 'no face': 1 in the training part, 1 in the validation part",
        "3 faces of contempt, which is not among the seven: 2 in the training part, 1 in the "
        "validation part",
    )
    eight = list_faces("affectnet8", root)
    assert eight.labels.classes == (*seven.labels.classes, "contempt")
    assert eight.ignored == seven.ignored[:3]


def test_validation_is_the_test_split(root: Path) -> None:
    listing = list_affectnet(root)
    assert list(listing.samples) == [Split.TRAIN, Split.TEST]
    assert all(
        sample.sample_id.startswith(row.path)
        for sample, row in zip(listing.samples[Split.TEST], validation_rows(), strict=False)
    )


def test_a_face_is_its_box_and_not_the_box_with_x_and_y_changed(tmp_path: Path) -> None:
    row = Row(2, 0, color=(250, 40, 10))  # a PNG file, which keeps colours
    root = write_csv_release(tmp_path / "a", training=[row])
    (sample,) = face_index("affectnet7", root, Split.TRAIN).samples
    whole = read_image(sample.path).image_hwc
    assert whole.shape == (30, 50, 3)
    np.testing.assert_array_equal(
        read_image(sample.path, sample.crop).image_hwc, whole[5:23, 20:32]
    )
    image, _ = read_face(sample, PreprocessSpec(16))
    assert (image == [250, 40, 10]).all()


def test_a_box_over_the_edge_is_cut_there(tmp_path: Path) -> None:
    rows = [Row(2, 0, (-4, -6, 20, 20), (9, 9, 250)), Row(7, 1, (40, 20, 99, 99), (9, 250, 9))]
    root = write_csv_release(tmp_path / "a", training=rows)
    first, second = face_index("affectnet7", root, Split.TRAIN).samples
    image = read_image(first.path, first.crop).image_hwc
    assert image.shape == (14, 16, 3)
    assert (image == [9, 9, 250]).all()
    assert read_image(second.path, second.crop).image_hwc.shape == (10, 10, 3)
    assert (read_face(second, PreprocessSpec(16))[0] == [9, 250, 9]).all()


@pytest.mark.parametrize("box", [(50, 0, 5, 5), (-20, 3, 20, 9), (0, 30, 9, 9)])
def test_a_box_outside_the_picture_is_an_error_that_names_both(
    tmp_path: Path, box: tuple[int, ...]
) -> None:
    row = Row(2, 0, box)
    root = write_csv_release(tmp_path / "a", training=[row])
    x, y, width, height = box
    expected = (
        rf"{row.path}' has 50 x 30 pixels and the face box x {x}, y {y}, width {width}, height "
        rf"{height} is outside of it, expected a box on the picture; correct the row"
    )
    (sample,) = face_index("affectnet7", root, Split.TRAIN).samples
    with pytest.raises(ImageError, match=expected):
        read_face(sample, PreprocessSpec(16))
    problems = describe(list_faces("affectnet7", root)).problems
    assert any("is outside of it" in problem for problem in problems)


def test_the_box_belongs_to_the_identity_of_the_set(tmp_path: Path) -> None:
    hashes = {
        face_index("affectnet7", write_csv_release(tmp_path / name, [row]), Split.TRAIN).sha256
        for name, row in (("a", Row(2, 0)), ("b", Row(2, 0)), ("c", Row(2, 0, (20, 5, 12, 19))))
    }
    assert len(hashes) == 2


def test_two_faces_of_one_picture_are_no_copies(tmp_path: Path) -> None:
    root = write_csv_release(tmp_path / "a", [Row(2, 0), Row(2, 1, (0, 0, 9, 9)), Row(3, 2)])
    listing = list_faces("affectnet7", root)
    assert len(listing.index(Split.TRAIN)) == 3
    assert not any("train pictures repeat" in note for note in describe(listing).notes)


def test_faces_without_a_box_are_left_out_and_counted(tmp_path: Path) -> None:
    rows = [*training_rows(), Row(50, 3, (-1, -1, -1, -1)), Row(51, 4, (3, 3, 0, 9))]
    listing = list_affectnet(write_csv_release(tmp_path / "a", rows))
    assert listing.problems == ()
    assert listing.index(Split.TRAIN).counts().tolist() == [2] * 7
    assert listing.ignored[-1] == (
        "2 faces without a face box (its width or height is below 1): 2 in the training part"
    )


_BAD_ROWS = {
    "missing": (Row(50, 3, content=None).text, r"the picture '.*' is missing, expected it there"),
    "short": ("3/abc.jpg,1,2", "got 3 fields, expected 9 as in the first row"),
    "expression": (Row(50, 11).text, r"got the expression '11', expected 0 to 10 \(0 neutral"),
    "word": (Row(50, "happy").text, "got the expression 'happy', expected 0 to 10"),
    "box": (
        Row(50, 3, (1, "y", 3, 4)).text,
        "got face_y 'y', expected a whole number of pixels",
    ),
    "infinite": (
        Row(50, 3, (1, 1, "inf", 4)).text,
        "got face_width 'inf', expected a whole number of pixels",
    ),
    "twice": (
        Row(4, 4).text,
        r"the face '.*' was already in row 6 of 'training.csv', expected each face once",
    ),
    "outside": (
        Row(50, 3).text.replace("3/", "../../", 1),
        r"got the picture '../../.*', expected a path such as '459/8145...10c.jpg'",
    ),
}


def _with_row(root: Path, name: str, *texts: str) -> Path:
    with (root / name).open("a") as file:
        file.writelines(f"{text}\n" for text in texts)
    return root


@pytest.mark.parametrize("kind", list(_BAD_ROWS))
def test_one_bad_row_of_the_training_list_is_left_out_and_named(root: Path, kind: str) -> None:
    text, problem = _BAD_ROWS[kind]
    listing = list_affectnet(_with_row(root, TRAINING, text))
    assert listing.problems == ()
    assert listing.index(Split.TRAIN).counts().tolist() == [2] * 7
    start = r"the one bad row that AffectNet's list is known for: '.*training.csv', row 21: "
    assert re.match(start + problem, listing.ignored[0])


def test_of_two_bad_rows_none_is_forgiven(root: Path) -> None:
    _with_row(root, TRAINING, _BAD_ROWS["missing"][0], _BAD_ROWS["short"][0])
    expected = r"training.csv', row 21: the picture .* is missing, .*; correct the row.* \(and 1 mo"
    with pytest.raises(DataError, match=expected):
        face_index("affectnet7", root, Split.TRAIN)
    assert len(face_index("affectnet7", root, Split.TEST)) == 7


@pytest.mark.parametrize("kind", ["missing", "short"])
def test_a_bad_row_of_the_validation_list_is_never_forgiven(root: Path, kind: str) -> None:
    text, problem = _BAD_ROWS[kind]
    _with_row(root, VALIDATION, text)
    with pytest.raises(DataError, match=rf"validation.csv', row 13: {problem}; correct the row"):
        face_index("affectnet7", root, Split.TEST)


def test_a_face_of_both_parts_is_a_bad_row(root: Path) -> None:
    _with_row(root, VALIDATION, training_rows()[0].text)
    with pytest.raises(
        DataError, match=r"row 13: the face .* was already in row 2 of 'training.cs"
    ):
        face_index("affectnet7", root, Split.TEST)


def _rewritten(root: Path, header: str, rows: list[str], **how: str) -> Path:
    path = root / TRAINING
    path.write_text("\n".join([*([header] if header else []), *rows]) + "\n", **how)
    return root


def test_lists_that_an_editor_has_saved_anew_are_read(root: Path) -> None:
    rows = [row.text for row in training_rows()]
    before = list_affectnet(root).index(Split.TRAIN)
    numbers = [row.replace(",20,5,12,18,", ",20.0,5.0,12.0,18.0,") for row in rows]
    slashes = [row.replace("/", "\\", 1) for row in rows]
    columns = [4, 0, 6, 1, 3, 2]
    shuffled = [",".join(row.split(",")[column] for column in columns) for row in rows]
    names = ",".join(HEADER.split(",")[column].upper() for column in columns)
    for changed in (
        lambda: _rewritten(root, HEADER, rows, encoding="utf-8-sig", newline="\r\n"),
        lambda: _rewritten(root, HEADER, numbers),
        lambda: _rewritten(root, HEADER, [*slashes, "", ""]),
        lambda: _rewritten(root, names, shuffled),
        lambda: _rewritten(root, "", rows),
    ):
        listing = list_affectnet(changed())
        assert listing.problems == ()
        assert listing.index(Split.TRAIN).sha256 == before.sha256


def test_a_list_without_a_column_is_refused(root: Path) -> None:
    write_list(root / TRAINING, [], header=HEADER.replace("face_height", "height"))
    expected = r"training.csv' begins with 'subDirectory_filePath,.*there is no 'face_height' \(sub"
    with pytest.raises(DataError, match=expected):
        list_affectnet(root)


def test_an_empty_list_is_refused(root: Path) -> None:
    (root / TRAINING).write_bytes(b"")
    with pytest.raises(DataError, match=r"training.csv' begins with '', expected AffectNet's col"):
        list_affectnet(root)


def test_a_list_that_is_no_text_is_refused(root: Path) -> None:
    (root / TRAINING).write_bytes(f"{HEADER}\n".encode() + b"\xff\xfe\n")
    with pytest.raises(DataError, match=r"training.csv' is no csv table after row .*restore it"):
        list_affectnet(root)


def test_a_quote_that_never_ends_is_refused(root: Path) -> None:
    with (root / TRAINING).open("a") as file:
        file.write('"' + "x" * 140_000)
    with pytest.raises(DataError, match=r"no csv table after row 20 \(field larger than field lim"):
        list_affectnet(root)


def test_a_missing_list_is_a_problem_of_its_part(root: Path) -> None:
    (root / VALIDATION).unlink()
    (problem,) = list_affectnet(root).problems
    assert problem.split is Split.TEST
    with pytest.raises(DataError, match=r"validation.csv' is missing, expected AffectNet's list"):
        face_index("affectnet7", root, Split.TEST)
    assert len(face_index("affectnet7", root, Split.TRAIN)) == 14


def test_two_lists_of_one_part_are_refused(root: Path) -> None:
    (root / "training.csv").write_bytes((root / TRAINING).read_bytes())
    with pytest.raises(DataError, match=r"are both there, expected one list of the training part"):
        list_affectnet(root)


def test_a_part_without_a_face_is_a_problem(tmp_path: Path) -> None:
    root = write_csv_release(tmp_path / "a", validation=[Row(1, 9)])
    with pytest.raises(
        DataError, match="has no face in AffectNet's validation part, expected some"
    ):
        face_index("affectnet7", root, Split.TEST)


def test_describe_finds_empty_pictures_and_absent_expressions(tmp_path: Path) -> None:
    rows = [row for row in training_rows() if row.expression != 4]
    root = write_csv_release(tmp_path / "a", [*rows, Row(50, 3, content=b"")])
    problems = describe(list_faces("affectnet7", root)).problems
    assert len(problems) == 2
    assert f"{Row(50, 3).path}' has 0 bytes, expected a picture" in problems[0]
    assert problems[1].startswith("no face of 'fear' in the train split")


@pytest.mark.parametrize("name", ["affectnet7", "affectnet8"])
def test_one_exclude_list_serves_seven_and_eight_expressions(root: Path, name: str) -> None:
    contempt, fear = training_rows()[7], training_rows()[4]
    names = [Path(row.path).name for row in (contempt, fear)]
    (root / "exclude.txt").write_text("\n".join(names))
    listing = list_affectnet(root, name)
    assert listing.problems == ()
    assert listing.index(Split.TRAIN).counts()[1] == 1
    assert listing.ignored[-1].startswith("2 pictures that ")


def test_a_bad_row_can_be_excluded_by_its_picture(root: Path) -> None:
    missing = Row(50, 3, content=None)
    _with_row(root, VALIDATION, missing.text)
    (root / "exclude.txt").write_text(Path(missing.path).name)
    assert len(face_index("affectnet7", root, Split.TEST)) == 7


def test_what_a_program_labelled_is_said_to_be_left_out(root: Path) -> None:
    (root / "Automatically_Annotated_Images").mkdir()
    assert list_affectnet(root).ignored[0] == (
        "'Automatically_Annotated_Images': labelled by a program, not people"
    )
