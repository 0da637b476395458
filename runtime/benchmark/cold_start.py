"""From starting a process to its first answer, part by part, and the memory of one model alone.

Every start is a process of its own (`one_model`), so nothing that a start before it loaded helps,
except the files, which the system keeps in memory: this is a warm start of the machine's. Figures
are medians of the starts.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from edge_arm.runtime.benchmark.one_model import MARK, REFUSED
from edge_arm.runtime.benchmark.process_facts import ResidentMemory
from edge_arm.runtime.errors import BackendError
from edge_arm.runtime.model_spec import ModelSpec, spec_to_text

TIMEOUT_S = 120.0

# The module search path of this process, so that the child finds the same edge_arm, and not a
# folder of that name where the user happens to be.
_CODE = """
import sys, time
started_s = time.monotonic()
sys.path[:] = sys.argv[4:]
del sys.argv[4:]
from edge_arm.runtime.benchmark.one_model import main
sys.exit(main(started_s))
"""


@dataclass(frozen=True)
class ColdStart:
    """Where the time to the first answer goes; seconds, medians of the starts.

    Attributes:
        starts: how many.
        interpreter_s: from starting the process to its first line of Python.
        imports_s: edge-arm's runtime, numpy, and the library that runs the model.
        bundle_s: reading the manifest and checking the hash of the model; for an engine the
            manifest alone, because its plan is checked when it is loaded.
        load_s: making the model ready.
        first_answer_s: the first call, one face.
        total_s: the median of the sums, not the sum of the medians.
    """

    starts: int
    interpreter_s: float
    imports_s: float
    bundle_s: float
    load_s: float
    first_answer_s: float
    total_s: float


@dataclass(frozen=True)
class AloneResult:
    """What one model does in a process of its own.

    Attributes:
        cold: its start.
        memory: by batch size, in the first start, after some calls of this size and of those before
            it; None where the system does not tell.
        gpu_bytes: by how much the GPU's free memory grew when the model was closed, whoever else
            took or gave some then; None where no engine ran.
    """

    cold: ColdStart
    memory: dict[int, ResidentMemory | None]
    gpu_bytes: int | None


_PARTS = ("imports_s", "bundle_s", "load_s", "first_answer_s")


def run_alone(
    bundle_path: Path, spec: ModelSpec, *, batch_sizes: Sequence[int], starts: int
) -> AloneResult:
    """Start a model in a process of its own, several times.

    Args:
        bundle_path: the bundle.
        spec: the model and what runs it.
        batch_sizes: to read the memory at.
        starts: how many, one at least.

    Raises:
        BackendError: if the process fails, in its own words.
    """
    sizes = sorted(set(batch_sizes))
    # Memory does not move from start to start as time does, and large batches take long.
    answers = [
        _one_start(bundle_path, spec, sizes if number == 0 else sizes[:1])
        for number in range(starts)
    ]
    memory = {
        size: None if told is None else ResidentMemory(*told)
        for size, told in zip(sizes, answers[0]["memory"], strict=True)
    }
    gpu = [answer["gpu_bytes"] for answer in answers if answer["gpu_bytes"] is not None]
    return AloneResult(
        cold=ColdStart(
            starts=starts,
            interpreter_s=median(answer["interpreter_s"] for answer in answers),
            total_s=median(
                answer["interpreter_s"] + sum(answer[part] for part in _PARTS) for answer in answers
            ),
            **{part: median(answer[part] for answer in answers) for part in _PARTS},
        ),
        memory=memory,
        gpu_bytes=int(median(gpu)) if gpu else None,
    )


def _one_start(bundle_path: Path, spec: ModelSpec, batch_sizes: list[int]) -> dict[str, Any]:
    arguments = [str(bundle_path.absolute()), spec_to_text(spec), json.dumps(batch_sizes)]
    begun_s = time.monotonic()
    try:
        done = subprocess.run(
            [sys.executable, "-c", _CODE, *arguments, *sys.path],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TIMEOUT_S,
            check=False,
            env={**os.environ, "OPENCV_LOG_LEVEL": "SILENT"},
        )
    except subprocess.TimeoutExpired as error:
        raise BackendError(
            f"{spec.name} gave no answer within {TIMEOUT_S:g} s in a process of its own, expected "
            "one; end other programs, take a smaller --batch, or leave this model out with "
            "--precision or --backend"
        ) from error
    for line in done.stdout.decode("utf-8", "replace").splitlines():
        if line.startswith(MARK):
            answer: dict[str, Any] = json.loads(line.removeprefix(MARK))
            answer["interpreter_s"] = answer["started_s"] - begun_s
            return answer
    if done.returncode == REFUSED:
        raise BackendError(f"{spec.name}: {_last_words(done)}")
    raise BackendError(
        f"{spec.name} failed in a process of its own ({_last_words(done)}), expected an answer; "
        "leave this model out with --precision or --backend, or run 'edge-arm doctor'"
    )


def _last_words(done: subprocess.CompletedProcess[bytes]) -> str:
    if done.returncode < 0:
        return f"ended by {signal.Signals(-done.returncode).name}"
    lines = [line.strip() for line in done.stderr.decode("utf-8", "replace").splitlines()]
    return next((line for line in reversed(lines) if line), f"status {done.returncode}")
