from __future__ import annotations

from pathlib import Path

import pytest

from edge_arm.data.training_parts import own_validation_part, training_parts
from edge_arm.runtime.errors import DataError, UsageError
from edge_arm.runtime.faces import Split


def _set(root: Path, splits: tuple[str, ...]) -> Path:
    for split in splits:
        for name in ("happy", "sad"):
            (root / split / name).mkdir(parents=True)
            for number in range(10):
                (root / split / name / f"{number}.png").touch()
    return root


def test_a_set_without_a_validation_part_gives_up_a_share_of_each_class(tmp_path: Path) -> None:
    root = _set(tmp_path, ("train", "test"))
    train, validation = training_parts("folder", root, fraction=0.2)
    assert train.counts().tolist() == [8, 8]
    assert validation.counts().tolist() == [2, 2]
    assert validation.split is Split.VALIDATION
    assert len(training_parts("folder", root)[1]) == 2  # a tenth, unless told


def test_a_validation_part_on_disk_is_used_whole_and_training_keeps_all(tmp_path: Path) -> None:
    root = _set(tmp_path, ("train", "val", "test"))
    train, validation = training_parts("folder", root)
    assert (len(train), len(validation)) == (20, 20)
    assert validation.samples[0].path.parts[-3:] == ("val", "happy", "0.png")


def test_a_fraction_beside_a_validation_part_is_refused(tmp_path: Path) -> None:
    root = _set(tmp_path, ("train", "val", "test"))
    expected = "got --val-fraction 0.2, and 'folder' has a validation part of 20 faces of its own"
    with pytest.raises(UsageError, match=expected):
        training_parts("folder", root, fraction=0.2)


def test_a_fault_of_the_validation_part_is_an_error(tmp_path: Path) -> None:
    root = _set(tmp_path, ("train", "val", "test"))
    (root / "val" / "fear").mkdir()
    with pytest.raises(DataError, match=r"val/fear' has no picture"):
        training_parts("folder", root)


def test_a_sets_own_validation_part_can_be_asked_for(tmp_path: Path) -> None:
    root = _set(tmp_path, ("train", "test"))
    assert own_validation_part("folder", root) is None
    _set(tmp_path, ("validation",))
    part = own_validation_part("folder", root)
    assert part is not None
    assert len(part) == 20
