from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edge_arm.calibration.sample import (
    Balance,
    balanced_shares,
    calibration_sample,
    class_shares,
    held_out_sample,
)
from edge_arm.runtime.errors import DataError, UsageError
from edge_arm.runtime.faces import FaceIndex, FaceSample, Split
from edge_arm.runtime.labels import RAFDB

MakeIndex = Callable[..., FaceIndex]
RAFDB_COUNTS = (1290, 281, 717, 4772, 1982, 705, 2524)


def index_of(counts: tuple[int, ...], split: Split = Split.TRAIN) -> FaceIndex:
    targets = [target for target, count in enumerate(counts) for _ in range(count)]
    samples = (FaceSample(f"{i:05d}", Path(f"{i}.png"), target) for i, target in enumerate(targets))
    return FaceIndex("rafdb", split, RAFDB, tuple(samples))


def test_shares_are_proportional_with_the_largest_remainders_rounded_up():
    # 512 * counts / 12271 = 53.82 11.72 29.92 199.11 82.70 29.42 105.31; floors add up to 508,
    # the largest four remainders are disgust, surprise, fear, sadness.
    assert class_shares(np.array(RAFDB_COUNTS), 512).tolist() == [54, 12, 30, 199, 83, 29, 105]


def test_a_rare_class_gets_four_faces():
    assert class_shares(np.array([1000, 5, 1000]), 100).tolist() == [48, 4, 48]


def test_a_class_with_fewer_than_four_faces_gives_all_of_them():
    assert class_shares(np.array([1000, 2, 1000]), 101).tolist()[1] == 2


def test_as_many_images_as_classes_takes_one_of_each():
    assert class_shares(np.array(RAFDB_COUNTS), 7).tolist() == [1] * 7


@pytest.mark.parametrize("num_images", [7, 30, 31, 100, 333])
def test_the_sample_has_exactly_the_size_asked_for(num_images: int):
    sample = calibration_sample(
        index_of((9, 2, 30, 211, 50, 11, 90)), num_images=num_images, seed=3
    )
    assert len({face.sample_id for face in sample.samples}) == num_images


def test_the_whole_set_can_be_taken():
    index = index_of((9, 2, 30, 21, 5, 11, 9))
    assert calibration_sample(index, num_images=len(index), seed=0).samples == index.samples


def test_the_same_seed_draws_the_same_faces_and_another_seed_others():
    index = index_of(RAFDB_COUNTS)
    first = calibration_sample(index, num_images=64, seed=5)
    assert calibration_sample(index, num_images=64, seed=5) == first
    assert calibration_sample(index, num_images=64, seed=6) != first


def test_the_draw_does_not_depend_on_the_order_of_the_index():
    index = index_of((9, 2, 30, 211, 50, 11, 90))
    reversed_index = index.subset(range(len(index))[::-1])
    drawn = calibration_sample(index, num_images=40, seed=1)
    assert calibration_sample(reversed_index, num_images=40, seed=1) == drawn


def test_more_images_than_faces_are_refused():
    with pytest.raises(UsageError, match=r"got --images 50, expected at most 49, the faces"):
        calibration_sample(index_of((7,) * 7), num_images=50, seed=0)


def test_fewer_images_than_classes_are_refused():
    with pytest.raises(UsageError, match=r"got --images 6, expected at least 7, one per class"):
        calibration_sample(index_of((7,) * 7), num_images=6, seed=0)


def test_an_empty_class_is_refused_by_name():
    with pytest.raises(
        DataError, match="calibration needs faces of every class, found none for 'f"
    ):
        calibration_sample(index_of((7, 0, 7, 7, 7, 7, 7)), num_images=10, seed=0)


def test_no_faces_at_all_are_refused():
    with pytest.raises(DataError, match="found none for 'surprise', 'fear'"):
        calibration_sample(index_of((0,) * 7), num_images=10, seed=0)


