"""ARM against a brute-force computation with numpy loops, written from the paper's description."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from edge_arm.model.arm import Arm, arm_grid

Float64Array = NDArray[np.float64]


def _arm(feature_size: int, seed: int = 0) -> Arm:
    """Every parameter and buffer away from its neutral value."""
    generator = torch.Generator().manual_seed(seed)
    arm = Arm(feature_size).double()
    with torch.no_grad():
        arm.de_albino.weight.copy_(torch.randn(1, 1, 32, 32, generator=generator))
        arm.bn.weight.copy_(torch.tensor([0.5, 2.0]))
        arm.bn.bias.copy_(torch.tensor([-1.0, 0.25]))
        assert arm.bn.running_mean is not None and arm.bn.running_var is not None
        arm.bn.running_mean.copy_(torch.tensor([3.0, -2.0]))
        arm.bn.running_var.copy_(torch.tensor([900.0, 1600.0]))
        arm.alpha.fill_(0.7)
        arm.generic.copy_(torch.randn(arm.grid, arm.grid, generator=generator))
    return arm


def _features(faces: int, size: int) -> torch.Tensor:
    return torch.randn(faces, 512, size, size, generator=torch.Generator().manual_seed(9)).double()


def _arranged(features: Float64Array) -> Float64Array:
    faces, _, height, width = features.shape
    maps = np.empty((faces, 2, 16 * height, 16 * width))
    for m in range(2):
        for i in range(16):
            for j in range(16):
                maps[:, m, i::16, j::16] = features[:, m * 256 + i * 16 + j]
    return maps


def _amended(features: Float64Array, kernel: Float64Array) -> Float64Array:
    maps = _arranged(features)
    grid = (maps.shape[-1] - 32) // 8 + 1
    out = np.empty((len(maps), 2, grid, grid))
    for y in range(grid):
        for x in range(grid):
            window = maps[:, :, 8 * y : 8 * y + 32, 8 * x : 8 * x + 32]
            out[:, :, y, x] = (window * kernel).sum(axis=(2, 3))
    return out


@pytest.mark.parametrize(("feature_size", "grid"), [(3, 3), (4, 5), (7, 11)])
def test_grid_is_the_number_of_unpadded_positions(feature_size: int, grid: int) -> None:
    assert arm_grid(feature_size) == grid
    assert Arm(feature_size).generic.shape == (grid, grid)


def test_evaluation_uses_the_stored_statistics_and_the_stored_shared_part() -> None:
    arm = _arm(4).eval()
    features = _features(3, 4)

    amended = _amended(features.numpy(), arm.de_albino.weight.detach().numpy()[0, 0])
    mean, variance = np.array([3.0, -2.0]), np.array([900.0, 1600.0])
    scale = np.array([0.5, 2.0]) / np.sqrt(variance + 1e-5)
    normal = (amended - mean[:, None, None]) * scale[:, None, None]
    normal += np.array([-1.0, 0.25])[:, None, None]
    expected = normal.mean(axis=1) + 0.7 * arm.generic.numpy()

    # float64 sums of 1024 terms of size 30
    np.testing.assert_allclose(
        arm(features).detach().numpy(), expected.reshape(3, -1), rtol=0, atol=1e-11
    )


def test_training_uses_the_mean_of_the_batch_and_moves_the_stored_one_by_a_tenth() -> None:
    arm = _arm(4).train()
    before = arm.generic.numpy().copy()
    features = _features(5, 4)

    amended = _amended(features.numpy(), arm.de_albino.weight.detach().numpy()[0, 0])
    centred = amended - amended.mean(axis=(0, 2, 3), keepdims=True)
    normal = centred / np.sqrt(amended.var(axis=(0, 2, 3), keepdims=True) + 1e-5)
    normal = normal * np.array([0.5, 2.0])[:, None, None] + np.array([-1.0, 0.25])[:, None, None]
    unique = normal.mean(axis=1)
    batch_mean = unique.mean(axis=0)
    got = arm(features).detach().numpy()

    np.testing.assert_allclose(got, (unique + 0.7 * batch_mean).reshape(5, -1), rtol=0, atol=1e-11)
    np.testing.assert_allclose(
        arm.generic.numpy(), 0.9 * before + 0.1 * batch_mean, rtol=0, atol=1e-12
    )


def test_evaluation_leaves_the_stored_shared_part_alone() -> None:
    arm = _arm(4).eval()
    before = arm.generic.clone()
    arm(_features(3, 4))
    assert torch.equal(arm.generic, before)


def test_the_mean_of_the_batch_takes_part_in_the_gradient() -> None:
    arm = _arm(3).train()
    features = _features(2, 3).requires_grad_()
    arm(features)[0].sum().backward()
    assert features.grad is not None
    assert bool((features.grad[1] != 0).any()), "the second face shares in the first one's answer"


def test_alpha_starts_at_one() -> None:
    assert float(Arm(3).alpha.detach()) == 1.0
