"""How a PyTorch model does on labelled faces, by each protocol that its head has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from edge_arm.model.checkpoint import Checkpoint
from edge_arm.model.fer_model import FerModel
from edge_arm.model.paper_protocol import shared_part_of
from edge_arm.runtime.baselines import Baseline, Protocol, fp32_baselines
from edge_arm.runtime.faces import FaceIndex
from edge_arm.runtime.manifest import Precision
from edge_arm.runtime.predictions import PredictConfig, Predictions, predict
from edge_arm.runtime.statistics import wilson_interval
from edge_arm.training.torch_backend import TorchBackend

BATCH_SIZE = 64


@dataclass(frozen=True, eq=False)
class Fp32Accuracy:
    """What a model answered, and how often that was right.

    Attributes:
        predictions: of the model that ships: stored mean, one face one answer.
        baselines: paper protocol, the same shuffled, and the model that ships; only the last one
            for a head that shares nothing.
    """

    predictions: Predictions
    baselines: tuple[Baseline, ...]


def fp32_accuracy(
    model: FerModel,
    checkpoint: Checkpoint,
    index: FaceIndex,
    *,
    device: torch.device | None = None,
    progress: Callable[[int], None] | None = None,
) -> Fp32Accuracy:
    """Run a model over some faces, in float32.

    Args:
        model: of `checkpoint`; is put into evaluation mode, and onto the device.
        checkpoint: says its input and its hash.
        index: the faces, with the model's class indices.
        device: where it runs.
        progress: called with the number of faces after each batch.

    Raises:
        DataError: if there is no face, or the classes are other ones.
        ImageError: for the first face that cannot be read.
        InferenceError: if a logit is not finite.
    """
    with TorchBackend(
        model, checkpoint.preprocess, checkpoint_sha256=checkpoint.sha256, device=device
    ) as backend:
        predictions = predict(
            backend,
            index,
            config=PredictConfig(BATCH_SIZE),
            precision=Precision.FP32,
            progress=progress,
        )
    shared = shared_part_of(model)
    if shared is not None:
        return Fp32Accuracy(predictions, fp32_baselines(predictions, shared))
    right = int(predictions.right.sum())
    only = Baseline(
        Protocol.DEPLOYABLE,
        BATCH_SIZE,
        len(predictions),
        right,
        wilson_interval(right, len(predictions)),
    )
    return Fp32Accuracy(predictions, (only,))
