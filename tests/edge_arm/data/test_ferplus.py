"""FER+: the label that most of ten people gave, joined with FER2013's pixels row by row."""

from __future__ import annotations

from pathlib import Path

import pytest
from miniature_fer2013 import pixel_row, write_fer2013, write_votes

from edge_arm.data.ferplus import list_ferplus, looks_like_ferplus
from edge_arm.data.ferplus_votes import majority, votes_from_words
from edge_arm.data.registry import face_index
from edge_arm.runtime.errors import DataError
from edge_arm.runtime.faces import Split

# Usage, name, then neutral happiness surprise sadness anger disgust fear contempt unknown NF.
_ROWS = (
    "Training,fer0000000.png,4,0,0,1,3,2,0,0,0,0",  # 4 of 9 after the lone vote: unknown
    "Training,fer0000001.png,6,0,1,1,0,0,1,1,0,0",  # 6 of 6
    "Training,fer0000002.png,0,10,0,0,0,0,0,0,0,0",
    "PublicTest,fer0000003.png,0,0,0,0,0,0,2,8,0,0",  # contempt
    "PublicTest,fer0000004.png,0,0,0,7,0,3,0,0,0,0",
    "PrivateTest,,0,0,0,0,0,0,0,0,0,10",  # no name, no face
    "PrivateTest,fer0000005.png,0,0,0,0,0,0,0,0,2,8",
    "PrivateTest,fer0000006.png,0,0,9,0,0,0,1,0,0,0",
)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "ferplus"
    usages = [row.split(",")[0] for row in _ROWS]
    write_fer2013(root, [pixel_row(number, 0, usage) for number, usage in enumerate(usages)])
    write_votes(root, _ROWS)
    return root


def _named(root: Path, split: Split, name: str = "ferplus") -> list[tuple[str, str]]:
    index = face_index(name, root, split)
    return [(sample.sample_id, index.labels.classes[sample.target]) for sample in index.samples]


def test_the_majority_is_the_label_and_rows_are_joined_by_order(root: Path) -> None:
    assert _named(root, Split.TRAIN) == [
        ("Training/00001.png", "neutral"),
        ("Training/00002.png", "happiness"),
    ]
    assert _named(root, Split.VALIDATION) == [
        ("PublicTest/00003.png", "contempt"),
        ("PublicTest/00004.png", "sadness"),
    ]
    assert _named(root, Split.TEST) == [("PrivateTest/00007.png", "surprise")]


def test_what_has_no_label_is_left_out_and_counted(root: Path) -> None:
    assert list_ferplus(root).ignored == (
        "1 faces on which no expression has more than half of the votes",
        "2 pictures that are no face, by their votes or for want of a name",
    )


def test_the_seven_classes_leave_contempt_out_and_say_so(root: Path) -> None:
    listing = list_ferplus(root, "ferplus7")
    assert "contempt" not in listing.labels.classes
    assert "1 faces of contempt, which is not among the seven" in listing.ignored
    assert [name for _, name in _named(root, Split.VALIDATION, "ferplus7")] == ["sadness"]


@pytest.mark.parametrize(
    ("votes", "label"),
    [
        ("5 5 0 0 0 0 0 0 0 0", "unknown"),  # half is not more than half
        ("5 4 1 0 0 0 0 0 0 0", "neutral"),  # 5 of 9, the lone vote taken away
        ("5 3 2 0 0 0 0 0 0 0", "unknown"),  # 5 of 10
        ("2 1 1 1 1 1 1 1 1 0", "neutral"),  # 2 of 2
        ("1 1 1 1 1 1 1 1 1 1", "unknown"),  # all are lone votes
        ("0 0 0 0 0 0 0 0 0 0", "unknown"),
        ("0 0 0 0 0 0 0 0 8 2", "unknown"),
        ("0 0 0 0 0 0 0 0 2 8", "NF"),
    ],
)
def test_the_rule_of_the_majority_is_that_of_the_published_script(votes: str, label: str) -> None:
    assert majority(votes_from_words(votes.split())) == label


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("Training,fer.png,6,0,0,0,0,0,0,0,0", "got the votes '6,0,0,0,0,0,0,0,0', expected 10"),
        ("Training,fer.png,6,x,0,0,0,0,0,0,0,0", "got the votes '6,x,0,0,0,0,0,0,0,0', expected"),
        ("Training,fer.png,6,-1,0,0,0,0,0,0,0,0", "got the votes '6,-1,0,0,0,0,0,0,0,0', expec"),
        ("Training", "got the votes '', expected 10 whole numbers"),
        ("PublicTest,f.png,6,0,0,0,0,0,0,0,0,4", "got the Usage 'PublicTest', expected 'Training'"),
    ],
)
def test_a_bad_row_of_votes_is_named(root: Path, row: str, message: str) -> None:
    write_votes(root, (_ROWS[0], row, *_ROWS[2:]))
    (problem,) = list_ferplus(root).problems
    assert f"fer2013new.csv', row 3: {message}" in problem.text


