"""One build from start to verdict: plan, layers, golden faces, time, and the record of all that."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from edge_arm import __version__
from edge_arm.export.engine_acceptance import (
    AcceptanceLimits,
    GoldenFaces,
    acceptance_of,
    latency_ms,
    with_company,
)
from edge_arm.export.engine_builder import BuildInput, BuiltPlan, plan_from_onnx
from edge_arm.export.engine_calibrator import tensors_with_ranges
from edge_arm.export.engine_folder import EngineFolder
from edge_arm.export.engine_inspection import inspect_plan
from edge_arm.export.engine_layers import (
    LayerExpectation,
    LayerReport,
    layer_report,
    require_lower_precision,
)
from edge_arm.export.engine_machine import BuildMachine
from edge_arm.export.engine_timing_cache import TimingCacheFile
from edge_arm.runtime.engine_record import EngineRecord, engine_stem
from edge_arm.runtime.tensorrt_backend import TensorRTBackend

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class BuildTask:
    """What all builds of one command share.

    Attributes:
        machine: that builds.
        source: what from.
        golden: faces to answer.
        limits: of the answers.
        timing: kernel timings of earlier builds.
        memory: figures of the preflight.
    """

    machine: BuildMachine
    source: BuildInput
    golden: GoldenFaces
    limits: AcceptanceLimits
    timing: TimingCacheFile
    memory: dict[str, int]

    @property
    def stem(self) -> str:
        """Name of the engine's files."""
        return engine_stem(self.source.precision, self.source.choice.dla_core)


@dataclass(frozen=True)
class Trial:
    """One build that was judged.

    Attributes:
        path: of the plan; None if it was rejected, and its file is gone.
        record: of the plan, without the other attempts.
        attempt: what the records of all attempts say about it.
        timings: the timing cache after the build.
        timings_path: where that belongs.
    """

    path: Path | None
    record: EngineRecord
    attempt: dict[str, Any]
    timings: bytes
    timings_path: Path

    @property
    def latency_ms(self) -> float:
        """Median time of a run at the profile's best batch."""
        return float(self.attempt["latency_ms"])

    @property
    def complaints(self) -> list[str]:
        """Why it was rejected."""
        return list(self.attempt["complaints"])


def trial_of(task: BuildTask, folder: EngineFolder, number: int) -> Trial:
    """Build once and judge the result.

    Args:
        task: what to build.
        folder: to write the plan into, under the name of a trial.
        number: of the build, from 1. Another build with the same timings would choose the same
            kernels, so only the first takes those of earlier builds.

    Raises:
        EngineError: if TensorRT refuses, or the engine has nothing of the precision asked for.
        InferenceError: if it cannot run.
        StorageError: if the plan cannot be written.
    """
    tensorrt, source = task.machine.tensorrt, task.source
    start = time.perf_counter()
    built = plan_from_onnx(tensorrt, source, task.timing, fresh=number > 1)
    build_s = time.perf_counter() - start
    shape = (source.batch.opt, *task.golden.images_nhwc.shape[1:])
    inspection = inspect_plan(tensorrt, built.plan, shape, dla_core=source.choice.dla_core)
    report = layer_report(inspection.information, _expected(task, built))
    require_lower_precision(report, source.precision)
    record = _record(task, built, report, device_memory_bytes=inspection.device_memory_bytes)
    path = folder.write_trial(task.stem, number, built.plan)
    with TensorRTBackend(path, record, cuda=task.machine.cuda.library) as backend:
        acceptance = with_company(
            acceptance_of(backend, task.golden, task.limits, batch=source.batch),
            backend,
            task.golden,
            precision=source.precision,
            batch=source.batch,
        )
        latency = latency_ms(backend, task.golden, source.batch.opt)
    if acceptance.complaints:
        path.unlink()
        _log.warning("build %d is rejected: %s", number, "; ".join(acceptance.complaints))
    return Trial(
        path=None if acceptance.complaints else path,
        record=replace(record, acceptance={**acceptance.figures, "latency_ms": latency}),
        attempt={
            "plan_sha256": record.plan_sha256,
            "accepted": not acceptance.complaints,
            "complaints": list(acceptance.complaints),
            "build_s": build_s,
            "latency_ms": latency,
            "logit_error": acceptance.figures["logit_error"],
        },
        timings=built.timings,
        timings_path=built.timings_path,
    )


def _expected(task: BuildTask, built: BuiltPlan) -> LayerExpectation:
    choice = task.source.choice
    return LayerExpectation(
        precision=task.source.precision,
        convolutions=built.convolutions,
        float_nodes=choice.artifact.float_nodes,
        quantized_tensors=tensors_with_ranges(task.source.calibration_cache),
        compute_capability=task.machine.cuda.facts.compute_capability,
        typed=choice.typed,
        on_dla=choice.dla_core is not None,
        dla_fallback=built.dla_fallback,
    )


def _record(
    task: BuildTask, built: BuiltPlan, report: LayerReport, *, device_memory_bytes: int
) -> EngineRecord:
    source, choice = task.source, task.source.choice
    return EngineRecord(
        precision=source.precision,
        variant=choice.artifact.variant,
        variant_reason=f"{choice.artifact.file}: {choice.reason}",
        onnx_sha256=choice.artifact.sha256,
        plan_sha256=hashlib.sha256(built.plan).hexdigest(),
        plan_bytes=len(built.plan),
        device=task.machine.device,
        batch=source.batch,
        typed=choice.typed,
        builder_flags=built.flags,
        workspace_bytes=source.workspace_bytes,
        builder_level=source.builder_level,
        dla_core=choice.dla_core,
        device_memory_bytes=device_memory_bytes,
        timing_cache_sha256="",
        layers=json.loads(json.dumps(asdict(report))),  # lists, as a reader of the file gets them
        acceptance={},
        attempts=(),
        created_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        edge_arm=__version__,
        memory=task.memory,
    )
