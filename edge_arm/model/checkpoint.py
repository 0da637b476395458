"""A trained model on disk: safetensors with one JSON object as metadata.

Never a pickle, which runs code when it is read. Safetensors checks offsets and sizes itself; what
it cannot know (which model, which classes, which preprocessing) is in the JSON.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from edge_arm.model.config import ModelConfig, model_config_from_json, model_config_to_json
from edge_arm.model.fer_model import FerModel
from edge_arm.runtime.errors import BundleError, CheckpointError, DataError
from edge_arm.runtime.labels import LabelSet, labels_from_json, labels_to_json
from edge_arm.runtime.preprocess import (
    PreprocessSpec,
    preprocess_from_json,
    preprocess_to_json,
)
from edge_arm.runtime.storage import written_atomically
from edge_arm.runtime.trained_ranges import TrainedRanges, ranges_from_json, ranges_to_json

SCHEMA_VERSION = 1
# One entry only: safetensors writes several in a random order, and the same training would give
# another hash each time.
_METADATA_KEY = "edge_arm"
_NAMES_SHOWN = 4


@dataclass(frozen=True)
class Checkpoint:
    """A trained model with everything needed to use it.

    Attributes:
        config: shape of the model.
        labels: what its outputs mean.
        preprocess: what its input is.
        metrics: JSON values such as `validation_accuracy` (0..1), `epoch`.
        data: JSON values that name the training faces by data set, number and hash; no paths.
        versions: of the packages that made it.
        state: the parameters and buffers, by name.
        ranges: for INT8, if the training chose them (--qat).
        sha256: hex, of the file; empty for one that has none yet.
    """

    config: ModelConfig
    labels: LabelSet
    preprocess: PreprocessSpec
    metrics: dict[str, Any]
    data: dict[str, Any]
    versions: dict[str, str]
    state: dict[str, Tensor] = field(repr=False)
    ranges: TrainedRanges | None = None
    sha256: str = ""


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> Checkpoint:
    """Write a checkpoint atomically.

    The same content gives the same bytes.

    Args:
        path: of the file; replaced if it exists.
        checkpoint: what to write.

    Returns:
        The checkpoint with the hash of its file.

    Raises:
        StorageError: if it cannot be written.
    """
    metadata = {
        "schema_version": SCHEMA_VERSION,
        "model": model_config_to_json(checkpoint.config),
        "labels": labels_to_json(checkpoint.labels),
        "preprocess": preprocess_to_json(checkpoint.preprocess),
        "metrics": checkpoint.metrics,
        "data": checkpoint.data,
        "versions": checkpoint.versions,
    }
    if checkpoint.ranges is not None:
        metadata["trained_ranges"] = ranges_to_json(checkpoint.ranges)
    # The bytes are made first and written by Python, so that a full disk is an OSError like any
    # other and not safetensors' own.
    content = safetensors.torch.save(
        {name: value.detach().cpu().contiguous() for name, value in checkpoint.state.items()},
        metadata={_METADATA_KEY: json.dumps(metadata, sort_keys=True, allow_nan=False)},
    )
    with written_atomically(path) as temporary:
        temporary.write_bytes(content)
    return replace(checkpoint, sha256=sha256(content).hexdigest())


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint and check that its weights are those of its model.

    Args:
        path: of the file.

    Raises:
        CheckpointError: if there is none, it is no checkpoint of this version, or its weights are
            those of another model.
    """
    content = _read(path)
    try:
        state = safetensors.torch.load(content)
    except (SafetensorError, ValueError) as error:
        raise CheckpointError(
            f"{str(path)!r} is not a safetensors file ({error}), expected a checkpoint written by "
            "'edge-arm train'; train again, or start a training from it with --init"
        ) from error
    value = _metadata(content, path)
    if value.get("schema_version") != SCHEMA_VERSION:
        raise CheckpointError(
            f"{str(path)!r} has schema version {value.get('schema_version')!r}, expected "
            f"{SCHEMA_VERSION}; train again with this version of edge-arm"
        )
    try:
        checkpoint = Checkpoint(
            config=model_config_from_json(value["model"]),
            labels=labels_from_json(value["labels"]),
            preprocess=preprocess_from_json(value["preprocess"]),
            metrics=dict(value["metrics"]),
            data=dict(value["data"]),
            versions=dict(value["versions"]),
            state=state,
            ranges=ranges_from_json(value["trained_ranges"]) if "trained_ranges" in value else None,
            sha256=sha256(content).hexdigest(),
        )
    except (KeyError, TypeError, ValueError, BundleError, DataError) as error:
        raise CheckpointError(
            f"{str(path)!r} has metadata that cannot be used ({error}), expected a checkpoint "
            "written by 'edge-arm train'; train again"
        ) from error
    _require_consistent(checkpoint, path)
    require_fitting_state(checkpoint.config, state, str(path))
    return checkpoint


