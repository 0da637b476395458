"""benchmarks/cpu_threads.py: a run with small numbers on a tiny bundle."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from edge_arm.runtime.classifier.threads import usable_cores
from edge_arm.runtime.manifest import Bundle

SCRIPT = Path(__file__).parents[3] / "benchmarks" / "cpu_threads.py"


def _run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), *words],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2]),
    )


def test_every_number_of_threads_is_tried_with_and_without_spinning(bundle: Bundle) -> None:
    done = _run(str(bundle.path), "--seconds", "0.1", "--rounds", "1")
    assert done.returncode == 0, done.stderr
    head, *rows = [line for line in done.stdout.splitlines() if line.startswith("| ")]
    assert head.startswith("| threads | spinning |")
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    tried = [(threads, spins) for threads, spins, *_ in cells]
    numbers = range(1, min(2, usable_cores()) + 1)
    assert tried == [(str(number), spins) for number in numbers for spins in ("on", "off")]
    figures = [float(cell.replace(",", "")) for row in cells for cell in row[2:]]
    assert all(figure > 0 for figure in figures)
    assert "model.int8.cpu.onnx, 16 pixels" in done.stdout


def test_a_bundle_without_the_model_is_refused(uncalibrated: Bundle) -> None:
    done = _run(str(uncalibrated.path))
    assert done.returncode == 2
    assert "error: the bundle has no int8 model (cpu)" in done.stderr
