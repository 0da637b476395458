"""A validation part for choosing the checkpoint, split off the training part.

None of the data sets here has an official one, and choosing on the test part would make its
accuracy a claim about itself. Faces are drawn within each class, because a plain draw from an
unbalanced set can leave a rare expression out. Pictures of one person may fall on both sides: the
sets do not say who is who, so validation accuracy is optimistic.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edge_arm.runtime.errors import DataError, UsageError
from edge_arm.runtime.faces import FaceIndex, Split


def split_validation(
    index: FaceIndex, fraction: float = 0.1, seed: int = 0
) -> tuple[FaceIndex, FaceIndex]:
    """Split off a part of each class, the same one for the same seed.

    Args:
        index: the training faces.
        fraction: of each class, rounded, that goes to validation; at least one face of each class
            goes and at least one stays.
        seed: of the draw.

    Returns:
        Training and validation faces, each in the order of `index`.

    Raises:
        UsageError: if the fraction is not between 0 and 1, or the seed is negative.
        DataError: if a class has fewer than two faces.
    """
    if not 0 < fraction < 1:
        raise UsageError(
            f"got the validation fraction {fraction}, expected one between 0 and 1; try 0.1"
        )
    if seed < 0:
        raise UsageError(f"got the seed {seed}, expected 0 or more; choose another seed")
    counts = index.counts()
    scarce = [
        f"{int(count)} of {name!r}"
        for name, count in zip(index.labels.classes, counts, strict=True)
        if count < 2
    ]
    if scarce:
        raise DataError(
            f"the {index.split.value} split of {index.name!r} has {', '.join(scarce)}, expected "
            "at least 2 faces of each class, one to train on and one to validate on; add faces"
        )
    rng = np.random.default_rng(seed)
    chosen = np.zeros(len(index), bool)
    for target, count in enumerate(counts.tolist()):
        num_validation = min(max(round(fraction * count), 1), count - 1)
        positions = np.flatnonzero(index.targets == target)
        chosen[rng.permutation(positions)[:num_validation]] = True
    train = index.subset(np.flatnonzero(~chosen))
    validation = index.subset(np.flatnonzero(chosen))
    return train, replace(validation, split=Split.VALIDATION)
