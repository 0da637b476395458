"""Times FP32 and INT8 on this CPU in turns, in a process that ends and gives its memory back.

Two loaded models need three times the memory of the one that runs afterwards, and a process keeps
what it once had. So the trial is a child; it prints one line of JSON that `cpu_choice` reads.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np

from edge_arm.runtime.backend import Backend
from edge_arm.runtime.errors import EdgeArmError
from edge_arm.runtime.manifest import CPU_VARIANT, MAIN_VARIANT, Precision, open_bundle
from edge_arm.runtime.onnxruntime_backend import OnnxRuntimeBackend

MARK = "edge-arm cpu trial: "
"""Begins the line that holds the answer; libraries may print lines of their own."""

BATCHES = (1, 4)
"""One face, and a frame with a few."""
LEAST_TURNS, MOST_TURNS = 3, 25
BUDGET_S = 0.6
"""For each batch size, once it had `LEAST_TURNS`."""


@dataclass(frozen=True)
class CpuTrial:
    """What came out.

    Attributes:
        ratios: FP32's time by INT8's for each of `BATCHES`, the median over turns; above 1 where
            INT8 is faster.
        fp32_ms: of one face, the median.
        int8_ms: the same.
    """

    ratios: tuple[float, ...]
    fp32_ms: float
    int8_ms: float


def cpu_trial(fp32: Backend, int8: Backend) -> CpuTrial:
    """Let two models take turns.

    Args:
        fp32: the one to beat.
        int8: of the same network.
    """
    size = fp32.info.input_size
    ratios, single_ms = [], (0.0, 0.0)
    for batch_size in BATCHES:
        # No kernel looks at the pixels.
        faces = np.random.default_rng(0).integers(0, 256, (batch_size, size, size, 3), np.uint8)
        for backend in (fp32, int8):
            backend.infer(faces)
        turns: list[tuple[float, float]] = []
        start = perf_counter()
        while len(turns) < LEAST_TURNS or (
            len(turns) < MOST_TURNS and perf_counter() - start < BUDGET_S
        ):
            turns.append((_seconds(fp32, faces), _seconds(int8, faces)))
        # By turn: what else the machine did then slowed both.
        ratios.append(median(slow / fast for slow, fast in turns))
        if batch_size == 1:
            single_ms = (
                1e3 * median(slow for slow, _ in turns),
                1e3 * median(fast for _, fast in turns),
            )
    return CpuTrial(tuple(ratios), *single_ms)


def main(bundle_path: str, threads: str) -> int:
    """Run the trial on the models of a bundle and print what came out.

    Args:
        bundle_path: with FP32 and INT8 for CPUs.
        threads: of each model.

    Returns:
        The exit status: 0, or 2 with the reason as the last line on stderr.
    """
    # A library may print to the process's stdout, past Python: it gets stderr in its place.
    own_stdout = os.dup(1)
    os.dup2(2, 1)
    try:
        bundle = open_bundle(Path(bundle_path))
        fp32_path, _ = bundle.model(Precision.FP32, MAIN_VARIANT)
        int8_path, _ = bundle.model(Precision.INT8, CPU_VARIANT)
        with (
            OnnxRuntimeBackend(fp32_path, threads=int(threads)) as fp32,
            OnnxRuntimeBackend(int8_path, threads=int(threads)) as int8,
        ):
            trial = cpu_trial(fp32, int8)
    except EdgeArmError as error:
        print(error, file=sys.stderr)
        return 2
    os.write(own_stdout, f"\n{MARK}{json.dumps(asdict(trial))}\n".encode())
    return 0


def trial_from_text(text: str) -> CpuTrial | None:
    """What a child printed; None if the answer is not in it.

    Args:
        text: its whole stdout.
    """
    lines = [line for line in text.splitlines() if line.startswith(MARK)]
    if not lines:
        return None
    value = json.loads(lines[-1].removeprefix(MARK))
    return CpuTrial(tuple(value["ratios"]), value["fp32_ms"], value["int8_ms"])


def _seconds(backend: Backend, faces: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> float:
    start = perf_counter()
    backend.infer(faces)
    return perf_counter() - start
