"""Augmentation, measured over many faces."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch

from edge_arm.runtime.preprocess import PreprocessSpec
from edge_arm.training.augmentation import Places, augmented, normalised

Float64Array = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

FACES, SIZE = 1500, 32
SPEC = PreprocessSpec(size=SIZE)


def _ramps(count: int = FACES) -> torch.Tensor:
    """Grey that rises from left to right, far from 0 and 255 and from the mean; uint8."""
    row = torch.arange(200, 200 + SIZE, dtype=torch.uint8)
    return row.expand(count, 3, SIZE, SIZE).contiguous()


def _places(count: int = FACES, *, seed: int = 0, epoch: int = 0, first: int = 0) -> Places:
    return Places(seed, epoch, np.arange(first, first + count))


def _pixels(x: torch.Tensor) -> Float64Array:
    """Undo the normalisation."""
    mean, std = (np.array(value)[:, None, None] for value in (SPEC.mean, SPEC.std))
    restored: Float64Array
    restored = (x.numpy().astype(np.float64) * std + mean) * 255
    return restored


@pytest.fixture(scope="module")
def changed() -> Float64Array:
    return _pixels(augmented(_ramps(), SPEC, _places()))


@pytest.fixture(scope="module")
def erased(
    changed: Float64Array,
) -> BoolArray:
    """(N, S, S): pixels that are exactly the mean, which no ramp is."""
    mean = 255 * np.array(SPEC.mean)[:, None, None]
    result: BoolArray
    result = (np.abs(changed - mean) < 1e-3).all(axis=1)
    return result


def test_normalised_is_pixel_over_255_minus_mean_over_deviation() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, 8, 8), np.uint8)
    mean, std = (np.array(value)[:, None, None] for value in (SPEC.mean, SPEC.std))
    expected = (pixels / 255 - mean) / std
    got = normalised(torch.from_numpy(pixels), SPEC)
    assert got.dtype is torch.float32
    # float32 values up to 2.7
    np.testing.assert_allclose(got.numpy(), expected, rtol=0, atol=2e-6)


def test_half_of_the_faces_are_flipped_or_noisy_in_equal_parts(
    changed: Float64Array,
    erased: BoolArray,
) -> None:
    ramp = _ramps(1).numpy()[0].astype(float)
    kept = ~erased[:, None]
    same = (np.abs(changed - ramp) * kept).max(axis=(1, 2, 3)) < 1e-2
    flipped = (np.abs(changed - ramp[:, :, ::-1]) * kept).max(axis=(1, 2, 3)) < 1e-2
    # 1500 draws: 5 standard deviations are 0.065 and 0.056
    assert same.mean() == pytest.approx(0.5, abs=0.065)
    assert flipped.mean() == pytest.approx(0.25, abs=0.056)
    assert (~same & ~flipped).mean() == pytest.approx(0.25, abs=0.056)


def test_noise_has_variance_30_and_no_mean(
    changed: Float64Array,
    erased: BoolArray,
) -> None:
    difference = changed - _ramps(1).numpy().astype(float)
    left = difference[:, :, :, :16]  # up to 215: seven deviations below the limit of 255
    right = difference[:, :, :, 16:]
    noisy = (np.abs(left[:, 0, 0]) > 1e-2).any(axis=1) & (np.abs(right + left[..., ::-1]) > 1).any(
        axis=(1, 2, 3)
    )
    noisy &= ~erased.any(axis=(1, 2))
    values = left[noisy]
    assert values.size > 50_000
    # standard error of the variance: 30 * sqrt(2 / 50000) = 0.19
    assert values.var() == pytest.approx(30.0, abs=1.0)
    assert values.mean() == pytest.approx(0.0, abs=0.15)


def test_noise_stays_within_what_a_picture_can_hold() -> None:
    white = torch.full((64, 3, SIZE, SIZE), 255, dtype=torch.uint8)
    pixels = _pixels(augmented(white, SPEC, _places(64)))
    assert pixels.max() <= 255 + 1e-3
    assert pixels.min() < 250, "some of it is noisy"


def test_half_of_the_faces_lose_one_rectangle_of_2_to_10_per_cent(
    erased: BoolArray,
) -> None:
    area = erased.mean(axis=(1, 2))
    hit = area > 0
    assert hit.mean() == pytest.approx(0.5, abs=0.065)
    rows, columns = erased.any(axis=2).sum(axis=1), erased.any(axis=1).sum(axis=1)
    np.testing.assert_array_equal(erased.sum(axis=(1, 2)), rows * columns)
    # rounding the sides to whole pixels of 32 moves the area by up to a quarter
    assert area[hit].min() > 0.02 * 0.75
    assert area[hit].max() < 0.1 * 1.25
    assert area[hit].mean() == pytest.approx(0.06, abs=0.005)
    aspect = rows[hit] / columns[hit]
    assert aspect.min() < 0.5
    assert aspect.max() > 2.0


def test_the_same_places_of_the_same_training_are_changed_in_the_same_way() -> None:
    faces = _ramps(16)
    first, again = (augmented(faces, SPEC, _places(16, seed=3, epoch=1, first=4)) for _ in range(2))
    assert torch.equal(first, again)
    for other in (
        _places(16, seed=4, epoch=1, first=4),
        _places(16, seed=3, epoch=2, first=4),
        _places(16, seed=3, epoch=1, first=20),
    ):
        assert not torch.equal(first, augmented(faces, SPEC, other))


def test_a_face_is_changed_by_its_place_alone_whatever_else_is_in_the_batch() -> None:
    faces = torch.from_numpy(
        np.random.default_rng(0).integers(0, 256, (48, 3, SIZE, SIZE), np.uint8)
    )
    whole = augmented(faces, SPEC, _places(48))
    # Two processes, one with every even place and one with every odd one.
    for rank in range(2):
        part = augmented(faces[rank::2], SPEC, Places(0, 0, np.arange(rank, 48, 2)))
        assert torch.equal(part, whole[rank::2])
    alone = augmented(faces[7:8], SPEC, _places(1, first=7))
    assert torch.equal(alone, whole[7:8])


def test_the_draws_are_those_of_splitmix64() -> None:
    # The n-th output of a SplitMix64 generator, one by one in Python's whole numbers.
    key = int(np.random.SeedSequence([5, 2]).generate_state(1, np.uint64)[0])
    state, expected = key, []
    for _ in range(3 * 8):
        state = (state + 0x9E3779B97F4A7C15) % 2**64
        z = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
        expected.append((z ^ (z >> 31)) / 2**64)
    got = _places(3, seed=5, epoch=2).uniforms()
    # The lowest 11 bits are cut off.
    np.testing.assert_allclose(got, np.reshape(expected, (3, 8)), rtol=0, atol=2.0**-52)


def test_draws_are_spread_evenly_and_do_not_depend_on_each_other() -> None:
    draws = _places(50_000).uniforms()
    assert draws.min() >= 0
    assert draws.max() < 1
    # standard error of the mean: 1 / sqrt(12 * 50000) = 0.0013; of a correlation: 0.0045
    np.testing.assert_allclose(draws.mean(axis=0), 0.5, atol=0.0065)
    correlation = np.corrcoef(np.hstack([draws[:-1], draws[1:]]).T)
    np.testing.assert_allclose(correlation, np.eye(16), atol=0.023)


def test_no_two_noisy_faces_have_the_same_noise() -> None:
    grey = torch.full((200, 3, SIZE, SIZE), 128, dtype=torch.uint8)
    pixels = _pixels(augmented(grey, SPEC, _places(200)))
    noisy = pixels[pixels.std(axis=(1, 2, 3)) > 1][:, 0, 0, :4]
    assert len({tuple(row) for row in noisy.round(3).tolist()} - {(0,)}) > 40


def test_the_faces_themselves_are_left_alone() -> None:
    faces = _ramps(16)
    augmented(faces, SPEC, _places(16))
    assert torch.equal(faces, _ramps(16))


def test_the_callers_random_state_is_left_alone() -> None:
    before = torch.random.get_rng_state()
    augmented(_ramps(16), SPEC, _places(16))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_channels_last_order_is_kept() -> None:
    faces = _ramps(4).contiguous(memory_format=torch.channels_last)
    x = augmented(faces, SPEC, _places(4))
    assert x.is_contiguous(memory_format=torch.channels_last)
