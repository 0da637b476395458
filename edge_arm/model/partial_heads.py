"""ARM in parts, for the ablation: what each of them is worth without the others.

The paper removes parts and leaves open what stands in their place, so each head here keeps what
its part is about and nothing else:

- de-albino alone: the 512 maps are not arranged. One kernel as large as a map, shared by all of
  them, weighs the positions where pooling takes them alike; BatchNorm follows as in ARM.
- arrangement and de-albino: ARM up to what is particular to a face; nothing is shared.
- sharing affinity alone: pooled features, to which alpha times their mean over the batch is added.
  At inference the stored average stands for it, so trained weights could do the same without it:
  what it changes is the training.

Only ARM and pooling are exported; these are for tables.

Shapes: N batch, h features' size, g grid of ARM.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edge_arm.model.arm import KERNEL, MAPS, MOMENTUM, STRIDE, UPSCALE, arm_grid, mean_of_batch
from edge_arm.model.config import FEATURE_CHANNELS, Head


class DeAlbino(nn.Module):
    """Weighs the positions of every map with one kernel.

    Args:
        feature_size: h.

    Attributes:
        outputs: features per face.
    """

    def __init__(self, feature_size: int) -> None:
        super().__init__()
        self.outputs = FEATURE_CHANNELS
        self.de_albino = nn.Conv2d(1, 1, feature_size, bias=False)
        self.bn = nn.BatchNorm2d(FEATURE_CHANNELS)

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, 512, h, h) to (N, 512)."""
        kernel = self.de_albino.weight[0]  # (1, h, h)
        weighed = (features * kernel).sum(dim=(2, 3), keepdim=True)  # (N, 512, 1, 1)
        normalised: Tensor = self.bn(weighed)
        return normalised.flatten(1)


class ArrangedDeAlbino(nn.Module):
    """ARM without its sharing.

    Args:
        feature_size: h.

    Attributes:
        outputs: features per face, g * g.
    """

    def __init__(self, feature_size: int) -> None:
        super().__init__()
        self.grid = arm_grid(feature_size)
        self.outputs = self.grid**2
        self.de_albino = nn.Conv2d(1, 1, KERNEL, stride=STRIDE, bias=False)
        self.bn = nn.BatchNorm2d(MAPS)

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, 512, h, h) to (N, g * g)."""
        arranged = F.pixel_shuffle(features, UPSCALE)  # (N, 2, 16h, 16h)
        side = arranged.shape[-1]
        # Both maps as faces of one channel, see Arm.unique.
        amended = F.conv2d(
            arranged.reshape(-1, 1, side, side), self.de_albino.weight, stride=STRIDE
        )  # (2N, 1, g, g)
        normalised: Tensor = self.bn(amended.reshape(-1, MAPS, self.grid, self.grid))
        return normalised.mean(dim=1).flatten(1)


class SharedPooling(nn.Module):
    """Average pooling with sharing affinity.

    Attributes:
        outputs: features per face.
        batch_mean: how a training batch's mean is taken, see `Arm`.
    """

    generic: Tensor
    batch_mean: Callable[[Tensor], Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.outputs = FEATURE_CHANNELS
        self.batch_mean = mean_of_batch
        self.alpha = nn.Parameter(torch.ones(()))
        self.register_buffer("generic", torch.zeros(FEATURE_CHANNELS))

    def unique(self, features: Tensor) -> Tensor:
        """What is particular to each face: (N, 512, h, h) to (N, 512)."""
        return features.mean(dim=(2, 3))

    def share(self, unique: Tensor, generic: Tensor) -> Tensor:
        """Add what faces have in common, (512,), to what is particular, (N, 512)."""
        return unique + self.alpha * generic

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, 512, h, h) to (N, 512); training and evaluation differ as in `Arm.forward`."""
        unique = self.unique(features)
        if not self.training:
            return self.share(unique, self.generic)
        batch_mean = self.batch_mean(unique)
        with torch.no_grad():
            self.generic.lerp_(batch_mean.detach().to(self.generic.dtype), MOMENTUM)
        return self.share(unique, batch_mean)


PartialHead = DeAlbino | ArrangedDeAlbino | SharedPooling


def partial_head(head: Head, feature_size: int) -> PartialHead | None:
    """The module of a head that is a part of ARM; None for ARM and pooling.

    Args:
        head: which.
        feature_size: h.
    """
    if head is Head.DA:
        return DeAlbino(feature_size)
    if head is Head.FA_DA:
        return ArrangedDeAlbino(feature_size)
    return SharedPooling() if head is Head.SA else None
