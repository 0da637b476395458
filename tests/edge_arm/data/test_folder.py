from __future__ import annotations

from pathlib import Path

import pytest

from edge_arm.data.folder import list_folder, looks_like_folder_set
from edge_arm.runtime.errors import DataError
from edge_arm.runtime.faces import Split
from edge_arm.runtime.labels import RAFDB


def _touch(root: Path, *names: str) -> Path:
    """Files by their path; the reader opens none, so they are empty."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return _touch(
        tmp_path / "set",
        "train/happy/b.png",
        "train/happy/a.JPG",
        "train/Fear/c.jpeg",
        "test/Happiness/d.jpg",
        "test/fearful/e.webp",
    )


def test_folders_are_read_by_name_in_any_usual_spelling(root: Path) -> None:
    listing = list_folder(root)
    train, test = listing.index(Split.TRAIN), listing.index(Split.TEST)
    # RAF-DB's order, whatever the folders' order: fear comes before happiness.
    assert train.labels.classes == ("fear", "happiness")
    assert [(sample.sample_id, sample.target) for sample in train.samples] == [
        ("train/fear/c.jpeg", 0),
        ("train/happiness/a.JPG", 1),
        ("train/happiness/b.png", 1),
    ]
    assert [(sample.sample_id, sample.target) for sample in test.samples] == [
        ("test/happiness/d.jpg", 1),
        ("test/fear/e.webp", 0),
    ]
    assert test.labels == train.labels
    assert train.samples[0].path == root / "train" / "Fear" / "c.jpeg"
    assert listing.problems == ()
    assert listing.ignored == ()


def test_all_seven_expressions_are_in_rafdbs_order(tmp_path: Path) -> None:
    names = ("Angry", "Disgust", "Fear", "Happy", "Neutral", "Sad", "Surprise")
    _touch(tmp_path, *(f"{split}/{name}/x.jpg" for split in ("train", "test") for name in names))
    assert list_folder(tmp_path).labels.classes == RAFDB.classes


def test_contempt_comes_last(tmp_path: Path) -> None:
    _touch(tmp_path, "train/contempt/x.jpg", "train/sad/x.jpg", "test/sad/x.jpg")
    assert list_folder(tmp_path).labels.classes == ("sadness", "contempt")


def test_the_splits_may_be_written_in_capitals(tmp_path: Path) -> None:
    _touch(
        tmp_path,
        *(f"{split}/{name}/x.jpg" for split in ("Train", "TEST") for name in ("sad", "fear")),
    )
    listing = list_folder(tmp_path)
    assert len(listing.index(Split.TRAIN)) == len(listing.index(Split.TEST)) == 2


def test_files_that_are_no_pictures_are_reported_and_not_read(root: Path) -> None:
    _touch(root, "train/happy/Thumbs.db", "train/notes.txt", "README.md")
    listing = list_folder(root)
    assert len(listing.index(Split.TRAIN)) == 3
    assert listing.problems == ()
    assert [line.split(": ")[-1] for line in listing.ignored] == [
        "'README.md'",
        "'notes.txt'",
        "'Thumbs.db'",
    ]


def test_an_empty_class_folder_is_a_problem_of_its_split(root: Path) -> None:
    (root / "train" / "sad").mkdir()
    (problem,) = list_folder(root).problems
    assert "train/sad' has no picture (.jpg, " in problem.text
    assert problem.text.endswith("expected the faces of 'sadness'; add some or remove the folder")
    assert problem.split is Split.TRAIN


def test_a_class_folder_with_other_files_only_is_empty(root: Path) -> None:
    _touch(root, "test/sad/list.csv")
    (problem,) = list_folder(root).problems
    assert "test/sad' has no picture" in problem.text


def test_a_folder_that_is_no_expression_is_a_problem(root: Path) -> None:
    _touch(root, "train/images/x.jpg")
    (problem,) = list_folder(root).problems
    assert "got the class folder" in problem.text
    assert "train/images', expected the name of an expression (surprise, fear, " in problem.text


def test_two_folders_of_one_expression_are_a_problem(root: Path) -> None:
    _touch(root, "train/Happiness/x.jpg")
    (problem,) = list_folder(root).problems
    assert "train/happy' and 'Happiness' are both 'happiness', expected one" in problem.text


def test_folders_inside_a_class_folder_are_a_problem(root: Path) -> None:
    _touch(root, "train/happy/more/x.jpg")
    (problem,) = list_folder(root).problems
    assert "train/happy' holds the folders 'more', expected pictures only" in problem.text


def test_a_split_without_folders_is_a_problem_of_that_split(root: Path) -> None:
    for path in sorted((root / "test").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    (problem,) = list_folder(root).problems
    assert "test' has no class folder, expected one for each expression" in problem.text
    assert problem.split is Split.TEST


def test_a_missing_split_is_a_problem_of_that_split(tmp_path: Path) -> None:
    _touch(tmp_path, "test/sad/x.jpg", "test/happy/x.jpg")
    (problem,) = list_folder(tmp_path).problems
    assert "has no folder 'train', expected one with a folder for each expression" in problem.text
    assert not problem.concerns(Split.TEST)


def test_a_broken_link_stays_on_the_list(root: Path) -> None:
    (root / "train" / "happy" / "z.jpg").symlink_to(root / "gone.jpg")
    assert len(list_folder(root).index(Split.TRAIN)) == 4


def test_another_folder_is_refused_with_what_is_in_it(tmp_path: Path) -> None:
    _touch(tmp_path, "images/x.jpg", "a.csv")
    expected = r"holds 'a.csv', 'images', expected folders 'train' and 'test' .*; point --root at"
    with pytest.raises(DataError, match=expected):
        list_folder(tmp_path)
    assert not looks_like_folder_set(tmp_path)


def test_a_set_one_level_down_is_suggested(root: Path) -> None:
    with pytest.raises(DataError, match=r"did you mean --root '.*/set'\?"):
        list_folder(root.parent)


def test_a_single_expression_is_refused(tmp_path: Path) -> None:
    _touch(tmp_path, "train/happy/x.jpg", "test/happy/x.jpg")
    with pytest.raises(DataError, match="has pictures of 'happiness', expected at least 2"):
        list_folder(tmp_path)


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot read the folder '.*gone'"):
        list_folder(tmp_path / "gone")
    assert not looks_like_folder_set(tmp_path / "gone")


def test_long_lists_of_names_are_shortened(root: Path) -> None:
    _touch(root, *(f"file{number:02d}.txt" for number in range(20)))
    (line,) = list_folder(root).ignored
    assert line.startswith("20 files in ")
    assert line.endswith("'file06.txt', 'file07.txt' and 12 more")


@pytest.mark.parametrize("name", ["val", "Valid", "validation"])
def test_a_validation_folder_is_a_part_of_its_own(root: Path, name: str) -> None:
    _touch(root, f"{name}/happy/v.png", f"{name}/fear/w.png")
    listing = list_folder(root)
    assert listing.parts == (Split.TRAIN, Split.VALIDATION, Split.TEST)
    assert [sample.sample_id for sample in listing.index(Split.VALIDATION).samples] == [
        "validation/fear/w.png",
        "validation/happiness/v.png",
    ]
    assert listing.problems == listing.ignored == ()


def test_two_folders_of_one_split_are_refused(root: Path) -> None:
    _touch(root, "val/happy/v.png", "valid/happy/v.png")
    expected = "holds 'val', 'valid', expected one folder of the validation split; merge them"
    with pytest.raises(DataError, match=expected):
        list_folder(root)


def test_an_exclude_list_leaves_pictures_out(root: Path) -> None:
    (root / "exclude.txt").write_text("a.JPG\n")
    listing = list_folder(root)
    assert len(listing.index(Split.TRAIN)) == 2
    assert listing.ignored == (f"1 pictures that {str(root / 'exclude.txt')!r} names: 'a.JPG'",)
