"""Augmentation, measured over many faces."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch

from edge_arm.runtime.preprocess import PreprocessSpec
from edge_arm.training.augmentation import BatchSeed, augmented, normalised

Float64Array = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

FACES, SIZE = 1500, 32
SPEC = PreprocessSpec(size=SIZE)


def _ramps(count: int = FACES) -> torch.Tensor:
    """Grey that rises from left to right, far from 0 and 255 and from the mean; uint8."""
    row = torch.arange(200, 200 + SIZE, dtype=torch.uint8)
    return row.expand(count, 3, SIZE, SIZE).contiguous()


def _pixels(x: torch.Tensor) -> Float64Array:
    """Undo the normalisation."""
    mean, std = (np.array(value)[:, None, None] for value in (SPEC.mean, SPEC.std))
    restored: Float64Array
    restored = (x.numpy().astype(np.float64) * std + mean) * 255
    return restored


@pytest.fixture(scope="module")
def changed() -> Float64Array:
    return _pixels(augmented(_ramps(), SPEC, BatchSeed(0, 0, 0)))


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
    pixels = _pixels(augmented(white, SPEC, BatchSeed(0, 0, 0)))
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


def test_the_same_batch_of_the_same_training_is_changed_in_the_same_way() -> None:
    faces = _ramps(16)
    first, again = (augmented(faces, SPEC, BatchSeed(3, 1, 4)) for _ in range(2))
    assert torch.equal(first, again)
    for other in (BatchSeed(4, 1, 4), BatchSeed(3, 2, 4), BatchSeed(3, 1, 5)):
        assert not torch.equal(first, augmented(faces, SPEC, other))


def test_the_faces_themselves_are_left_alone() -> None:
    faces = _ramps(16)
    augmented(faces, SPEC, BatchSeed(0, 0, 0))
    assert torch.equal(faces, _ramps(16))


def test_the_callers_random_state_is_left_alone() -> None:
    before = torch.random.get_rng_state()
    augmented(_ramps(16), SPEC, BatchSeed(0, 0, 0))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_channels_last_order_is_kept() -> None:
    faces = _ramps(4).contiguous(memory_format=torch.channels_last)
    x = augmented(faces, SPEC, BatchSeed(0, 0, 0))
    assert x.is_contiguous(memory_format=torch.channels_last)
