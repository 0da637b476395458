"""One pass over a pool of faces, kept in small parts that can be put together to any subset.

Histograms add up exactly, so the ranges of a subset of the pool are those that a calibration with
these very faces would choose, without running them again. A histogram for each face would take
gigabytes; one for every 16 faces, only its occupied bins kept, takes some megabytes.

Shapes: B occupied bins of a histogram.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx

from edge_arm.calibration.exposure import Wanted
from edge_arm.calibration.histogram import Histogram, Part
from edge_arm.calibration.observe import Observer, placed_faces
from edge_arm.calibration.tally import Tally
from edge_arm.runtime.batches import face_batches
from edge_arm.runtime.faces import FaceIndex
from edge_arm.runtime.preprocess import PreprocessSpec

BLOCK_FACES = 16
"""Faces of a block: the smallest subset, and the step from one to the next."""


@dataclass(frozen=True, eq=False)
class SparseCounts:
    """The occupied bins of a histogram.

    Attributes:
        first: see `Part`.
        positions: (B,) int32 places in `Part.counts`.
        counts: (B,) int64.
        length: of `Part.counts`.
        minimum: smallest x, with its sign.
        maximum: largest x, with its sign.
    """

    first: int
    positions: npt.NDArray[np.int32]
    counts: npt.NDArray[np.int64]
    length: int
    minimum: float
    maximum: float

    @classmethod
    def of(cls, histogram: Histogram) -> SparseCounts:
        """Of a histogram with at least one value."""
        part = histogram.as_part()
        positions = np.flatnonzero(part.counts)
        return cls(
            first=part.first,
            positions=positions.astype(np.int32),
            counts=part.counts[positions],
            length=len(part.counts),
            minimum=part.minimum,
            maximum=part.maximum,
        )

    def part(self) -> Part:
        """With its empty bins."""
        counts = np.zeros(self.length, np.int64)
        counts[self.positions] = self.counts
        return Part(self.first, counts, self.minimum, self.maximum)


@dataclass(frozen=True, eq=False)
class FaceBlocks:
    """What a pool of faces did in the FP32 model, block by block.

    Attributes:
        faces: the pool; the blocks together.
        blocks: counts by tensor, one mapping for each block.
    """

    faces: FaceIndex
    blocks: tuple[dict[str, SparseCounts], ...]

    def merged(self, chosen: Iterable[int]) -> dict[str, Histogram]:
        """The histograms of some blocks together.

        Args:
            chosen: positions of the blocks, at least one; one that comes twice counts twice.
        """
        result = {tensor: Histogram() for tensor in self.blocks[0]}
        for position in chosen:
            for tensor, counts in self.blocks[position].items():
                result[tensor].merge(counts.part())
        return result


def dealt(pool: FaceIndex, seed: int) -> list[FaceIndex]:
    """The pool in blocks of 16, each with about the pool's mix of classes.

    Like cards: shuffled within each class, then class after class to one block after the other.

    Args:
        pool: a multiple of 16 faces.
        seed: of the shuffle.
    """
    generator = np.random.default_rng(seed)
    by_class = [
        generator.permutation(np.flatnonzero(pool.targets == target))
        for target in range(len(pool.labels))
    ]
    order = np.concatenate(by_class)
    num_blocks = len(pool) // BLOCK_FACES
    return [pool.subset(order[start::num_blocks]) for start in range(num_blocks)]


def observe_blocks(
    model: onnx.ModelProto,
    tensors: Iterable[str],
    blocks: list[FaceIndex],
    *,
    spec: PreprocessSpec,
    progress: Callable[[int], None],
) -> tuple[dict[str, SparseCounts], ...]:
    """Run all faces once.

    Args:
        model: the FP32 graph.
        tensors: to count.
        blocks: the faces.
        spec: the model's input.
        progress: called with the number of faces done since the last call.

    Raises:
        ImageError: for a face that cannot be read.
        CalibrationError: if a value is NaN, infinite or absurd.
    """
    wanted = Wanted.of(tensors)
    observer = Observer(model, wanted)
    found = []
    for block in blocks:
        tally = Tally(wanted)
        observer.run(
            placed_faces(face_batches(block, spec, BLOCK_FACES)), tally, lambda: progress(1)
        )
        found.append({name: SparseCounts.of(item) for name, item in tally.histograms.items()})
    return tuple(found)