def test_files_of_different_length_are_refused(root: Path) -> None:
    write_votes(root, _ROWS[:-1])
    expected = r"fer2013new.csv' has 7 rows and '.*fer2013.csv' 8, expected the same faces row by"
    with pytest.raises(DataError, match=expected):
        list_ferplus(root)


def test_a_bad_row_of_pixels_does_not_shift_the_votes(root: Path) -> None:
    usages = [row.split(",")[0] for row in _ROWS]
    rows = [pixel_row(number, 0, usage) for number, usage in enumerate(usages)]
    write_fer2013(root, [rows[0], "0,1 2,Training", *rows[2:]])
    listing = list_ferplus(root)
    assert "fer2013.csv', row 3: got 2 pixels" in listing.problems[0].text
    assert [sample.sample_id for sample in listing.index(Split.TRAIN).samples] == [
        "Training/00002.png"
    ]
    assert _named(root, Split.TEST) == [("PrivateTest/00007.png", "surprise")]


def test_another_header_is_refused(root: Path) -> None:
    (root / "fer2013new.csv").write_text("Usage,neutral\nTraining,10\n")
    with pytest.raises(DataError, match="begins with 'usage,neutral', expected Usage,Image name,"):
        list_ferplus(root)


def test_the_missing_file_of_the_two_is_named(root: Path) -> None:
    (root / "fer2013new.csv").unlink()
    with pytest.raises(DataError, match=r"holds 'fer2013.csv', expected 'fer2013new.csv' beside i"):
        list_ferplus(root)
    (root / "fer2013.csv").rename(root / "fer2013new.csv")
    with pytest.raises(DataError, match=r"holds 'fer2013new.csv', expected 'fer2013.csv': "):
        list_ferplus(root)
    assert not looks_like_ferplus(root)


def test_votes_that_are_no_text_are_refused(root: Path) -> None:
    (root / "fer2013new.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"fer2013new.csv' is not a CSV table \("):
        list_ferplus(root)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """As FER+'s script writes them: label.csv without a header, a box between name and votes."""
    for part, names in (
        ("Train", ("fer0000000.png", "fer0000001.png")),
        ("Valid", ("fer0028638.png",)),
        ("Test", ("fer0032220.png",)),
    ):
        folder = tmp_path / "set" / "data" / f"FER2013{part}"
        folder.mkdir(parents=True)
        lines = [f'{name},"(0, 0, 48, 48)",0,0,0,0,9,0,1,0,0,0' for name in names]
        (folder / "label.csv").write_text("\n".join(lines) + "\n")
        for name in names:
            (folder / name).touch()
    return tmp_path / "set"


def test_the_written_out_pictures_are_read_by_name(pictures: Path) -> None:
    assert looks_like_ferplus(pictures)
    assert _named(pictures, Split.TRAIN) == [
        ("FER2013Train/fer0000000.png", "anger"),
        ("FER2013Train/fer0000001.png", "anger"),
    ]
    assert len(face_index("ferplus", pictures, Split.VALIDATION)) == 1


def test_of_two_rows_with_one_name_the_later_counts(pictures: Path) -> None:
    path = pictures / "data" / "FER2013Test" / "label.csv"
    row = 'fer0032220.png,"(0, 0, 48, 48)",0,0,0,0,0,0,0,0,0,10\n'
    path.write_text(path.read_text() + row)
    listing = list_ferplus(pictures)
    assert len(listing.index(Split.TEST)) == 0
    assert f"1 rows of {str(path)!r} whose picture a later row replaced" in listing.ignored


def test_a_missing_picture_or_list_is_a_problem_of_its_part(pictures: Path) -> None:
    (pictures / "data" / "FER2013Train" / "fer0000001.png").unlink()
    (pictures / "data" / "FER2013Valid" / "label.csv").unlink()
    first, second = list_ferplus(pictures).problems
    assert "label.csv', row 2: the list names 'fer0000001.png', expected the picture" in first.text
    assert "label.csv' is missing, expected the votes on the pictures beside it" in second.text
    assert (first.split, second.split) == (Split.TRAIN, Split.VALIDATION)


def test_bad_votes_of_a_picture_are_named(pictures: Path) -> None:
    path = pictures / "data" / "FER2013Test" / "label.csv"
    path.write_text('fer0032220.png,"(0, 0, 48, 48)",0,0\n')
    (problem,) = list_ferplus(pictures).problems
    assert "FER2013Test/label.csv', row 1: got the votes '0,0', expected 10 whole" in problem.text
