"""How a trained model is fine-tuned for INT8."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge_arm.runtime.errors import UsageError
from edge_arm.training.training_config import SMALLEST_BATCH, Device

CALIBRATION_FACES = 512
"""Training faces whose largest activations are the ranges to start with."""

RANGE_RATE = 1e-3
"""By what share a range may change in a step: Adam moves each parameter by about its rate."""


@dataclass(frozen=True)
class QatConfig:
    """Settings of a fine-tuning.

    Attributes:
        epochs: passes over the training faces.
        batch_size: at most this many faces per step.
        learning_rate: of Adam for the weights in the first step; it falls to 0 as a cosine.
        seed: of the order and the augmentation.
        device: where.
        cache: folder that keeps decoded faces; None for none.
    """

    epochs: int = 3
    batch_size: int = 64
    learning_rate: float = 1e-6
    seed: int = 0
    device: Device = Device.AUTO
    cache: Path | None = None

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise UsageError(f"got {self.epochs} epochs, expected at least 1; use --epochs 3")
        if self.batch_size < SMALLEST_BATCH:
            raise UsageError(
                f"got batch size {self.batch_size}, expected at least {SMALLEST_BATCH}; "
                "use --batch-size 64"
            )
        if not 0 < self.learning_rate < 1:
            raise UsageError(
                f"got learning rate {self.learning_rate}, expected more than 0 and less than 1; "
                "use --lr 1e-6"
            )
        if self.seed < 0:
            raise UsageError(f"got seed {self.seed}, expected 0 or more; use --seed 0")
