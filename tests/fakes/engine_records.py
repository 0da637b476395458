"""An engine record with plausible content, for tests that never look into a plan."""

from __future__ import annotations

from edge_arm.runtime.engine_record import BatchRange, EngineDevice, EngineRecord
from edge_arm.runtime.manifest import Precision


def engine_record(
    precision: Precision = Precision.FP32,
    *,
    onnx_sha256: str = "0" * 64,
    plan_sha256: str = "2" * 64,
    plan_bytes: int = 1_000_000,
    device: EngineDevice | None = None,
    batch: BatchRange | None = None,
) -> EngineRecord:
    """A record of an engine for an Orin with TensorRT 10.3.0, unless told otherwise."""
    return EngineRecord(
        precision=precision,
        variant="main",
        variant_reason="model.onnx: a test",
        onnx_sha256=onnx_sha256,
        plan_sha256=plan_sha256,
        plan_bytes=plan_bytes,
        device=device
        or EngineDevice(
            gpu="Orin",
            compute_capability="8.7",
            tensorrt="10.3.0",
            cuda="12.6",
            driver="540.4.0",
            jetpack="6.2",
            power_mode="MAXN",
            clocks={"gpu": "1020 MHz"},
        ),
        batch=batch or BatchRange(1, 4, 8),
        typed=False,
        builder_flags=("FP16",),
        workspace_bytes=None,
        builder_level=None,
        dla_core=None,
        device_memory_bytes=1_000_000,
        timing_cache_sha256="",
        layers={"shares": {"FP16": 1.0}, "not_as_meant": {}, "dla_fallback": []},
        acceptance={"latency_ms": 1.0, "logit_error": 0.01, "logit_error_limit": 0.1},
        attempts=({"accepted": True},),
        created_at="2026-11-26T00:00:00+00:00",
        edge_arm="0",
        memory={"free_host_bytes": 1},
    )
