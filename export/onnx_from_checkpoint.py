"""The one door from PyTorch: reads a checkpoint and hands on plain arrays and reference logits.

Nothing else in this room imports torch, so the graph is written from what the checkpoint says and
compared with what PyTorch computes, and the two share no code but the folding of the head.

Shapes: N faces, S model input size, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from edge_arm.export.weights import ModelWeights
from edge_arm.model.checkpoint import load_checkpoint, model_from_checkpoint
from edge_arm.model.config import EXPORTABLE_HEADS
from edge_arm.model.fer_model import FerModel
from edge_arm.model.fold import folded_head
from edge_arm.runtime.backend import Float32Array
from edge_arm.runtime.errors import ExportError
from edge_arm.runtime.preprocess import Uint8Array
from edge_arm.runtime.trained_ranges import TrainedRanges


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """A checkpoint, ready to be exported.

    Attributes:
        weights: what the graph is written from.
        source: JSON values for the manifest: where the weights come from.
        ranges: for INT8, if the training chose them.
        network: in evaluation mode, float32, on the CPU.
    """

    weights: ModelWeights
    source: dict[str, Any]
    ranges: TrainedRanges | None
    network: FerModel

    def logits(self, images_nhwc: Uint8Array) -> Float32Array:
        """What PyTorch computes in float32, the reference for every file that is written.

        The normalisation is the textbook one, ``(x / 255 - mean) / std``, not the graph's.

        Args:
            images_nhwc: (N, S, S, 3) uint8 RGB.

        Returns:
            (N, C) float32.
        """
        spec = self.weights.preprocess
        x = torch.from_numpy(images_nhwc).permute(0, 3, 1, 2).float() / 255.0  # (N, 3, S, S)
        x = (x - torch.tensor(spec.mean).view(1, 3, 1, 1)) / torch.tensor(spec.std).view(1, 3, 1, 1)
        with torch.inference_mode():
            return np.asarray(self.network(x).numpy(), np.float32)


def trained_model_from_checkpoint(path: Path) -> TrainedModel:
    """Read a checkpoint for the export.

    Args:
        path: written by 'edge-arm train'.

    Raises:
        CheckpointError: if it is missing, or not a checkpoint of this model.
        ExportError: if its head is one of the ablation.
    """
    checkpoint = load_checkpoint(path)
    if checkpoint.config.head not in EXPORTABLE_HEADS:
        raise ExportError(
            f"{str(path)!r} has the head {checkpoint.config.head.value!r}, a part of ARM for the "
            f"ablation, expected one of {', '.join(head.value for head in EXPORTABLE_HEADS)}; "
            "train a model to ship with 'edge-arm train --head arm'"
        )
    network = model_from_checkpoint(checkpoint)
    head = folded_head(network)
    weights = ModelWeights(
        state={name: value.numpy() for name, value in network.state_dict().items()},
        folded_weight=head.weight,
        folded_bias=head.bias,
        labels=checkpoint.labels,
        preprocess=checkpoint.preprocess,
        checkpoint_sha256=checkpoint.sha256,
    )
    source = {
        "checkpoint_sha256": checkpoint.sha256,
        "head": checkpoint.config.head.value,
        "metrics": checkpoint.metrics,
        "data": checkpoint.data,
        "versions": checkpoint.versions,
    }
    return TrainedModel(weights, source, checkpoint.ranges, network)
