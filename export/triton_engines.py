"""The engines of a bundle that a Triton server can load: those of one GPU and one TensorRT.

A server that meets a plan of another GPU or another TensorRT refuses to start, so a model
repository holds engines of one folder, and says which.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge_arm.runtime.engine_record import (
    ENGINES_FOLDER,
    EngineRecord,
    engine_stem,
    read_engine_record,
)
from edge_arm.runtime.errors import EngineError, UsageError
from edge_arm.runtime.manifest import Bundle
from edge_arm.runtime.tensorrt_engine import read_plan, rebuild_command


@dataclass(frozen=True)
class ServedEngine:
    """An engine whose plan was held against its record.

    Attributes:
        plan: its path.
        record: beside it.
    """

    plan: Path
    record: EngineRecord


def engines_to_serve(bundle: Bundle, folder: str | None) -> dict[str, ServedEngine]:
    """The engines of one device, by the name of the model that they become.

    Args:
        bundle: that they belong to.
        folder: name of the device's folder in the bundle's `engines`; None for the only one.

    Raises:
        EngineError: if a plan has no record or is not its record's, was built from a model that
            the bundle no longer has, or takes no single face.
        UsageError: if there is no such folder, or several and none is named.
    """
    folders = {
        path.name: path
        for path in sorted(bundle.path.glob(f"{ENGINES_FOLDER}/*"))
        if any(path.glob("[!.]*.plan"))
    }
    if folder is None and not folders:
        return {}
    if folder is None and len(folders) > 1:
        raise UsageError(
            f"the bundle {str(bundle.path)!r} has engines for {', '.join(folders)}, expected one "
            "device, because Triton does not start with a plan of another GPU or TensorRT; name "
            "the server's with --engines NAME, or pass --engines none"
        )
    if folder is not None and folder not in folders:
        raise UsageError(
            f"got --engines {folder!r}, expected one of {', '.join(folders) or 'none'}; build one "
            "on the server's device with 'edge-arm build'"
        )
    chosen = folders[folder] if folder is not None else next(iter(folders.values()))
    engines = [_checked(bundle, plan) for plan in sorted(chosen.glob("[!.]*.plan"))]
    return {_model_name(engine.record): engine for engine in engines}


def _model_name(record: EngineRecord) -> str:
    return f"fer_{engine_stem(record.precision, record.dla_core).replace('-', '_')}"


def _checked(bundle: Bundle, plan: Path) -> ServedEngine:
    path = plan.with_suffix(".json")
    if not path.exists():
        raise EngineError(
            f"the plan {str(plan)!r} has no record {path.name!r} beside it, expected what "
            "'edge-arm build' wrote of it: without one nobody knows its GPU, TensorRT and batch "
            "sizes; build it again with 'edge-arm build', or pass --engines none"
        )
    record = read_engine_record(path)
    rebuild = rebuild_command(record, plan)
    again = f"run '{rebuild}' on the device, or pass --engines none"
    if record.onnx_sha256 not in {item.sha256 for item in bundle.manifest.artifacts}:
        raise EngineError(
            f"the engine {str(plan)!r} was built from an ONNX file with SHA-256 "
            f"{record.onnx_sha256[:12]}..., which the bundle no longer has: the model was exported "
            f"or calibrated again since; {again}"
        )
    if record.batch.min > 1:
        # A DLA has one batch size, so for a single face it is no other.
        single = "1" if record.dla_core is not None else f"1,{record.batch.opt},{record.batch.max}"
        raise EngineError(
            f"the engine {str(plan)!r} takes {record.batch.min} faces or more, expected one that "
            "takes a single face: Triton sends what has come when the delay is over; "
            f"run '{rebuild} --batch {single}' on the device, or pass --engines none"
        )
    read_plan(plan, record)
    return ServedEngine(plan, record)
