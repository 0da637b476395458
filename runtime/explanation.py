"""Where a drop comes from: the same faces with one source of error at a time."""

from __future__ import annotations

from dataclasses import dataclass

from edge_arm.runtime.statistics import Interval


@dataclass(frozen=True)
class DropSource:
    """One step from FP32 towards what ships.

    Attributes:
        name: such as "weights rounded".
        meaning: what was changed against FP32, in one sentence.
        flips: faces with another top-1 than FP32.
        drop: fraction of accuracy lost against FP32.
        interval: of the drop.
        mean_kl: of the probabilities from FP32's.
        num_faces: that were run.
    """

    name: str
    meaning: str
    flips: int
    drop: float
    interval: Interval
    mean_kl: float
    num_faces: int
