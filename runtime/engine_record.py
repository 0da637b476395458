"""What is known about an engine: the JSON file beside each plan.

A plan runs on the GPU model and the TensorRT it was built with and nowhere else, and TensorRT finds
that out late and says so badly. The record binds the plan to both, to the ONNX file it came from
and to how it answered when it was new, and it is read before the plan is.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from edge_arm.runtime.errors import EngineError
from edge_arm.runtime.manifest import Precision
from edge_arm.runtime.storage import write_json

SCHEMA_VERSION = 1
ENGINES_FOLDER = "engines"

_SHOWN_FIGURES = ("latency_ms", "logit_error", "logit_error_limit")
_LAYER_TYPES = {"shares": dict, "not_as_meant": dict, "dla_fallback": list}


@dataclass(frozen=True)
class BatchRange:
    """The optimization profile's batch sizes.

    Attributes:
        min: the smallest that is accepted.
        opt: the one that kernels are chosen for.
        max: the largest that is accepted; also what memory is set aside for.
    """

    min: int
    opt: int
    max: int


@dataclass(frozen=True)
class EngineDevice:
    """What an engine is bound to, and the state it was timed in.

    Attributes:
        gpu: name of the GPU.
        compute_capability: such as "8.7".
        tensorrt: version, complete.
        cuda: version of the driver's CUDA, such as "12.6".
        driver: version of the driver, empty where it is not told.
        jetpack: version, empty on a desktop.
        power_mode: of a Jetson, empty elsewhere.
        clocks: current clocks by name, as the system tells them.
    """

    gpu: str
    compute_capability: str
    tensorrt: str
    cuda: str
    driver: str
    jetpack: str
    power_mode: str
    clocks: dict[str, str]


@dataclass(frozen=True)
class EngineRecord:
    """One built and accepted engine.

    Attributes:
        precision: that was asked for.
        variant: of the bundle's model that it was built from, see `Artifact.variant`.
        variant_reason: why this one, in words.
        onnx_sha256: of that file.
        plan_sha256: of the plan.
        plan_bytes: of the plan.
        device: it runs on this and nothing else.
        batch: the optimization profile.
        typed: built as a strongly typed network.
        builder_flags: the flags that were set, by name.
        workspace_bytes: limit of the workspace pool; None for TensorRT's own.
        builder_level: optimization level; None for TensorRT's own.
        dla_core: it runs on; None for the GPU alone.
        device_memory_bytes: that an execution context needs.
        timing_cache_sha256: of the timing cache after the build; empty without one.
        layers: see `export.engine_layers`: shares by precision, layers that are not INT8, and why.
        acceptance: figures of the golden faces, each with its limit, see
            `export.engine_acceptance`.
        attempts: one entry for each build that was tried: whether it was accepted, why not, how
            long it took and how fast it runs.
        created_at: date and time in UTC, ISO 8601.
        edge_arm: version that built it.
        memory: bytes that were free before the build and bytes that it was thought to need, by
            name.
    """

    precision: Precision
    variant: str
    variant_reason: str
    onnx_sha256: str
    plan_sha256: str
    plan_bytes: int
    device: EngineDevice
    batch: BatchRange
    typed: bool
    builder_flags: tuple[str, ...]
    workspace_bytes: int | None
    builder_level: int | None
    dla_core: int | None
    device_memory_bytes: int
    timing_cache_sha256: str
    layers: dict[str, Any]
    acceptance: dict[str, float]
    attempts: tuple[dict[str, Any], ...]
    created_at: str
    edge_arm: str
    memory: dict[str, int] = field(default_factory=dict)


def engine_folder(bundle_path: Path, gpu: str, tensorrt: str) -> Path:
    """Where the engines of one GPU and one TensorRT lie.

    Args:
        bundle_path: the bundle.
        gpu: name of the GPU.
        tensorrt: its version.
    """
    name = re.sub(r"[^a-z0-9.]+", "-", gpu.lower()).strip("-.") or "gpu"
    return bundle_path / ENGINES_FOLDER / f"{name}-{tensorrt}"


def engine_stem(precision: Precision, dla_core: int | None) -> str:
    """Name of a plan (`<stem>.plan`) and its record (`<stem>.json`) without their suffixes."""
    return precision.value if dla_core is None else f"{precision.value}-dla{dla_core}"


def write_engine_record(path: Path, record: EngineRecord) -> None:
    """Write a record atomically; call it after the plan is in place.

    Raises:
        StorageError: if the operating system refuses the write.
    """
    write_json(path, engine_record_to_json(record))


def engine_record_to_json(record: EngineRecord) -> dict[str, Any]:
    """A record as it is written, for other files that carry it too."""
    value = asdict(record) | {"precision": record.precision.value}
    return {"schema_version": SCHEMA_VERSION, **value}


def read_engine_record(path: Path) -> EngineRecord:
    """Read a record.

    Raises:
        EngineError: if there is none, or one that this version cannot read.
    """
    again = "build the engine again with 'edge-arm build'"
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        version = value["schema_version"]
        if version != SCHEMA_VERSION:
            raise EngineError(
                f"{str(path)!r} has schema version {version!r}, this edge-arm reads "
                f"{SCHEMA_VERSION}; {again}"
            )
        del value["schema_version"]
        record = EngineRecord(
            **value
            | {
                "precision": Precision(value["precision"]),
                "device": EngineDevice(**value["device"]),
                "batch": BatchRange(**value["batch"]),
                "builder_flags": tuple(value["builder_flags"]),
                "attempts": tuple(value["attempts"]),
            }
        )
        _require_types(record)
        return record
    except OSError as error:
        raise EngineError(
            f"cannot read {str(path)!r} ({error.strerror}), expected the record of an engine; "
            f"{again}"
        ) from error
    except (KeyError, TypeError, ValueError) as error:
        raise EngineError(
            f"{str(path)!r} does not hold together ({type(error).__name__}: {error}), expected the "
            f"record of an engine; {again}"
        ) from error


def _require_types(record: EngineRecord) -> None:
    # Readers go by these without looking again, and a record is a file that can be edited.
    texts = {"onnx_sha256": record.onnx_sha256, "plan_sha256": record.plan_sha256}
    texts |= {"gpu": record.device.gpu, "tensorrt": record.device.tensorrt}
    numbers = {"plan_bytes": record.plan_bytes, **asdict(record.batch)}
    numbers |= {name: record.acceptance[name] for name in _SHOWN_FIGURES}
    layers = {name: record.layers[name] for name in _LAYER_TYPES}
    numbers |= layers["shares"]
    expected: list[tuple[dict[str, Any], type | tuple[type, ...]]] = [
        (texts, str),
        (numbers, (int, float)),
    ]
    expected += [({name: layers[name]}, kind) for name, kind in _LAYER_TYPES.items()]
    for values, kind in expected:
        for name, value in values.items():
            if not isinstance(value, kind):
                raise TypeError(f"{name} is {value!r}")
