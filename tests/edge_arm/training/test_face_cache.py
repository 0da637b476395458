"""The cache of decoded faces: right pixels or none, whoever else is at work."""

from __future__ import annotations

import logging
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_arm.runtime.batches import read_face
from edge_arm.runtime.crop import CropBox
from edge_arm.runtime.errors import ImageError, StorageError
from edge_arm.runtime.faces import FaceIndex, FaceSample, Split
from edge_arm.runtime.labels import LabelSet
from edge_arm.runtime.preprocess import PreprocessSpec, Uint8Array
from edge_arm.training import face_cache, file_stamps
from edge_arm.training.face_cache import cached_faces

SPEC = PreprocessSpec(size=32)
LABELS = LabelSet("two", ("fear", "anger"))
FACES = 150  # three batches of decoding


@pytest.fixture
def faces(tmp_path: Path) -> FaceIndex:
    """Pictures in `faces/`, all different."""
    folder = tmp_path / "faces"
    folder.mkdir()
    rng = np.random.default_rng(0)
    samples = []
    for number in range(FACES):
        path = folder / f"{number:03}.bmp"
        cv2.imwrite(str(path), rng.integers(0, 256, (20, 20, 3), np.uint8))
        samples.append(FaceSample(path.name, path, number % 2))
    return FaceIndex("noise", Split.TRAIN, LABELS, tuple(samples))


