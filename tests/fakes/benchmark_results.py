"""A benchmark with chosen figures, for what is made of one."""

from __future__ import annotations

from dataclasses import replace

from edge_arm.runtime.backend import BackendInfo
from edge_arm.runtime.benchmark.cold_start import AloneResult, ColdStart
from edge_arm.runtime.benchmark.energy import FaceEnergy
from edge_arm.runtime.benchmark.latency_stats import latency_stats
from edge_arm.runtime.benchmark.machine_state import MachineState
from edge_arm.runtime.benchmark.paced import PacedResult
from edge_arm.runtime.benchmark.process_facts import ResidentMemory
from edge_arm.runtime.benchmark.ratios import SpeedRatio
from edge_arm.runtime.benchmark.result import BatchResult, Benchmark, ModelResult
from edge_arm.runtime.machine import machine_facts
from edge_arm.runtime.manifest import Precision
from edge_arm.runtime.model_spec import ModelSpec, Place

MIB = 1 << 20
STATE = MachineState(
    power_mode="15W (mode 0)",
    cpus_online="0-5",
    clocks={},
    temperatures_c={"cpu-thermal": 51.5},
    throttles={"cpu-throttle": 0},
    events={},
    alarms=(),
)


def batch(size: int, *milliseconds: float, ratio: SpeedRatio | None = None) -> BatchResult:
    """A batch size whose calls took these times."""
    seconds = tuple(value / 1e3 for value in milliseconds)
    return BatchResult(size, latency_stats(seconds), seconds, seconds[:6], True, ratio)


def model(
    precision: Precision, place: Place, batches: tuple[BatchResult, ...], *, gpu: bool = False
) -> ModelResult:
    """A model with everything measured."""
    names = (
        ("copy in", "compute", "copy out", "probabilities")
        if gpu
        else (
            "compute",
            "probabilities",
        )
    )
    return ModelResult(
        spec=ModelSpec(place, precision),
        info=BackendInfo("a backend", "1.2", "0" * 64, 5_000_000, 112, 7, "model.onnx"),
        batches=batches,
        paced=PacedResult(
            30.0, latency_stats([0.012] * 9 + [0.2]), latency_stats([0.01]), 4, 0, 0.3
        ),
        stages={name: latency_stats([0.001 * (k + 1)] * 2) for k, name in enumerate(names)},
        alone=AloneResult(
            ColdStart(3, 0.030, 0.2, 0.05, 0.1, 0.02, 0.4),
            {1: ResidentMemory(100 * MIB, 130 * MIB), 8: ResidentMemory(120 * MIB, 140 * MIB)},
            300 * MIB if gpu else None,
        ),
        energy=FaceEnergy("VDD_IN", 4.25, 4.0, 4.5, 0.95, 5.0, 0.1, 9.25, 3, 900, 60)
        if gpu
        else None,
    )


def benchmark() -> Benchmark:
    """ONNX Runtime FP32 of 10 and 80 ms, TensorRT INT8 of 2 and 8 ms."""
    fp32 = model(
        Precision.FP32,
        Place("onnxruntime", threads=2),
        (batch(1, *[10.0] * 100), batch(8, *[80.0] * 12)),
    )
    int8 = model(
        Precision.INT8,
        Place("tensorrt"),
        (
            batch(1, *[2.0] * 98, 3.0, 50.0, ratio=SpeedRatio(5.0, 4.5, 5.5, 0.95, 15)),
            batch(8, *[8.0] * 12, ratio=SpeedRatio(10.0, None, None, 0.95, 5)),
        ),
        gpu=True,
    )
    return Benchmark(
        models=(fp32, int8),
        base=fp32.spec.name,
        picture_stages={"decode": latency_stats([0.0015] * 2), "find": latency_stats([0.005] * 2)},
        machine=replace(machine_facts(), board="A Jetson", jetpack="6.2"),
        cpu="a CPU",
        before=STATE,
        after=STATE,
        load_of_others=0.02,
        processors=6,
        elapsed_s=42.0,
        notes=("A note.",),
    )
