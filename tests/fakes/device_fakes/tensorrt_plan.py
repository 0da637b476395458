"""What a fake engine is: the ONNX file, what was built from it, and for which device."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

MAGIC = b"ftrt"
HEADER_BYTES = len(MAGIC) + 8 + 32


@dataclass(frozen=True)
class PlannedLayer:
    """One layer of an engine.

    Attributes:
        name: as TensorRT composes it.
        nodes: ONNX nodes it was made from.
        kind: its LayerType in the inspector's words.
        reads: types of its inputs, such as "INT8", each with the tensor's name and shape.
        writes: of its outputs.
    """

    name: str
    nodes: list[str]
    kind: str
    reads: list[list[Any]]
    writes: list[list[Any]]


@dataclass(frozen=True)
class Plan:
    """An engine on disk.

    Attributes:
        tensorrt: version that built it.
        gpu: name of the GPU.
        compute_capability: of it.
        build_number: of this engine among those of one module.
        noise: added to float outputs.
        latency_ms: of a run.
        verbosity: name of a ProfilingVerbosity.
        profiles: for each, input name to [min, opt, max].
        layers: of the engine, as dictionaries.
        device_memory_bytes: that an execution context needs.
        dla_core: -1 for the GPU.
        model: the ONNX file.
    """

    tensorrt: str
    gpu: str
    compute_capability: list[int]
    build_number: int
    noise: Any
    latency_ms: float
    verbosity: str
    profiles: list[dict[str, list[list[int]]]]
    layers: list[dict[str, Any]]
    device_memory_bytes: int
    dla_core: int
    model: bytes


class BrokenPlanError(Exception):
    """Bytes that are no plan, with TensorRT's words."""


def bytes_of(plan: Plan) -> bytes:
    """A plan as a file."""
    values = {key: value for key, value in asdict(plan).items() if key != "model"}
    head = json.dumps(values).encode()
    body = len(head).to_bytes(8, "little") + head + plan.model
    size = (len(body) + HEADER_BYTES).to_bytes(8, "little")
    return MAGIC + size + hashlib.sha256(body).digest() + body


def plan_of(content: bytes) -> Plan:
    """A file as a plan.

    Raises:
        BrokenPlanError: if it is none, or not all of it.
    """
    if content[:4] != MAGIC:
        raise BrokenPlanError(
            "Serialization assertion plan->header.magicTag == rt::kPLAN_MAGIC_TAG failed."
        )
    size = int.from_bytes(content[4:12], "little")
    if size != len(content):
        raise BrokenPlanError("Serialization assertion plan->header.size == blobSize failed.")
    body = content[HEADER_BYTES:]
    if hashlib.sha256(body).digest() != content[12:HEADER_BYTES]:
        raise BrokenPlanError("Serialization assertion header checksum failed.")
    length = int.from_bytes(body[:8], "little")
    values = json.loads(body[8 : 8 + length])
    return Plan(**values, model=body[8 + length :])
