"""Does reading keep up with a GPU? The loader alone, against what one training step needs.

    python benchmarks/face_loader.py --data NAME --root DIR [--image-size 224] [--faces 4000]

Times two ways to the same batches of faces, in random order, nothing else being done:

- decoding: read, hash, decode, resize, as the first training on a set does once;
- the cache of decoded faces (edge_arm/training/face_cache.py), mapped into memory and warm: rows
  gathered into new memory (a training on a CPU) and into memory that is used again (what a GPU is
  fed from, where the set does not fit on it).

What is needed: the images per second of one GPU, times five, so that loading is never what a
training waits for. 8,000 at 224 pixels is an assumption for an H200 until it is measured; name
another with --needed. A table in Markdown comes out, for docs/measurements.md. The exit status is
1 if the cache needs more cores than --cores for that.

Not measured: a cache that does not fit in memory, which is as fast as its disk.
"""

from __future__ import annotations

import argparse
import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch

from edge_arm.data.registry import face_index
from edge_arm.runtime.batches import face_batches
from edge_arm.runtime.faces import FaceIndex, Split
from edge_arm.runtime.preprocess import PreprocessSpec
from edge_arm.training.decoded_faces import DecodedFaces, FaceStore, decoded_faces

BATCH = 256
SECONDS = 3.0
ROUNDS = 3
"""The best of these counts: others who use the machine can only slow it down."""
MARGIN = 5.0


@dataclass(frozen=True)
class Rate:
    """How fast something is.

    Attributes:
        way: what was done.
        cores: that it was allowed.
        faces_per_second: by the clock.
        per_core: faces per second of processor time, all threads together; steadier where others
            use the machine as well.
    """

    way: str
    cores: int
    faces_per_second: float
    per_core: float


def rate(way: str, cores: int, faces_in_one_go: Callable[[], int]) -> Rate:
    """Repeat something for a while, several times, and take the fastest.

    Args:
        way: what it is.
        cores: that it is allowed.
        faces_in_one_go: does a part of it, and says how many faces that was.
    """
    faces_in_one_go()  # the first one fills caches
    by_clock, by_core = 0.0, 0.0
    for _ in range(ROUNDS):
        started, cpu_started, done = time.perf_counter(), time.process_time(), 0
        while time.perf_counter() - started < SECONDS:
            done += faces_in_one_go()
        by_clock = max(by_clock, done / (time.perf_counter() - started))
        by_core = max(by_core, done / (time.process_time() - cpu_started))
    return Rate(way, cores, by_clock, by_core)


def random_batches(num_faces: int) -> Iterator[np.ndarray[tuple[int], np.dtype[np.int64]]]:
    """Positions of a batch, epoch after epoch, each in another order."""
    rng = np.random.default_rng(0)
    while True:
        order = rng.permutation(num_faces)
        yield from np.split(order, range(BATCH, num_faces, BATCH))


def decoding_rates(index: FaceIndex, spec: PreprocessSpec, most_cores: int) -> list[Rate]:
    """From the files, with one core and with all."""
    cv2.setNumThreads(1)
    few = index.subset(np.arange(min(len(index), 1000)))

    def decode(workers: int) -> int:
        return sum(len(batch.sha256s) for batch in face_batches(few, spec, BATCH, workers))

    return [
        rate("decode from files", cores, partial(decode, cores))
        for cores in sorted({1, most_cores})
    ]


def cache_rates(faces: DecodedFaces, most_cores: int) -> list[Rate]:
    """From the mapped cache."""
    batches = random_batches(len(faces))
    stored = torch.from_numpy(faces.stored_nhwc)
    reused = torch.empty((BATCH, *stored.shape[1:]), dtype=torch.uint8)

    def gather_anew() -> int:
        return len(faces.images(next(batches)))

    def gather_again() -> int:
        rows = torch.from_numpy(faces.rows[next(batches)])
        torch.index_select(stored, 0, rows, out=reused[: len(rows)])
        return len(rows)

    rates = [rate("cache, into new memory", 1, gather_anew)]
    for cores in sorted({1, most_cores}):
        torch.set_num_threads(cores)
        rates.append(rate("cache, into memory used again", cores, gather_again))
    return rates


def main() -> int:
    """Measure and print; 1 if the cache needs more cores than it may have."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="rafdb")
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--faces", type=int, default=4000, help="at most so many of the set")
    parser.add_argument("--needed", type=float, default=8000, help="images/s of one GPU")
    parser.add_argument("--cores", type=float, default=4, help="that feeding one GPU may take")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    most_cores = len(os.sched_getaffinity(0))
    spec = PreprocessSpec(size=args.image_size)
    index = face_index(args.data, args.root, Split.TRAIN)
    chosen = np.random.default_rng(0).permutation(len(index))[: args.faces]
    index = index.subset(np.sort(chosen))
    one_of_ten = np.arange(len(index)) % 10 == 0
    parts = index.subset(np.flatnonzero(~one_of_ten)), index.subset(np.flatnonzero(one_of_ten))
    rates = decoding_rates(index, spec, most_cores)
    # Not in the system's temporary folder, which may lie in memory itself.
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".face-loader-") as folder:
        store = FaceStore(Path(folder), Path(folder))
        with decoded_faces(*parts, spec=spec, store=store) as (faces, _):
            rates += cache_rates(faces, most_cores)
    wanted = MARGIN * args.needed
    print(
        f"{len(index)} faces at {spec.size} pixels, batches of {BATCH}, {most_cores} cores; "
        f"needed: {MARGIN:.0f} x {args.needed:,.0f} faces/s\n"
    )
    print("| | threads | faces/s | faces/s of a core | cores needed |")
    print("|---|---|---|---|---|")
    for each in rates:
        print(
            f"| {each.way} | {each.cores} | {each.faces_per_second:,.0f} | {each.per_core:,.0f} "
            f"| {wanted / each.per_core:.1f} |"
        )
    fastest = max(rates, key=lambda each: each.per_core)
    print(
        f"\nFeeding one GPU {MARGIN:.0f} times over takes {wanted / fastest.per_core:.1f} cores; "
        f"it may take {args.cores:g}."
    )
    return int(wanted / fastest.per_core > args.cores)


if __name__ == "__main__":
    raise SystemExit(main())
