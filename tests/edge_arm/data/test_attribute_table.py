"""`attributes.csv`, and what a data set says about its people as a whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_arm.data.attribute_table import table_attributes
from edge_arm.data.registry import face_attributes, face_index
from edge_arm.runtime.errors import DataError
from edge_arm.runtime.faces import Split

IDS = ("a.jpg", "b.jpg", "c.jpg")


def _write(folder: Path, text: str) -> Path:
    (folder / "attributes.csv").write_text(text, encoding="utf-8")
    return folder


def test_each_column_is_an_attribute(tmp_path: Path) -> None:
    _write(
        tmp_path,
        "\ufeffsample_id, skin,glasses\nb.jpg,light,no\n\na.jpg, deep ,no\nc.jpg,light,yes\n"
        "of-another-split.jpg,x,y\n",
    )
    skin, glasses = table_attributes(tmp_path, IDS)
    assert (skin.name, skin.values) == ("skin", ("deep", "light"))
    assert skin.by_sample == {"a.jpg": "deep", "b.jpg": "light", "c.jpg": "light"}
    assert glasses.by_sample == {"a.jpg": "no", "b.jpg": "no", "c.jpg": "yes"}


def test_without_the_file_there_are_no_attributes(tmp_path: Path) -> None:
    assert table_attributes(tmp_path, IDS) == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"begins with '', expected 'sample_id' and then a different name"),
        ("name,skin\na.jpg,x\n", r"begins with 'name,skin', expected 'sample_id'"),
        ("sample_id\na.jpg\n", r"begins with 'sample_id', expected"),
        ("sample_id,skin,skin\n", r"begins with 'sample_id,skin,skin', expected"),
        ("sample_id,skin\na.jpg\n", r"row 2: got 'a.jpg', expected 2 values \(sample_id, skin\)"),
        ("sample_id,skin\na.jpg,\n", r"row 2: got 'a.jpg,', expected 2 values"),
        ("sample_id,skin\na.jpg,x,y\n", r"row 2: got 'a.jpg,x,y', expected 2 values"),
        ("sample_id,skin\na.jpg,x\n\na.jpg,y\n", r"row 4: 'a.jpg' has a row already, expected"),
        ("sample_id,skin\na.jpg,x\n", r"has no row for 'b.jpg' \(2 of 3 faces\)"),
    ],
)
def test_a_broken_table_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        table_attributes(_write(tmp_path, text), IDS)


def test_a_column_of_names_is_no_group(tmp_path: Path) -> None:
    ids = [f"{number}.jpg" for number in range(21)]
    rows = "".join(f"{name},{name}\n" for name in ids)
    with pytest.raises(DataError, match=r"has 21 values of 'who', expected at most 20 groups"):
        table_attributes(_write(tmp_path, f"sample_id,who\n{rows}"), ids)


def test_a_table_in_another_encoding_is_refused(tmp_path: Path) -> None:
    (tmp_path / "attributes.csv").write_bytes(b"sample_id,skin\na.jpg,\xff\n")
    with pytest.raises(DataError, match=r"is not a CSV table"):
        table_attributes(tmp_path, IDS)


def test_a_table_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "attributes.csv").mkdir()
    with pytest.raises(DataError, match=r"cannot read .*attributes.csv"):
        table_attributes(tmp_path, IDS)


# ---- of a whole data set --------------------------------------------------------------------


def _rafdb(root: Path) -> Path:
    (root / "EmoLabel").mkdir(parents=True)
    (root / "Image" / "aligned").mkdir(parents=True)
    (root / "Annotation" / "manual").mkdir(parents=True)
    rows = []
    for number in range(1, 4):
        stem = f"test_{number:04d}"
        rows.append(f"{stem}.jpg {number}\n")
        (root / "Image" / "aligned" / f"{stem}_aligned.jpg").touch()
        (root / "Annotation" / "manual" / f"{stem}_manu_attri.txt").write_text(
            "1 2\n" * 5 + f"{number % 2}\n0\n4\n"
        )
    (root / "EmoLabel" / "list_patition_label.txt").write_text("train_1.jpg 1\n" + "".join(rows))
    (root / "Image" / "aligned" / "train_1_aligned.jpg").touch()
    return root


@pytest.mark.parametrize("given", [".", "basic", "basic/EmoLabel"])
def test_the_annotation_is_found_wherever_the_set_is(tmp_path: Path, given: str) -> None:
    _rafdb(tmp_path / "basic")
    index = face_index("rafdb", tmp_path / given, Split.TEST)
    gender, _, age = face_attributes(tmp_path / given, index)
    assert list(gender.by_sample.values()) == ["female", "male", "female"]
    assert set(age.by_sample.values()) == {"70+"}


def test_a_table_adds_to_the_annotation(tmp_path: Path) -> None:
    root = _rafdb(tmp_path)
    _write(root, "sample_id,beard\ntest_0001.jpg,no\ntest_0002.jpg,yes\ntest_0003.jpg,no\n")
    names = [item.name for item in face_attributes(root, face_index("rafdb", root, Split.TEST))]
    assert names == ["gender", "race", "age", "beard"]


def test_the_same_attribute_twice_is_refused(tmp_path: Path) -> None:
    root = _rafdb(tmp_path)
    _write(root, "sample_id,age\ntest_0001.jpg,1\ntest_0002.jpg,2\ntest_0003.jpg,3\n")
    with pytest.raises(DataError, match=r"has the column 'age', which RAF-DB's annotation has as"):
        face_attributes(root, face_index("rafdb", root, Split.TEST))


def test_a_folder_set_may_have_a_table(tmp_path: Path) -> None:
    for name in ("anger", "fear"):
        (tmp_path / "test" / name).mkdir(parents=True)
        (tmp_path / "test" / name / "1.png").touch()
    index = face_index("folder", tmp_path, Split.TEST)
    assert face_attributes(tmp_path, index) == ()
    rows = "".join(f"{sample.sample_id},old\n" for sample in index.samples)
    (age,) = face_attributes(_write(tmp_path, f"sample_id,age\n{rows}"), index)
    assert list(age.by_sample.values()) == ["old", "old"]
