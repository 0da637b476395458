"""What does the calibration pass cost beside running the model, and beside ONNX Runtime's?

    python benchmarks/calibration_pass.py --data NAME --root DIR --bundle DIR [--images 512]

Times over the very same training faces, each in processes of its own and in turn:

- plain: ONNX Runtime runs the FP32 model, at batch 8 and at batch 1, and keeps nothing
- ours: the pass of `edge-arm calibrate` (every tensor that it counts or looks at, the state that an
  interrupted pass goes on from, written in the end) and all four ranges of each tensor
- ONNX Runtime's own calibrators, one method at a time; two of them keep every activation of every
  face in memory, so that they get fewer faces, with the others beside them on as many

Everybody reads, decodes and resizes the faces by the same threads, and loads the model; the start
of Python and imports are not timed. Memory is the largest resident set of the process. A table
comes out in Markdown, for docs/measurements.md. Believe it on an idle machine only.

The exit status is 1 if our pass takes over 1.5 times the plain run at batch 8 or over 600 MB.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import onnx
import onnxruntime

from edge_arm.calibration.exposure import Wanted
from edge_arm.calibration.half_range import float_tensors
from edge_arm.calibration.implicit import implicit_ranges_from
from edge_arm.calibration.ranges import Method, amax_from_histogram
from edge_arm.calibration.resumable_pass import observe_faces
from edge_arm.calibration.sample import calibration_sample
from edge_arm.data.registry import face_index
from edge_arm.runtime.batches import face_batches
from edge_arm.runtime.faces import FaceIndex, Split
from edge_arm.runtime.manifest import Bundle, Precision, open_bundle
from edge_arm.runtime.storage import write_json

MOST_TIMES_PLAIN = 1.5
MOST_BYTES = 600e6
BASE = "plain, batch 8"
OURS = "ours, all four methods"
PEERS = {
    "ONNX Runtime minmax": "MinMax",
    "ONNX Runtime entropy": "Entropy",
    "ONNX Runtime percentile": "Percentile",
}
_BATCHES = {BASE: 8, "plain, batch 1": 1}
_TENSORS = "tensors"


@dataclass(frozen=True)
class Cost:
    """Of one process, the start of Python and imports excluded.

    Attributes:
        seconds: by the clock.
        cpu_seconds: of all threads.
        peak_bytes: largest resident set.
    """

    seconds: float
    cpu_seconds: float
    peak_bytes: int


@dataclass(frozen=True)
class Subject:
    """What is calibrated.

    Attributes:
        bundle: with an FP32 model.
        faces: to run.
        wanted: tensors that our pass looks at.
    """

    bundle: Bundle
    faces: FaceIndex
    wanted: Wanted


def plain(subject: Subject, batch_size: int) -> None:
    """Run the faces and keep nothing.

    Args:
        subject: of the run.
        batch_size: faces that ONNX Runtime gets at a time.
    """
    path, _ = subject.bundle.model(Precision.FP32)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (source,) = session.get_inputs()
    for batch in face_batches(subject.faces, subject.bundle.manifest.preprocess, batch_size):
        session.run(None, {source.name: batch.images_nhwc})


def ours(subject: Subject) -> None:
    """Run the pass and choose all four ranges of each tensor.

    Args:
        subject: of the run.
    """
    path, _ = subject.bundle.model(Precision.FP32)
    with tempfile.TemporaryDirectory() as folder:
        seen = observe_faces(
            onnx.load(path),
            subject.wanted,
            faces=subject.faces,
            spec=subject.bundle.manifest.preprocess,
            state_path=Path(folder) / "state.npz",
        )
    for name, histogram in seen.histograms.items():
        for method in Method:
            if histogram.minimum != histogram.maximum:
                amax_from_histogram(histogram, method, name)


def peer(subject: Subject, method: str) -> None:
    """Let ONNX Runtime's own calibrator choose ranges by one method.

    Args:
        subject: of the run.
        method: a name of its `CalibrationMethod`.
    """
    from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod
    from onnxruntime.quantization.calibrate import create_calibrator

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # it is untyped
        def __init__(self, name: str) -> None:
            self._inputs = self._iterate(name)

        def _iterate(self, name: str) -> Iterator[dict[str, Any]]:
            for batch in face_batches(subject.faces, subject.bundle.manifest.preprocess, 1):
                yield {name: batch.images_nhwc}

        def get_next(self) -> dict[str, Any] | None:
            return next(self._inputs, None)

    path, _ = subject.bundle.model(Precision.FP32)
    with tempfile.TemporaryDirectory() as folder:
        calibrator = create_calibrator(
            path,
            augmented_model_path=str(Path(folder) / "augmented.onnx"),
            calibrate_method=CalibrationMethod[method],
            extra_options={"symmetric": True},
        )
        calibrator.collect_data(Reader(onnx.load(path).graph.input[0].name))
        calibrator.compute_data()


def work_of(kind: str, subject: Subject) -> Callable[[], None]:
    """What is timed under a name of the table.

    Args:
        kind: the name.
        subject: of the run.
    """
    if kind in _BATCHES:
        return lambda: plain(subject, _BATCHES[kind])
    if kind == OURS:
        return lambda: ours(subject)
    # Before the clock starts, and only here: it brings hundreds of MB.
    import onnxruntime.quantization  # noqa: F401

    return lambda: peer(subject, PEERS[kind])


def child(arguments: argparse.Namespace) -> None:
    """One measurement, printed as JSON for the parent, or the tensors, written for it.

    Args:
        arguments: with the kind of work, the number of faces and the tensors.
    """
    bundle = open_bundle(arguments.bundle)
    if arguments.child == _TENSORS:
        write_json(arguments.child_tensors, tensors_looked_at(bundle))
        return
    population = face_index(arguments.data, arguments.root, Split.TRAIN)
    faces = calibration_sample(population, num_images=arguments.child_images, seed=0)
    tensors = json.loads(arguments.child_tensors.read_text(encoding="utf-8"))
    wanted = Wanted.of(tensors["histograms"], extremes=tensors["extremes"])
    work = work_of(arguments.child, Subject(bundle, faces, wanted))

    cpu, start = time.process_time(), time.perf_counter()
    work()
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps(asdict(Cost(seconds, cpu, peak))))


def in_process(kind: str, images: int, tensors: Path) -> str:
    """Do one kind of work in a fresh process and return what it prints.

    Linux counts the memory of the process that starts another one towards the other's largest, so
    this one must stay small: it loads no model and no Model Optimizer.

    Args:
        kind: its name in the table, or the writing of the file of tensors.
        images: faces.
        tensors: file with the names of the tensors that our pass looks at.
    """
    words = [*sys.argv, "--child", kind, "--child-images", str(images)]
    words += ["--child-tensors", str(tensors)]
    return subprocess.run(
        [sys.executable, *words], check=True, stdout=subprocess.PIPE, text=True
    ).stdout


def tensors_looked_at(bundle: Bundle) -> dict[str, list[str]]:
    """What `edge-arm calibrate` looks at, by kind.

    Args:
        bundle: with an FP32 model.
    """
    from edge_arm.calibration.placement_rules import plan_from_structure

    model = onnx.load(bundle.model(Precision.FP32)[0])
    source = implicit_ranges_from(model, plan_from_structure(model))
    return {
        "histograms": list(dict.fromkeys(source.values())),
        "extremes": float_tensors(model),
    }


def print_rows(costs: dict[str, list[Cost]], images: int) -> None:
    """Rows of the table: medians, and the ratio's spread over the rounds.

    Args:
        costs: by kind, one of each round.
        images: faces.
    """
    for kind, found in costs.items():
        ratios = sorted(
            item.seconds / base.seconds for item, base in zip(found, costs[BASE], strict=True)
        )
        spread = f"{median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        print(
            f"| {images} | {kind} | {median(item.seconds for item in found):.1f} | "
            f"{median(item.cpu_seconds for item in found):.1f} | {spread} | "
            f"{max(item.peak_bytes for item in found) / 1e6:.0f} |",
            flush=True,
        )


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="What does the calibration pass cost?")
    parser.add_argument("--data", required=True)
    parser.add_argument("--root", required=True, type=Path)
    parser.add_argument("--bundle", required=True, type=Path)
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--peer-images", type=int, default=64, help="0 leaves the peers out")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--child-images", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--child-tensors", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> int:
    """Print the table; 1 if a promise is broken."""
    arguments = parsed()
    if arguments.child is not None:
        child(arguments)
        return 0
    groups = {arguments.images: [*_BATCHES, OURS]}
    if arguments.peer_images:
        groups.setdefault(arguments.peer_images, [BASE, OURS]).extend(PEERS)
    print("| faces | work | s | CPU s | times plain (range) | peak, MB |")
    print("|---:|---|---:|---:|---:|---:|", flush=True)
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        tensors = Path(folder) / "tensors.json"
        in_process(_TENSORS, 0, tensors)
        for images, kinds in groups.items():
            costs: dict[str, list[Cost]] = {kind: [] for kind in kinds}
            for _ in range(arguments.repeats):
                for kind, found in costs.items():
                    said = in_process(kind, images, tensors).splitlines()[-1]
                    found.append(Cost(**json.loads(said)))
            print_rows(costs, images)
            results[str(images)] = {
                kind: [asdict(item) for item in found] for kind, found in costs.items()
            }
    if arguments.json is not None:
        write_json(arguments.json, {"schema_version": 1, "costs_by_faces": results})
    rounds = results[str(arguments.images)]
    ratio = median(
        item["seconds"] / base["seconds"]
        for item, base in zip(rounds[OURS], rounds[BASE], strict=True)
    )
    peak = max(item["peak_bytes"] for item in rounds[OURS])
    kept = ratio <= MOST_TIMES_PLAIN and peak <= MOST_BYTES
    print(
        f"\n{'KEPT' if kept else 'BROKEN'}: {ratio:.2f} times the plain run and "
        f"{peak / 1e6:.0f} MB, promised {MOST_TIMES_PLAIN} times and {MOST_BYTES / 1e6:.0f} MB"
    )
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
