"""A model of ARM's authors, or of people who use their code, as one of ours.

Their training saves ``{"iter", "model_state_dict", "optimizer_state_dict"}`` with these names::

    features.{0,1,4,5,6,7}.*                    ResNet-18 as a numbered sequence
    arm.de_albino.weight (1, 1, 32, 32)         arm.bn.*   2 maps     arm.alpha (1,)
    fc.weight (C, g * g), fc.bias (C,)          g = 11 for their 224 pixels

Theirs has no stored shared part, because it takes the mean of whatever batch it is given; ours
needs one, which is estimated from faces (imported_checkpoint.py). Their plain ResNet-18, the
baseline of the paper, has no ``arm`` and fc.weight (C, 512). A name that is not understood is an
error: a model with a weight left out would be another model.

Shapes: C classes, h features' size, g grid of ARM.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from edge_arm.model.config import FEATURE_CHANNELS, Head, ModelConfig
from edge_arm.model.fer_model import FerModel
from edge_arm.model.weights_file import our_name, tensors_from_file
from edge_arm.runtime.errors import CheckpointError, UsageError

GENERIC = "arm.generic"
_COUNTER = "num_batches_tracked"
_POOL_SIZE = 224
"""Pixels; plain ResNet-18 fits any size, and this is the one that they trained with."""
_EXPECTED = (
    "expected a checkpoint of ARM's authors (a state dict, alone or under 'model_state_dict'); "
    "name another file"
)


@dataclass(frozen=True)
class AuthorsModel:
    """Their weights under our names.

    Attributes:
        config: shape of the model; its size follows from the classifier.
        state: float32 tensors of every name that our model has, the shared part as zeros.
    """

    config: ModelConfig
    state: dict[str, Tensor]


def authors_model_from_file(path: Path) -> AuthorsModel:
    """Read their checkpoint.

    Args:
        path: `.pth` of PyTorch, read without running code from it, or safetensors.

    Raises:
        CheckpointError: if the file cannot be read, or a name is missing, unknown or of another
            shape: all of them are listed.
    """
    found: dict[str, Tensor] = {}
    original: dict[str, str] = {}
    for name, value in tensors_from_file(path, _EXPECTED).items():
        target = our_name(name)
        if target in found:
            raise CheckpointError(
                f"{str(path)!r} holds {original[target]!r} and {name!r}, which are both "
                f"{target!r}, expected each weight once; save the model alone"
            )
        found[target], original[target] = value, name
    config = _config(path, found)
    with torch.device("meta"):
        expected = FerModel(config).state_dict()
    state: dict[str, Tensor] = {}
    missing: list[str] = []
    misshaped: list[str] = []
    for name, like in expected.items():
        weight = found.pop(name) if name in found else None
        if weight is None and (name == GENERIC or name.endswith(_COUNTER)):
            # The counters came with PyTorch 0.4.1 and nothing here reads them.
            state[name] = torch.zeros(like.shape, dtype=like.dtype)
        elif weight is None:
            missing.append(name)
        elif weight.shape != like.shape and (like.ndim or weight.shape != (1,)):  # alpha is (1,)
            misshaped.append(
                f"{original[name]} {tuple(weight.shape)} instead of {tuple(like.shape)}"
            )
        else:
            state[name] = weight.to(like.dtype).reshape(like.shape)
    problems = [
        f"{what}: {', '.join(names)}"
        for what, names in (
            ("missing", missing),
            ("of another shape", misshaped),
            ("not understood", [original[name] for name in found]),
        )
        if names
    ]
    if problems:
        raise CheckpointError(
            f"{str(path)!r} is no ResNet-18 with the head {config.head.value!r} "
            f"({'; '.join(problems)}), {_EXPECTED}, or start a training from it with --init"
        )
    broken = [
        original[name]
        for name, value in state.items()
        if name in original and not bool(torch.isfinite(value).all())
    ]
    if broken:
        raise CheckpointError(
            f"{str(path)!r} has values that are not finite (in {', '.join(broken)}), expected "
            "weights of a training that converged; name another file"
        )
    return AuthorsModel(config, state)


def _config(path: Path, found: dict[str, Tensor]) -> ModelConfig:
    """The shape of the model, told by its classifier."""
    weight = found.get("fc.weight")
    if weight is None or weight.ndim != 2:
        names = ", ".join(sorted(found)[:4]) or "nothing"
        raise CheckpointError(
            f"{str(path)!r} has no classifier 'fc.weight' of classes x features (it holds {names}, "
            f"... {len(found)} tensors), {_EXPECTED}"
        )
    classes, inputs = weight.shape
    if not any(name.startswith("arm.") for name in found):
        head, size = Head.POOL, _POOL_SIZE
        fits = inputs == FEATURE_CHANNELS
    else:
        # g = (16 h - 32) / 8 + 1, so h = (g + 3) / 2; h is the size in pixels over 32.
        grid = math.isqrt(inputs)
        head, size = Head.ARM, 16 * (grid + 3)
        fits = grid**2 == inputs and grid % 2 == 1 and grid >= 3
    if not fits:
        wanted = "121 (an odd number squared)" if head is Head.ARM else f"{FEATURE_CHANNELS}"
        raise CheckpointError(
            f"{str(path)!r} has a classifier of {inputs} features, expected {wanted} behind "
            f"{'ARM' if head is Head.ARM else 'average pooling'}; their models for AffectNet and "
            "SFEW have other kernels, which were never published"
        )
    try:
        return ModelConfig(classes, size, head)
    except UsageError as error:
        raise CheckpointError(f"{str(path)!r}: {error}") from error
