"""RAF-DB's annotation of the people, in the exact layout of its archive."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_arm.data.rafdb_attributes import rafdb_attributes
from edge_arm.runtime.errors import DataError

LANDMARKS = "30.5\t41.2\n68.0\t40.9\n50\t60\n35.1\t77.4\n64.2\t77.0\n"
IDS = ("train_00001.jpg", "test_0001.jpg", "test_0002.jpg")
CODES = {"train_00001": (0, 0, 2), "test_0001": (1, 2, 0), "test_0002": (2, 1, 4)}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "Annotation" / "manual"
    folder.mkdir(parents=True)
    for stem, (gender, race, age) in CODES.items():
        (folder / f"{stem}_manu_attri.txt").write_text(
            f"{LANDMARKS}{gender}\n{race}\n{age}\n", encoding="ascii"
        )
    return tmp_path


def _file(root: Path) -> Path:
    return root / "Annotation" / "manual" / "test_0001_manu_attri.txt"


def test_the_numbers_become_words(root: Path) -> None:
    gender, race, age = rafdb_attributes(root, IDS)
    assert (gender.name, race.name, age.name) == ("gender", "race", "age")
    assert gender.by_sample == dict(zip(IDS, ("male", "female", "unsure"), strict=True))
    assert race.by_sample == dict(zip(IDS, ("Caucasian", "Asian", "African-American"), strict=True))
    assert age.by_sample == dict(zip(IDS, ("20-39", "0-3", "70+"), strict=True))
    assert age.values == ("0-3", "4-19", "20-39", "40-69", "70+")


def test_a_set_without_annotations_has_no_attributes(tmp_path: Path) -> None:
    assert rafdb_attributes(tmp_path, IDS) == ()


def test_only_the_faces_asked_for_are_read(root: Path) -> None:
    _file(root).write_text("broken")
    assert rafdb_attributes(root, [IDS[0]])[0].by_sample == {IDS[0]: "male"}


def test_windows_line_ends_and_blank_lines_at_the_end_are_fine(root: Path) -> None:
    text = "\ufeff" + _file(root).read_text().replace("\n", "\r\n") + "\r\n\r\n"
    _file(root).write_bytes(text.encode())
    assert rafdb_attributes(root, IDS)[0].by_sample[IDS[1]] == "female"


def test_a_missing_file_is_named(root: Path) -> None:
    _file(root).unlink()
    with pytest.raises(DataError, match=r"has no 'test_0001_manu_attri.txt', expected one for ev"):
        rafdb_attributes(root, IDS)


def test_a_missing_line_is_no_shift_of_the_others(root: Path) -> None:
    _file(root).write_text("30 40\n" * 4 + "1\n2\n0\n")
    with pytest.raises(DataError, match=r"has 7 lines, expected 8 \(5 landmarks, then gender, rac"):
        rafdb_attributes(root, IDS)


@pytest.mark.parametrize("line", ["30", "30 40 50", "x y", "nan 3", ""])
def test_a_broken_landmark_is_named_with_its_line(root: Path, line: str) -> None:
    _file(root).write_text(f"1 2\n{line}\n1 2\n1 2\n1 2\n1\n2\n0\n")
    with pytest.raises(DataError, match=r"attri.txt', line 2: got .*, expected a landmark 'x y'"):
        rafdb_attributes(root, IDS)


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (5, "3", r"line 6: got the gender '3', expected one of 0 male, 1 female, 2 unsure"),
        (6, "-1", r"line 7: got the race '-1', expected one of 0 Caucasian, "),
        (7, "5", r"line 8: got the age '5', expected one of 0 0-3, 1 4-19"),
        (7, "1.0", r"line 8: got the age '1.0'"),
        (7, "\u0661", r"line 8: got the age"),
        (6, "", r"line 7: got the race ''"),
    ],
)
def test_an_unknown_code_is_named_with_its_line(
    root: Path, place: int, value: str, message: str
) -> None:
    lines = _file(root).read_text().splitlines()
    lines[place] = value
    _file(root).write_text("\n".join(lines) + "\n", encoding="utf-8")
    with pytest.raises(DataError, match=message):
        rafdb_attributes(root, IDS)


def test_a_file_that_is_no_text_is_refused(root: Path) -> None:
    _file(root).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"is not text \(byte 0\)"):
        rafdb_attributes(root, IDS)


def test_a_file_that_cannot_be_read_is_refused(root: Path) -> None:
    _file(root).unlink()
    _file(root).mkdir()
    with pytest.raises(DataError, match=r"cannot read .*test_0001_manu_attri.txt"):
        rafdb_attributes(root, IDS)
