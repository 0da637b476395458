"""Tiny bundles as a Triton server needs them: with temperatures, and with engines of a device."""

from __future__ import annotations

import hashlib
from pathlib import Path

from engine_records import engine_record
from tiny_bundle import tiny_bundle, with_cpu_variant

from edge_arm.runtime.bundle_file import bundle_with_file
from edge_arm.runtime.engine_record import (
    BatchRange,
    EngineDevice,
    engine_folder,
    write_engine_record,
)
from edge_arm.runtime.manifest import Bundle, Precision
from edge_arm.runtime.storage import write_json
from edge_arm.runtime.temperature import TEMPERATURE_NAME

TEMPERATURES = {Precision.FP32: 1.5, Precision.FP16: 1.25, Precision.INT8: 0.75}


def bundle_to_serve(folder: Path) -> Bundle:
    """Every precision, the INT8 model for CPUs, and a temperature for each precision."""
    bundle = with_cpu_variant(tiny_bundle(folder))
    models = {
        precision.value: {
            "temperature": temperature,
            "nll_before": 1.0,
            "nll_after": 0.9,
            "model_sha256": bundle.manifest.artifact(precision).sha256,
        }
        for precision, temperature in TEMPERATURES.items()
    }
    data = {"name": "x", "faces": "validation", "num_faces": 9, "sha256": "0" * 64}
    content = {"schema_version": 1, "data": data, "models": models, "left_out": {}}
    return bundle_with_file(bundle, TEMPERATURE_NAME, lambda path: write_json(path, content))


def put_engine(
    bundle: Bundle,
    precision: Precision = Precision.INT8,
    *,
    gpu: str = "Orin",
    batch: BatchRange | None = None,
    plan: bytes = b"a plan",
    onnx_sha256: str | None = None,
) -> Path:
    """An engine with its record, for one GPU and TensorRT 10.3.0; the path of its plan."""
    device = EngineDevice(gpu, "8.7", "10.3.0", "12.6", "540.4.0", "6.2", "MAXN", {})
    folder = engine_folder(bundle.path, gpu, device.tensorrt)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{precision.value}.plan"
    path.write_bytes(plan)
    record = engine_record(
        precision,
        onnx_sha256=onnx_sha256 or bundle.manifest.artifact(precision).sha256,
        plan_sha256=hashlib.sha256(plan).hexdigest(),
        plan_bytes=len(plan),
        device=device,
        batch=batch,
    )
    write_engine_record(path.with_suffix(".json"), record)
    return path
