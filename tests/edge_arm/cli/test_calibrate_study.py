"""What `edge-arm calibrate --study` takes, refuses and prints; the figures are made up."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_arm.calibration.ranges import Method
from edge_arm.calibration.study.cross import Cell
from edge_arm.calibration.study.curve import Curve, Size
from edge_arm.calibration.study.study import StudiedSet, Study, StudyConfig
from edge_arm.cli.calibrate_study import StudyOptions, print_study, training_sets
from edge_arm.runtime.errors import DataError, StorageError, UsageError
from edge_arm.runtime.faces import FaceIndex, FaceSample, Split
from edge_arm.runtime.labels import RAFDB

NOTHING: dict[str, object] = {"--max-drop": None, "--sensitivity": None}


def options(
    study: bool = True,
    sets: tuple[str, ...] = (),
    json: Path | None = None,
    html: Path | None = None,
) -> StudyOptions:
    return StudyOptions(study, sets, json, html)


def folder_set(root: Path, *, names: tuple[str, ...] = RAFDB.classes) -> Path:
    for split in ("train", "test"):
        for name in names:
            (root / split / name).mkdir(parents=True)
            cv2.imwrite(str(root / split / name / "a.png"), np.zeros((9, 9, 3), np.uint8))
    return root


def test_study_options_without_study_are_refused():
    with pytest.raises(UsageError, match="got --study-data without --study, expected both"):
        options(study=False, sets=("rafdb=x",)).check(NOTHING)
    with pytest.raises(UsageError, match="got --json without --study"):
        options(study=False, json=Path("x.json")).check(NOTHING)


def test_options_of_a_calibration_are_refused_with_study():
    with pytest.raises(UsageError, match=r"got --max-drop with --study, .* leave one of the two"):
        options().check({**NOTHING, "--max-drop": 0.5})
    options().check({**NOTHING, "--sensitivity": False})  # asks for nothing


def test_a_place_that_nobody_can_write_is_refused_before_any_work(tmp_path: Path):
    with pytest.raises(StorageError):
        options(html=tmp_path).check(NOTHING)


def test_sets_are_called_by_their_names_and_two_of_one_name_by_their_folders(tmp_path: Path):
    one, two = folder_set(tmp_path / "one"), folder_set(tmp_path / "two")
    assert list(training_sets("folder", one, ())) == ["folder"]
    sets = training_sets("folder", one, (f"folder={two}",))
    assert list(sets) == ["folder (one)", "folder (two)"]
    assert {len(index) for index in sets.values()} == {7}


@pytest.mark.parametrize("typed", ["rafdb", "=x", "rafdb="])
def test_a_set_that_is_not_written_as_name_and_root_is_refused(tmp_path: Path, typed: str):
    one = folder_set(tmp_path / "one")
    with pytest.raises(UsageError, match="expected NAME=ROOT, the name of a data set and its fold"):
        training_sets("folder", one, (typed,))


def test_a_set_that_is_named_twice_is_refused(tmp_path: Path):
    one = folder_set(tmp_path / "one")
    with pytest.raises(UsageError, match=r"got the data set 'folder \(one\)' twice"):
        training_sets("folder", one, (f"folder={one}",))


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path):
    one = folder_set(tmp_path / "one")
    with pytest.raises(DataError, match="which is no folder"):
        training_sets("folder", one, (f"folder={tmp_path / 'none'}",))


def test_the_tables_and_the_answers_are_printed(capsys: pytest.CaptureFixture[str]):
    samples = (FaceSample("a", Path("a"), 0),)
    faces = FaceIndex("x", Split.TRAIN, RAFDB, samples)
    sizes = (
        Size(16, {"conv1": 0.1}, {"conv1": 0.9}, (0.75, 1.0), (1e-3, 3e-3)),
        Size(32, {"conv1": 0.05}, {"conv1": 1.0}, (1.0, 1.0), (1e-3, 1e-3)),
    )
    cells = tuple(
        Cell(a, b, 12, flips, 1 - flips / 12, 0.0)
        for a, b, flips in (("A", "A", 0), ("A", "B", 3), ("B", "A", 0), ("B", "B", 0))
    )
    sets = tuple(StudiedSet(label, faces, faces) for label in "AB")
    print_study(Study(StudyConfig(), "0", Method.MSE, sets, Curve(sizes, 12, 32), cells))
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "16 75.00 to 100.00 % 0.002 10.00 % 10.00 % 0.900 conv1" in lines
    assert "32 100.00 % 0.001 5.00 % 5.00 % 1.000 conv1" in lines
    assert any(line.startswith("Ranges by mse. Spread:") for line in lines)
    assert "A 100.00 % (0) 75.00 % (3)" in lines
    assert (
        "Most is lost by calibrating on 'A' for 'B': 25.00 pp of agreement, of 12 faces." in lines
    )
    assert lines[-1].startswith("32 faces are enough")
