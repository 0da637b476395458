"""Decoding once: in memory, in a temporary file, or in a cache."""

from __future__ import annotations

import resource
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch

from edge_arm.runtime.batches import read_face
from edge_arm.runtime.errors import StorageError
from edge_arm.runtime.faces import FaceIndex
from edge_arm.runtime.preprocess import PreprocessSpec
from edge_arm.training import decoded_faces as module
from edge_arm.training.decoded_faces import FaceStore, decoded_faces

SPEC = PreprocessSpec(size=32)


def _store(folder: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> FaceStore:
    if kind == "file":
        monkeypatch.setattr(module, "LARGEST_IN_MEMORY_BYTES", 0)
    return FaceStore(folder / "cache" if kind == "cache" else None, folder)


@pytest.mark.parametrize("kind", ["memory", "file", "cache"])
def test_every_face_is_there_in_order_with_its_target(
    train_faces: FaceIndex,
    validation_faces: FaceIndex,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    store = _store(tmp_path, kind, monkeypatch)
    with decoded_faces(train_faces, validation_faces, spec=SPEC, store=store) as parts:
        for index, faces in zip((train_faces, validation_faces), parts, strict=True):
            assert len(faces) == len(index)
            expected = np.stack([read_face(sample, SPEC)[0] for sample in index.samples])
            np.testing.assert_array_equal(faces.images(np.arange(len(index))), expected)
            np.testing.assert_array_equal(faces.targets, index.targets)
            x, targets = faces.batch(np.array([5, 2]), torch.device("cpu"))
            np.testing.assert_array_equal(x.numpy(), expected[[5, 2]].transpose(0, 3, 1, 2))
            assert targets.tolist() == [2, 2]
    kept = [path.name for path in tmp_path.iterdir()]
    assert kept == (["cache"] if kind == "cache" else [])


def test_the_hash_covers_name_class_and_content(
    train_faces: FaceIndex, validation_faces: FaceIndex, tmp_path: Path
) -> None:
    store = FaceStore(None, tmp_path)
    with decoded_faces(train_faces, validation_faces, spec=SPEC, store=store) as parts:
        for index, faces in zip((train_faces, validation_faces), parts, strict=True):
            expected = sha256()
            for sample in index.samples:
                content = sha256(sample.path.read_bytes()).hexdigest()
                name = index.labels.classes[sample.target]
                expected.update(f"{sample.sample_id}\t{name}\t{content}\n".encode())
            assert faces.pixels_sha256 == expected.hexdigest()


def test_another_split_of_the_same_faces_uses_the_same_cache(
    train_faces: FaceIndex, tmp_path: Path
) -> None:
    store = FaceStore(tmp_path, tmp_path)
    hashes = []
    for held_out in (range(0, 24, 4), range(1, 24, 3)):
        kept = [number for number in range(24) if number not in held_out]
        train, validation = train_faces.subset(kept), train_faces.subset(list(held_out))
        with decoded_faces(train, validation, spec=SPEC, store=store) as (faces, others):
            assert (len(faces), len(others)) == (len(kept), len(held_out))
            np.testing.assert_array_equal(
                faces.images(np.array([3]))[0], read_face(train.samples[3], SPEC)[0]
            )
            hashes.append(faces.pixels_sha256)
    assert len(list(tmp_path.glob("*.pixels"))) == 1
    assert hashes[0] != hashes[1]


@pytest.mark.parametrize("kind", ["memory", "cache"])
def test_progress_adds_up_to_the_number_of_faces(
    train_faces: FaceIndex,
    validation_faces: FaceIndex,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    store = _store(tmp_path, kind, monkeypatch)
    for _ in range(2):
        seen: list[int] = []
        with decoded_faces(
            train_faces, validation_faces, spec=SPEC, store=store, progress=seen.append
        ):
            assert sum(seen) == 24 + 9


def test_a_disk_that_is_too_small_is_named(
    train_faces: FaceIndex,
    validation_faces: FaceIndex,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = _store(tmp_path, "file", monkeypatch)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with (
            pytest.raises(StorageError, match="cannot write"),
            decoded_faces(train_faces, validation_faces, spec=SPEC, store=store),
        ):
            pass
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_scratch_folder_that_is_missing_is_named(
    train_faces: FaceIndex,
    validation_faces: FaceIndex,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = _store(tmp_path / "none", "file", monkeypatch)
    with (
        pytest.raises(StorageError, match="cannot write .*none"),
        decoded_faces(train_faces, validation_faces, spec=SPEC, store=store),
    ):
        pass
