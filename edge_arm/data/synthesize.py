"""Writes a data set of synthetic faces in RAF-DB's layout.

The set stands in for photographs that nobody may redistribute. It copies what makes RAF-DB
awkward: the class balance of both splits, small blurred JPEGs, faces half hidden, and labels on
which people would not agree (`action_units.AMBIGUOUS_SHARE` of the faces are drawn half way
between two expressions). An accuracy on it says that the pipeline works, never how well a model
reads people.

Every image has its own seed, made from the set's seed, its split and its number. So the bytes do
not depend on how many processes draw, or in which order. They do depend on the versions of NumPy
and OpenCV, which may round or encode differently.
"""

import json
import math
import multiprocessing
import os
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from edge_arm.data.action_units import AMBIGUOUS_SHARE
from edge_arm.data.attribute_table import TABLE_NAME
from edge_arm.data.face_degradation import jpeg_bytes
from edge_arm.data.face_drawing import draw_face
from edge_arm.data.face_parameters import FaceParameters, sample_face, sample_identity
from edge_arm.data.synthetic_attributes import ATTRIBUTES, attributes_of
from edge_arm.runtime.errors import DataError, UsageError
from edge_arm.runtime.labels import RAFDB
from edge_arm.runtime.storage import folder_written_atomically, write_json, write_text

# Raised whenever the same seed would give other pictures.
GENERATOR_VERSION = 1
MIN_IMAGES = 70
MAX_IMAGES = 49_995  # the test part has four digits

LIST_NAME = Path("EmoLabel/list_patition_label.txt")  # RAF-DB's own spelling
IMAGE_FOLDER = Path("Image/aligned")
RECORD_NAME = "synthetic.json"

# RAF-DB's images by class, in its own order, in the training and the test part.
_RAFDB_COUNTS = {
    "train": (1290, 281, 717, 4772, 1982, 705, 2524),
    "test": (329, 74, 160, 1185, 478, 162, 680),
}
_SPLIT_SEEDS = {"train": 0, "test": 1}
_IMAGES_PER_IDENTITY = 3
_CHUNK = 32


@dataclass(frozen=True)
class SynthesisConfig:
    """What decides the bytes of a set.

    Attributes:
        num_images: training and test images together; four fifths are for training.
        seed: any integer from 0.
    """

    num_images: int = 3000
    seed: int = 0

    def __post_init__(self) -> None:
        if not MIN_IMAGES <= self.num_images <= MAX_IMAGES:
            raise UsageError(
                f"got {self.num_images} images, expected {MIN_IMAGES} to {MAX_IMAGES}, so that "
                "every expression is in both splits and numbers fit RAF-DB's file names; "
                "choose a number in between"
            )
        if self.seed < 0:
            raise UsageError(f"got seed {self.seed}, expected 0 or more; choose another seed")


@dataclass(frozen=True)
class _Task:
    """One image: its split, its number from 1 and its class index."""

    split: str
    number: int
    label: int

    @property
    def stem(self) -> str:
        width = 5 if self.split == "train" else 4
        return f"{self.split}_{self.number:0{width}d}"


