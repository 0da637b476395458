"""Numbers are from exhaustive search and from the formula (w - q)' H (w - q) itself."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from edge_arm.calibration.adaptive_rounding import adaptive_steps
from edge_arm.runtime.errors import CalibrationError


def correlated(width: int, seed: int, rank: int = 3) -> np.ndarray:
    """(K, K) second moments of patches that move together, as neighbouring pixels do."""
    random = np.random.default_rng(seed)
    patches = random.normal(size=(width, rank)) @ random.normal(size=(rank, 4000))
    patches += 0.05 * random.normal(size=patches.shape)
    return patches @ patches.T / patches.shape[1]


def scales(weight: np.ndarray) -> np.ndarray:
    return (np.abs(weight).max(axis=1) / 127).astype(np.float32)


def error(weight: np.ndarray, steps: np.ndarray, moments: np.ndarray) -> np.ndarray:
    apart = weight - steps * scales(weight)[:, None]
    return np.einsum("ok,kl,ol->o", apart, moments, apart)


def nearest(weight: np.ndarray) -> np.ndarray:
    return np.rint(weight / scales(weight)[:, None])


def random_weight(rows: int, width: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, width)).astype(np.float32)


def test_independent_inputs_leave_nothing_better_than_nearest():
    weight = random_weight(8, 40)
    np.testing.assert_array_equal(
        adaptive_steps(weight, np.eye(40), scales(weight)), nearest(weight)
    )


def test_correlated_inputs_let_weights_take_up_each_others_errors():
    weight, moments = random_weight(16, 300), correlated(300, 2, rank=40)
    adaptive = error(weight, adaptive_steps(weight, moments, scales(weight)), moments)
    assert (adaptive < error(weight, nearest(weight), moments)).all()
    assert adaptive.sum() < 0.2 * error(weight, nearest(weight), moments).sum()


def test_a_row_lies_between_the_best_of_all_roundings_and_the_nearest():
    weight, moments = random_weight(6, 6, seed=3), correlated(6, 4)
    found = error(weight, adaptive_steps(weight, moments, scales(weight)), moments)
    per_row = scales(weight)
    for row in range(len(weight)):
        down = np.floor(weight[row] / per_row[row])
        top = int(np.abs(weight[row]).argmax())
        best = min(
            error(weight[row : row + 1], (down + up)[None], moments)[0]
            for up in map(np.array, product((-1, 0, 1, 2), repeat=6))
            if abs((down + up)[top]) == 127
        )
        worst = error(weight[row : row + 1], nearest(weight)[row : row + 1], moments)[0]
        assert best - 1e-12 <= found[row] <= worst + 1e-12


def test_the_largest_weight_of_each_row_keeps_the_scale():
    weight = random_weight(32, 64, seed=5)
    steps = adaptive_steps(weight, correlated(64, 6), scales(weight))
    assert steps.dtype == np.int8
    assert (np.abs(steps.astype(int)).max(axis=1) == 127).all()
    rows, top = np.arange(32), np.abs(weight).argmax(axis=1)
    np.testing.assert_array_equal(steps[rows, top], 127 * np.sign(weight[rows, top]))


def test_inputs_that_never_were_anything_but_zero_do_no_harm():
    weight, moments = random_weight(4, 10), correlated(10, 7)
    moments[3], moments[:, 3] = 0, 0
    steps = adaptive_steps(weight, moments, scales(weight))
    np.testing.assert_array_equal(steps[:, 3], nearest(weight)[:, 3])
    np.testing.assert_array_equal(
        adaptive_steps(weight, np.zeros((10, 10)), scales(weight)), nearest(weight)
    )


def test_moments_that_are_no_numbers_are_refused():
    broken = np.full((4, 4), np.nan)
    with pytest.raises(CalibrationError, match="NaN or infinite second moments, expected numbers"):
        adaptive_steps(random_weight(2, 4), broken, np.ones(2, np.float32))
