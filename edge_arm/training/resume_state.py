"""What an interrupted training leaves behind, so that it can go on to the same result.

A safetensors file beside the checkpoint, 180 MB for ResNet-18: weights, Adam's averages, the best
weights so far, and the position. No random state is in it, because everything random is derived
from (seed, epoch, batch).
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from edge_arm.model.fer_model import FerModel
from edge_arm.runtime.errors import CheckpointError
from edge_arm.runtime.storage import written_atomically

SCHEMA_VERSION = 1
_METADATA_KEY = "edge_arm_resume"


@dataclass(frozen=True)
class Best:
    """The best epoch so far, by the validation faces."""

    epoch: int
    accuracy: float
    loss: float

    def is_worse_than(self, accuracy: float, loss: float) -> bool:
        """Whether an epoch is better: by accuracy (0..1), and by loss where that is equal."""
        return (accuracy, -loss) > (self.accuracy, -self.loss)


@dataclass(frozen=True)
class Position:
    """How far a training is.

    Attributes:
        epoch: counted from 0, the one being worked on.
        batch: number of its batches that are done.
        loss_sum: of its faces so far.
        best: None before the first epoch is validated.
        seconds: that its steps took so far.
        waited_seconds: the part of them that was spent waiting for faces.
    """

    epoch: int = 0
    batch: int = 0
    loss_sum: float = 0.0
    best: Best | None = None
    seconds: float = 0.0
    waited_seconds: float = 0.0


@dataclass(frozen=True)
class Identity:
    """What must be equal for a training to be the same one, as JSON values by name."""

    values: dict[str, Any]


def resume_path(out_path: Path) -> Path:
    """Where the state of a training to `out_path` lies."""
    return out_path.with_name(f"{out_path.stem}.resume.safetensors")


def save_state(
    path: Path,
    identity: Identity,
    position: Position,
    *,
    model: FerModel,
    optimizer: torch.optim.Optimizer,
    best_state: dict[str, Tensor],
) -> None:
    """Write the state atomically.

    Args:
        path: of the file.
        identity: of the training.
        position: how far it is.
        model: its weights and buffers now.
        optimizer: with Adam's averages.
        best_state: weights of the best epoch; empty before the first.

    Raises:
        StorageError: if it cannot be written.
    """
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    tensors |= {f"best.{name}": value for name, value in best_state.items()}
    for name, parameter in model.named_parameters():
        for key, value in optimizer.state.get(parameter, {}).items():
            tensors[f"optimizer.{key}.{name}"] = value
    metadata = {
        "schema_version": SCHEMA_VERSION,
        "identity": identity.values,
        "position": asdict(position),
    }
    content = safetensors.torch.save(
        {name: value.detach().cpu().contiguous() for name, value in tensors.items()},
        metadata={_METADATA_KEY: json.dumps(metadata, sort_keys=True)},
    )
    with written_atomically(path) as temporary:
        temporary.write_bytes(content)


def restore_state(
    path: Path, identity: Identity, *, model: FerModel, optimizer: torch.optim.Optimizer
) -> tuple[Position, dict[str, Tensor]]:
    """Put a model and its optimizer where the interrupted training was.

    Args:
        path: of the file.
        identity: of the training that wants to go on.
        model: changed in place.
        optimizer: changed in place.

    Returns:
        How far it is, and the weights of the best epoch (empty before the first).

    Raises:
        CheckpointError: if the file is broken or of another training, naming what differs.
    """
    try:
        content = path.read_bytes()
        tensors = safetensors.torch.load(content)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        metadata = json.loads(header["__metadata__"][_METADATA_KEY])
        if metadata["schema_version"] != SCHEMA_VERSION:
            raise ValueError(f"schema version {metadata['schema_version']}")
        stored = dict(metadata["position"])
        best = Best(**stored.pop("best")) if stored["best"] else None
        position = replace(Position(**{**stored, "best": None}), best=best)
        theirs = dict(metadata["identity"])
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"cannot go on from {str(path)!r} ({error}), expected the state of an interrupted "
            "training; remove the file and train from the beginning"
        ) from error
    _require_same(theirs, identity.values, path)
    try:
        model.load_state_dict(_part(tensors, "model."))
    except RuntimeError as error:
        raise CheckpointError(
            f"the state in {str(path)!r} does not fit the model ({error}), expected one written by "
            "this version; remove the file and train from the beginning"
        ) from error
    for key in ("step", "exp_avg", "exp_avg_sq"):
        values = _part(tensors, f"optimizer.{key}.")
        for name, parameter in model.named_parameters():
            if name in values:
                # In the parameter's own memory order, as Adam makes them.
                like = parameter if key != "step" else values[name]
                place = torch.empty_like(like, device=parameter.device, requires_grad=False)
                optimizer.state[parameter][key] = place.copy_(values[name])
    return position, _part(tensors, "best.")


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }


def _require_same(theirs: dict[str, Any], ours: dict[str, Any], path: Path) -> None:
    differing = [
        f"{name} was {theirs.get(name)!r} and is {ours.get(name)!r}"
        for name in sorted(theirs.keys() | ours.keys())
        if theirs.get(name) != ours.get(name)
    ]
    if differing:
        raise CheckpointError(
            f"{str(path)!r} is the state of another training ({'; '.join(differing)}), expected "
            "the same settings and faces; use the old ones, or remove the file and train anew"
        )
