"""The benchmark of a bundle: what runs in which order, and when the result is refused.

1. Every model in a process of its own: its start, its memory.
2. All models loaded beside each other, in turns, batch size by batch size.
3. Each model with frames on a clock, each step by itself, and its energy where a sensor is.

The machine's state is read before, between and after. A latency under two states belongs to
neither, so a change that is seen ends the run, and no result is given.

Shapes: N faces in a call, S model input size.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_arm.runtime.backend import Backend
from edge_arm.runtime.benchmark.alternation import TurnPlan, TurnTimes, alternate
from edge_arm.runtime.benchmark.cold_start import AloneResult, run_alone
from edge_arm.runtime.benchmark.energy import FaceEnergy, PowerSource
from edge_arm.runtime.benchmark.energy_run import EnergyPlan, measured_energy
from edge_arm.runtime.benchmark.latency_stats import LatencyStats, latency_stats
from edge_arm.runtime.benchmark.machine_state import MachineState, changes, state_now
from edge_arm.runtime.benchmark.paced import PacedResult, paced
from edge_arm.runtime.benchmark.process_facts import (
    QUIET_CORES,
    load_of_others,
    processor_times,
)
from edge_arm.runtime.benchmark.ratios import speed_ratio
from edge_arm.runtime.benchmark.result import BatchResult, Benchmark, ModelResult
from edge_arm.runtime.benchmark.stages import Picture, model_stages, picture_stages
from edge_arm.runtime.classifier.cpu_choice import cpu_name
from edge_arm.runtime.detection.detector import FaceDetector
from edge_arm.runtime.errors import MeasurementError, UsageError
from edge_arm.runtime.machine import machine_facts
from edge_arm.runtime.manifest import Bundle, Precision
from edge_arm.runtime.model_spec import ModelSpec, open_model
from edge_arm.runtime.npz import read_npz
from edge_arm.runtime.preprocess import Uint8Array
from edge_arm.runtime.temperature import usable_temperatures

_log = logging.getLogger(__name__)

GOLDEN_NAME = "golden.npz"
FASTEST_PER_S = 100_000
_SHARES = {"turns": 0.6, "paced": 0.25, "stages": 0.15}
"""Of the seconds that the user gives."""


@dataclass(frozen=True)
class BenchmarkConfig:
    """How long and at what to measure.

    Attributes:
        seconds: of measuring, all models together; starts, warm-up and energy come on top.
        batch_sizes: faces per call.
        frames_per_s: of the paced run, from 1; None leaves it out.
        starts: of each model in a process of its own; 0 leaves that out.
        rounds: that the turns are cut into.
        warm_up_s: of each model at each batch size, at most.
        energy: how long to measure energy where a sensor is.

    Raises:
        UsageError: for batch sizes, a rate or a time that nothing can be measured with.
    """

    seconds: float = 24.0
    batch_sizes: tuple[int, ...] = (1, 8)
    frames_per_s: float | None = 30.0
    starts: int = 3
    rounds: int = 15
    warm_up_s: float = 0.5
    energy: EnergyPlan = EnergyPlan()

    def __post_init__(self) -> None:
        if not self.batch_sizes or min(self.batch_sizes) < 1:
            raise UsageError(
                f"got the batch sizes {list(self.batch_sizes)}, expected numbers from 1; write "
                "them as --batch 1,8"
            )
        if self.frames_per_s is not None and not 1 <= self.frames_per_s <= FASTEST_PER_S:
            raise UsageError(
                f"got {self.frames_per_s:g} frames per second, expected 1 to {FASTEST_PER_S}; "
                "write --fps 30, or --fps 0 for no paced run"
            )
        if not 0 < self.seconds < float("inf"):
            raise UsageError(
                f"got {self.seconds!r} seconds to measure in, expected a time; give --seconds 24"
            )


@dataclass(frozen=True, eq=False)
class Surroundings:
    """What the benchmark needs of its surroundings; tests give others.

    Attributes:
        picture: for the steps before the model; None leaves them out.
        detector: for the step that finds the face; None leaves it out.
        power: a sensor; None where there is none.
        root: where the file system begins.
    """

    picture: Picture | None = None
    detector: FaceDetector | None = None
    power: PowerSource | None = None
    root: Path = Path("/")


def run_benchmark(
    bundle: Bundle, specs: Sequence[ModelSpec], config: BenchmarkConfig, around: Surroundings
) -> Benchmark:
    """Time the models of a bundle.

    Args:
        bundle: whose models.
        specs: which, one at least; see `models_here`.
        config: for how long and at what.
        around: picture, detector and sensor.

    Raises:
        BackendError: if a model cannot be run.
        BundleError: if the bundle's golden faces, temperatures or models are not what it says.
        MeasurementError: if the machine's state changed meanwhile.
    """
    started = time.perf_counter()
    # First, because a bundle that was damaged is to be known before the work.
    faces = golden_faces(bundle, max(config.batch_sizes))
    temperatures, _ = usable_temperatures(bundle)
    watch = _StateWatch(around.root)
    load_before = processor_times(around.root)
    notes: list[str] = []
    alone: dict[str, AloneResult] = {}
    for spec in specs if config.starts else ():
        alone[spec.name] = run_alone(
            bundle.path, spec, batch_sizes=config.batch_sizes, starts=config.starts
        )
    watch.look()
    with ExitStack() as stack:
        models = {spec.name: stack.enter_context(open_model(bundle, spec)) for spec in specs}
        turns = _turns(models, faces, config, watch)
        by_spec = dict(zip(specs, models.values(), strict=True))
        one = _one_by_one(by_spec, faces, config, temperatures)
        before_model = _picture_stages(bundle, config, around, steps=len(specs) + 1)
        watch.look()
        energy = _energies(models, faces, config, around.power, notes)
        infos = {name: model.info for name, model in models.items()}
    after = watch.look()
    base = base_of(specs)
    load = load_of_others(load_before, processor_times(around.root))
    return Benchmark(
        models=tuple(
            ModelResult(
                spec=spec,
                info=infos[spec.name],
                batches=_batches(spec.name, base, turns),
                paced=one[spec.name][0],
                stages=one[spec.name][1],
                alone=alone.get(spec.name),
                energy=energy.get(spec.name),
            )
            for spec in specs
        ),
        base=base,
        picture_stages=before_model,
        machine=machine_facts(around.root),
        cpu=cpu_name(around.root),
        before=watch.first,
        after=after,
        load_of_others=load,
        processors=len(os.sched_getaffinity(0)),
        elapsed_s=time.perf_counter() - started,
        notes=(*notes, *_remarks(turns, load, watch.first)),
    )


def base_of(specs: Sequence[ModelSpec]) -> str:
    """The model that the others are compared with: the first in FP32, else the first of all.

    Args:
        specs: one at least.
    """
    fp32 = [spec for spec in specs if spec.precision is Precision.FP32]
    return (fp32 or list(specs))[0].name


def golden_faces(bundle: Bundle, num_faces: int) -> Uint8Array:
    """The faces that the bundle carries, repeated as often as needed.

    Args:
        bundle: with its golden faces, which are drawn and nobody's.
        num_faces: N.

    Returns:
        (N, S, S, 3) uint8 RGB.

    Raises:
        BundleError: if they are not there or changed.
    """
    images = read_npz(bundle.verified(GOLDEN_NAME), ("images",))["images"]
    return np.ascontiguousarray(images[np.arange(num_faces) % len(images)])


class _StateWatch:
    """Looks at the machine's state again and again, and stops the run when it changed."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.first = self._last = state_now(root)

    def look(self) -> MachineState:
        now = state_now(self._root)
        found = changes(self._last, now)
        if found:
            raise MeasurementError(
                f"the machine did not stay the same while it was measured ({'; '.join(found)}), "
                "expected one state from start to end, so there is no result; let it cool down, "
                "fix the clocks (on a Jetson: sudo nvpmodel -m MODE, sudo jetson_clocks), and run "
                "it again"
            )
        self._last = now
        return now


