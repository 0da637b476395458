"""How an epoch is cut into steps, and how it is judged.

Shapes: N faces, B batch, C classes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from edge_arm.model.fer_model import FerModel
from edge_arm.runtime.preprocess import PreprocessSpec
from edge_arm.training.arithmetic import Arithmetic
from edge_arm.training.augmentation import normalised
from edge_arm.training.distributed import World
from edge_arm.training.feed import Feed

_EVALUATION_BATCH = 64

EpochOrder = Callable[[int], npt.NDArray[np.int64]]
"""From an epoch, counted from 0, to the positions of its faces in the order of training. The same
epoch always gives the same answer, and every epoch as many faces."""


@dataclass(frozen=True)
class Evaluation:
    """How well a model does on some faces.

    Attributes:
        accuracy: 0..1.
        loss: mean cross-entropy.
    """

    accuracy: float
    loss: float


def batches_of_epoch(order: npt.NDArray[np.int64], batch_size: int) -> list[npt.NDArray[np.int64]]:
    """The faces of each step of an epoch.

    The batches are as equal as possible instead of full ones and a rest: a rest of one face
    would stop BatchNorm and be its own "shared" part in ARM.

    Args:
        order: positions of the faces, as the epoch sees them.
        batch_size: at most this many per step.

    Returns:
        Positions of the faces, step by step.
    """
    return np.array_split(order, -(-len(order) // batch_size))


def evaluate(
    model: FerModel, feed: Feed, spec: PreprocessSpec, arithmetic: Arithmetic, *, world: World
) -> Evaluation:
    """Accuracy and loss, as the model will be used: no augmentation, stored averages.

    Every process takes its part of the faces; all get the same answer.

    Args:
        model: left in evaluation mode.
        feed: of N faces.
        spec: the input.
        arithmetic: what computes.
        world: the processes.
    """
    model.eval()
    faces = len(feed.faces)
    mine = np.arange(faces)[world.part(faces)]
    steps = [mine[at : at + _EVALUATION_BATCH] for at in range(0, len(mine), _EVALUATION_BATCH)]
    # Added up on the device: to look at a number in between is to wait for a GPU.
    correct, loss_sum = torch.zeros(2, dtype=torch.float64, device=arithmetic.device)
    with torch.inference_mode():
        for images, targets in feed.batches(steps):
            with arithmetic.autocast():
                logits = model(normalised(images, spec))  # (B, C)
            correct += (logits.argmax(1) == targets).sum()
            loss_sum += F.cross_entropy(logits, targets, reduction="sum")
    right, loss = world.summed([float(correct), float(loss_sum)])
    return Evaluation(right / faces, loss / faces)