def synthesize(
    out_dir: Path,
    config: SynthesisConfig,
    *,
    progress: Callable[[int], None] | None = None,
    workers: int | None = None,
) -> Path:
    """Write the set, or find it already there.

    Args:
        out_dir: the new folder. If it already holds this very set, nothing is drawn.
        config: what to draw.
        progress: called with the number of images finished so far.
        workers: drawing processes; as many as there are processors by default. They are started
            afresh ("spawn"), so a script needs the usual `if __name__ == "__main__"`.

    Returns:
        `out_dir`, complete.

    Raises:
        UsageError: `out_dir` holds something else, or `workers` is below 1.
        StorageError: the folder cannot be written, for example on a full disk.
        DataError: a picture could not be encoded, or a drawing process was killed.
    """
    workers = _processors() if workers is None else workers
    if workers < 1:
        raise UsageError(f"got {workers} workers, expected at least 1; choose a positive number")
    tasks = _tasks(config)
    if out_dir.is_dir() and any(out_dir.iterdir()):
        _require_same_set(out_dir, config, tasks)
        if not (out_dir / TABLE_NAME).exists():  # drawn before there were attributes
            write_text(out_dir / TABLE_NAME, _attribute_text(config, tasks))
        return out_dir
    with folder_written_atomically(out_dir) as folder:
        (folder / IMAGE_FOLDER).mkdir(parents=True)
        (folder / LIST_NAME).parent.mkdir()
        _draw_all(folder / IMAGE_FOLDER, config.seed, tasks, workers, progress)
        (folder / LIST_NAME).write_text(_list_text(tasks), encoding="ascii", newline="\n")
        write_text(folder / TABLE_NAME, _attribute_text(config, tasks))
        write_json(folder / RECORD_NAME, _record(config))
    return out_dir


def face_of(seed: int, split: str, number: int, label: int, num_identities: int) -> FaceParameters:
    """The parameters of one image; nothing but these arguments decides them.

    Args:
        seed: of the set.
        split: "train" or "test"; the two never share an identity.
        number: of the image in its split, from 1.
        label: class index in RAF-DB's order.
        num_identities: size of the split's pool of people.
    """
    split_seed = _SPLIT_SEEDS[split]
    rng = np.random.default_rng(np.random.SeedSequence([seed, split_seed, 0, number]))
    person = int(rng.integers(num_identities))
    identity_seed = np.random.SeedSequence([seed, split_seed, 1, person])
    identity = sample_identity(np.random.default_rng(identity_seed))
    return sample_face(rng, RAFDB.classes[label], identity)


def class_counts(num_images: int, split: str) -> tuple[int, ...]:
    """Images of each class in one split, in RAF-DB's order and proportions.

    Largest remainders, but at least one test image and two training images of every class (one
    to learn from and one to hold out for validation).
    """
    num_train = round(num_images * 0.8)
    total = num_train if split == "train" else num_images - num_train
    least = 2 if split == "train" else 1
    original = np.array(_RAFDB_COUNTS[split])
    quotas = original * total / original.sum()
    counts = np.maximum(np.floor(quotas).astype(int), least)
    while counts.sum() != total:
        step = 1 if counts.sum() < total else -1
        owed = np.where(counts + step >= least, step * (quotas - counts), -np.inf)
        counts[int(owed.argmax())] += step
    return tuple(counts.tolist())


def _tasks(config: SynthesisConfig) -> list[_Task]:
    """Every image of the set, training part first, classes mixed within each part."""
    tasks: list[_Task] = []
    for split, split_seed in _SPLIT_SEEDS.items():
        labels = np.repeat(np.arange(len(RAFDB)), class_counts(config.num_images, split))
        rng = np.random.default_rng(np.random.SeedSequence([config.seed, split_seed, 2]))
        for number, label in enumerate(rng.permutation(labels).tolist(), start=1):
            tasks.append(_Task(split, number, label))
    return tasks


def _list_text(tasks: Sequence[_Task]) -> str:
    return "".join(f"{task.stem}.jpg {task.label + 1}\n" for task in tasks)


def _attribute_text(config: SynthesisConfig, tasks: Sequence[_Task]) -> str:
    pools = _pools(tasks)
    lines = [",".join(("sample_id", *ATTRIBUTES))]
    for task in tasks:
        face = face_of(config.seed, task.split, task.number, task.label, pools[task.split])
        lines.append(",".join((f"{task.stem}.jpg", *attributes_of(face).values())))
    return "\n".join(lines) + "\n"


def _pools(tasks: Sequence[_Task]) -> dict[str, int]:
    """How many people are drawn in each split."""
    return {
        split: math.ceil(sum(task.split == split for task in tasks) / _IMAGES_PER_IDENTITY)
        for split in _SPLIT_SEEDS
    }


