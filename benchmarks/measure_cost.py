"""What does judging cost beside running the models?

    python benchmarks/measure_cost.py --data NAME --root DIR --bundle DIR [--faces 1500 3000 6000]

Times two things over the very same files, in processes of their own and in turn: the models alone
(read, hash, resize, run all precisions, keep nothing), and all that `edge-arm measure` does once
models and list of faces are loaded (the same, and gates, batch invariance, leaks, slices, flips,
baselines, and the report as JSON, HTML with its pictures, and Markdown). Faces are taken from the
test split again and again until there are as many as asked for. A table comes out in Markdown, for
docs/measurements.md.

The exit status is 1 if measuring takes over 5 % more processor time with 3,000 faces or more, or if
its memory grows by more than logits, names and hashes account for. Below 3,000 faces a second or
two is fixed cost, and the table shows it. The clock is printed as well; believe it on an idle
machine only.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from edge_arm.cli.known_for_measuring import ReferenceName, known_for_measuring
from edge_arm.cli.provenance import provenance_of
from edge_arm.data.registry import face_index
from edge_arm.runtime.batches import face_batches
from edge_arm.runtime.faces import FaceIndex, Split
from edge_arm.runtime.manifest import Bundle, open_bundle
from edge_arm.runtime.measurement import MeasureConfig, ModelsToMeasure, measurement_from_models
from edge_arm.runtime.onnxruntime_backend import OnnxRuntimeBackend
from edge_arm.runtime.predictions import PredictConfig
from edge_arm.runtime.report.html_page import write_html_report
from edge_arm.runtime.report.json_form import write_json_report
from edge_arm.runtime.report.markdown_form import write_markdown_report
from edge_arm.runtime.statistics import Gate

MOST_EXTRA_TIME = 0.05
LEAST_FACES = 3000
MOST_BYTES_PER_FACE = 4096
"""Three rows of logits, some copies in float64, two hashes, names and paths as Python objects."""


@dataclass(frozen=True)
class Cost:
    """Of one process, the start of Python and the loading of models excluded.

    Attributes:
        seconds: by the clock.
        cpu_seconds: of all threads; steadier where others use the machine as well.
        peak_bytes: largest resident set.
    """

    seconds: float
    cpu_seconds: float
    peak_bytes: int


def repeated(index: FaceIndex, count: int) -> FaceIndex:
    """As many faces as asked for, each under a name of its own.

    Args:
        index: of at least one face.
        count: faces.
    """
    return replace(
        index,
        samples=tuple(
            replace(sample, sample_id=f"{number // len(index)}/{sample.sample_id}")
            if number >= len(index)
            else sample
            for number, sample in (
                (number, index.samples[number % len(index)]) for number in range(count)
            )
        ),
    )


def run_models(models: ModelsToMeasure, index: FaceIndex, bundle: Bundle) -> None:
    """What there is to do without any judging.

    Args:
        models: to run.
        index: the faces.
        bundle: whose models they are.
    """
    for batch in face_batches(index, bundle.manifest.preprocess, PredictConfig().batch_size):
        for backend in models.backends.values():
            backend.infer(batch.images_nhwc)


def measure(
    models: ModelsToMeasure, index: FaceIndex, bundle: Bundle, *, split: FaceIndex, root: Path
) -> None:
    """What `edge-arm measure` does.

    Args:
        models: to run.
        index: the faces.
        bundle: whose models they are.
        split: the faces that `index` repeats.
        root: of the data set.
    """
    known = known_for_measuring(bundle, split, root, reference=ReferenceName.RUN)
    attributes = tuple(
        replace(
            item,
            by_sample={
                sample.sample_id: item.by_sample[split.samples[number % len(split)].sample_id]
                for number, sample in enumerate(index.samples)
            },
        )
        for item in known.attributes
    )
    measurement = measurement_from_models(
        models,
        index,
        MeasureConfig(gate=Gate(0.01), class_gate=0.05),
        known=replace(known, attributes=attributes),
        provenance=lambda predictions: provenance_of(bundle, predictions),
    )
    with tempfile.TemporaryDirectory() as folder:
        write_json_report(measurement.report, Path(folder) / "report.json")
        write_html_report(measurement.report, Path(folder) / "report.html")
        write_markdown_report(measurement.report, Path(folder) / "report.md")


def cost_of(work: Callable[[], None]) -> Cost:
    """Do something once, in this process.

    Args:
        work: to do.
    """
    before, start = os.times(), time.perf_counter()
    work()
    seconds, after = time.perf_counter() - start, os.times()
    cpu = after.user + after.system - before.user - before.system
    return Cost(seconds, cpu, 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def child(arguments: argparse.Namespace) -> None:
    """One measurement, printed as JSON for the parent.

    Args:
        arguments: with the number of faces and the kind of work.
    """
    bundle = open_bundle(arguments.bundle)
    root = arguments.root
    split = face_index(arguments.data, root, Split.TEST).relabelled(bundle.manifest.labels)
    index = repeated(split, arguments.child_faces)
    with ExitStack() as stack:
        models = ModelsToMeasure(
            {
                # One thread: two processes that spin for work would time each other.
                precision: stack.enter_context(
                    OnnxRuntimeBackend(bundle.model(precision)[0], threads=1)
                )
                for precision in bundle.manifest.precisions()
            }
        )
        if arguments.child == "models":
            cost = cost_of(lambda: run_models(models, index, bundle))
        else:
            cost = cost_of(lambda: measure(models, index, bundle, split=split, root=root))
    print(json.dumps(asdict(cost)))


def in_process(kind: str, faces: int) -> Cost:
    """The cost of one kind of work in a fresh process.

    Args:
        kind: "models" or "measure".
        faces: how many.
    """
    words = [*sys.argv, "--child", kind, "--child-faces", str(faces)]
    done = subprocess.run([sys.executable, *words], check=True, capture_output=True, text=True)
    return Cost(**json.loads(done.stdout.splitlines()[-1]))


def main() -> int:
    """Print the table; 1 if a promise is broken."""
    parser = argparse.ArgumentParser(description="What does judging cost beside the models?")
    parser.add_argument("--data", required=True)
    parser.add_argument("--root", required=True, type=Path)
    parser.add_argument("--bundle", required=True, type=Path)
    parser.add_argument("--faces", nargs="+", type=int, default=[1500, 3000, 6000])
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--child", choices=("models", "measure"), help=argparse.SUPPRESS)
    parser.add_argument("--child-faces", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child is not None:
        child(arguments)
        return 0

    kept = True
    print("| faces | models alone, CPU s | measure, CPU s | more | by the clock | memory, MB |")
    print("|---:|---:|---:|---:|---:|---:|", flush=True)
    peaks: dict[int, int] = {}
    for faces in arguments.faces:
        costs = {"models": [], "measure": []}  # type: dict[str, list[Cost]]
        for _ in range(arguments.repeats):
            for kind, found in costs.items():
                found.append(in_process(kind, faces))
        # The best of each: whatever else runs on the machine only adds.
        alone, whole = (min(item.seconds for item in costs[kind]) for kind in costs)
        cpu_alone, cpu_whole = (min(item.cpu_seconds for item in costs[kind]) for kind in costs)
        peaks[faces] = min(item.peak_bytes for item in costs["measure"])
        extra = cpu_whole / cpu_alone - 1
        print(
            f"| {faces:,} | {cpu_alone:.1f} | {cpu_whole:.1f} | {extra:+.1%} | "
            f"{whole / alone - 1:+.1%} | {peaks[faces] / 1e6:.0f} |",
            flush=True,
        )
        if faces >= LEAST_FACES and extra > MOST_EXTRA_TIME:
            print(
                f"\nBROKEN: {faces:,} faces cost {extra:.1%} more, promised {MOST_EXTRA_TIME:.0%}"
            )
            kept = False
    fewest, most = min(peaks), max(peaks)
    if most > fewest:
        growth = (peaks[most] - peaks[fewest]) / (most - fewest)
        print(f"\nMemory grows by {growth:,.0f} bytes per face.")
        if growth > MOST_BYTES_PER_FACE:
            print(f"BROKEN: promised at most {MOST_BYTES_PER_FACE:,} bytes")
            kept = False
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
