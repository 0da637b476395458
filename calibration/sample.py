"""Which training faces calibrate: a class-stratified, seeded sample.

Ranges come from what the network sees, so a sample that misses a class can miss its largest
activations. Classes keep their natural frequencies, but even the rarest gets a few faces.

Shapes: C classes, N images asked for.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edge_arm.runtime.errors import UsageError
from edge_arm.runtime.faces import FaceIndex, Split, require_every_class

LEAST_PER_CLASS = 4
"""Faces of the rarest class, where it has so many and N allows it."""


def calibration_sample(index: FaceIndex, *, num_images: int, seed: int) -> FaceIndex:
    """Draw the calibration faces.

    Depends on the set of faces and the seed, not on the order of the index: faces are drawn per
    class from the sorted ids. A larger sample of the same seed contains the smaller one of every
    class whose share did not shrink.

    Args:
        index: the training split.
        num_images: N, met exactly.
        seed: of the draw.

    Returns:
        The sample, in the order of the ids.

    Raises:
        UsageError: if N is larger than the set or smaller than its classes, or the faces are not
            training faces.
        DataError: if a class has no face.
    """
    if index.split is not Split.TRAIN:
        raise UsageError(
            f"got the {index.split.value} split of {index.name!r} to calibrate with, expected the "
            "train split: faces that are measured on must not choose the ranges; use --data NAME "
            "with a train split"
        )
    require_every_class(index, "calibration")
    if num_images > len(index):
        raise UsageError(
            f"got --images {num_images}, expected at most {len(index)}, the faces in the train "
            f"split of {index.name!r}; ask for fewer or add faces"
        )
    if num_images < len(index.labels):
        raise UsageError(
            f"got --images {num_images}, expected at least {len(index.labels)}, one per class of "
            f"{index.name!r}; ask for more"
        )
    ids = np.array([sample.sample_id for sample in index.samples])
    by_id = np.argsort(ids, kind="stable")
    chosen = []
    for target, share in enumerate(class_shares(index.counts(), num_images)):
        members = by_id[index.targets[by_id] == target]
        generator = np.random.default_rng([seed, target])
        chosen.append(generator.permutation(members)[:share])
    positions = np.concatenate(chosen)
    return index.subset(positions[np.argsort(ids[positions], kind="stable")])


def class_shares(counts: npt.NDArray[np.int64], num_images: int) -> npt.NDArray[np.int64]:
    """How many faces of each class: proportional (largest remainder) above a floor.

    Args:
        counts: (C,) int64 faces there are, each at least 1.
        num_images: N, between C and the sum of the counts.

    Returns:
        (C,) int64 shares that add up to N.
    """
    floor = np.minimum(counts, min(LEAST_PER_CLASS, num_images // len(counts)))
    quota = counts * (num_images / counts.sum())
    shares: npt.NDArray[np.int64] = np.clip(np.floor(quota).astype(np.int64), floor, counts)
    while shares.sum() < num_images:
        lack = np.where(shares < counts, quota - shares, -np.inf)
        shares[int(np.argmax(lack))] += 1
    while shares.sum() > num_images:
        excess = np.where(shares > floor, shares - quota, -np.inf)
        shares[int(np.argmax(excess))] -= 1
    return shares