def _image_name(task: _Task) -> str:
    return f"{task.stem}_aligned.jpg"


def _record(config: SynthesisConfig) -> dict[str, object]:
    return {
        "schema_version": 1,
        "kind": "synthetic faces, drawn by edge-arm; no photograph of anybody",
        "generator_version": GENERATOR_VERSION,
        "num_images": config.num_images,
        "seed": config.seed,
        "ambiguous_share": AMBIGUOUS_SHARE,
    }


def _require_same_set(out_dir: Path, config: SynthesisConfig, tasks: Sequence[_Task]) -> None:
    """Refuse a folder that is not exactly the set asked for."""
    expected = (
        f"an empty or new folder, or synthetic faces with {config.num_images} images, "
        f"seed {config.seed}, generator version {GENERATOR_VERSION}"
    )
    advice = "remove the folder or choose another one"
    try:
        record = json.loads((out_dir / RECORD_NAME).read_text(encoding="utf-8"))
        listed = (out_dir / LIST_NAME).read_text(encoding="ascii")
    except (OSError, ValueError):
        raise UsageError(
            f"{str(out_dir)!r} is not empty and holds no complete set of synthetic faces, "
            f"expected {expected}; {advice}"
        ) from None
    if record != _record(config):
        known = record if isinstance(record, dict) else {}
        raise UsageError(
            f"{str(out_dir)!r} already holds synthetic faces with {known.get('num_images')} "
            f"images, seed {known.get('seed')}, generator version "
            f"{known.get('generator_version')}, expected {expected}; {advice}"
        )
    missing = [
        task for task in tasks if not _has_content(out_dir / IMAGE_FOLDER / _image_name(task))
    ]
    if missing or listed != _list_text(tasks):
        what = f"{len(missing)} of its images are missing" if missing else "its list was changed"
        raise UsageError(
            f"{str(out_dir)!r} holds these synthetic faces, but {what}, expected all of them; "
            f"{advice}"
        )


def _has_content(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except OSError:
        return False


def _processors() -> int:
    # In a container the processors one may use are fewer than the machine has.
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _draw_all(
    image_folder: Path,
    seed: int,
    tasks: Sequence[_Task],
    workers: int,
    progress: Callable[[int], None] | None,
) -> None:
    pools = _pools(tasks)
    chunks = [tasks[start : start + _CHUNK] for start in range(0, len(tasks), _CHUNK)]
    done = 0
    if workers == 1:
        for chunk in chunks:
            done += _draw_chunk(image_folder, seed, chunk, pools)
            if progress is not None:
                progress(done)
        return
    # Not "fork": a copy of a process that already runs torch's or OpenCV's threads can hang.
    executor = ProcessPoolExecutor(
        min(workers, len(chunks)), multiprocessing.get_context("spawn"), _start_worker
    )
    try:
        futures = [
            executor.submit(_draw_chunk, image_folder, seed, chunk, pools) for chunk in chunks
        ]
        for future in as_completed(futures):
            done += future.result()
            if progress is not None:
                progress(done)
    except BrokenProcessPool as error:
        raise DataError(
            f"a drawing process ended after {done} of {len(tasks)} images (killed, or out of "
            "memory), expected it to finish; free some memory or draw with one worker"
        ) from error
    finally:
        # Before the caller removes the folder, nobody may be writing into it any more.
        executor.shutdown(wait=True, cancel_futures=True)


def _start_worker() -> None:
    cv2.setNumThreads(1)
    # Ctrl-C reaches every process of the terminal; only the first one should answer it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _draw_chunk(
    image_folder: Path, seed: int, tasks: Sequence[_Task], pools: dict[str, int]
) -> int:
    """Draw and write some images; returns how many."""
    for task in tasks:
        face = face_of(seed, task.split, task.number, task.label, pools[task.split])
        encoded = jpeg_bytes(draw_face(face), face.shot.camera.jpeg_quality)
        (image_folder / _image_name(task)).write_bytes(encoded)
    return len(tasks)
