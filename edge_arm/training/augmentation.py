"""Training pictures are changed a little every time they are seen, a whole batch at once.

As the paper's authors do it: with probability 1/2 one of {flip, Gaussian noise of variance 30 on
the 0..255 scale}, then normalisation, then with probability 1/2 a random rectangle of 2 to 10 per
cent of the area is set to the mean (Zhong et al. 2017; aspect 0.3 to 3.3).

Everything random comes from (seed, epoch, batch), so that a training resumed in the middle sees
the same pictures.

Shapes: B batch, S input size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from edge_arm.runtime.preprocess import PreprocessSpec

CHANGE_PROBABILITY = 0.5
NOISE_VARIANCE = 30.0
ERASE_PROBABILITY = 0.5
ERASE_AREA = (0.02, 0.1)
ERASE_ASPECT = (0.3, 3.3)


@dataclass(frozen=True)
class BatchSeed:
    """Which batch of which training; decides everything random about it."""

    seed: int
    epoch: int
    batch: int

    def numpy_generator(self) -> np.random.Generator:
        """For what is drawn per face."""
        return np.random.default_rng([self.seed, self.epoch, self.batch])

    def torch_generator(self, device: torch.device) -> torch.Generator:
        """For what is drawn per pixel, on the device that computes."""
        drawn = self.numpy_generator().spawn(1)[0].integers(2**63 - 1)
        return torch.Generator(device).manual_seed(int(drawn))


def normalised(images_nchw: Tensor, spec: PreprocessSpec) -> Tensor:
    """Pixels as the backbone takes them; the exported graph computes the same.

    Args:
        images_nchw: (B, 3, S, S), uint8 or float on the 0..255 scale.
        spec: mean and standard deviation.

    Returns:
        (B, 3, S, S) float32.
    """
    device = images_nchw.device
    mean = torch.tensor(spec.mean, device=device)[:, None, None] * 255
    std = torch.tensor(spec.std, device=device)[:, None, None] * 255
    return (images_nchw.float() - mean) / std


def augmented(images_nchw: Tensor, spec: PreprocessSpec, batch_seed: BatchSeed) -> Tensor:
    """A training batch, changed at random and normalised.

    Args:
        images_nchw: (B, 3, S, S) uint8; left as it is.
        spec: mean and standard deviation.
        batch_seed: decides every change.

    Returns:
        (B, 3, S, S) float32 in the memory order of the input.
    """
    draw = batch_seed.numpy_generator()
    count, device = len(images_nchw), images_nchw.device
    changes = draw.random(count) < CHANGE_PROBABILITY
    flips = draw.random(count) < 0.5
    x = images_nchw.float()
    flipped = torch.from_numpy(np.flatnonzero(changes & flips)).to(device)
    x[flipped] = x[flipped].flip(3)
    noisy = torch.from_numpy(np.flatnonzero(changes & ~flips)).to(device)
    x[noisy] = _with_noise(x[noisy], batch_seed)
    erased = _rectangles(count, int(x.shape[-1]), draw).to(device)
    return normalised(x, spec).masked_fill_(erased, 0.0)


def _with_noise(x: Tensor, batch_seed: BatchSeed) -> Tensor:
    generator = batch_seed.torch_generator(x.device)
    noise = torch.randn(x.shape, generator=generator, device=x.device)
    return (x + noise * math.sqrt(NOISE_VARIANCE)).clamp_(0, 255)


def _rectangles(count: int, size: int, draw: np.random.Generator) -> Tensor:
    """What is erased of each face, as (B, 1, S, S) bool.

    The largest rectangle has sqrt(0.1 * 3.3) of the side, so each fits and none is drawn twice.
    """
    erases = draw.random(count) < ERASE_PROBABILITY
    area = draw.uniform(*ERASE_AREA, count) * size**2
    aspect = np.exp(draw.uniform(math.log(ERASE_ASPECT[0]), math.log(ERASE_ASPECT[1]), count))
    height = np.rint(np.sqrt(area * aspect)).astype(np.int64).clip(1, size)
    width = np.rint(np.sqrt(area / aspect)).astype(np.int64).clip(1, size)
    top = draw.integers(0, size - height + 1)
    left = draw.integers(0, size - width + 1)
    line = np.arange(size)
    rows = (line >= top[:, None]) & (line < (top + height)[:, None]) & erases[:, None]  # (B, S)
    columns = (line >= left[:, None]) & (line < (left + width)[:, None])  # (B, S)
    return torch.from_numpy(rows[:, None, :, None] & columns[:, None, None, :])
