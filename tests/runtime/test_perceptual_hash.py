"""A hash that survives what happens to copies and tells faces apart."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from edge_arm.data.face_drawing import draw_face
from edge_arm.data.face_parameters import sample_face, sample_identity
from edge_arm.runtime.errors import UsageError
from edge_arm.runtime.leaks import DEFAULT_MAX_DISTANCE
from edge_arm.runtime.perceptual_hash import HASH_BITS, near_pairs, perceptual_hashes
from edge_arm.runtime.preprocess import Uint8Array, resize_face

SIZE = 112
NUM_FACES = 40

Change = Callable[[Uint8Array], Uint8Array]


@pytest.fixture(scope="module")
def faces() -> list[Uint8Array]:
    """(H, W, 3) uint8 drawn faces, each of another person."""
    drawn = []
    for seed in range(NUM_FACES):
        rng = np.random.default_rng(seed)
        drawn.append(draw_face(sample_face(rng, "happiness", sample_identity(rng))))
    return drawn


def hashes_of(pictures: list[Uint8Array]) -> Uint8Array:
    return perceptual_hashes(np.stack([resize_face(picture, SIZE) for picture in pictures]))


def distances(first: Uint8Array, second: Uint8Array) -> list[int]:
    """By counting, not by the product that `near_pairs` takes."""
    return [int(np.unpackbits(a ^ b).sum()) for a, b in zip(first, second, strict=True)]


def encoded(picture: Uint8Array, quality: int) -> Uint8Array:
    _, content = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.imdecode(content, cv2.IMREAD_COLOR)


def resized(picture: Uint8Array, factor: float) -> Uint8Array:
    return cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)


def brighter(picture: Uint8Array, grey_levels: int) -> Uint8Array:
    return np.clip(picture.astype(int) + grey_levels, 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("change", "typical"),
    [
        pytest.param(lambda picture: encoded(picture, 90), 6, id="encoded again"),
        pytest.param(lambda picture: encoded(picture, 40), 12, id="encoded again, badly"),
        pytest.param(lambda picture: resized(picture, 0.8), 8, id="smaller"),
        pytest.param(lambda picture: resized(picture, 1.7), 8, id="larger"),
        pytest.param(lambda picture: brighter(picture, 25), 12, id="brighter"),
        pytest.param(lambda picture: (picture * 0.7).astype(np.uint8), 8, id="darker"),
    ],
)
def test_a_changed_copy_stays_near(faces: list[Uint8Array], change: Change, typical: int) -> None:
    moved = distances(hashes_of(faces), hashes_of([change(face) for face in faces]))
    # The limits are about twice what the photographs gave in docs/statistics.md, "Leaks".
    assert np.median(moved) <= typical
    assert max(moved) <= DEFAULT_MAX_DISTANCE


def test_most_copies_with_a_crop_of_two_per_cent_stay_near(faces: list[Uint8Array]) -> None:
    cropped = [face[2:-2, 2:-2] for face in faces]
    moved = np.array(distances(hashes_of(faces), hashes_of(cropped)))
    assert (moved <= DEFAULT_MAX_DISTANCE).mean() > 0.6


def test_different_people_are_far_apart(faces: list[Uint8Array]) -> None:
    hashes = hashes_of(faces)
    pairs = near_pairs(hashes, hashes, DEFAULT_MAX_DISTANCE)
    assert pairs[:, :2].tolist() == [[row, row] for row in range(NUM_FACES)]


def test_half_of_the_bits_are_set(faces: list[Uint8Array]) -> None:
    bits = np.unpackbits(hashes_of(faces), axis=1)
    assert bits.shape == (NUM_FACES, HASH_BITS)
    assert bits.sum(axis=1).tolist() == [HASH_BITS // 2] * NUM_FACES


def test_the_hash_is_made_of_the_cosine_transform_without_the_constant_wave(
    faces: list[Uint8Array],
) -> None:
    face = resize_face(faces[0], SIZE)
    grey = resize_face(cv2.cvtColor(face, cv2.COLOR_RGB2GRAY), 64)
    wanted = cv2.dct(grey.astype(np.float64))[1:17, 1:17].ravel()
    bits = np.unpackbits(perceptual_hashes(face[np.newaxis]))
    clear = np.abs(wanted - np.median(wanted)) > 0.1  # float32 may decide a tie otherwise
    assert clear.sum() > 240
    assert (bits.astype(bool) == (wanted > np.median(wanted)))[clear].all()


@pytest.mark.parametrize("noise", [0, 1])
def test_a_flat_picture_is_like_no_other(noise: int) -> None:
    rng = np.random.default_rng(0)
    flat = np.full((3, SIZE, SIZE, 3), 90, np.uint8)
    flat += rng.integers(0, noise + 1, flat.shape, np.uint8)
    hashes = perceptual_hashes(flat)
    assert not hashes.any()
    assert near_pairs(hashes, hashes, HASH_BITS - 1).size == 0


def test_near_pairs_finds_what_counting_finds_beyond_one_block() -> None:
    rng = np.random.default_rng(1)
    first = rng.integers(0, 256, (2100, 32), np.uint8)
    second = rng.integers(0, 256, (30, 32), np.uint8)
    counted = np.unpackbits(first[:, None] ^ second[None], axis=2).sum(axis=2, dtype=np.int64)
    rows, columns = np.nonzero(counted <= 105)
    assert len(rows) > 20
    assert rows.max() > 1024
    found = near_pairs(first, second, 105)
    assert found.tolist() == np.stack([rows, columns, counted[rows, columns]], axis=1).tolist()


def test_no_faces_are_near_nothing() -> None:
    none = np.empty((0, 32), np.uint8)
    some = np.ones((2, 32), np.uint8)
    assert near_pairs(none, some, 3).shape == (0, 3)
    assert near_pairs(some, none, 3).shape == (0, 3)


@pytest.mark.parametrize("distance", [-1, 256])
def test_a_distance_out_of_range_is_refused(distance: int) -> None:
    none = np.empty((0, 32), np.uint8)
    with pytest.raises(UsageError, match=r"largest distance .*expected 0 to 255 bits"):
        near_pairs(none, none, distance)
