"""One model of a Triton server: its `config.pbtxt`, as text.

The text is written by hand, because protobuf and Triton's definitions are on no machine that needs
them only for this; the tests read it with Triton's own definition (`inference.ModelConfig`).

What is said of batches follows Triton's model_configuration.md: with `max_batch_size` above 0 the
first dimension is the batch and `dims` leave it out. Preferred sizes are given for engines alone,
whose kernels were chosen for one size; for other models Triton advises against them.

Shapes: S model input size, C classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from edge_arm.runtime.manifest import Precision
from edge_arm.runtime.triton_contract import (
    INPUT_NAME,
    OUTPUT_NAME,
    ServedContract,
    contract_to_parameters,
)

CONFIG_NAME = "config.pbtxt"
LABELS_NAME = "labels.txt"
VERSION = "1"


class BackEnd(Enum):
    """What runs a model inside Triton: its name, its platform's name, the file that it opens."""

    ONNX_RUNTIME = ("onnxruntime", "onnxruntime_onnx", "model.onnx")
    TENSORRT = ("tensorrt", "tensorrt_plan", "model.plan")


class Device(Enum):
    """Where a model's instances run."""

    GPU = "KIND_GPU"
    CPU = "KIND_CPU"


@dataclass(frozen=True)
class ServedModel:
    """One folder of a model repository.

    Attributes:
        name: of the folder and the model.
        source: the file in the bundle that is served, its hash verified.
        back_end: that runs it.
        device: where.
        contract: what a client must know.
        max_batch: faces in one batch, 1 or more.
        preferred_batches: sizes that are worth waiting for; empty for no preference.
        delay_us: how long a request may wait for others, in microseconds.
        instances: of the model on each device.
        accelerated: ONNX Runtime hands the graph to TensorRT inside the server.
        dla_core: that the engine was built for; None for the GPU.
        facts: parameters beside the contract, such as the GPU that an engine is bound to.
    """

    name: str
    source: Path
    back_end: BackEnd
    device: Device
    contract: ServedContract
    max_batch: int
    preferred_batches: tuple[int, ...]
    delay_us: int
    instances: int
    accelerated: bool
    dla_core: int | None
    facts: Mapping[str, str]


class _Word(str):
    """A word of the format itself, such as an enumerator: written without quotes."""


def config_text(model: ServedModel) -> str:
    """The configuration in protobuf's text format."""
    backend, platform, file = model.back_end.value
    size = model.contract.preprocess.size
    face = [size, size, 3]
    fields: dict[str, Any] = {
        "name": model.name,
        "backend": backend,
        "platform": platform,
        "default_model_filename": file,
        "max_batch_size": model.max_batch,
        "input": {"name": INPUT_NAME, "data_type": _Word("TYPE_UINT8"), "dims": face},
        "output": {
            "name": OUTPUT_NAME,
            "data_type": _Word("TYPE_FP32"),
            "dims": [len(model.contract.labels)],
            "label_filename": LABELS_NAME,
        },
        "version_policy": {"latest": {"num_versions": 1}},
        "instance_group": _instance_group(model),
        "dynamic_batching": _batching(model),
        "model_warmup": [_warmup(batch, face) for batch in sorted({1, model.max_batch})],
    }
    if model.accelerated:
        fields["optimization"] = _accelerator(model.contract.precision)
    parameters = {**contract_to_parameters(model.contract), **model.facts}
    fields["parameters"] = [
        {"key": key, "value": {"string_value": text}} for key, text in parameters.items()
    ]
    return "\n".join(_lines(fields)) + "\n"


def _instance_group(model: ServedModel) -> dict[str, Any]:
    group: dict[str, Any] = {"count": model.instances, "kind": _Word(model.device.value)}
    if model.dla_core is not None:
        group["secondary_devices"] = {"kind": _Word("KIND_NVDLA"), "device_id": model.dla_core}
    return group


def _batching(model: ServedModel) -> dict[str, Any]:
    preferred = {"preferred_batch_size": [*model.preferred_batches]}
    return {
        **(preferred if model.preferred_batches else {}),
        "max_queue_delay_microseconds": model.delay_us,
    }


def _warmup(batch: int, face: Sequence[int]) -> dict[str, Any]:
    # Random pixels: with zeros some kernels have nothing to do. The largest batch makes the server
    # take all the memory that it will ever need, and fail now if it is not there.
    data = {"data_type": _Word("TYPE_UINT8"), "dims": [*face], "random_data": True}
    return {
        "name": f"batch of {batch}",
        "batch_size": batch,
        "inputs": {"key": INPUT_NAME, "value": data},
    }


def _accelerator(precision: Precision) -> dict[str, Any]:
    mode = {"key": "precision_mode", "value": precision.value.upper()}
    chosen = {"name": "tensorrt", "parameters": mode}
    return {"execution_accelerators": {"gpu_execution_accelerator": chosen}}


def _lines(fields: Mapping[str, Any], indent: str = "") -> Iterator[str]:
    for name, value in fields.items():
        # A list of messages is the field several times over; a list of numbers is one field.
        messages = value if isinstance(value, list) and isinstance(value[0], dict) else [value]
        for item in messages:
            if isinstance(item, dict):
                yield f"{indent}{name} {{"
                yield from _lines(item, indent + "  ")
                yield f"{indent}}}"
            else:
                yield f"{indent}{name}: {_scalar(item)}"


def _scalar(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(str, value))}]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (_Word, int)):
        return str(value)
    quoted = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{quoted}"'
