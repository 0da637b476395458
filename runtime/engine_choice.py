"""Finds the engine of a bundle for the device that is here, or says which command makes it.

Engines lie beside the bundle in one folder per GPU and TensorRT. Only records are read here.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from edge_arm.runtime.engine_record import (
    ENGINES_FOLDER,
    EngineRecord,
    engine_folder,
    engine_stem,
    read_engine_record,
)
from edge_arm.runtime.errors import EngineError
from edge_arm.runtime.manifest import Bundle, Precision


@dataclass(frozen=True)
class FoundEngine:
    """An engine on disk.

    Attributes:
        plan: path of the plan, whose hash is checked when it is loaded.
        record: beside it.
    """

    plan: Path
    record: EngineRecord


def find_engine(
    bundle: Bundle,
    precision: Precision,
    *,
    gpu: str,
    tensorrt: str,
    dla_core: int | None = None,
) -> FoundEngine:
    """The engine of a precision for one device.

    Args:
        bundle: that it belongs to.
        precision: of it.
        gpu: name of the GPU that is here.
        tensorrt: version that is here.
        dla_core: it was built for; None for the GPU.

    Raises:
        EngineError: if there is none, or it was built from another file than the bundle's now,
            with the command that builds it.
    """
    command = build_command(bundle, precision, dla_core)
    stem = engine_stem(precision, dla_core)
    folder = engine_folder(bundle.path, gpu, tensorrt)
    path = folder / f"{stem}.json"
    if not path.exists():
        raise EngineError(
            f"the bundle {str(bundle.path)!r} has no {precision.value} engine for "
            f"{_place(gpu, dla_core)} with TensorRT {tensorrt}, it has {_listed(bundle)}; run "
            f"'{command}'"
        )
    record = read_engine_record(path)
    current = {item.sha256 for item in bundle.manifest.artifacts}
    if record.onnx_sha256 not in current:
        raise EngineError(
            f"the {precision.value} engine was built from an ONNX file with SHA-256 "
            f"{record.onnx_sha256[:12]}..., which the bundle no longer has: the model was exported "
            f"or calibrated again since; run '{command}'"
        )
    return FoundEngine(folder / f"{stem}.plan", record)


def engines_here(
    bundle: Bundle, *, gpu: str, tensorrt: str, dla_core: int | None = None
) -> dict[Precision, FoundEngine]:
    """Every engine of a bundle that was built for this device, highest precision first.

    Args:
        bundle: that they belong to.
        gpu: name of the GPU that is here.
        tensorrt: version that is here.
        dla_core: they were built for; None for the GPU.

    Raises:
        EngineError: if there is none at all, or one is older than its model.
    """
    folder = engine_folder(bundle.path, gpu, tensorrt)
    found = {
        precision: find_engine(bundle, precision, gpu=gpu, tensorrt=tensorrt, dla_core=dla_core)
        for precision in Precision
        if (folder / f"{engine_stem(precision, dla_core)}.json").exists()
    }
    if not found:
        raise EngineError(
            f"the bundle {str(bundle.path)!r} has no engine for {_place(gpu, dla_core)} with "
            f"TensorRT {tensorrt}, it has {_listed(bundle)}; run "
            f"'{build_command(bundle, Precision.INT8, dla_core)}', and the same with fp16"
        )
    return found


def all_engines(bundle_path: Path) -> list[EngineRecord]:
    """Records of every engine in a bundle, for any device, in the order of their folders.

    Args:
        bundle_path: the bundle.

    Raises:
        EngineError: if one cannot be read.
    """
    # A build that was killed may leave half a record, under a name that begins with a dot.
    paths = sorted(bundle_path.glob(f"{ENGINES_FOLDER}/*/[!.]*.json"))
    return [read_engine_record(path) for path in paths]


def build_command(bundle: Bundle, precision: Precision, dla_core: int | None) -> str:
    """The command that builds an engine of this bundle."""
    dla = "" if dla_core is None else f" --dla {dla_core}"
    path = shlex.quote(str(bundle.path))
    return f"edge-arm build --bundle {path} --precision {precision.value}{dla}"


def _listed(bundle: Bundle) -> str:
    have = [
        f"{record.precision.value} for {_place(record.device.gpu, record.dla_core)} with TensorRT "
        f"{record.device.tensorrt}"
        for record in all_engines(bundle.path)
    ]
    return ", ".join(have) or "none"


def _place(gpu: str, dla_core: int | None) -> str:
    return gpu if dla_core is None else f"DLA {dla_core} of {gpu}"
