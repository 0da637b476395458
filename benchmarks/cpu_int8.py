"""What INT8 is worth on this machine's CPU: ONNX Runtime and OpenVINO, both INT8 forms, one run.

    python benchmarks/cpu_int8.py build/bundle

Every model answers the same pictures in turns, so that what else the machine does slows all of them
alike, and a figure is the ratio to ONNX Runtime's FP32 in the same turn. Its spread is the middle
half of all turns. Latencies are medians. Pictures are random: no kernel looks at them.

The ratios to reach on two cores with VNNI at 224 pixels: ONNX Runtime's unsigned INT8 at least 3.3
at batch 8 and 2.5 at batch 1, OpenVINO's signed INT8 at least 3.3 at both.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge_arm.runtime.backend import Backend
from edge_arm.runtime.errors import BackendUnavailableError, EdgeArmError
from edge_arm.runtime.manifest import CPU_VARIANT, MAIN_VARIANT, Bundle, Precision, open_bundle
from edge_arm.runtime.onnxruntime_backend import OnnxRuntimeBackend
from edge_arm.runtime.openvino_backend import OpenVinoBackend

BASE = "ONNX Runtime FP32"
_MODELS = {
    "FP32": (Precision.FP32, MAIN_VARIANT),
    "INT8 signed": (Precision.INT8, MAIN_VARIANT),
    "INT8 unsigned": (Precision.INT8, CPU_VARIANT),
}
_WARM_UP = 3


@dataclass(frozen=True)
class Row:
    """One model at one batch size.

    Attributes:
        model: what ran.
        batch_size: faces per call.
        latency_ms: median time per face.
        ratio: median of FP32's time by this one's, turn by turn.
        ratio_low: lower quartile of it.
        ratio_high: upper quartile.
    """

    model: str
    batch_size: int
    latency_ms: float
    ratio: float
    ratio_low: float
    ratio_high: float


def rows_from_seconds(seconds: Mapping[str, Sequence[float]], batch_size: int) -> list[Row]:
    """Ratios of every model to `BASE`.

    Args:
        seconds: of each turn, by model; the same number of turns for all.
        batch_size: faces per call.
    """
    base = np.asarray(seconds[BASE])
    rows = []
    for model, times in seconds.items():
        ratios = base / np.asarray(times)
        low, middle, high = np.quantile(ratios, (0.25, 0.5, 0.75))
        latency_ms = 1e3 * float(np.median(times)) / batch_size
        rows.append(Row(model, batch_size, latency_ms, float(middle), float(low), float(high)))
    return rows


def timed(
    models: Mapping[str, Backend],
    images_nhwc: npt.NDArray[np.uint8],
    turns: int,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Seconds of each call, the models taking turns.

    Args:
        models: by name.
        images_nhwc: (N, S, S, 3) uint8, one batch.
        turns: of each model.
        clock: seconds; the wall clock, or the processor's where others use the machine too.
    """
    for backend in models.values():
        for _ in range(_WARM_UP):
            backend.infer(images_nhwc)
    seconds: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(turns):
        for name, backend in models.items():
            start = clock()
            backend.infer(images_nhwc)
            seconds[name].append(clock() - start)
    return seconds


def opened(stack: ExitStack, bundle: Bundle, threads: int) -> dict[str, Backend]:
    """Every model on every runtime that is installed.

    Args:
        stack: that closes them.
        bundle: with FP32 and both INT8 models.
        threads: of each.
    """
    models: dict[str, Backend] = {}
    for runtime, make in (("ONNX Runtime", OnnxRuntimeBackend), ("OpenVINO", OpenVinoBackend)):
        for name, (precision, variant) in _MODELS.items():
            path, _ = bundle.model(precision, variant)
            try:
                models[f"{runtime} {name}"] = stack.enter_context(make(path, threads=threads))
            except BackendUnavailableError as error:
                print(f"left out: {error}", file=sys.stderr)
                break
    return models


def markdown_table(rows: Sequence[Row]) -> str:
    """The rows for docs/measurements.md."""
    head = [
        "| batch | model | ms per face | times FP32 | middle half |",
        "|---:|---|---:|---:|---|",
    ]
    return "\n".join(
        [
            *head,
            *(
                f"| {row.batch_size} | {row.model} | {row.latency_ms:.2f} | {row.ratio:.2f} | "
                f"{row.ratio_low:.2f} to {row.ratio_high:.2f} |"
                for row in rows
            ),
        ]
    )


def main() -> int:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--batch-size", type=int, nargs="+", default=[8, 1])
    parser.add_argument("--turns", type=int, default=40, help="calls of each model")
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument(
        "--processor-time",
        action="store_true",
        help="count the processor's time and not the wall clock's, on a machine that others use; "
        "fair with one thread alone",
    )
    parser.add_argument("--json", type=Path, help="write the rows for programs")
    arguments = parser.parse_args()
    clock = time.process_time if arguments.processor_time else time.perf_counter
    rows: list[Row] = []
    with ExitStack() as stack:
        try:
            bundle = open_bundle(arguments.bundle)
            models = opened(stack, bundle, arguments.threads)
        except EdgeArmError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        size = bundle.manifest.preprocess.size
        random = np.random.default_rng(0)
        for batch_size in arguments.batch_size:
            images = random.integers(0, 256, (batch_size, size, size, 3), np.uint8)
            rows += rows_from_seconds(timed(models, images, arguments.turns, clock), batch_size)
        versions = {backend.info.name: backend.info.version for backend in models.values()}
    print(
        f"{size} pixels, {arguments.threads} threads, {arguments.turns} turns, "
        f"{'processor time' if arguments.processor_time else 'wall clock'}, "
        f"{', '.join(f'{name} {version}' for name, version in versions.items())}, "
        f"{platform.machine()}\n"
    )
    print(markdown_table(rows))
    if arguments.json is not None:
        content = {"versions": versions, "rows": [asdict(row) for row in rows]}
        arguments.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
