"""What a model on a Triton server says about itself, beyond names and shapes.

Triton hands a model's `parameters` to whoever asks for its configuration. What a client has to know
travels there: which preprocessing, which classes, which temperature, which file. `serve-triton`
writes them and the client reads them, both by this file, so the two cannot disagree.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from edge_arm.runtime.detection.framing import FaceFraming
from edge_arm.runtime.detection.stored_framing import framing_from_json
from edge_arm.runtime.errors import BackendUnavailableError, EdgeArmError
from edge_arm.runtime.labels import LabelSet, labels_from_json, labels_to_json
from edge_arm.runtime.manifest import Precision
from edge_arm.runtime.preprocess import PreprocessSpec, preprocess_from_json, preprocess_to_json

SCHEMA_VERSION = "1"
INPUT_NAME = "faces"
OUTPUT_NAME = "logits"

_PREFIX = "edge_arm."
_WRITE_AGAIN = "write the model repository again with 'edge-arm serve-triton'"


@dataclass(frozen=True)
class ServedContract:
    """What a client must know about a served model.

    Attributes:
        labels: in the order of the logits.
        preprocess: what the client does to a face before it sends it.
        precision: of the model's heavy layers.
        model_sha256: of the file that is served: an ONNX file or a plan.
        temperature: the client divides the logits by it; None where none was fitted.
        framings: where detectors see a training face, for a client that finds faces itself; empty
            where none was measured.
    """

    labels: LabelSet
    preprocess: PreprocessSpec
    precision: Precision
    model_sha256: str
    temperature: float | None
    framings: tuple[FaceFraming, ...] = ()


def contract_to_parameters(contract: ServedContract) -> dict[str, str]:
    """The contract as Triton's parameters, which are text by text; ASCII only."""
    parameters = {
        "schema_version": SCHEMA_VERSION,
        "labels": json.dumps(labels_to_json(contract.labels)),
        "preprocess": json.dumps(preprocess_to_json(contract.preprocess)),
        "precision": contract.precision.value,
        "model_sha256": contract.model_sha256,
        "framings": json.dumps([asdict(framing) for framing in contract.framings]),
    }
    if contract.temperature is not None:
        parameters["temperature"] = repr(contract.temperature)
    return {_PREFIX + name: value for name, value in parameters.items()}


def contract_from_parameters(parameters: Mapping[str, str], name: str) -> ServedContract:
    """Read the contract of a served model.

    Args:
        parameters: of its configuration, all of them.
        name: of the model, for the error message.

    Raises:
        BackendUnavailableError: if `edge-arm serve-triton` did not write them, another version
            did, or they name a preprocessing that this version does not compute.
    """
    named = {key: text for key, text in parameters.items() if key.startswith(_PREFIX)}
    ours = {key.removeprefix(_PREFIX): text for key, text in named.items()}
    version = ours.get("schema_version")
    if version is None:
        raise BackendUnavailableError(
            f"the model {name!r} on the server has no parameter '{_PREFIX}schema_version', "
            "expected what 'edge-arm serve-triton' writes: without it nobody knows its "
            "preprocessing and its classes; serve a model repository of that command"
        )
    if version != SCHEMA_VERSION:
        raise BackendUnavailableError(
            f"the model {name!r} on the server has schema version {version!r}, this edge-arm "
            f"reads {SCHEMA_VERSION!r}; {_WRITE_AGAIN} of the same version"
        )
    try:
        fitted = ours.get("temperature")
        temperature = None if fitted is None else float(fitted)
        if temperature is not None and not 0.0 < temperature < float("inf"):
            raise ValueError(f"the temperature is {fitted!r}")
        return ServedContract(
            labels=labels_from_json(json.loads(ours["labels"])),
            preprocess=preprocess_from_json(json.loads(ours["preprocess"])),
            precision=Precision(ours["precision"]),
            model_sha256=ours["model_sha256"],
            temperature=temperature,
            framings=tuple(framing_from_json(item) for item in json.loads(ours["framings"])),
        )
    except (KeyError, TypeError, ValueError, RecursionError, EdgeArmError) as error:
        raise BackendUnavailableError(
            f"the parameters of the model {name!r} on the server do not hold together "
            f"({type(error).__name__}: {error}), expected what this edge-arm can preprocess for; "
            f"{_WRITE_AGAIN}"
        ) from error
