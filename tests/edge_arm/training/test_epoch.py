"""How an epoch is cut into batches."""

from __future__ import annotations

import numpy as np
import pytest

from edge_arm.training.epoch import batches_of_epoch
from edge_arm.training.training_config import SMALLEST_BATCH


@pytest.mark.parametrize(("faces", "batch_size"), [(24, 8), (257, 256), (1001, 64), (5, 256)])
def test_every_face_comes_once_in_batches_of_at_most_the_size(faces: int, batch_size: int) -> None:
    batches = batches_of_epoch(np.random.default_rng(0).permutation(faces), batch_size)
    assert sorted(np.concatenate(batches)) == list(range(faces))
    assert max(len(batch) for batch in batches) <= batch_size


def test_no_face_is_ever_alone_in_a_batch() -> None:
    alone = [
        (faces, batch_size)
        for faces in range(2, 120)
        for batch_size in range(SMALLEST_BATCH, 40)
        if min(len(batch) for batch in batches_of_epoch(np.arange(faces), batch_size)) < 2
    ]
    assert alone == []