def _turns(
    models: dict[str, Backend], faces: Uint8Array, config: BenchmarkConfig, watch: _StateWatch
) -> dict[int, dict[str, TurnTimes]]:
    found = {}
    seconds = config.seconds * _SHARES["turns"] / len(config.batch_sizes)
    for batch_size in sorted(set(config.batch_sizes)):
        _log.info("%d models in turns, batch %d, %.1f s", len(models), batch_size, seconds)
        plan = TurnPlan(seconds, rounds=config.rounds, warm_up_s=config.warm_up_s)
        found[batch_size] = alternate(models, faces[:batch_size], plan=plan)
        watch.look()
    return found


def _one_by_one(
    models: dict[ModelSpec, Backend],
    faces: Uint8Array,
    config: BenchmarkConfig,
    temperatures: dict[Precision, float],
) -> dict[str, tuple[PacedResult | None, dict[str, LatencyStats]]]:
    """What each model is timed at by itself: one face, on a clock and step by step."""
    found = {}
    for spec, model in models.items():
        model.infer(faces[:1])
        on_a_clock = None
        if config.frames_per_s is not None:
            seconds = config.seconds * _SHARES["paced"] / len(models)
            on_a_clock = paced(
                model,
                faces[:1],
                frames_per_s=config.frames_per_s,
                seconds=max(seconds, 10 / config.frames_per_s),
            )
        stages = model_stages(
            model,
            faces[:1],
            seconds=config.seconds * _SHARES["stages"] / (len(models) + 1),
            temperature=temperatures.get(spec.precision, 1.0),
        )
        found[spec.name] = (on_a_clock, stages)
    return found


