"""Pre-trained ResNet-18 weights from other people's files.

The same network is published under several sets of names: torchvision's, with `module.` in front
(saved from DataParallel), numbered inside a `features` sequence (the code of ARM and DAN, and
what it is fine-tuned from), and ours with `backbone.` in front. The backbone is taken from each,
ARM from ours. The classifier never is: another data set's classes may stand in another order.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from edge_arm.model.fer_model import FerModel
from edge_arm.model.weights_file import our_name, tensors_from_file
from edge_arm.runtime.errors import CheckpointError
from edge_arm.runtime.storage import sha256_of_file

_EXPECTED = "expected a PyTorch or safetensors file of ResNet-18 weights; use another --init"


@dataclass(frozen=True)
class InitialWeights:
    """What was taken from a file.

    Attributes:
        sha256: hex, of the file.
        taken: number of tensors that went into the model.
        not_taken: names in the file that were left out, such as its classifier.
    """

    sha256: str
    taken: int
    not_taken: tuple[str, ...]


def load_initial_weights(model: FerModel, path: Path) -> InitialWeights:
    """Start a model from published weights.

    Args:
        model: changed in place.
        path: `.pth` / `.pt` / `.tar` of PyTorch, read without running code from it, or safetensors.

    Returns:
        What was taken, and the names that did not fit.

    Raises:
        CheckpointError: if the file cannot be read, or its backbone is not a whole ResNet-18.
    """
    state = model.state_dict()
    wanted = {name for name in state if name.startswith(("backbone.", "arm."))}
    fitting: dict[str, Tensor] = {}
    not_taken: list[str] = []
    stray: list[str] = []
    for name, value in tensors_from_file(path, _EXPECTED).items():
        target = our_name(name)
        if target in wanted and target not in fitting and value.shape == state[target].shape:
            fitting[target] = value
        else:
            not_taken.append(name)
            if target.startswith("backbone."):
                stray.append(f"{name} {tuple(value.shape)}")
    # Files from before 2018 have no counters, and nothing here reads them.
    missing = [
        name
        for name in sorted(wanted)
        if name.startswith("backbone.")
        and name not in fitting
        and not name.endswith("num_batches_tracked")
    ]
    if missing or stray:
        raise CheckpointError(
            f"{str(path)!r} is not a ResNet-18: {len(missing)} of its tensors are missing "
            f"({_first(missing)}) and {len(stray)} do not fit ({_first(stray)}); expected weights "
            "with torchvision's names, with or without 'module.' or 'features.'; "
            "use --init with another file, or leave it out"
        )
    broken = [name for name, value in fitting.items() if not bool(torch.isfinite(value).all())]
    if broken:
        raise CheckpointError(
            f"{str(path)!r} has values that are not finite (in {_first(broken)}), expected "
            "weights of a training that converged; use --init with another file, or leave it out"
        )
    model.load_state_dict(fitting, strict=False)
    return InitialWeights(sha256_of_file(path), len(fitting), tuple(sorted(not_taken)))


def _first(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "") if names else "none"
