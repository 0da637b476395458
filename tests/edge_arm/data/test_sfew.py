"""SFEW 2.0 in the forms in which its archives are met on disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_arm.data.registry import face_index, list_faces
from edge_arm.data.sfew import list_sfew, looks_like_sfew
from edge_arm.runtime.errors import DataError
from edge_arm.runtime.faces import Split

_CLASSES = ("Angry", "Disgust", "Fear", "Happy", "Neutral", "Sad", "Surprise")

_VARIANTS = {
    "archives": ("Train_Aligned_Faces", "Val_Aligned_Faces_new"),
    "nested": ("Train/Train_Aligned_Faces", "Val/Val_Aligned_Faces"),
    "twice": ("Train_Aligned_Faces/Train_Aligned_Faces", "Val/Val_Aligned_Faces_new"),
    "short": ("train", "val"),
    "capitals": ("TRAIN", "VAL_ALIGNED_FACES"),
}


def _touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def _sfew(root: Path, train: str, val: str) -> Path:
    """Two training faces and one Val face of each class, named movie_time_frame."""
    for number, name in enumerate(_CLASSES):
        _touch(
            root,
            f"{train}/{name}/Airheads_00051924{number}_00000005.png",
            f"{train}/{name}/Juno_00051924{number}_00000033.png",
            f"{val}/{name}/Hangover_00113254{number}_00000021.png",
        )
    return root


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = _sfew(tmp_path / "SFEW", *_VARIANTS["archives"])
    return _touch(root, "Test_Aligned_Faces/Superbad_000110954_00000017.png")


@pytest.mark.parametrize("variant", list(_VARIANTS))
def test_every_folder_variant_gives_the_same_faces(tmp_path: Path, variant: str) -> None:
    root = _sfew(tmp_path / "set", *_VARIANTS[variant])
    assert looks_like_sfew(root)
    listing = list_sfew(root)
    assert listing.problems == listing.ignored == ()
    train, test = listing.index(Split.TRAIN), listing.index(Split.TEST)
    assert train.counts().tolist() == [2] * 7
    assert test.counts().tolist() == [1] * 7
    # Angry is the first folder and the sixth class of RAF-DB's order.
    assert train.samples[0].sample_id == "train/anger/Airheads_000519240_00000005.png"
    assert train.labels.classes[train.samples[0].target] == "anger"
    assert train.samples[0].target == 5


def test_val_is_the_test_split_and_the_unlabelled_test_part_is_said_to_be_left_out(
    root: Path,
) -> None:
    listing = list_faces("sfew", root)
    assert Split.VALIDATION not in listing.samples
    assert len(face_index("sfew", root, Split.TEST)) == 7
    assert listing.ignored == (
        "'Test_Aligned_Faces': SFEW's Test part, whose labels are not published",
    )


def test_the_folder_above_is_taken_too(root: Path) -> None:
    assert len(list_sfew(root.parent).index(Split.TRAIN)) == 14


def test_pictures_of_the_exclude_list_are_left_out_and_counted(root: Path) -> None:
    (root / "exclude.txt").write_text(
        "# no face on these\nJuno_000519240_00000033.png\n"
        "Train_Aligned_Faces\\Sad\\Juno_000519245_00000033.png\n",
        encoding="utf-8-sig",
    )
    listing = list_sfew(root)
    assert listing.index(Split.TRAIN).counts().tolist() == [2, 2, 2, 2, 1, 1, 2]
    assert listing.problems == ()
    assert "2 pictures that " in listing.ignored[-1]


def test_a_name_on_the_exclude_list_that_no_picture_has_is_a_problem(root: Path) -> None:
    (root / "exclude.txt").write_text("Juno_000519240_00000033.png\nJuno_1.png\n")
    with pytest.raises(DataError, match=r"exclude.txt', row 2: no picture is called 'Juno_1.png'"):
        face_index("sfew", root, Split.TRAIN)


def test_a_name_twice_on_the_exclude_list_is_refused(root: Path) -> None:
    (root / "exclude.txt").write_text("a.png\n\na.png\n")
    with pytest.raises(DataError, match=r"row 3: 'a.png' was already in row 1, expected each"):
        list_sfew(root)


def test_an_exclude_list_that_is_no_text_is_refused(root: Path) -> None:
    (root / "exclude.txt").write_bytes(b"\xff\xfe\x00a")
    with pytest.raises(DataError, match=r"cannot read '.*exclude.txt' .*expected names of pict"):
        list_sfew(root)


def test_a_missing_part_is_a_problem_of_that_part(tmp_path: Path) -> None:
    root = _sfew(tmp_path / "set", *_VARIANTS["archives"])
    for path in sorted((root / "Val_Aligned_Faces_new").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    (root / "Val_Aligned_Faces_new").rmdir()
    (problem,) = list_sfew(root).problems
    assert "has no folder of SFEW's Val part, expected 'Val_Aligned_Faces_new'" in problem.text
    assert problem.split is Split.TEST


def test_two_folders_of_one_part_are_refused(root: Path) -> None:
    (root / "Val_Aligned_Faces").mkdir()
    expected = r"holds 'Val_Aligned_Faces', 'Val_Aligned_Faces_new', expected one folder of the Val"
    with pytest.raises(DataError, match=expected):
        list_sfew(root)


def test_another_layout_is_refused_with_what_is_there_and_what_is_expected(tmp_path: Path) -> None:
    _touch(tmp_path, "images/x.png", "labels.csv")
    expected = r"holds 'images', 'labels.csv', expected SFEW 2.0's 'Train_Aligned_Faces' and"
    with pytest.raises(DataError, match=expected):
        list_sfew(tmp_path)
    assert not looks_like_sfew(tmp_path)
