"""What a benchmark found; the table, the JSON file and the plot are made from it."""

from __future__ import annotations

from dataclasses import dataclass

from edge_arm.runtime.backend import BackendInfo
from edge_arm.runtime.benchmark.cold_start import AloneResult
from edge_arm.runtime.benchmark.energy import FaceEnergy
from edge_arm.runtime.benchmark.latency_stats import LatencyStats
from edge_arm.runtime.benchmark.machine_state import MachineState
from edge_arm.runtime.benchmark.paced import PacedResult
from edge_arm.runtime.benchmark.ratios import SpeedRatio
from edge_arm.runtime.machine import Machine
from edge_arm.runtime.model_spec import ModelSpec


@dataclass(frozen=True, eq=False)
class BatchResult:
    """One model at one batch size, as fast as it goes, in turns with the others.

    Attributes:
        batch_size: faces in a call.
        latency: of a call.
        seconds: of every counted call, in order.
        round_medians_s: median of a call in each round.
        steady: whether warm-up ended because the latency had come to rest.
        ratio: how many times as fast as the base; None for the base itself.
    """

    batch_size: int
    latency: LatencyStats
    seconds: tuple[float, ...]
    round_medians_s: tuple[float, ...]
    steady: bool
    ratio: SpeedRatio | None

    @property
    def faces_per_s(self) -> float:
        """Throughput, by the mean latency."""
        return self.batch_size / max(self.latency.mean_ms / 1e3, 1e-9)


@dataclass(frozen=True, eq=False)
class ModelResult:
    """One model.

    Attributes:
        spec: what it is and what ran it.
        info: of the backend.
        batches: in the order of their sizes.
        paced: with one face in a frame; None if it was not asked for.
        stages: of one face, by name.
        alone: its start and memory in a process of its own; None if it was not asked for.
        energy: where a sensor is and gave a figure, at the largest batch size.
    """

    spec: ModelSpec
    info: BackendInfo
    batches: tuple[BatchResult, ...]
    paced: PacedResult | None
    stages: dict[str, LatencyStats]
    alone: AloneResult | None
    energy: FaceEnergy | None


@dataclass(frozen=True, eq=False)
class Benchmark:
    """The whole run.

    Attributes:
        models: in the order of the table.
        base: name of the model that ratios are to.
        picture_stages: steps before the model, by name.
        machine: what ran it.
        cpu: its processor in the kernel's words.
        before: state of the machine at the start; at the end it was the same where it counts.
        after: state at the end.
        load_of_others: cores that others kept busy meanwhile; None where it cannot be told.
        processors: that this process may use.
        elapsed_s: of everything.
        notes: what was left out and what to know about the figures, a sentence each.
    """

    models: tuple[ModelResult, ...]
    base: str
    picture_stages: dict[str, LatencyStats]
    machine: Machine
    cpu: str
    before: MachineState
    after: MachineState
    load_of_others: float | None
    processors: int
    elapsed_s: float
    notes: tuple[str, ...]
