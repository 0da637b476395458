"""What does `edge-arm run` cost beside the model: speed, start, memory, against stated goals.

    python benchmarks/runtime_speed.py build/bundle [--faces 2000] [--rounds 9] [--json FILE]

1. Faces per second from a folder of aligned faces to labels, as a share of what the bare backend
   reaches on the same faces already decoded and resized. The two take turns over all faces; the
   share is the median over the rounds, with the distribution-free interval of a median. Goal: 95 %
   from three cores on, 85 % below, where decoding has to take time from the model.
2. Own cost per face: processor time of the whole pipeline with a stand-in for the model that takes
   as long as the bare backend took, but on a device of its own, less that of decoding the same
   files one after the other. It includes reading folders, queues, threads and resizing. Goal:
   0.2 ms. (With a model that answers at once every hand-over between threads is waited for, which
   happens to nobody and costs more.)
3. Start to first answer: from the start of an `edge-arm run one-face.jpg --faces aligned` process
   to its first line about a face; files in the system's cache, the CPU's choice of a model
   remembered. The very first start, which measures that choice, is shown beside it. Goal: 1.0 s.
4. Import of `open_classifier` with all that it needs before it opens a model. Goal: 0.3 s.
5. Resident memory at its highest (VmHWM) of a process that only runs the INT8 model for CPUs, one
   face at a time and in batches of the default size. Goal: 250 MB.

Faces are drawn, 100 x 100 pixels as RAF-DB's aligned ones are, in a temporary folder. The exit
status is 1 if a goal is missed. Run it on a machine that nobody else uses: the load of others is
shown, and 2 is the only figure that stands with much of it.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from edge_arm.data.face_degradation import jpeg_bytes
from edge_arm.data.face_drawing import draw_face
from edge_arm.data.synthesize import face_of
from edge_arm.runtime.backend import Float32Array
from edge_arm.runtime.benchmark.process_facts import (
    load_of_others,
    processor_times,
    resident_memory,
)
from edge_arm.runtime.benchmark.ratios import SpeedRatio, speed_ratio
from edge_arm.runtime.classifier.face_classifier import FaceClassifier
from edge_arm.runtime.classifier.model_choice import choose_model
from edge_arm.runtime.classifier.opening import open_classifier
from edge_arm.runtime.classifier.threads import usable_cores
from edge_arm.runtime.classifier.wanted_model import WantedModel
from edge_arm.runtime.errors import EdgeArmError
from edge_arm.runtime.labels import LabelSet
from edge_arm.runtime.live.answering import Classifier
from edge_arm.runtime.live.frame_result import FrameResult
from edge_arm.runtime.live.pipeline import PipelineConfig, classified_frames
from edge_arm.runtime.manifest import CPU_VARIANT, Bundle, open_bundle
from edge_arm.runtime.model_spec import open_model
from edge_arm.runtime.preprocess import Uint8Array, resize_face
from edge_arm.runtime.sources.pictures import read_picture
from edge_arm.runtime.sources.source_config import MAX_PIXELS
from edge_arm.runtime.sources.source_from_text import open_source

DRAWN = 100
"""Different faces; the others are copies under other names, which cost the same to read."""
FEW_CORES = 3
OWN_COST_ROUNDS = 5
"""The least of each counts: what else a machine does only adds."""
MEMORY_CALLS = 20

_IMPORT = (
    "import time; start = time.perf_counter(); from edge_arm.runtime import open_classifier; "
    "print(time.perf_counter() - start)"
)


@dataclass(frozen=True)
class Goal:
    """One promise and what was measured.

    Attributes:
        name: of the figure.
        figure: that was measured.
        limit: that was promised.
        unit: of both.
        at_least: whether more is better.
        note: how the figure is to be read.
    """

    name: str
    figure: float
    limit: float
    unit: str
    at_least: bool = False
    note: str = ""

    @property
    def met(self) -> bool:
        """Whether the promise is kept."""
        return self.figure >= self.limit if self.at_least else self.figure <= self.limit


class OnAnotherDevice:
    """A model that takes its time and none of the processor's: what is left is the pipeline's."""

    def __init__(self, labels: LabelSet, size: int, seconds_per_face: float) -> None:
        self.labels, self.size = labels, size
        self._seconds_per_face = seconds_per_face

    def classify(self, images_nhwc: Uint8Array) -> Float32Array:
        """The same answer to every face."""
        time.sleep(self._seconds_per_face * len(images_nhwc))
        classes = len(self.labels)
        return np.full((len(images_nhwc), classes), 1.0 / classes, np.float32)


def write_faces(folder: Path, count: int) -> list[Path]:
    """Draw faces into a folder.

    Args:
        folder: made.
        count: of files.

    Returns:
        Their paths, in order.
    """
    folder.mkdir()
    paths = [folder / f"face_{number:05d}.jpg" for number in range(count)]
    for number, path in enumerate(paths):
        if number < DRAWN:
            face = face_of(0, "test", number + 1, number % 7, DRAWN)
            path.write_bytes(jpeg_bytes(draw_face(face), 90))
        else:
            shutil.copyfile(paths[number % DRAWN], path)
    return paths


def through_pipeline(folder: Path, classifier: Classifier, max_batch: int) -> int:
    """Run the pipeline over a folder; how many faces it answered."""
    config = PipelineConfig(find=None, max_batch=max_batch)
    with closing(classified_frames(open_source(str(folder)), classifier, config)) as results:
        return sum(len(item.faces) for item in results if isinstance(item, FrameResult))


def seconds_of(work: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """How long something takes."""
    start = clock()
    work()
    return clock() - start


def share_of_bare(
    bundle: Bundle, paths: list[Path], rounds: int
) -> tuple[SpeedRatio, float, FaceClassifier]:
    """Figure 1.

    Args:
        bundle: whose model, as `edge-arm run` chooses it.
        paths: of the faces, all in one folder.
        rounds: of each.

    Returns:
        The share, the bare backend's faces per second, and the closed model, for its name.
    """
    choice = choose_model(bundle, WantedModel())
    with (
        open_model(bundle, choice.spec) as backend,
        FaceClassifier(bundle, backend, choice=choice) as classifier,
    ):
        size, batch = classifier.size, classifier.max_batch
        faces = np.stack([resize_face(read_picture(path, MAX_PIXELS), size) for path in paths])

        def bare() -> None:
            for start in range(0, len(faces), batch):
                backend.infer(faces[start : start + batch])

        def whole() -> None:
            answered = through_pipeline(paths[0].parent, classifier, batch)
            assert answered == len(paths), f"{answered} of {len(paths)} faces were answered"

        bare()  # warm
        times = [(seconds_of(bare), seconds_of(whole)) for _ in range(rounds)]
    bare_s = [pair[0] for pair in times]
    ratio = speed_ratio(bare_s, [pair[1] for pair in times])
    return ratio, len(paths) / statistics.median(bare_s), classifier


def own_cost_ms(paths: list[Path], model: Classifier, max_batch: int) -> float:
    """Figure 2, of one face.

    Args:
        paths: of the faces, all in one folder.
        model: the stand-in.
        max_batch: faces in one call of it.
    """

    def decode() -> None:
        for path in paths:
            read_picture(path, MAX_PIXELS)

    decoding_s, whole_s = [], []
    for _ in range(OWN_COST_ROUNDS):
        decoding_s.append(seconds_of(decode, time.process_time))
        whole_s.append(
            seconds_of(
                lambda: through_pipeline(paths[0].parent, model, max_batch), time.process_time
            )
        )
    return 1e3 * (min(whole_s) - min(decoding_s)) / len(paths)


def first_answer_s(bundle: Path, face: Path) -> float:
    """Figure 3, once."""
    words = [sys.executable, "-m", "edge_arm", "run", str(face), "--faces", "aligned"]
    words += ["--bundle", str(bundle)]
    start = time.perf_counter()
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if json.loads(line).get("faces"):
                seconds = time.perf_counter() - start
                process.communicate()
                return seconds
        _, errors = process.communicate()
    raise RuntimeError(f"'edge-arm run' gave no face and ended with: {errors.strip()}")


def import_s() -> float:
    """Figure 4, once."""
    return float(_child("-c", _IMPORT))


def memory_mb(bundle: Path) -> list[float]:
    """Figure 5: the peak after single faces, and after batches of the default size."""
    found: list[float] = json.loads(_child(__file__, str(bundle), "--child-memory"))
    return found


def memory_child(bundle: Path) -> None:
    """Run INT8 for CPUs alone and print its peaks."""
    peaks = []
    with open_classifier(bundle, precision="int8", backend="onnxruntime") as classifier:
        size, batch = classifier.size, classifier.max_batch
        for count in (1, batch):
            faces = np.zeros((count, size, size, 3), np.uint8)
            for _ in range(MEMORY_CALLS):
                classifier.classify(faces)
            memory = resident_memory()
            assert memory is not None, "only Linux tells"
            peaks.append(memory.most_bytes / 1e6)
    print(json.dumps(peaks))


def goals_of(bundle_path: Path, folder: Path, arguments: argparse.Namespace) -> Iterator[Goal]:
    """Measure one figure after the other.

    Args:
        bundle_path: of the bundle.
        folder: for the faces and for what a user's cache folder would hold.
        arguments: with the numbers of faces, rounds and starts.
    """
    bundle = open_bundle(bundle_path)
    # Here and in the processes that are started: nothing is remembered yet.
    os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
    paths = write_faces(folder / "faces", arguments.faces)
    first_ever = first_answer_s(bundle_path, paths[0])
    ratio, bare_rate, model = share_of_bare(bundle, paths, arguments.rounds)
    interval = "" if ratio.low is None else f"{ratio.low:.1%} to {ratio.high:.1%}, "
    yield Goal(
        "pipeline, share of the bare backend",
        100 * ratio.ratio,
        95.0 if usable_cores() >= FEW_CORES else 85.0,
        "%",
        at_least=True,
        note=f"{interval}bare {bare_rate:,.0f} faces/s in batches of {model.max_batch}, "
        f"{model.choice.spec.name}",
    )
    stand_in = OnAnotherDevice(model.labels, bundle.manifest.preprocess.size, 1 / bare_rate)
    own = own_cost_ms(paths, stand_in, model.max_batch)
    yield Goal("own cost per face", own, 0.2, "ms", note="processor time")
    starts = [first_answer_s(bundle_path, paths[0]) for _ in range(arguments.starts)]
    yield Goal(
        "start to first answer",
        statistics.median(starts),
        1.0,
        "s",
        note=f"median of {len(starts)}, best {min(starts):.2f}; the very first {first_ever:.2f}",
    )
    imports = [import_s() for _ in range(arguments.starts)]
    yield Goal("import", statistics.median(imports), 0.3, "s", note=f"best {min(imports):.2f}")
    if any(item.variant == CPU_VARIANT for item in bundle.manifest.artifacts):
        single, batched = memory_mb(bundle_path)
        yield Goal("memory of INT8 for CPUs, batch 1", single, 250.0, "MB")
        yield Goal(f"the same, batch {model.max_batch}", batched, 250.0, "MB")
    else:
        print("memory: not measured, the bundle has no INT8 model for CPUs", file=sys.stderr)


def markdown_row(goal: Goal) -> str:
    """A goal for docs/measurements.md."""
    sign = "at least" if goal.at_least else "at most"
    return (
        f"| {goal.name} | {goal.figure:.3g} {goal.unit} | {sign} {goal.limit:g} {goal.unit} | "
        f"{'yes' if goal.met else 'NO'} | {goal.note} |"
    )


def _child(*words: str) -> str:
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"a child ended with: {done.stderr.strip()}")
    return done.stdout


def main() -> int:
    """Measure and print; 1 if a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--faces", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=9, help="of pipeline and bare backend each")
    parser.add_argument("--starts", type=int, default=7, help="of each process that is timed")
    parser.add_argument("--json", type=Path, help="write the figures for programs")
    parser.add_argument("--child-memory", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child_memory:
        memory_child(arguments.bundle)
        return 0
    print("| | figure | goal | met | |\n|---|---:|---:|---|---|", flush=True)
    goals, before = [], processor_times()
    with tempfile.TemporaryDirectory(prefix="edge-arm-speed-") as folder:
        try:
            for goal in goals_of(arguments.bundle, Path(folder), arguments):
                goals.append(goal)
                print(markdown_row(goal), flush=True)
        except EdgeArmError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
    others = load_of_others(before, processor_times())
    load = "unknown" if others is None else f"{others:.2f} cores"
    print(f"\n{arguments.faces} faces, {usable_cores()} cores, load of others {load}")
    if arguments.json is not None:
        content = {
            "faces": arguments.faces,
            "cores": usable_cores(),
            "load_of_others": others,
            "goals": [{**asdict(goal), "met": goal.met} for goal in goals],
        }
        arguments.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return 0 if all(goal.met for goal in goals) else 1


if __name__ == "__main__":
    sys.exit(main())
