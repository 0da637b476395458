from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_arm.data.describe import describe, description_to_json
from edge_arm.data.registry import list_faces

LABELS = (1, 2, 3, 4, 5, 6, 7)


def _write_picture(path: Path, value: int, width: int = 10, height: int = 12) -> None:
    assert cv2.imwrite(str(path), np.full((height, width, 3), value, np.uint8))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Fourteen pictures, all different: each class twice for training and once for the test."""
    root = tmp_path / "set"
    (root / "EmoLabel").mkdir(parents=True)
    (root / "Image" / "aligned").mkdir(parents=True)
    rows = []
    for number, label in enumerate(LABELS * 2, start=1):
        rows.append(f"train_{number:05d}.jpg {label}")
        _write_picture(_picture(root, f"train_{number:05d}"), 10 * number)
    for number, label in enumerate(LABELS, start=1):
        rows.append(f"test_{number:04d}.jpg {label}")
        _write_picture(_picture(root, f"test_{number:04d}"), 10 * number + 5, 20, 20)
    (root / "EmoLabel" / "list_patition_label.txt").write_text("\n".join(rows) + "\n")
    return root


def _picture(root: Path, stem: str) -> Path:
    return root / "Image" / "aligned" / f"{stem}_aligned.jpg"


def test_counts_and_sizes_are_those_of_the_pictures(root: Path) -> None:
    description = describe(list_faces("rafdb", root), workers=3)
    assert [part.counts for part in description.splits] == [(2,) * 7, (1,) * 7]
    assert [(size.width, size.height, size.count) for size in description.sizes] == [
        (10, 12, 14),
        (20, 20, 7),
    ]
    assert description.problems == ()
    assert description.notes == ()


def test_progress_counts_every_picture(root: Path) -> None:
    steps: list[int] = []
    describe(list_faces("rafdb", root), progress=steps.append)
    assert sum(steps) == 21


def test_every_broken_picture_is_listed(root: Path) -> None:
    content = _picture(root, "train_00003").read_bytes()
    _picture(root, "train_00003").write_bytes(content[:-40])
    _picture(root, "train_00004").write_bytes(b"")
    _picture(root, "test_0005").write_text("no picture")
    problems = describe(list_faces("rafdb", root)).problems
    assert len(problems) == 3
    assert "train_00003_aligned.jpg' ends before its picture is complete" in problems[0]
    assert "train_00004_aligned.jpg' has 0 bytes" in problems[1]
    assert "test_0005_aligned.jpg' is not a picture" in problems[2]


def test_missing_pictures_and_bad_rows_are_listed_together(root: Path) -> None:
    _picture(root, "test_0002").unlink()
    label_list = root / "EmoLabel" / "list_patition_label.txt"
    label_list.write_text(label_list.read_text() + "train_00099.jpg 0\n")
    problems = describe(list_faces("rafdb", root)).problems
    assert "row 22: got the label '0'" in problems[0]
    assert "row 16: the list names 'test_0002.jpg', expected the picture" in problems[1]
    assert problems[2].startswith("no face of 'fear' in the test split, expected some of each")
    assert len(problems) == 3


def test_a_test_picture_that_is_also_trained_on_is_noted(root: Path) -> None:
    _picture(root, "test_0001").write_bytes(_picture(root, "train_00001").read_bytes())
    description = describe(list_faces("rafdb", root))
    assert description.problems == ()
    assert description.notes == ("1 test pictures are byte for byte in the training split too",)


def test_a_picture_that_is_repeated_is_noted(root: Path) -> None:
    for stem in ("train_00002", "train_00003"):
        _picture(root, stem).write_bytes(_picture(root, "train_00001").read_bytes())
    notes = describe(list_faces("rafdb", root)).notes
    assert notes == ("2 train pictures repeat another one of their split",)


def test_what_the_reader_left_out_is_noted(root: Path) -> None:
    _write_picture(_picture(root, "train_00777"), 0)
    (note,) = describe(list_faces("rafdb", root)).notes
    assert note.endswith("are not on the list: 'train_00777_aligned.jpg'")


def test_the_json_form_holds_everything(root: Path) -> None:
    _picture(root, "train_00004").write_bytes(b"")
    listing = list_faces("rafdb", root)
    value = json.loads(json.dumps(description_to_json(describe(listing))))
    assert value["schema_version"] == 1
    assert value["name"] == "rafdb"
    assert value["splits"]["train"]["num_images"] == 14
    assert value["splits"]["train"]["counts"]["happiness"] == 2
    assert list(value["splits"]["test"]["counts"]) == value["classes"]
    assert len(value["splits"]["test"]["sha256"]) == 64
    assert value["sizes"][0] == {"width": 10, "height": 12, "count": 13}
    assert len(value["problems"]) == 1
    assert value["notes"] == []
