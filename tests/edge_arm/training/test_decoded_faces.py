"""Decoding once, in memory or in a mapped file."""

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
from edge_arm.training.decoded_faces import decoded_faces

SPEC = PreprocessSpec(size=32)


@pytest.mark.parametrize("limit", [10**9, 0], ids=["memory", "file"])
def test_every_face_is_there_in_order_with_its_target(
    train_faces: FaceIndex, tmp_path: Path, limit: int
) -> None:
    with decoded_faces(train_faces, SPEC, tmp_path, largest_in_memory_bytes=limit) as faces:
        assert faces.images_nhwc.shape == (24, 32, 32, 3)
        for number, sample in enumerate(train_faces.samples):
            np.testing.assert_array_equal(faces.images_nhwc[number], read_face(sample, SPEC)[0])
        np.testing.assert_array_equal(faces.targets, train_faces.targets)
        x, targets = faces.batch(np.array([5, 2]), torch.device("cpu"))
        np.testing.assert_array_equal(x.numpy(), faces.images_nhwc[[5, 2]].transpose(0, 3, 1, 2))
        assert targets.tolist() == [2, 2]
    assert not list(tmp_path.iterdir())


def test_the_hash_covers_name_class_and_content(train_faces: FaceIndex, tmp_path: Path) -> None:
    expected = sha256()
    for sample in train_faces.samples:
        content = sha256(sample.path.read_bytes()).hexdigest()
        name = train_faces.labels.classes[sample.target]
        expected.update(f"{sample.sample_id}\t{name}\t{content}\n".encode())
    with decoded_faces(train_faces, SPEC, tmp_path) as faces:
        assert faces.pixels_sha256 == expected.hexdigest()


def test_progress_adds_up_to_the_number_of_faces(train_faces: FaceIndex, tmp_path: Path) -> None:
    seen: list[int] = []
    with decoded_faces(train_faces, SPEC, tmp_path, progress=seen.append):
        assert sum(seen) == 24


def test_a_disk_that_is_too_small_is_named(train_faces: FaceIndex, tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with (
            pytest.raises(StorageError, match="cannot write"),
            decoded_faces(train_faces, SPEC, tmp_path, largest_in_memory_bytes=0),
        ):
            pass
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_scratch_folder_that_is_missing_is_named(train_faces: FaceIndex, tmp_path: Path) -> None:
    with (
        pytest.raises(StorageError, match="cannot write .*none"),
        decoded_faces(train_faces, SPEC, tmp_path / "none", largest_in_memory_bytes=0),
    ):
        pass
