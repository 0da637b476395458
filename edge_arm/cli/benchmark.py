"""`edge-arm benchmark`: how fast, how steady and at what memory the models run on this machine."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge_arm.cli.backends import (
    BackendName,
    CudaName,
    CudaOption,
    DlaOption,
    PrecisionsOption,
    ProviderOption,
    VariantName,
)
from edge_arm.cli.watching_run import terminated_like_interrupted
from edge_arm.runtime.errors import BackendUnavailableError, StorageError, UsageError

if TYPE_CHECKING:
    from edge_arm.runtime.benchmark.benchmark import BenchmarkConfig, Surroundings
    from edge_arm.runtime.benchmark.result import Benchmark

SECONDS, STARTS = 24.0, 3
QUICK_SECONDS, QUICK_STARTS = 3.0, 1


def benchmark(
    bundle: Annotated[Path, typer.Option(help="Models to time.")] = Path("build/bundle"),
    backend: Annotated[
        list[BackendName] | None,
        typer.Option(help="Only this one; may be given again. All that are here if absent."),
    ] = None,
    provider: ProviderOption = "cpu",
    cuda: CudaOption = CudaName.PYCUDA,
    dla: DlaOption = None,
    precision: PrecisionsOption = None,
    variant: Annotated[
        list[VariantName] | None,
        typer.Option(help="Only this INT8 model: main, or the one for CPUs. Both if absent."),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Of the CPU, for a model. What `run` takes if absent.")
    ] = None,
    batch: Annotated[
        str | None,
        typer.Option(
            metavar="N,N,...",
            help="Faces per call. 1, 8 and the largest of the engines if absent.",
        ),
    ] = None,
    fps: Annotated[
        float, typer.Option(min=0, help="Frames per second of the paced run; 0 leaves it out.")
    ] = 30.0,
    seconds: Annotated[
        float | None,
        typer.Option(
            help=f"To measure in, {SECONDS:g} if absent; starts and warm-up come on top.",
        ),
    ] = None,
    quick: Annotated[
        bool,
        typer.Option(
            "--quick",
            help=f"A glance, for CI: {QUICK_SECONDS:g} seconds and one start, where not named.",
        ),
    ] = False,
    starts: Annotated[
        int | None,
        typer.Option(
            min=0,
            help=f"Of each model in a process of its own, {STARTS} if absent; 0 leaves them out.",
        ),
    ] = None,
    detector: Annotated[
        str | None,
        typer.Option(
            metavar="haar|FILE",
            help="Finds the face in the step of that name: YuNet as .onnx, a cascade as .xml. "
            "OpenCV's own cascade if absent.",
        ),
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Write the result for programs.")] = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE.svg", help="Draw latencies and throughput.")
    ] = None,
) -> None:
    """Time every model of a bundle that runs here, in turns, and say what belongs to the figures.

    Latencies as fast as it goes and on a clock, each step from JPEG to label, the start of a
    process, memory, and energy where a sensor is. Exit status 2, and no result, if the power mode,
    a clock's limits or throttling changed meanwhile.

    Example: edge-arm benchmark --json speed.json --plot speed.svg
    """
    from edge_arm.cli.benchmark_table import print_benchmark
    from edge_arm.runtime.benchmark.benchmark import run_benchmark
    from edge_arm.runtime.benchmark.models_here import WantedModels, models_here
    from edge_arm.runtime.classifier.threads import inference_threads
    from edge_arm.runtime.manifest import Precision, open_bundle
    from edge_arm.runtime.storage import require_result_places

    written = [path for path in (json, plot) if path is not None]
    require_result_places(written)
    batch_sizes = None if batch is None else _batch_sizes(batch)
    opened = open_bundle(bundle)
    found = models_here(
        opened,
        WantedModels(
            backends=tuple(name.value for name in backend or ()),
            provider=provider,
            cuda=cuda.value,
            dla_core=dla,
            threads=inference_threads(threads),
            precisions=tuple(Precision(name.value) for name in precision or ()),
            variants=tuple(name.value for name in variant or ()),
        ),
    )
    if threads is not None and not any(spec.place.on_cpu for spec in found.specs):
        raise UsageError(
            f"got --threads {threads} and no model that a CPU runs, expected one: a GPU has no "
            "threads to count; leave --threads out"
        )
    config = _config(
        batch_sizes or tuple(sorted({1, 8, found.largest_batch or 1})),
        fps=fps,
        seconds=(QUICK_SECONDS if quick else SECONDS) if seconds is None else seconds,
        starts=(QUICK_STARTS if quick else STARTS) if starts is None else starts,
    )
    around, missing = _surroundings(detector)
    with terminated_like_interrupted():  # or a start of a model would outlive this process
        result = run_benchmark(opened, found.specs, config, around)
    left_out = (*found.left_out, *missing)
    try:
        _write(result, json, plot)
    except StorageError:  # a disk that filled up meanwhile does not cost the figures
        print_benchmark(result, left_out, ())
        raise
    print_benchmark(result, left_out, written)


def _config(
    batch_sizes: tuple[int, ...], *, fps: float, seconds: float, starts: int
) -> BenchmarkConfig:
    from edge_arm.runtime.benchmark.benchmark import BenchmarkConfig
    from edge_arm.runtime.benchmark.energy_run import EnergyPlan

    # Above the sensor's ten readings in a window, a longer run is a surer one.
    window_s = max(1.5, min(5.0, seconds / 12))
    return BenchmarkConfig(
        seconds=seconds,
        batch_sizes=batch_sizes,
        frames_per_s=fps or None,
        starts=starts,
        warm_up_s=min(0.5, seconds / 10),
        energy=EnergyPlan(window_s),
    )


def _surroundings(detector: str | None) -> tuple[Surroundings, tuple[str, ...]]:
    """Picture, detector and sensor, and a sentence for what is not here and was not named."""
    from edge_arm.cli.benchmark_picture import drawn_picture
    from edge_arm.runtime.benchmark.benchmark import Surroundings
    from edge_arm.runtime.benchmark.ina3221 import power_sensor
    from edge_arm.runtime.detection.detection_config import HAAR, DetectionConfig
    from edge_arm.runtime.detection.detector_choice import detector_factory

    finder, missing = None, []
    try:
        finder = detector_factory(DetectionConfig(detector or HAAR))()
    except BackendUnavailableError as error:
        if detector is not None:
            raise
        missing.append(f"Finding faces: not timed, because {error}.")
    return Surroundings(drawn_picture(), finder, power_sensor()), tuple(missing)


def _batch_sizes(text: str) -> tuple[int, ...]:
    parts = [part.strip() for part in text.split(",")]
    if not all(re.fullmatch("[0-9]{1,4}", part) and 1 <= int(part) <= 4096 for part in parts):
        raise UsageError(
            f"got --batch {text!r}, expected numbers from 1 to 4096 with commas between them; "
            "write it as --batch 1,8,32"
        )
    return tuple(sorted({int(part) for part in parts}))


def _write(result: Benchmark, json: Path | None, plot: Path | None) -> None:
    import shlex
    import sys
    from datetime import datetime, timezone

    from edge_arm.runtime.benchmark.plot import benchmark_svg
    from edge_arm.runtime.benchmark.result_json import benchmark_to_json
    from edge_arm.runtime.storage import write_json, write_text

    if json is not None:
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        command = shlex.join(["edge-arm", *sys.argv[1:]])
        write_json(json, benchmark_to_json(result, command=command, created_at=now))
    if plot is not None:
        write_text(plot, benchmark_svg(result))
