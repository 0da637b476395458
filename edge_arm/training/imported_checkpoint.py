"""The stage: a model of ARM's authors in, a checkpoint of ours out.

Their model takes what all faces share from the batch that it is given; ours has it stored. What
batches of many faces would give is the mean of what is particular to each, over all faces::

    generic = 1/N sum_n unique(x_n)         in evaluation mode, so BatchNorm's statistics are stored

It is estimated from training faces, without augmentation. A face's share in the error is its own
deviation, so the logits are uncertain by alpha * std_n(W unique(x_n)) / sqrt(N), which is measured
in the same pass.

Shapes: N faces, B batch, C classes, g grid of ARM.
"""

from __future__ import annotations

import platform
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
import torch

from edge_arm import __version__
from edge_arm.model.arm import Arm
from edge_arm.model.authors_checkpoint import GENERIC, AuthorsModel
from edge_arm.model.checkpoint import Checkpoint, model_from_checkpoint
from edge_arm.model.fer_model import FerModel
from edge_arm.runtime.batches import face_batches
from edge_arm.runtime.errors import UsageError
from edge_arm.runtime.faces import FaceIndex
from edge_arm.runtime.labels import RAFDB, LabelSet, canonical_name
from edge_arm.runtime.preprocess import PreprocessSpec
from edge_arm.training.augmentation import normalised

BATCH_SIZE = 64


@dataclass(frozen=True)
class GenericEstimate:
    """The shared part of a model, from faces.

    Attributes:
        num_faces: N.
        accuracy: 0..1 on these faces with the estimate in place; they were trained on.
        logit_error: standard error that the estimate leaves in a logit, the largest of C.
    """

    num_faces: int
    accuracy: float
    logit_error: float


def labels_of_import(num_classes: int, classes: tuple[str, ...] | None) -> LabelSet:
    """What the outputs of an imported model mean.

    Args:
        num_classes: C.
        classes: as the user named them, in the order of the outputs; RAF-DB's, which is that of
            the authors' public code, if None and C is 7.

    Raises:
        UsageError: if their number is not C, or nothing was named and C is not 7.
        DataError: if one is named twice.
    """
    if classes is None:
        if num_classes == len(RAFDB):
            return RAFDB
        raise UsageError(
            f"got a model with {num_classes} classes, expected --classes to name them in the order "
            f"of its outputs, as in --classes {','.join(RAFDB.classes)}"
        )
    if len(classes) != num_classes:
        raise UsageError(
            f"got --classes with {len(classes)} names, expected {num_classes}, one for each output "
            "of the model in its order"
        )
    return LabelSet("imported", tuple(canonical_name(name) for name in classes))


def checkpoint_from_authors(
    authors: AuthorsModel,
    labels: LabelSet,
    faces: FaceIndex,
    *,
    source: dict[str, Any],
    progress: Callable[[int], None] | None = None,
) -> tuple[Checkpoint, GenericEstimate]:
    """Give their model its shared part.

    Args:
        authors: their weights.
        labels: of its outputs.
        faces: training faces, with the class indices of `labels`; for a model without ARM they
            only tell its accuracy.
        source: JSON values that say where the weights come from.
        progress: called with the number of faces after each batch.

    Returns:
        The checkpoint, not written yet, and what the faces told.

    Raises:
        ImageError: for the first face that cannot be read.
    """
    spec = PreprocessSpec(size=authors.config.image_size)
    data = {"name": faces.name, "train_faces": len(faces), "train_sha256": faces.sha256}
    versions = {
        "edge-arm": __version__,
        "torch": str(torch.__version__),
        "numpy": version("numpy"),
        "python": platform.python_version(),
    }
    checkpoint = Checkpoint(
        authors.config, labels, spec, dict(source), data, versions, state=dict(authors.state)
    )
    model = model_from_checkpoint(checkpoint)
    estimate = _estimate_generic(model, faces, spec, progress)
    if model.arm is not None:
        checkpoint.state[GENERIC] = model.arm.generic.detach().clone()
    checkpoint.metrics.update(
        generic_faces=estimate.num_faces if model.arm is not None else 0,
        generic_logit_error=estimate.logit_error,
        train_accuracy=estimate.accuracy,
    )
    return checkpoint, estimate


def _estimate_generic(
    model: FerModel, faces: FaceIndex, spec: PreprocessSpec, progress: Callable[[int], None] | None
) -> GenericEstimate:
    """Move the model's stored shared part to the mean over some faces."""
    arm = model.arm
    own: list[torch.Tensor] = []  # W unique of each face, (B, C) float64
    total = torch.zeros(()) if arm is None else torch.zeros(arm.grid, arm.grid).double()
    weight = model.fc.weight.detach().double()
    for batch in face_batches(faces, spec, BATCH_SIZE):
        with torch.inference_mode():
            images = torch.from_numpy(batch.images_nhwc).permute(0, 3, 1, 2)
            features = model.backbone(normalised(images, spec))
            unique = _unique(arm, features).double()
            own.append(unique.flatten(1) @ weight.T)
            if arm is not None:
                total += unique.sum(dim=0)
        if progress is not None:
            progress(len(batch.sha256s))
    logits = torch.cat(own)  # (N, C), without the shared part
    alpha = 0.0
    with torch.no_grad():
        shared = model.fc.bias.detach().double()
        if arm is not None:
            arm.generic.copy_(total / len(faces))
            alpha = float(arm.alpha)
            shared = shared + alpha * weight @ arm.generic.double().flatten()
    right = (logits + shared).argmax(dim=1).numpy() == faces.targets
    deviation = float(logits.std(dim=0).max()) if len(faces) > 1 else 0.0
    error = abs(alpha) * deviation / float(np.sqrt(len(faces)))
    return GenericEstimate(len(faces), float(right.mean()), error)


def _unique(arm: Arm | None, features: torch.Tensor) -> torch.Tensor:
    return features.mean(dim=(2, 3)) if arm is None else arm.unique(features)
