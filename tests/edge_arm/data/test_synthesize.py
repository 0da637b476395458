import errno
import hashlib
import json
import multiprocessing
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_arm.data.synthesize import (
    SynthesisConfig,
    class_counts,
    face_of,
    synthesize,
)
from edge_arm.runtime.errors import DataError, StorageError, UsageError

SMALL = SynthesisConfig(num_images=70, seed=5)


@pytest.fixture(scope="module")
def small_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthesize(tmp_path_factory.mktemp("synthetic") / "small", SMALL, workers=1)


def hashes(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def listed(folder: Path) -> list[tuple[str, int]]:
    text = (folder / "EmoLabel" / "list_patition_label.txt").read_text(encoding="ascii")
    return [(line.split(" ")[0], int(line.split(" ")[1])) for line in text.splitlines()]


def test_the_same_seed_gives_the_same_bytes(small_set: Path, tmp_path: Path) -> None:
    assert hashes(synthesize(tmp_path / "again", SMALL, workers=1)) == hashes(small_set)


def test_the_bytes_do_not_depend_on_the_number_of_processes(
    small_set: Path, tmp_path: Path
) -> None:
    assert hashes(synthesize(tmp_path / "three", SMALL, workers=3)) == hashes(small_set)


def test_another_seed_gives_other_pictures(small_set: Path, tmp_path: Path) -> None:
    other = synthesize(tmp_path / "other", SynthesisConfig(70, seed=6), workers=1)
    ours, theirs = hashes(small_set), hashes(other)
    images = [name for name in ours if name.endswith(".jpg")]
    assert len(images) == 70
    assert all(ours[name] != theirs[name] for name in images)


def test_the_list_and_the_files_are_named_as_in_rafdb(small_set: Path) -> None:
    names = [name for name, _ in listed(small_set)]
    train = [f"train_{number:05d}.jpg" for number in range(1, 57)]
    test = [f"test_{number:04d}.jpg" for number in range(1, 15)]
    assert names == train + test
    files = {path.name for path in (small_set / "Image" / "aligned").iterdir()}
    assert files == {name.replace(".jpg", "_aligned.jpg") for name in names}


def test_the_list_separates_name_and_label_by_one_space_and_ends_its_last_line(
    small_set: Path,
) -> None:
    raw = (small_set / "EmoLabel" / "list_patition_label.txt").read_bytes()
    assert raw.startswith(b"train_00001.jpg ")
    assert raw.endswith(b"\n")
    assert b"\r" not in raw
    assert b"  " not in raw


def test_every_picture_is_a_colour_jpeg_of_a_hundred_pixels(small_set: Path) -> None:
    for path in (small_set / "Image" / "aligned").iterdir():
        picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        assert picture is not None
        assert picture.shape == (100, 100, 3)
        assert picture.std() > 5.0


def test_the_list_holds_as_many_of_each_class_as_promised(small_set: Path) -> None:
    for split in ("train", "test"):
        labels = [label for name, label in listed(small_set) if name.startswith(split)]
        counts = tuple(np.bincount(labels, minlength=8)[1:].tolist())
        assert counts == class_counts(70, split)


def test_classes_are_mixed_in_the_list(small_set: Path) -> None:
    labels = [label for _, label in listed(small_set)][:56]
    assert labels != sorted(labels)


def test_a_set_as_large_as_rafdb_has_its_class_balance() -> None:
    # 15,339 images give 12,271 and 3,068, RAF-DB's own sizes, so its own counts must come out.
    assert class_counts(15_339, "train") == (1290, 281, 717, 4772, 1982, 705, 2524)
    assert class_counts(15_339, "test") == (329, 74, 160, 1185, 478, 162, 680)


@pytest.mark.parametrize("num_images", [70, 71, 99, 350, 3000])
def test_four_fifths_are_for_training_and_no_class_is_empty(num_images: int) -> None:
    train, test = class_counts(num_images, "train"), class_counts(num_images, "test")
    assert sum(train) + sum(test) == num_images
    assert abs(sum(train) - 0.8 * num_images) <= 0.5
    assert min(train) >= 2
    assert min(test) >= 1


def test_no_person_is_in_both_splits() -> None:
    def people(split: str) -> set[object]:
        return {face_of(0, split, number, 3, 40).identity for number in range(1, 200)}

    assert len(people("train")) == 40
    assert people("train").isdisjoint(people("test"))


def test_an_image_does_not_depend_on_the_ones_before_it() -> None:
    alone = face_of(0, "train", 50, 3, 40)
    for number in range(1, 50):
        face_of(0, "train", number, 3, 40)
    assert face_of(0, "train", 50, 3, 40) == alone


def test_the_record_says_how_the_set_was_made(small_set: Path) -> None:
    record = json.loads((small_set / "synthetic.json").read_text(encoding="utf-8"))
    assert (record["num_images"], record["seed"]) == (70, 5)
    assert 0.0 < record["ambiguous_share"] < 0.1


def test_progress_counts_finished_images_up_to_all(tmp_path: Path) -> None:
    seen: list[int] = []
    synthesize(tmp_path / "set", SMALL, progress=seen.append, workers=1)
    assert seen == sorted(seen)
    assert seen[-1] == 70


def test_a_set_that_is_already_there_is_not_drawn_again(small_set: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in small_set.rglob("*")}
    drawn: list[int] = []
    assert synthesize(small_set, SMALL, progress=drawn.append) == small_set
    assert drawn == []
    assert {path: path.stat().st_mtime_ns for path in small_set.rglob("*")} == before


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert len(listed(synthesize(tmp_path / "empty", SMALL, workers=1))) == 70


def test_a_folder_with_another_set_is_refused_and_named(small_set: Path) -> None:
    with pytest.raises(UsageError, match="already holds synthetic faces with 70 images, seed 5"):
        synthesize(small_set, SynthesisConfig(num_images=70, seed=9))


def test_a_folder_with_anything_else_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep me", encoding="utf-8")
    with pytest.raises(UsageError, match="is not empty and holds no complete set"):
        synthesize(tmp_path, SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_set_with_a_lost_image_is_refused(tmp_path: Path) -> None:
    folder = synthesize(tmp_path / "set", SMALL, workers=1)
    (folder / "Image" / "aligned" / "train_00003_aligned.jpg").unlink()
    (folder / "Image" / "aligned" / "test_0002_aligned.jpg").write_bytes(b"")
    with pytest.raises(UsageError, match="2 of its images are missing"):
        synthesize(folder, SMALL)


def test_a_set_with_an_edited_list_is_refused(tmp_path: Path) -> None:
    folder = synthesize(tmp_path / "set", SMALL, workers=1)
    with (folder / "EmoLabel" / "list_patition_label.txt").open("a", encoding="ascii") as file:
        file.write("test_0015.jpg 1\n")
    with pytest.raises(UsageError, match="its list was changed"):
        synthesize(folder, SMALL)


@pytest.mark.parametrize("num_images", [0, 69, 49_996])
def test_too_few_or_too_many_images_are_refused(num_images: int) -> None:
    with pytest.raises(UsageError, match=f"got {num_images} images, expected 70 to 49995"):
        SynthesisConfig(num_images=num_images)


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(UsageError, match="got seed -1, expected 0 or more"):
        SynthesisConfig(seed=-1)


def test_no_workers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="got 0 workers, expected at least 1"):
        synthesize(tmp_path / "set", SMALL, workers=0)


def test_a_full_disk_is_named_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = Path.write_bytes

    def full_after_forty(path: Path, data: bytes) -> int:
        if path.name == "train_00041_aligned.jpg":
            raise OSError(errno.ENOSPC, "No space left on device")
        return written(path, data)

    monkeypatch.setattr(Path, "write_bytes", full_after_forty)
    with pytest.raises(StorageError, match="the disk is full"):
        synthesize(tmp_path / "set", SMALL, workers=1)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(StorageError, match="a part of the path is a file"):
        synthesize(tmp_path / "file" / "set", SMALL, workers=1)


def test_an_interrupt_leaves_nothing(tmp_path: Path) -> None:
    def interrupt(done: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        synthesize(tmp_path / "set", SMALL, progress=interrupt, workers=2)
    assert list(tmp_path.iterdir()) == []


def test_a_killed_drawing_process_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    def kill(done: int) -> None:
        for process in multiprocessing.active_children():
            process.kill()

    with pytest.raises(DataError, match="a drawing process ended after"):
        synthesize(tmp_path / "set", SynthesisConfig(400), progress=kill, workers=2)
    assert list(tmp_path.iterdir()) == []