@pytest.fixture
def trusting(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pictures of these tests are younger than any that a stamp is trusted for."""
    monkeypatch.setattr(file_stamps, "UNSURE_SECONDS", 0.0)


def _decoded(faces: FaceIndex) -> Uint8Array:
    return np.stack([read_face(sample, SPEC)[0] for sample in faces.samples])


def _pixels(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.suffix == ".pixels")


def _steps(faces: FaceIndex, folder: Path) -> list[int]:
    """What the progress of one opening was told: several numbers if faces were decoded."""
    steps: list[int] = []
    stored = cached_faces(faces, SPEC, folder, progress=steps.append)
    np.testing.assert_array_equal(stored.images_nhwc, _decoded(faces))
    assert stored.file_sha256s == tuple(read_face(sample, SPEC)[1] for sample in faces.samples)
    assert sum(steps) == FACES
    return steps


MADE, FOUND = [64, 64, 22], [FACES]


def test_the_second_time_nothing_is_decoded(faces: FaceIndex, tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "cache"
    assert _steps(faces, folder) == MADE
    assert _steps(faces, folder) == FOUND
    assert len(_pixels(folder)) == 1


def test_another_box_in_the_same_pictures_is_another_cache(
    faces: FaceIndex, tmp_path: Path
) -> None:
    def boxed(box: CropBox) -> FaceIndex:
        samples = (
            replace(sample, sample_id=sample.sample_id + box.fragment, crop=box)
            for sample in faces.samples
        )
        return replace(faces, samples=tuple(samples))

    for number, index in enumerate(
        (faces, boxed(CropBox(2, 3, 10, 12)), boxed(CropBox(3, 3, 10, 12))), start=1
    ):
        assert _steps(index, tmp_path) == MADE
        assert len(_pixels(tmp_path)) == number


def test_the_size_is_told_before_anything_is_decoded(
    faces: FaceIndex, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    many = replace(faces, samples=faces.samples[:4])
    told: list[str] = []
    with caplog.at_level(logging.INFO, "edge_arm.training.face_cache"):
        cached_faces(
            many, PreprocessSpec(size=1000), tmp_path, progress=lambda _: told.append(caplog.text)
        )
    assert "decoding 4 faces to 1000 x 1000 pixels, once: 0.01 GB in" in told[0]


def test_a_changed_picture_makes_it_anew_even_with_the_old_size_and_time(
    faces: FaceIndex, tmp_path: Path, trusting: None
) -> None:
    _steps(faces, tmp_path)
    path = faces.samples[7].path
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[-10] ^= 255
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    assert _steps(faces, tmp_path) == MADE
    assert _steps(faces, tmp_path) == FOUND
    assert len(_pixels(tmp_path)) == 1, "the old one is gone"


def test_a_picture_that_was_changed_right_after_it_was_read_is_found_out_by_its_content(
    faces: FaceIndex, tmp_path: Path
) -> None:
    _steps(faces, tmp_path)
    # As if the change had come in the same tick of the clock: the record has the new stamps.
    path = faces.samples[7].path
    path.write_bytes(path.read_bytes()[:-1] + b"\x99")
    (record_path,) = tmp_path.glob("*.npz")
    stamps = np.load(record_path)["stamps"]
    assert (stamps == file_stamps.NO_STAMP).all(), "these files are younger than two seconds"
    assert _steps(faces, tmp_path) == MADE


@pytest.mark.usefixtures("trusting")
def test_a_stamp_that_is_trusted_saves_the_reading(faces: FaceIndex, tmp_path: Path) -> None:
    _steps(faces, tmp_path)
    opened: list[str] = []
    watching = True

    def watch(event: str, args: tuple[object, ...]) -> None:
        if watching and event == "open":
            opened.append(str(args[0]))

    sys.addaudithook(watch)  # for good, so it is switched off below
    cached_faces(faces, SPEC, tmp_path)
    watching = False
    assert any(name.endswith(".pixels") for name in opened), "the hook works"
    assert not [name for name in opened if name.endswith(".bmp")]


def test_touched_pictures_are_hashed_and_found_unchanged(
    faces: FaceIndex, tmp_path: Path, trusting: None
) -> None:
    _steps(faces, tmp_path)
    for sample in faces.samples:
        os.utime(sample.path, (1, 1))
    assert _steps(faces, tmp_path) == FOUND


def test_a_data_set_that_was_copied_keeps_its_cache(faces: FaceIndex, tmp_path: Path) -> None:
    _steps(faces, tmp_path / "cache")
    shutil.copytree(tmp_path / "faces", tmp_path / "elsewhere")
    samples = tuple(
        replace(sample, path=tmp_path / "elsewhere" / sample.path.name) for sample in faces.samples
    )
    assert _steps(replace(faces, samples=samples), tmp_path / "cache") == FOUND


def test_labels_do_not_matter_but_size_and_names_do(faces: FaceIndex, tmp_path: Path) -> None:
    _steps(faces, tmp_path)
    swapped = tuple(replace(sample, target=1 - sample.target) for sample in faces.samples)
    assert _steps(replace(faces, samples=swapped), tmp_path) == FOUND
    cached_faces(faces, PreprocessSpec(size=48), tmp_path)
    renamed = tuple(replace(sample, sample_id="x" + sample.sample_id) for sample in faces.samples)
    assert _steps(replace(faces, samples=renamed), tmp_path) == MADE
    assert len(_pixels(tmp_path)) == 3


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[1234] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("pattern", ["*.pixels", "*.npz"])
@pytest.mark.parametrize("damage", [_cut, _flip, Path.unlink], ids=["cut", "flipped", "removed"])
def test_a_damaged_cache_is_made_anew(
    faces: FaceIndex, tmp_path: Path, pattern: str, damage: Callable[[Path], None]
) -> None:
    _steps(faces, tmp_path / "cache")
    (path,) = (tmp_path / "cache").glob(pattern)
    damage(path)
    assert _steps(faces, tmp_path / "cache") == MADE
    assert len(list((tmp_path / "cache").iterdir())) == 3, "record, pixels, lock"


def test_a_record_of_something_else_is_named_and_made_anew(
    faces: FaceIndex, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fewer = replace(faces, samples=faces.samples[:9])
    cached_faces(fewer, SPEC, tmp_path / "fewer")
    _steps(faces, tmp_path / "cache")
    (record,) = (tmp_path / "fewer").glob("*.npz")
    (place,) = (tmp_path / "cache").glob("*.npz")
    shutil.copy(record, place)
    assert _steps(faces, tmp_path / "cache") == MADE
    assert "expected the record of 150 decoded faces" in caplog.text


def test_a_cache_that_was_copied_is_hashed_and_used(faces: FaceIndex, tmp_path: Path) -> None:
    _steps(faces, tmp_path / "cache")
    shutil.copytree(tmp_path / "cache", tmp_path / "moved")
    assert _steps(faces, tmp_path / "moved") == FOUND


def test_who_has_the_old_cache_mapped_keeps_the_old_pixels(
    faces: FaceIndex, tmp_path: Path
) -> None:
    stored = cached_faces(faces, SPEC, tmp_path)
    old = _decoded(faces)
    cv2.imwrite(str(faces.samples[0].path), np.zeros((20, 20, 3), np.uint8))
    assert _steps(faces, tmp_path) == MADE
    np.testing.assert_array_equal(stored.images_nhwc, old)


def test_of_several_at_once_one_decodes_and_the_others_wait(
    faces: FaceIndex, tmp_path: Path
) -> None:
    all_steps: list[list[int]] = []
    threads = [
        threading.Thread(target=lambda: all_steps.append(_steps(faces, tmp_path))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(all_steps) == [MADE, FOUND, FOUND, FOUND]


def test_a_process_that_leaves_the_making_to_another_waits_for_it(
    faces: FaceIndex, tmp_path: Path
) -> None:
    got: list[Uint8Array] = []
    waiter = threading.Thread(
        target=lambda: got.append(cached_faces(faces, SPEC, tmp_path, makes=False).images_nhwc)
    )
    waiter.start()
    waiter.join(0.5)
    assert waiter.is_alive()
    assert not _pixels(tmp_path)
    assert _steps(faces, tmp_path) == MADE
    waiter.join(30)
    np.testing.assert_array_equal(got[0], _decoded(faces))


def test_a_killed_process_leaves_nothing_that_is_used_or_kept(
    faces: FaceIndex, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    program = f"""
import os, signal
from pathlib import Path
from edge_arm.runtime.faces import FaceIndex, FaceSample, Split
from edge_arm.runtime.labels import LabelSet
from edge_arm.runtime.preprocess import PreprocessSpec
from edge_arm.training.face_cache import cached_faces
samples = tuple(
    FaceSample(path.name, path, 0) for path in sorted(Path({str(tmp_path / "faces")!r}).iterdir())
)
index = FaceIndex("noise", Split.TRAIN, LabelSet("two", ("fear", "anger")), samples)
cached_faces(
    index, PreprocessSpec(size=32), Path({str(cache)!r}),
    progress=lambda _: os.kill(os.getpid(), signal.SIGKILL),
)
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -9
    left = [path.name for path in cache.iterdir() if path.name.endswith(".pixels")]
    assert len(left) == 1
    assert left[0].startswith(".")
    assert _steps(faces, cache) == MADE
    assert len(list(cache.iterdir())) == 3, "record, pixels, lock"


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_interrupt_while_decoding_leaves_the_lock_alone(
    faces: FaceIndex, tmp_path: Path, error: type[BaseException]
) -> None:
    def stop(_: int) -> None:
        raise error

    with pytest.raises(error):
        cached_faces(faces, SPEC, tmp_path / "cache", progress=stop)
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".lock"]
    assert _steps(faces, tmp_path / "cache") == MADE


