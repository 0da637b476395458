from __future__ import annotations

import threading
from hashlib import sha256
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_arm.runtime.batches import PixelHash, face_batches, read_face
from edge_arm.runtime.errors import ImageError, UsageError
from edge_arm.runtime.faces import FaceIndex, FaceSample, Split
from edge_arm.runtime.labels import RAFDB
from edge_arm.runtime.preprocess import PreprocessSpec

SPEC = PreprocessSpec(size=8)


@pytest.fixture
def index(tmp_path: Path) -> FaceIndex:
    """23 faces; every fourth is much larger, so that threads finish out of order."""
    samples = []
    for position in range(23):
        side = 600 if position % 4 == 0 else 8
        image = np.full((side, side, 3), 10 * position, np.uint8)
        path = tmp_path / f"{position}.png"
        assert cv2.imwrite(str(path), image)
        samples.append(FaceSample(path.name, path, position % 7))
    return FaceIndex("mini", Split.TEST, RAFDB, tuple(samples))


def _decoding_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("decode")]


@pytest.mark.parametrize("workers", [1, 3, 8])
def test_faces_come_in_order_whatever_the_number_of_threads(index: FaceIndex, workers: int) -> None:
    batches = list(face_batches(index, SPEC, 5, workers))
    assert [batch.start for batch in batches] == [0, 5, 10, 15, 20]
    assert [len(batch.images_nhwc) for batch in batches] == [5, 5, 5, 5, 3]
    images = np.concatenate([batch.images_nhwc for batch in batches])
    assert images.shape == (23, 8, 8, 3)
    assert images.dtype == np.uint8
    assert images[:, 0, 0, 0].tolist() == [10 * position for position in range(23)]
    assert (images == images[:, :1, :1, :1]).all()


def test_hashes_belong_to_the_faces_beside_them(index: FaceIndex) -> None:
    hashes = [digest for batch in face_batches(index, SPEC, 4, 8) for digest in batch.sha256s]
    assert hashes == [sha256(sample.path.read_bytes()).hexdigest() for sample in index.samples]


def test_a_batch_may_be_larger_than_the_set(index: FaceIndex) -> None:
    (batch,) = face_batches(index, SPEC, 1000)
    assert batch.start == 0
    assert len(batch.images_nhwc) == 23


def test_an_empty_index_gives_no_batch(index: FaceIndex) -> None:
    assert list(face_batches(index.subset([]), SPEC, 4)) == []


def test_all_threads_are_gone_at_the_end(index: FaceIndex) -> None:
    list(face_batches(index, SPEC, 5, 4))
    assert _decoding_threads() == []


def test_a_generator_that_is_closed_early_leaves_no_thread(index: FaceIndex) -> None:
    batches = face_batches(index, SPEC, 2, 4)
    next(batches)
    assert _decoding_threads()
    batches.close()  # type: ignore[attr-defined]
    assert _decoding_threads() == []


def test_a_broken_picture_ends_the_work_and_leaves_no_thread(index: FaceIndex) -> None:
    index.samples[7].path.write_bytes(b"")
    batches = face_batches(index, SPEC, 5, 4)
    assert next(batches).start == 0
    with pytest.raises(ImageError, match=r"7.png' has 0 bytes"):
        next(batches)
    assert _decoding_threads() == []


def test_a_batch_size_below_one_is_refused(index: FaceIndex) -> None:
    with pytest.raises(UsageError, match="got batch size 0, expected at least 1"):
        list(face_batches(index, SPEC, 0))


def test_a_number_of_workers_below_one_is_refused(index: FaceIndex) -> None:
    with pytest.raises(UsageError, match="got 0 decoding workers, expected at least 1"):
        list(face_batches(index, SPEC, 4, 0))


def test_one_face_is_resized_and_hashed(index: FaceIndex) -> None:
    image, digest = read_face(index.samples[4], SPEC)
    assert image.shape == (8, 8, 3)
    assert (image == 40).all()
    assert digest == sha256(index.samples[4].path.read_bytes()).hexdigest()


def test_the_pixel_hash_is_over_id_class_and_content_in_order() -> None:
    digest = PixelHash()
    digest.add(FaceSample("a.jpg", Path("x/a.jpg"), 1), "fear", "00ff")
    digest.add(FaceSample("b.jpg", Path("x/b.jpg"), 5), "anger", "11ee")
    expected = sha256(b"a.jpg\tfear\t00ff\nb.jpg\tanger\t11ee\n").hexdigest()
    assert digest.hexdigest() == expected