def test_test_faces_are_refused():
    with pytest.raises(UsageError, match="got the test split of 'rafdb' to calibrate with"):
        calibration_sample(index_of((7,) * 7, Split.TEST), num_images=10, seed=0)


def ids(index: FaceIndex) -> list[str]:
    return [sample.sample_id for sample in index.samples]


def test_the_held_out_faces_are_all_that_did_not_calibrate(face_index: MakeIndex):
    population = face_index()
    sample = calibration_sample(population, num_images=14, seed=0)
    left = held_out_sample(population, sample, num_images=1000, seed=0)
    assert sorted(ids(left) + ids(sample)) == ids(population)


def test_held_out_faces_keep_the_frequencies_of_what_is_left(face_index: MakeIndex):
    population = face_index((40, 8, 8, 40, 8, 8, 8))
    sample = population.subset([*range(20), *range(56, 76)])  # half of the first and the fourth
    left = held_out_sample(population, sample, num_images=40, seed=0)
    # of 80 left: 20, 8, 8, 20, 8, 8, 8
    assert left.counts().tolist() == [10, 4, 4, 10, 4, 4, 4]


def test_the_held_out_draw_depends_on_the_seed_and_not_on_the_order(face_index: MakeIndex):
    population = face_index((20,) * 7)
    sample = calibration_sample(population, num_images=20, seed=3)
    turned = population.subset(range(len(population))[::-1])
    chosen = ids(held_out_sample(population, sample, num_images=50, seed=3))
    assert len(chosen) == 50
    assert ids(held_out_sample(turned, sample, num_images=50, seed=3)) == chosen
    assert ids(held_out_sample(population, sample, num_images=50, seed=4)) != chosen


def test_a_copy_of_a_calibration_face_is_not_held_out(face_index: MakeIndex):
    population = face_index((3, 3, 3, 3, 3, 3, 3))
    original, copy = population.samples[0], population.samples[1]
    copy.path.write_bytes(original.path.read_bytes())
    left = held_out_sample(population, population.subset([0]), num_images=1000, seed=0)
    assert ids(left) == ids(population)[2:]


def test_no_face_left_to_hold_out_is_refused(face_index: MakeIndex):
    population = face_index()
    with pytest.raises(UsageError, match="got --images 28, which are all training faces of .*left"):
        held_out_sample(population, population, num_images=10, seed=0)


def test_balanced_shares_are_equal_where_every_class_has_enough():
    assert balanced_shares(np.array(RAFDB_COUNTS), 700).tolist() == [100] * 7


def test_the_largest_classes_give_what_cannot_be_shared_equally():
    # 704 = 7 * 100 + 4; the four largest counts are 4772, 2524, 1982, 1290
    assert balanced_shares(np.array(RAFDB_COUNTS), 704).tolist() == [
        101, 100, 100, 101, 101, 100, 101
    ]  # fmt: skip


def test_what_a_small_class_lacks_is_spread_over_the_others():
    # 80 = 3 + 5 + 72, and 72 is 24 for each of the three others
    assert balanced_shares(np.array([100, 3, 50, 5, 100]), 80).tolist() == [24, 3, 24, 5, 24]


def test_all_faces_can_be_taken_balanced():
    assert balanced_shares(np.array([9, 2, 30]), 41).tolist() == [9, 2, 30]


def test_a_balanced_sample_is_seeded_and_does_not_depend_on_the_order():
    index = index_of((9, 2, 30, 211, 50, 11, 90))
    drawn = calibration_sample(index, num_images=40, seed=1, balance=Balance.BALANCED)
    # 40 = 2 + 38, 38 = 6 * 6 + 2, and the largest two are happiness and neutral
    assert drawn.counts().tolist() == [6, 2, 6, 7, 6, 6, 7]
    turned = index.subset(range(len(index))[::-1])
    again = calibration_sample(turned, num_images=40, seed=1, balance=Balance.BALANCED)
    assert ids(again) == ids(drawn)
    other = calibration_sample(index, num_images=40, seed=2, balance=Balance.BALANCED)
    assert ids(other) != ids(drawn)
