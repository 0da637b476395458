"""Training pictures are changed a little every time they are seen, a whole batch at once.

As the paper's authors do it: with probability 1/2 one of {flip, Gaussian noise of variance 30 on
the 0..255 scale}, then normalisation, then with probability 1/2 a random rectangle of 2 to 10 per
cent of the area is set to the mean (Zhong et al. 2017; aspect 0.3 to 3.3).

Everything random about a face follows from (seed, epoch, its place in the epoch). So a training
resumed in the middle sees the same pictures, and so does one whose batches are cut up among
several processes.

Noise is not drawn anew for each pixel, which costs three times as much: a noisy face gets a
stretch of one long table of normal deviates, from a random start among four million. Within a face
they are independent; two faces whose stretches overlap are no closer for that.

Nothing here waits for a GPU: what is copied to it is small and goes in the stream.

Shapes: B batch, S input size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from edge_arm.runtime.preprocess import PreprocessSpec

CHANGE_PROBABILITY = 0.5
NOISE_VARIANCE = 30.0
ERASE_PROBABILITY = 0.5
ERASE_AREA = (0.02, 0.1)
ERASE_ASPECT = (0.3, 3.3)

_NOISE_STARTS = 1 << 22
_DRAWS = 8
"""Per face: whether changed, how, start of the noise, whether erased, and four of a rectangle."""


@dataclass(frozen=True)
class Places:
    """Which faces of which epoch a batch holds; decides everything random about them.

    Attributes:
        seed: of the training.
        epoch: counted from 0.
        places: (B,) int64, counted over the whole epoch and over all processes.
    """

    seed: int
    epoch: int
    places: npt.NDArray[np.int64]

    def uniforms(self) -> npt.NDArray[np.float64]:
        """Numbers from 0 to 1, the same for a place whatever else is in the batch.

        SplitMix64 (Steele, Lea and Flood 2014), whose n-th output needs no earlier one:
        mix(key + n * golden ratio).

        Returns:
            (B, 8) float64, in [0, 1).
        """
        key = np.uint64(
            np.random.SeedSequence([self.seed, self.epoch]).generate_state(1, np.uint64)[0]
        )
        numbers: npt.NDArray[np.uint64] = np.arange(1, _DRAWS + 1, dtype=np.uint64)
        n = self.places.astype(np.uint64)[:, None] * np.uint64(_DRAWS) + numbers  # (B, 8)
        z = n * np.uint64(0x9E3779B97F4A7C15) + key  # wraps around, as it should
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
        top: npt.NDArray[np.float64] = (z >> np.uint64(11)).astype(np.float64)
        return top * 2.0**-53


def normalised(images_nchw: Tensor, spec: PreprocessSpec) -> Tensor:
    """Pixels as the backbone takes them; the exported graph computes the same.

    Args:
        images_nchw: (B, 3, S, S), uint8 or float on the 0..255 scale; left as it is.
        spec: mean and standard deviation.

    Returns:
        (B, 3, S, S) float32.
    """
    mean, std = (_per_channel(value, images_nchw.device) for value in (spec.mean, spec.std))
    return images_nchw.float().sub(mean).div_(std)


def augmented(images_nchw: Tensor, spec: PreprocessSpec, places: Places) -> Tensor:
    """A training batch, changed at random and normalised.

    Args:
        images_nchw: (B, 3, S, S) uint8; left as it is.
        spec: mean and standard deviation.
        places: of these faces; decide every change.

    Returns:
        (B, 3, S, S) float32 in the memory order of the input.
    """
    device, size = images_nchw.device, int(images_nchw.shape[-1])
    draws = places.uniforms()
    changes, flips = draws[:, 0] < CHANGE_PROBABILITY, draws[:, 1] < 0.5
    x = images_nchw.float()
    flipped = _to(np.flatnonzero(changes & flips), device)
    x[flipped] = x[flipped].flip(3)
    noisy = np.flatnonzero(changes & ~flips)
    starts = (draws[noisy, 2] * _NOISE_STARTS).astype(np.int64)
    where = _to(noisy, device)
    x[where] = (x[where] + _noise(starts, size, device)).clamp_(0, 255)
    mean, std = (_per_channel(value, device) for value in (spec.mean, spec.std))
    return x.sub_(mean).div_(std).masked_fill_(_erased(draws[:, 3:], size, device), 0.0)


def _noise(starts: npt.NDArray[np.int64], size: int, device: torch.device) -> Tensor:
    """Noise for some faces, (len(starts), 3, S, S)."""
    length = 3 * size * size
    table = _noise_table(_NOISE_STARTS + length, device)
    stretches = table.as_strided((_NOISE_STARTS, length), (1, 1))[_to(starts, device)]
    # Pixel by pixel, as the faces lie in memory.
    return stretches.view(-1, size, size, 3).permute(0, 3, 1, 2)


@lru_cache(maxsize=1)
def _noise_table(length: int, device: torch.device) -> Tensor:
    drawn = np.random.default_rng(0).standard_normal(length, dtype=np.float32)
    return torch.from_numpy(drawn * np.float32(math.sqrt(NOISE_VARIANCE))).to(device)


def _erased(draws: npt.NDArray[np.float64], size: int, device: torch.device) -> Tensor:
    """What is erased of each face, as (B, 1, S, S) bool.

    The largest rectangle has sqrt(0.1 * 3.3) of the side, so each fits and none is drawn twice.

    Args:
        draws: (B, 5) from 0 to 1.
        size: S.
        device: where the faces are.
    """
    area = (ERASE_AREA[0] + draws[:, 1] * (ERASE_AREA[1] - ERASE_AREA[0])) * size**2
    low, high = (math.log(limit) for limit in ERASE_ASPECT)
    aspect = np.exp(low + draws[:, 2] * (high - low))
    height = np.rint(np.sqrt(area * aspect)).astype(np.int64).clip(1, size)
    width = np.rint(np.sqrt(area / aspect)).astype(np.int64).clip(1, size)
    top = (draws[:, 3] * (size - height + 1)).astype(np.int64)
    left = (draws[:, 4] * (size - width + 1)).astype(np.int64)
    height[draws[:, 0] >= ERASE_PROBABILITY] = 0
    edges = _to(np.stack([top, top + height, left, left + width]), device)[:, :, None]  # (4, B, 1)
    line = torch.arange(size, device=device)
    rows = (line >= edges[0]) & (line < edges[1])  # (B, S)
    columns = (line >= edges[2]) & (line < edges[3])  # (B, S)
    return rows[:, None, :, None] & columns[:, None, None, :]


def _per_channel(value: tuple[float, float, float], device: torch.device) -> Tensor:
    """(3, 1, 1) float32 on the 0..255 scale."""
    return (torch.tensor(value)[:, None, None] * 255).to(device, non_blocking=True)


def _to(array: npt.NDArray[np.int64], device: torch.device) -> Tensor:
    # A blocking copy would wait for every step that the GPU still has to do.
    return torch.from_numpy(array).to(device, non_blocking=True)
