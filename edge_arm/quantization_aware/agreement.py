"""How near a rounded model is to a float one, on the same faces.

Mean Kullback-Leibler divergence is what is learned and what chooses the epoch: a thousand faces
have a handful of changed answers, which says little about an epoch, and all of them have a
divergence.

Shapes: N faces, B batch, S input size, C classes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from edge_arm.quantization_aware.network import centred
from edge_arm.runtime.preprocess import PreprocessSpec
from edge_arm.training.decoded_faces import DecodedFaces

_BATCH = 64


@dataclass(frozen=True)
class Agreement:
    """A model beside a reference.

    Attributes:
        faces: N.
        flips: faces with another answer than the reference's.
        agreement: 0..1, share of the faces with the same answer.
        mean_kl: mean of KL(reference || model) over the faces, in nats.
        accuracy: of the model, 0..1.
    """

    faces: int
    flips: int
    agreement: float
    mean_kl: float
    accuracy: float

    def to_json(self) -> dict[str, float]:
        """JSON values by name."""
        return asdict(self)


def divergence(logits: Tensor, reference: Tensor) -> Tensor:
    """KL(reference || model) of each face, the loss of the fine-tuning.

    Args:
        logits: (N, C) of the model.
        reference: (N, C) of the reference.

    Returns:
        (N,) in nats.
    """
    return F.kl_div(
        logits.log_softmax(1), reference.log_softmax(1), reduction="none", log_target=True
    ).sum(1)


def agreement(logits: Tensor, reference: Tensor, targets: npt.NDArray[np.int64]) -> Agreement:
    """The figures of a model.

    Args:
        logits: (N, C) of the model, on the CPU.
        reference: (N, C) of the reference, on the CPU.
        targets: (N,) true classes.
    """
    flips = int((logits.argmax(1) != reference.argmax(1)).sum())
    right = logits.argmax(1) == torch.from_numpy(targets)
    return Agreement(
        faces=len(logits),
        flips=flips,
        agreement=1 - flips / len(logits),
        mean_kl=float(divergence(logits.double(), reference.double()).mean()),
        accuracy=float(right.double().mean()),
    )


def logits_of(
    network: Callable[[Tensor], Tensor],
    faces: DecodedFaces,
    spec: PreprocessSpec,
    device: torch.device,
    *,
    progress: Callable[[int], None],
) -> Tensor:
    """A network's answers, without augmentation.

    Args:
        network: (B, 3, S, S) float32 pixels minus the mean to (B, C).
        faces: N of them.
        spec: the input.
        device: that the network is on.
        progress: called with the number of faces done since the last call.

    Returns:
        (N, C) float32 on the CPU.
    """
    answers = []
    with torch.inference_mode():
        for start in range(0, len(faces), _BATCH):
            images, _ = faces.batch(np.arange(start, min(start + _BATCH, len(faces))), device)
            answers.append(network(centred(images, spec)).float().cpu())
            progress(len(images))
    return torch.cat(answers)
