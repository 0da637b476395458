"""The FP32 accuracies that must not be mixed up: the paper's protocol and the model that ships.

The authors' code puts the mean of the batch where the model that ships has a stored one. Behind
the backbone everything is affine, so one can be had from the other without running anything. With
u the part of ARM that is a face's own, G what is stored, W and b the linear layer, alpha the weight
of the shared part, z the logits that ship and z' the paper's, both of one face::

    z  = W (u + alpha G) + b
    z' = W (u + alpha mean(u)) + b              mean over the faces of the batch
       = z + alpha (W mean(u) - W G)
       = z + alpha (mean(z) - b - (1 + alpha) W G)     as W mean(u) = mean(z) - b - alpha W G

So the protocol moves all faces of a batch by one vector, and three FP32 accuracies cost one run. A
test compares the formula with PyTorch running the authors' protocol.

Shapes: N faces, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
import numpy.typing as npt

from edge_arm.runtime.predictions import Predictions
from edge_arm.runtime.statistics import Interval, wilson_interval

PAPER_BATCH_SIZE = 64
"""Of the authors' evaluation script; their figures change with it."""

SHUFFLE_SEED = 0


class Protocol(Enum):
    """How FP32 was run."""

    PAPER = "paper"
    """The batch's own mean, in list order: what published figures were made with."""
    PAPER_SHUFFLED = "paper-shuffled"
    """The same over shuffled faces: shows what the order was worth."""
    DEPLOYABLE = "deployable"
    """The stored mean: one face, one answer. Drops are measured against this one."""


@dataclass(frozen=True)
class Baseline:
    """One FP32 accuracy.

    Attributes:
        protocol: how it was run.
        batch_size: faces per call; it changes the paper's figures.
        num_faces: N.
        num_right: faces answered rightly.
        interval: Wilson, around the accuracy.
    """

    protocol: Protocol
    batch_size: int
    num_faces: int
    num_right: int
    interval: Interval

    @property
    def accuracy(self) -> float:
        """Share of the faces answered rightly, 0..1."""
        return self.num_right / self.num_faces


@dataclass(frozen=True, eq=False)
class SharedPart:
    """What ARM adds to every face, as the linear layer sees it.

    Attributes:
        alpha: weight of the shared part.
        stored: (C,) float64, W G.
        bias: (C,) float64, b.
    """

    alpha: float
    stored: npt.NDArray[np.float64]
    bias: npt.NDArray[np.float64]


def fp32_baselines(
    reference: Predictions, shared: SharedPart, *, confidence: float = 0.95
) -> tuple[Baseline, ...]:
    """Accuracy of one FP32 model by each protocol.

    Args:
        reference: of the model that ships, in FP32, over the faces in list order.
        shared: of that very model.
        confidence: of the intervals, two-sided.

    Returns:
        Paper protocol, the same over shuffled faces, and the model that ships.
    """
    listed = np.arange(len(reference))
    shuffled = np.random.default_rng(SHUFFLE_SEED).permutation(len(reference))

    def baseline(protocol: Protocol, batch_size: int, num_right: int) -> Baseline:
        interval = wilson_interval(num_right, len(reference), confidence=confidence)
        return Baseline(protocol, batch_size, len(reference), num_right, interval)

    def paper(order: npt.NDArray[np.int64]) -> int:
        logits = paper_logits(reference.logits[order], shared)
        return int((logits.argmax(axis=1) == reference.targets[order]).sum())

    return (
        baseline(Protocol.PAPER, PAPER_BATCH_SIZE, paper(listed)),
        baseline(Protocol.PAPER_SHUFFLED, PAPER_BATCH_SIZE, paper(shuffled)),
        baseline(Protocol.DEPLOYABLE, reference.batch_size, int(reference.right.sum())),
    )


def paper_logits(
    logits: npt.NDArray[np.float32], shared: SharedPart, batch_size: int = PAPER_BATCH_SIZE
) -> npt.NDArray[np.float64]:
    """What the authors' code would answer: the formula of this file, batch by batch.

    Args:
        logits: (N, C) float32 of the model that ships; their order makes the batches.
        shared: of the same model.
        batch_size: faces per batch; the last one may have fewer, as in the authors' loader.

    Returns:
        (N, C) float64.
    """
    moved = logits.astype(np.float64)
    constant = shared.bias + (1.0 + shared.alpha) * shared.stored  # (C,)
    for start in range(0, len(moved), batch_size):
        batch = moved[start : start + batch_size]
        batch += shared.alpha * (batch.mean(axis=0) - constant)
    return moved