def test_too_little_room_is_told_before_anything_is_decoded(
    faces: FaceIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(face_cache, "SPARE_BYTES", 10**18)
    with pytest.raises(
        StorageError,
        match=r"150 decoded faces of 32 pixels need 1000000000\.00 GB in .* free; .*--cache",
    ):
        cached_faces(faces, SPEC, tmp_path)
    assert not _pixels(tmp_path)


def test_a_disk_that_is_full_before_the_end_is_named(faces: FaceIndex, tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, before[1]))
    try:
        with pytest.raises(StorageError, match=r"cannot write .*\.pixels"):
            cached_faces(faces, SPEC, tmp_path / "cache")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".lock"]


def test_a_place_that_is_no_folder_is_refused(faces: FaceIndex, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError, match="cannot write .*file"):
        cached_faces(faces, SPEC, tmp_path / "file" / "cache")


def test_a_picture_that_has_gone_is_named(faces: FaceIndex, tmp_path: Path) -> None:
    _steps(faces, tmp_path)
    faces.samples[3].path.unlink()
    with pytest.raises(ImageError, match=r"003\.bmp' is not there any more"):
        cached_faces(faces, SPEC, tmp_path)


def test_a_broken_picture_is_named_and_nothing_is_kept(faces: FaceIndex, tmp_path: Path) -> None:
    faces.samples[100].path.write_bytes(b"")
    with pytest.raises(ImageError, match=r"100\.bmp' has 0 bytes"):
        cached_faces(faces, SPEC, tmp_path / "cache")
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".lock"]


def test_ctrl_c_ends_the_wait_for_another_process(faces: FaceIndex, tmp_path: Path) -> None:
    timer = threading.Timer(0.4, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        cached_faces(faces, SPEC, tmp_path, makes=False)
