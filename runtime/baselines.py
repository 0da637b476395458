"""The FP32 accuracies that must not be mixed up: the paper's protocol and the model that ships.

Shapes: N faces.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from edge_arm.runtime.statistics import Interval


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