def model_from_checkpoint(checkpoint: Checkpoint) -> FerModel:
    """The trained model, in evaluation mode, on the CPU, in float32.

    Args:
        checkpoint: as loaded, or made by training.

    Raises:
        CheckpointError: if the weights are those of another model.
    """
    require_fitting_state(checkpoint.config, checkpoint.state, "the checkpoint")
    # Made without memory first, so that no time goes into random weights.
    with torch.device("meta"):
        model = FerModel(checkpoint.config)
    model.to_empty(device="cpu")
    model.load_state_dict(checkpoint.state)
    return model.eval()


def require_fitting_state(config: ModelConfig, state: dict[str, Tensor], source: str) -> None:
    """Refuse weights that do not belong to a model of this shape.

    Args:
        config: the model.
        state: the weights, by name.
        source: where they come from, for the message.

    Raises:
        CheckpointError: naming the tensors that are missing, unknown, of another shape or type, or
            not finite.
    """
    with torch.device("meta"):
        expected = FerModel(config).state_dict()
    problems = [
        *_listed("missing", [name for name in expected if name not in state]),
        *_listed("unknown", [name for name in state if name not in expected]),
        *_listed(
            "of another shape or type",
            [
                f"{name} {tuple(value.shape)} {value.dtype} instead of "
                f"{tuple(expected[name].shape)} {expected[name].dtype}"
                for name, value in state.items()
                if name in expected
                and (value.shape, value.dtype) != (expected[name].shape, expected[name].dtype)
            ],
        ),
    ]
    if problems:
        raise CheckpointError(
            f"{source} holds the weights of another model, expected ResNet-18 with the head "
            f"{config.head.value!r} at size {config.image_size} ({'; '.join(problems)}); "
            "use a checkpoint written by 'edge-arm train', or start from these weights with --init"
        )
    broken = [name for name, value in state.items() if not bool(torch.isfinite(value).all())]
    if broken:
        raise CheckpointError(
            f"{source} has values that are not finite ({'; '.join(_listed('in', broken))}), "
            "expected a training that converged; train again with a lower --lr"
        )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CheckpointError(
            f"cannot read the checkpoint {str(path)!r} ({error.strerror}), expected a file written "
            "by 'edge-arm train'; train a model first or name another file"
        ) from error


def _metadata(content: bytes, path: Path) -> dict[str, Any]:
    # Safetensors: 8 bytes little-endian length, then a JSON header of that length.
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    text = header.get("__metadata__", {}).get(_METADATA_KEY)
    try:
        value = json.loads(text) if text is not None else None
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise CheckpointError(
            f"{str(path)!r} has no edge-arm metadata, expected a checkpoint written by "
            "'edge-arm train'; start a training from these weights with --init"
        )
    return value


def _require_consistent(checkpoint: Checkpoint, path: Path) -> None:
    config = checkpoint.config
    got = (len(checkpoint.labels), checkpoint.preprocess.size)
    if got != (config.num_classes, config.image_size):
        raise CheckpointError(
            f"{str(path)!r} has {got[0]} labels and input size {got[1]}, expected the model's "
            f"{config.num_classes} classes and size {config.image_size}; train again"
        )


def _listed(what: str, names: list[str]) -> list[str]:
    if not names:
        return []
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return [f"{what}: {', '.join(names[:_NAMES_SHOWN])}{more}"]
