"""Going on from a checkpoint of ours, on other faces and perhaps with other classes.

Unlike `--init`, which takes the backbone of anybody's ResNet-18, this takes the whole model: the
backbone, ARM with its stored mean, and the classifier. Classes are matched by name, because every
data set numbers them differently: a class that the checkpoint knows keeps its row of the
classifier wherever it stands now, and a new one begins with random weights.

The recipe for AffectNet: train on RAF-DB first, then go on here with `--sampler mrr` and a tenth of
the learning rate. ARM's authors never published how they fine-tuned, so this is not their stage.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from edge_arm.model.checkpoint import load_checkpoint
from edge_arm.model.fer_model import FerModel
from edge_arm.runtime.errors import CheckpointError
from edge_arm.runtime.labels import LabelSet


@dataclass(frozen=True)
class FineTuningStart:
    """What a model was started from.

    Attributes:
        sha256: hex, of the checkpoint.
        kept: classes whose row of the classifier was taken over.
        new: classes that the checkpoint does not know.
        dropped: classes that only the checkpoint knows.
    """

    sha256: str
    kept: tuple[str, ...]
    new: tuple[str, ...]
    dropped: tuple[str, ...]


def start_from_checkpoint(model: FerModel, path: Path, *, labels: LabelSet) -> FineTuningStart:
    """Give a model the weights of a trained one.

    Args:
        model: with random weights; changed in place.
        path: of the checkpoint.
        labels: what the outputs of `model` mean.

    Raises:
        CheckpointError: if the file is no checkpoint, or its model has another head or input size.
    """
    checkpoint = load_checkpoint(path)
    got, expected = checkpoint.config, model.config
    if (got.head, got.image_size) != (expected.head, expected.image_size):
        raise CheckpointError(
            f"{str(path)!r} has the head {got.head.value!r} at {got.image_size} pixels, expected "
            f"{expected.head.value!r} at {expected.image_size} to go on from it; use --head "
            f"{got.head.value} --image-size {got.image_size}, or take its backbone alone with "
            f"--init {path}"
        )
    state = dict(checkpoint.state)
    theirs = checkpoint.labels.classes
    rows = [theirs.index(name) if name in theirs else -1 for name in labels.classes]
    for name in ("fc.weight", "fc.bias"):
        value = model.state_dict()[name].clone()  # (C, features) or (C,), random
        for row, their_row in enumerate(rows):
            if their_row >= 0:
                value[row] = checkpoint.state[name][their_row]
        state[name] = value
    with torch.no_grad():
        model.load_state_dict(state)
    return FineTuningStart(
        checkpoint.sha256,
        tuple(name for name in labels.classes if name in theirs),
        tuple(name for name in labels.classes if name not in theirs),
        tuple(name for name in theirs if name not in labels.classes),
    )
