"""Ours beside Model Optimizer, ONNX Runtime and NNCF: same model, same calibration faces.

    make peers
    .venv-peers/bin/python benchmarks/quantizers.py --bundle DIR --data NAME --root DIR

Each quantizer makes an INT8 ONNX file from the bundle's FP32 one, in a fresh process, for several
draws of the calibration faces. ONNX Runtime then runs every file over the whole test split, on the
CPU, and its answers are held against FP32's. A Markdown table comes out, for docs/measurements.md.

- agreement, flips: faces with FP32's answer, and with another one.
- drop: FP32's accuracy minus this one's, with the paired 95 % interval; over several draws their
  mean, and the lowest and the highest limit of their intervals.
- KL: mean divergence of the probabilities from FP32's, in nats.
- time: from the FP32 file and the pictures to the INT8 file, by the clock; the start of Python and
  the loading of libraries are left out. Ours includes all that `edge-arm calibrate` checks, and the
  second INT8 model that it makes for strongly typed TensorRT. Believe it on an idle machine only.
- memory: largest resident set of the process, libraries included.

A peer runs as it comes and, as `NAME+float-head`, told to leave the head in float, which ours does
by itself. A quantizer that fails has a row that says so.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from peers.names import DEFAULT, OURS, quantizer
from peers.scoring import Scores, TestFaces

from edge_arm.data.registry import face_index
from edge_arm.runtime.faces import Split
from edge_arm.runtime.manifest import Precision, open_bundle

TIMEOUT_SECONDS = 3600


@dataclass(frozen=True)
class Trial:
    """One quantizer with one draw of the faces.

    Attributes:
        name: of the quantizer.
        seed: of the draw.
        fault: what went wrong; empty if nothing did.
        seconds: it took.
        peak_bytes: largest resident set.
        versions: of the packages in its process.
        scores: of its model on the test faces; None after a fault.
    """

    name: str
    seed: int
    fault: str = ""
    seconds: float = 0.0
    peak_bytes: int = 0
    versions: dict[str, str] = field(default_factory=dict)
    scores: Scores | None = None


def trial(name: str, seed: int, *, arguments: argparse.Namespace, test: TestFaces) -> Trial:
    """Quantize in a process of its own, and run the result over the test faces.

    Args:
        name: of the quantizer.
        seed: of the draw of calibration faces.
        arguments: of the command line.
        test: what to judge on.
    """
    with tempfile.TemporaryDirectory(prefix="quantizers-") as folder:
        out = Path(folder) / "int8.onnx"
        words = [
            sys.executable, str(Path(__file__).with_name("peers") / "run_one.py"),
            "--quantizer", name, "--bundle", str(arguments.bundle), "--data", arguments.data,
            "--root", str(arguments.root), "--images", str(arguments.images),
            "--seed", str(seed), "--out", str(out),
        ]  # fmt: skip
        try:
            done = subprocess.run(
                words, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            return Trial(name, seed, f"took longer than {TIMEOUT_SECONDS} s")
        if done.returncode:
            return Trial(name, seed, fault_of(done.returncode, done.stderr))
        told = json.loads(done.stdout.splitlines()[-1])
        try:
            scores = test.scores_of(out)
        except Exception as error:  # a file that ONNX Runtime refuses is this quantizer's fault
            return Trial(name, seed, f"its file does not run: {error}", **told)
        return Trial(name, seed, scores=scores, **told)


def fault_of(status: int, stderr: str) -> str:
    """What ended a process, in one line.

    Args:
        status: of its end; negative for a signal.
        stderr: of the process.
    """
    if status < 0:
        return f"killed by {signal.Signals(-status).name}"
    lines = [line for line in stderr.splitlines() if line.strip()]
    return lines[-1].strip() if lines else f"ended with status {status} and said nothing"


def table(trials: Sequence[Trial]) -> str:
    """One Markdown row per quantizer, the fewest flips first, faults last.

    Args:
        trials: of all quantizers and draws.
    """
    rows: list[tuple[float, str]] = []
    for name in dict.fromkeys(item.name for item in trials):
        own = [item for item in trials if item.name == name]
        scores = [item.scores for item in own if item.scores is not None]
        faults = dict.fromkeys(item.fault for item in own if item.fault)
        note = "".join(f" (fault: {fault})".replace("|", "/") for fault in faults)
        if not scores:
            rows.append((float("inf"), f"| {name}{note} | | | | | | |"))
            continue
        cost = [item for item in own if item.scores is not None]
        flips = [item.flips for item in scores]
        low, high = min(item.drop_low for item in scores), max(item.drop_high for item in scores)
        cells = (
            name + note,
            " / ".join(map(str, flips)),
            f"{100 * np.mean([item.agreement for item in scores]):.2f} %",
            f"{100 * np.mean([item.drop for item in scores]):+.2f} "
            f"({100 * low:+.2f} to {100 * high:+.2f})",
            f"{np.mean([item.mean_kl for item in scores]):.2g}",
            f"{np.median([item.seconds for item in cost]):.0f}",
            f"{max(item.peak_bytes for item in cost) / 1e9:.2f}",
        )
        rows.append((float(np.mean(flips)), f"| {' | '.join(cells)} |"))
    return "\n".join(
        [
            "| quantizer | flips | agreement | drop, pp (95 %) | mean KL | time, s | peak, GB |",
            "|---|---:|---:|---:|---:|---:|---:|",
            *(row for _, row in sorted(rows, key=lambda item: item[0])),
        ]
    )


def heading(arguments: argparse.Namespace, test: TestFaces, trials: Sequence[Trial]) -> str:
    """What was measured on what.

    Args:
        arguments: of the command line.
        test: the faces.
        trials: that know the versions.
    """
    versions = next((item.versions for item in trials if item.versions), {})
    seeds = ", ".join(str(seed) for seed in range(arguments.seeds))
    return (
        f"FP32 model {test.model_sha256[:12]}, {100 * test.accuracy:.2f} % on {len(test)} test "
        f"faces of {arguments.data!r}; {arguments.images} calibration faces, seeds {seeds}; "
        + ", ".join(f"{name} {number}" for name, number in sorted(versions.items()))
    )


def write_json(path: Path, test: TestFaces, trials: Sequence[Trial]) -> None:
    """Everything, so far.

    Args:
        path: of the file.
        test: the faces.
        trials: so far.
    """
    content = {
        "model_sha256": test.model_sha256,
        "faces_sha256": test.index.sha256,
        "faces": len(test),
        "fp32_accuracy": test.accuracy,
        "trials": [asdict(item) for item in trials],
    }
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def main(words: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n")[0],
        epilog="Example: .venv-peers/bin/python benchmarks/quantizers.py --bundle build/bundle "
        "--data rafdb --root data/rafdb --json build/quantizers.json",
    )
    parser.add_argument("--bundle", required=True, type=Path, help="folder with an FP32 model")
    parser.add_argument("--data", required=True, help="rafdb, folder, synthetic")
    parser.add_argument("--root", required=True, type=Path, help="folder of the data set")
    parser.add_argument("--images", type=int, default=256, help="calibration faces")
    parser.add_argument("--seeds", type=int, default=3, help="draws of the calibration faces")
    parser.add_argument(
        "--peers", nargs="*", default=list(DEFAULT), help=f"of {', '.join(DEFAULT)}"
    )
    parser.add_argument(
        "--ours", nargs="*", default=[OURS], help=f"'{OURS}', or '{OURS}-METHOD' for one method"
    )
    parser.add_argument("--test-images", type=int, help="so many test faces only, for a trial")
    parser.add_argument("--json", type=Path, help="every trial, written after each")
    arguments = parser.parse_args(words)
    names = [*arguments.ours, *arguments.peers]
    for name in names:
        try:
            quantizer(name)
        except ValueError as error:
            parser.error(str(error))

    bundle = open_bundle(arguments.bundle)
    index = face_index(arguments.data, arguments.root, Split.TEST)
    index = index.relabelled(bundle.manifest.labels)
    if arguments.test_images is not None and arguments.test_images < len(index):
        spread = np.linspace(0, len(index) - 1, arguments.test_images).round().astype(np.int64)
        index = index.subset(spread)
    test = TestFaces(index, bundle.manifest.preprocess, bundle.model(Precision.FP32)[0])
    trials: list[Trial] = []
    for seed in range(arguments.seeds):
        for name in names:
            done = trial(name, seed, arguments=arguments, test=test)
            trials.append(done)
            said = done.fault or (f"{done.scores.flips} flips" if done.scores else "")
            print(f"seed {seed}, {name}: {said}, {done.seconds:.0f} s", file=sys.stderr, flush=True)
            if arguments.json is not None:
                write_json(arguments.json, test, trials)
    print(heading(arguments, test, trials), end="\n\n")
    print(table(trials))
    return 0


if __name__ == "__main__":
    sys.exit(main())
