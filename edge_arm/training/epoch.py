"""One pass over the training faces, and one over the validation faces.

Shapes: N faces, B batch, C classes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from edge_arm.model.fer_model import FerModel
from edge_arm.runtime.preprocess import PreprocessSpec
from edge_arm.training.arithmetic import Arithmetic
from edge_arm.training.augmentation import normalised
from edge_arm.training.decoded_faces import DecodedFaces

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


def natural_order(num_faces: int, seed: int) -> EpochOrder:
    """Every face once in each epoch, in a random order.

    Args:
        num_faces: N.
        seed: of the training.
    """

    def order(epoch: int) -> npt.NDArray[np.int64]:
        return np.random.default_rng([seed, epoch]).permutation(num_faces).astype(np.int64)

    return order


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


def training_step(
    model: FerModel,
    optimizer: torch.optim.Optimizer,
    x: Tensor,
    targets: Tensor,
    *,
    arithmetic: Arithmetic,
) -> Tensor:
    """Learn from one batch.

    Args:
        model: in training mode.
        optimizer: of its parameters.
        x: (B, 3, S, S) float32, augmented and normalised.
        targets: (B,) int64.
        arithmetic: what computes.

    Returns:
        The sum of the faces' losses, on the device, so that a GPU need not be waited for.
    """
    optimizer.zero_grad(set_to_none=True)
    with arithmetic.autocast():
        logits = model(x)  # (B, C)
    loss = F.cross_entropy(logits, targets)
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return loss.detach() * len(targets)


def evaluate(
    model: FerModel, faces: DecodedFaces, spec: PreprocessSpec, arithmetic: Arithmetic
) -> Evaluation:
    """Accuracy and loss, as the model will be used: no augmentation, stored averages.

    Args:
        model: left in evaluation mode.
        faces: N of them.
        spec: the input.
        arithmetic: what computes.
    """
    model.eval()
    correct, loss_sum = 0, 0.0
    with torch.inference_mode():
        for start in range(0, len(faces), _EVALUATION_BATCH):
            positions = np.arange(start, min(start + _EVALUATION_BATCH, len(faces)))
            images, targets = faces.batch(positions, arithmetic.device)
            with arithmetic.autocast():
                logits = model(normalised(images, spec))  # (B, C)
            correct += int((logits.argmax(1) == targets).sum())
            loss_sum += float(F.cross_entropy(logits, targets, reduction="sum"))
    return Evaluation(correct / len(faces), loss_sum / len(faces))
