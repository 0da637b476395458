"""The amend representation module (ARM), with an answer that does not depend on the batch.

Padding makes a CNN's features fade towards the borders ("albino" features). ARM rearranges them
into two large maps, weighs them with one big unpadded kernel, and adds what all faces share.

The authors' code takes "what all faces share" from the batch at inference too, so that the answer
for one face changes with its neighbours. Here it is an exponential moving average, stored while
training like BatchNorm's statistics and used as it is at inference.

Shapes: N batch, h features' size, g = (16h - 32) / 8 + 1.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edge_arm.model.config import FEATURE_CHANNELS

UPSCALE = 16
"""Factor of the feature arrangement: 512 channels become 512 / 16^2 = 2 maps, 16 times as large."""
MAPS = FEATURE_CHANNELS // UPSCALE**2
KERNEL = 32
STRIDE = 8
MOMENTUM = 0.1
"""Share of the newest batch in the moving average; BatchNorm's default."""


def arm_grid(feature_size: int) -> int:
    """g: positions of the unpadded kernel along one side of the arranged features.

    Args:
        feature_size: h.
    """
    return (UPSCALE * feature_size - KERNEL) // STRIDE + 1


def mean_of_batch(unique: Tensor) -> Tensor:
    """What the faces of a batch share, (g, g), from what is particular to each, (N, g, g)."""
    return unique.mean(dim=0)


class Arm(nn.Module):
    """Feature arrangement, de-albino and sharing affinity.

    The buffer `generic` stays float32 whatever autocast does to the features, because an average
    over thousands of batches in bfloat16 stops moving.

    Args:
        feature_size: h.

    Attributes:
        batch_mean: how a training batch's mean is taken; over all processes, where there are
            several (global_statistics.py).
    """

    generic: Tensor
    batch_mean: Callable[[Tensor], Tensor]

    def __init__(self, feature_size: int) -> None:
        super().__init__()
        self.grid = arm_grid(feature_size)
        self.batch_mean = mean_of_batch
        self.arrangement = nn.PixelShuffle(UPSCALE)
        self.de_albino = nn.Conv2d(1, 1, KERNEL, stride=STRIDE, bias=False)
        self.bn = nn.BatchNorm2d(MAPS)
        self.alpha = nn.Parameter(torch.ones(()))
        self.register_buffer("generic", torch.zeros(self.grid, self.grid))

    def unique(self, features: Tensor) -> Tensor:
        """What is particular to each face.

        Args:
            features: (N, 512, h, h).

        Returns:
            (N, g, g).
        """
        arranged = self.arrangement(features)  # (N, 2, 16h, 16h)
        side = arranged.shape[-1]
        # One kernel for both maps: as two faces of one channel, which the CPU does three times
        # faster than a grouped convolution over two.
        amended = F.conv2d(
            arranged.reshape(-1, 1, side, side), self.de_albino.weight, stride=STRIDE
        )  # (2N, 1, g, g)
        normalised: Tensor = self.bn(amended.reshape(-1, MAPS, self.grid, self.grid))
        return normalised.mean(dim=1)

    def share(self, unique: Tensor, generic: Tensor) -> Tensor:
        """Add what faces have in common to what is particular.

        Args:
            unique: (N, g, g).
            generic: (g, g).

        Returns:
            (N, g * g).
        """
        return (unique + self.alpha * generic).flatten(1)

    def forward(self, features: Tensor) -> Tensor:
        """Amended representation.

        Training uses the mean of the batch and moves the stored average; evaluation uses the
        stored average.

        Args:
            features: (N, 512, h, h).

        Returns:
            (N, g * g).
        """
        unique = self.unique(features)
        if not self.training:
            return self.share(unique, self.generic)
        batch_mean = self.batch_mean(unique)
        with torch.no_grad():
            self.generic.lerp_(batch_mean.detach().to(self.generic.dtype), MOMENTUM)
        return self.share(unique, batch_mean)
