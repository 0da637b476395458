"""A benchmark for programs."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from edge_arm.runtime.benchmark.cold_start import AloneResult
from edge_arm.runtime.benchmark.latency_stats import PERCENTILE_METHOD, LatencyStats
from edge_arm.runtime.benchmark.paced import PacedResult
from edge_arm.runtime.benchmark.result import BatchResult, Benchmark, ModelResult

SCHEMA_VERSION = 1

PERCENTS = (*range(101), 99.9)
"""Of the latencies that are written for each model and batch size: the distribution as it was."""


def benchmark_to_json(result: Benchmark, *, command: str, created_at: str) -> dict[str, Any]:
    """The JSON form; what was not measured or means nothing is null.

    Args:
        result: of the run.
        command: that the user typed.
        created_at: date and time in UTC, ISO 8601.
    """
    machine = asdict(result.machine)
    del machine["executable"]  # a path of this machine, which tells no reader anything
    return {
        "schema_version": SCHEMA_VERSION,
        "command": command,
        "created_at": created_at,
        "elapsed_s": result.elapsed_s,
        "machine": {**machine, "cpu": result.cpu, "processors": result.processors},
        "state_before": asdict(result.before),
        "state_after": asdict(result.after),
        "load_of_others_cores": result.load_of_others,
        "percentile_method": PERCENTILE_METHOD,
        "base": result.base,
        "picture_stages": _stages(result.picture_stages),
        "models": [_model(model) for model in result.models],
        "notes": list(result.notes),
    }


def _model(model: ModelResult) -> dict[str, Any]:
    return {
        "name": model.spec.name,
        "place": asdict(model.spec.place),
        "precision": model.spec.precision.value,
        "variant": model.spec.variant,
        "backend": asdict(model.info),
        "batches": [_batch(batch) for batch in model.batches],
        "paced": None if model.paced is None else _paced(model.paced),
        "stages": _stages(model.stages),
        "alone": None if model.alone is None else _alone(model.alone),
        "energy": None if model.energy is None else asdict(model.energy),
    }


def _batch(batch: BatchResult) -> dict[str, Any]:
    times_ms = 1e3 * np.asarray(batch.seconds)
    percents = np.quantile(times_ms, np.array(PERCENTS) / 100, method=PERCENTILE_METHOD)
    return {
        "batch_size": batch.batch_size,
        "latency": asdict(batch.latency),
        "faces_per_s": batch.faces_per_s,
        "steady": batch.steady,
        "times_base": None if batch.ratio is None else asdict(batch.ratio),
        "round_medians_ms": [1e3 * seconds for seconds in batch.round_medians_s],
        "percents": list(PERCENTS),
        "percentiles_ms": [float(value) for value in percents],
    }


def _paced(paced: PacedResult) -> dict[str, Any]:
    return {**asdict(paced), "keeps_up": paced.keeps_up}


def _stages(stages: dict[str, LatencyStats]) -> dict[str, Any]:
    return {name: asdict(stats) for name, stats in stages.items()}


def _alone(alone: AloneResult) -> dict[str, Any]:
    return {
        "cold_start": asdict(alone.cold),
        "memory": [
            {
                "batch_size": batch_size,
                "now_bytes": None if memory is None else memory.now_bytes,
                "most_bytes": None if memory is None else memory.most_bytes,
            }
            for batch_size, memory in alone.memory.items()
        ],
        "gpu_bytes": alone.gpu_bytes,
    }
