"""How a model is trained: the paper's authors' recipe, as the defaults."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from edge_arm.model.config import Head
from edge_arm.runtime.errors import UsageError
from edge_arm.training.samplers import Sampler

SMALLEST_BATCH = 4
"""Below this, cutting an epoch into equal batches could leave a face alone in one, and the batch
mean of ARM (and a BatchNorm on small features) would be that face."""


class Device(Enum):
    """Where the arithmetic runs."""

    AUTO = "auto"
    """A GPU if PyTorch sees one, the CPU otherwise; which one it was is logged."""
    CPU = "cpu"
    CUDA = "cuda"


def first_learning_rate(init_checkpoint: Path | None) -> float:
    """What the learning rate is in the first epoch, unless somebody asks for another one.

    Args:
        init_checkpoint: what the training goes on from: a trained model takes smaller steps. A
            tenth is what DAN's recipe for AffectNet takes; ARM's own was never published.
    """
    return 1e-3 if init_checkpoint is None else 1e-4


@dataclass(frozen=True)
class TrainingConfig:
    """Settings of a training.

    Attributes:
        epochs: passes over the training faces.
        batch_size: at most this many faces per step.
        image_size: S, pixels.
        head: of the model.
        learning_rate: of Adam in the first epoch.
        learning_rate_decay: factor per epoch.
        weight_decay: of Adam (added to the gradient, as in the paper, not AdamW's).
        sampler: which faces an epoch shows.
        seed: of the weights, the order and the augmentation.
        init: file with pre-trained weights, or None for random ones.
        init_checkpoint: checkpoint of an earlier training that this one goes on from, its
            classifier included (fine_tuning.py), or None.
        resume: go on from the state that an interrupted training left, if there is one.
        device: where.
        cache: folder that decoded faces are kept in for the next training, or None.
    """

    epochs: int = 70
    batch_size: int = 256
    image_size: int = 224
    head: Head = Head.ARM
    learning_rate: float = 1e-3
    learning_rate_decay: float = 0.9
    weight_decay: float = 1e-4
    sampler: Sampler = Sampler.NATURAL
    seed: int = 0
    init: Path | None = None
    init_checkpoint: Path | None = None
    resume: bool = False
    device: Device = Device.AUTO
    cache: Path | None = None

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise UsageError(f"got {self.epochs} epochs, expected at least 1; use --epochs 70")
        if self.batch_size < SMALLEST_BATCH:
            raise UsageError(
                f"got batch size {self.batch_size}, expected at least {SMALLEST_BATCH} "
                "(batch statistics of fewer faces mean nothing); use --batch-size 64"
            )
        if not 0 < self.learning_rate < 1:
            raise UsageError(
                f"got learning rate {self.learning_rate}, expected more than 0 and less than 1; "
                "use --lr 1e-3"
            )
        if not 0 < self.learning_rate_decay <= 1 or not 0 <= self.weight_decay < 1:
            raise UsageError(
                f"got learning rate decay {self.learning_rate_decay} and weight decay "
                f"{self.weight_decay}, expected 0 < decay <= 1 and 0 <= weight decay < 1; "
                "use 0.9 and 1e-4"
            )
        if self.seed < 0:
            raise UsageError(f"got seed {self.seed}, expected 0 or more; use --seed 0")
        if self.init is not None and self.init_checkpoint is not None:
            raise UsageError(
                "got both --init and --init-checkpoint, expected one file to start from; the first "
                "takes the backbone of anybody's ResNet-18, the second goes on from a checkpoint "
                "of 'edge-arm train'"
            )

    def learning_rate_in(self, epoch: int) -> float:
        """The learning rate of an epoch.

        Args:
            epoch: counted from 0.
        """
        return self.learning_rate * self.learning_rate_decay**epoch