def _picture_stages(
    bundle: Bundle, config: BenchmarkConfig, around: Surroundings, *, steps: int
) -> dict[str, LatencyStats]:
    if around.picture is None:
        return {}
    return picture_stages(
        around.picture,
        size=bundle.manifest.preprocess.size,
        seconds=config.seconds * _SHARES["stages"] / steps,
        detector=around.detector,
    )


def _energies(
    models: dict[str, Backend],
    faces: Uint8Array,
    config: BenchmarkConfig,
    power: PowerSource | None,
    notes: list[str],
) -> dict[str, FaceEnergy]:
    if power is None:
        return {}
    found = {}
    for name, model in models.items():
        try:
            found[name] = measured_energy(model, faces, power, config.energy)
        except MeasurementError as error:
            notes.append(f"Energy of {name}: not told, because {error}.")
    return found


def _batches(
    name: str, base: str, turns: dict[int, dict[str, TurnTimes]]
) -> tuple[BatchResult, ...]:
    return tuple(
        BatchResult(
            batch_size=batch_size,
            latency=latency_stats(times[name].seconds),
            seconds=times[name].seconds,
            round_medians_s=times[name].round_medians,
            steady=times[name].steady,
            ratio=None
            if name == base
            else speed_ratio(times[base].round_medians, times[name].round_medians),
        )
        for batch_size, times in turns.items()
    )


def _remarks(
    turns: dict[int, dict[str, TurnTimes]], load: float | None, state: MachineState
) -> list[str]:
    """What a reader must know about the figures."""
    restless = [
        f"{name} at batch {batch_size}"
        for batch_size, models in turns.items()
        for name, times in models.items()
        if not times.steady
    ]
    found = []
    if restless:
        found.append(
            "Warm-up ended before the latency had come to rest, so that the first rounds may be "
            f"off: {', '.join(restless)}."
        )
    if state.throttled:
        found.append(
            "The machine was throttled from start to end: these are the latencies of a hot or an "
            "underfed machine. Let it cool down, or give it a stronger supply."
        )
    if load is not None and load > QUIET_CORES:
        found.append(
            f"The machine was not quiet: others kept {load:.1f} cores busy. Latencies are too "
            "long and their tails are the others'; ratios suffer less. End other programs and run "
            "it again for figures to keep."
        )
    return found
