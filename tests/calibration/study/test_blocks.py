from __future__ import annotations

import numpy as np
import pytest

from edge_arm.calibration.histogram import Histogram
from edge_arm.calibration.observe import observe
from edge_arm.calibration.study.blocks import FaceBlocks, SparseCounts, dealt, observe_blocks
from edge_arm.calibration.study.subject import Studied
from edge_arm.runtime.batches import face_batches
from edge_arm.runtime.faces import FaceIndex
from edge_arm.runtime.preprocess import PreprocessSpec

SPEC = PreprocessSpec(size=64)


def ids(index: FaceIndex) -> list[str]:
    return [sample.sample_id for sample in index.samples]


def same(found: dict[str, Histogram], expected: dict[str, Histogram], times: int = 1) -> None:
    assert found.keys() == expected.keys()
    for name, histogram in found.items():
        np.testing.assert_array_equal(histogram.counts, times * expected[name].counts)
        assert histogram.minimum == expected[name].minimum
        assert histogram.maximum == expected[name].maximum


def test_blocks_share_the_pool_and_its_mix_of_classes(faces: FaceIndex):
    pool = faces.subset(range(96))
    blocks = dealt(pool, 3)
    assert sorted(name for block in blocks for name in ids(block)) == ids(pool)
    counts = np.array([block.counts() for block in blocks])
    assert counts.sum(axis=1).tolist() == [16] * 6
    # 24 faces in 6 blocks are 4 in each; 7 are 1 or 2
    assert (np.ptp(counts, axis=0) <= 1).all()
    assert counts[:, 0].tolist() == [4] * 6


def test_blocks_are_dealt_by_the_seed(faces: FaceIndex):
    pool = faces.subset(range(96))
    assert [ids(block) for block in dealt(pool, 3)] == [ids(block) for block in dealt(pool, 3)]
    assert ids(dealt(pool, 3)[0]) != ids(dealt(pool, 4)[0])


def test_merged_blocks_are_what_one_pass_over_their_faces_counts(
    studied: Studied, faces: FaceIndex
):
    blocks = dealt(faces.subset(range(48)), 0)
    steps: list[int] = []
    counts = observe_blocks(
        studied.model, studied.tensors, blocks, spec=SPEC, progress=steps.append
    )
    pool = FaceBlocks(faces.subset(range(48)), counts)
    assert sum(steps) == 48

    def one_pass(chosen: FaceIndex) -> dict[str, Histogram]:
        return observe(studied.model, studied.tensors, face_batches(chosen, SPEC, 8)).histograms

    same(pool.merged([0, 1, 2]), one_pass(pool.faces))
    same(pool.merged([2, 1, 0]), one_pass(pool.faces))
    same(pool.merged([1]), one_pass(blocks[1]))
    same(pool.merged([1, 1]), one_pass(blocks[1]), times=2)


@pytest.mark.parametrize("scale", [1.0, 3e-4])
def test_only_occupied_bins_are_kept(studied: Studied, faces: FaceIndex, scale: float):
    random = np.random.default_rng(0)
    histogram = Histogram()
    histogram.add((random.standard_normal(5000) * scale).astype(np.float32), "t")
    sparse = SparseCounts.of(histogram)
    assert len(sparse.counts) <= 5000
    np.testing.assert_array_equal(sparse.part().counts, histogram.as_part().counts)
