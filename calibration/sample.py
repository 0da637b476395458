"""Which training faces calibrate, and which of the others are there to choose with.

Ranges come from what the network sees, so a sample that misses a class can miss its largest
activations. Stratified, classes keep their natural frequencies, but even the rarest gets a few
faces; balanced, all get the same number, as in the resampling that ARM is trained with.

Whatever is chosen by its result (a method, a layer to keep in float) is chosen on the held-out
sample: test faces would be spoiled by it, and calibration faces are kinder than new ones.

Shapes: C classes, N images asked for.
"""

from __future__ import annotations

from enum import Enum

import numpy as np
import numpy.typing as npt

from edge_arm.calibration.copies import copies_of
from edge_arm.runtime.errors import UsageError
from edge_arm.runtime.faces import FaceIndex, Split, require_every_class

LEAST_PER_CLASS = 4
"""Faces of the rarest class, where it has so many and N allows it."""


class Balance(Enum):
    """How many faces each class gives to a sample."""

    STRATIFIED = "stratified"
    BALANCED = "balanced"


def calibration_sample(
    index: FaceIndex, *, num_images: int, seed: int, balance: Balance = Balance.STRATIFIED
) -> FaceIndex:
    """Draw the calibration faces.

    Depends on the set of faces and the seed, not on the order of the index: faces are drawn per
    class from the sorted ids. A larger sample of the same seed contains the smaller one of every
    class whose share did not shrink.

    Args:
        index: the training split.
        num_images: N, met exactly.
        seed: of the draw.
        balance: of the classes.

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
    by_class = class_shares if balance is Balance.STRATIFIED else balanced_shares
    shares = by_class(index.counts(), num_images)
    return _drawn(index, shares, [np.random.default_rng([seed, t]) for t in range(len(shares))])


def held_out_sample(
    index: FaceIndex, calibration: FaceIndex, *, num_images: int, seed: int
) -> FaceIndex:
    """Draw training faces that did not calibrate, classes as frequent as they are among them.

    A copy of a calibration face under another name is left out too. Depends on the sets of faces
    and the seed, not on the order of an index.

    Args:
        index: the training split.
        calibration: the faces of it that calibrate.
        num_images: N; where fewer are left, all of them are taken.
        seed: of the draw.

    Returns:
        The sample, in the order of the ids.

    Raises:
        UsageError: if no face is left.
        DataError: if a face's file cannot be looked at.
    """
    used = {sample.sample_id for sample in calibration.samples}
    others = [sample for sample in index.samples if sample.sample_id not in used]
    used |= copies_of(calibration, others).keys()
    left = index.subset(
        [at for at, sample in enumerate(index.samples) if sample.sample_id not in used]
    )
    if not left.samples:
        raise UsageError(
            f"got --images {len(calibration)}, which are all training faces of {index.name!r}, "
            "expected some to be left to measure on; ask for fewer"
        )
    shares = class_shares(left.counts(), min(num_images, len(left)))
    # Streams of their own: the calibration faces were drawn with [seed, class].
    streams = [np.random.default_rng([seed, len(shares) + t]) for t in range(len(shares))]
    return _drawn(left, shares, streams)


def _drawn(
    index: FaceIndex, shares: npt.NDArray[np.int64], streams: list[np.random.Generator]
) -> FaceIndex:
    ids = np.array([sample.sample_id for sample in index.samples])
    by_id = np.argsort(ids, kind="stable")
    chosen = []
    for target, (share, stream) in enumerate(zip(shares, streams, strict=True)):
        members = by_id[index.targets[by_id] == target]
        chosen.append(stream.permutation(members)[:share])
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


def balanced_shares(counts: npt.NDArray[np.int64], num_images: int) -> npt.NDArray[np.int64]:
    """How many faces of each class: the same number, or all there are where that is less.

    What a small class cannot give is spread evenly over the others, so that the sample has the
    size asked for; the last few go to the largest classes.

    Args:
        counts: (C,) int64 faces there are.
        num_images: N, at most the sum of the counts.

    Returns:
        (C,) int64 shares that add up to N.
    """
    shares: npt.NDArray[np.int64] = np.zeros_like(counts)
    while (lack := num_images - int(shares.sum())) > 0:
        able = np.flatnonzero(shares < counts)
        if lack < len(able):
            able = able[np.argsort(-counts[able], kind="stable")][:lack]
        shares[able] += np.minimum(max(lack // len(able), 1), counts[able] - shares[able])
    return shares
