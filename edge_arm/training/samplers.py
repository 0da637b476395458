"""Which faces an epoch shows, and in which order: all of them, or as many of each expression.

AffectNet has 134,415 happy training faces and 3,750 with contempt, but as many of each for
measuring; a model that learns the shares of the training part answers "happy" too often. Three
ways:

- natural: every face once. What RAF-DB's and SFEW's published figures were trained with.
- balanced: every expression equally often, faces drawn with replacement, as long as the set. What
  DAN's sampler (yaoing/DAN, affectnet.py: weights of one over the class's faces) does on average,
  and this one exactly.
- mrr: minimal random resampling, named in the first version of ARM's paper and never published as
  code. Each epoch draws from every expression as many faces as the rarest one has, without
  replacement, and draws anew for the next epoch. That is the description its author agreed to
  (SimKarras/Amend-Representation-Module, issue 12) and what Ada-DF's CustomDownSampler does. An
  epoch is short: 30,000 of the 287,651 faces of AffectNet with eight classes.

The order follows from (seed, epoch) alone, so every process of a training knows it without being
told, and a resumed one finds it again.

Shapes: N faces of the set, E faces of an epoch.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
import numpy.typing as npt

Int64Array = npt.NDArray[np.int64]


class Sampler(Enum):
    """How the faces of an epoch are chosen."""

    NATURAL = "natural"
    BALANCED = "balanced"
    MRR = "mrr"


@dataclass(frozen=True)
class FaceOrder:
    """The faces of every epoch of one training.

    Attributes:
        sampler: how they are chosen.
        targets: (N,) class indices; every class from 0 to the largest has a face.
        seed: of the training.
    """

    sampler: Sampler
    targets: Int64Array
    seed: int

    def __len__(self) -> int:
        """E, the same in every epoch."""
        if self.sampler is not Sampler.MRR:
            return len(self.targets)
        counts = np.bincount(self.targets)
        return int(counts.min()) * len(counts)

    def order(self, epoch: int) -> Int64Array:
        """The faces of one epoch.

        Args:
            epoch: counted from 0.

        Returns:
            (E,) positions in the set, in the order in which they are learned from.
        """
        rng = np.random.default_rng([self.seed, epoch])
        if self.sampler is Sampler.NATURAL:
            return rng.permutation(len(self.targets)).astype(np.int64)
        num_classes = int(self.targets.max()) + 1
        of_class = [np.flatnonzero(self.targets == target) for target in range(num_classes)]
        if self.sampler is Sampler.MRR:
            rarest = min(len(positions) for positions in of_class)
            drawn = [rng.choice(positions, rarest, replace=False) for positions in of_class]
        else:
            # What does not divide goes to other classes in every epoch.
            shares = np.full(num_classes, len(self.targets) // num_classes)
            shares[rng.permutation(num_classes)[: len(self.targets) % num_classes]] += 1
            drawn = [
                rng.choice(positions, share)
                for positions, share in zip(of_class, shares, strict=True)
            ]
        return rng.permutation(np.concatenate(drawn)).astype(np.int64)
