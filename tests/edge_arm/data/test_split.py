from __future__ import annotations

from pathlib import Path

import pytest

from edge_arm.data.split import split_validation
from edge_arm.runtime.errors import DataError, UsageError
from edge_arm.runtime.faces import FaceIndex, FaceSample, Split
from edge_arm.runtime.labels import LabelSet

LABELS = LabelSet("three", ("fear", "anger", "neutral"))


def _index(*counts: int) -> FaceIndex:
    """The classes mixed: 0 1 2 0 1 2 ... until each has its count."""
    left = list(counts)
    samples = []
    while any(left):
        for target in range(len(left)):
            if left[target]:
                left[target] -= 1
                name = f"{len(samples):04d}.jpg"
                samples.append(FaceSample(name, Path(name), target))
    return FaceIndex("mini", Split.TRAIN, LABELS, tuple(samples))


def _ids(index: FaceIndex) -> list[str]:
    return [sample.sample_id for sample in index.samples]


def test_every_face_is_in_exactly_one_part() -> None:
    index = _index(40, 20, 100)
    train, validation = split_validation(index, 0.1, seed=1)
    assert sorted(_ids(train) + _ids(validation)) == _ids(index)
    assert not set(_ids(train)) & set(_ids(validation))


def test_each_class_gives_its_share() -> None:
    train, validation = split_validation(_index(40, 20, 100), 0.1, seed=1)
    assert validation.counts().tolist() == [4, 2, 10]
    assert train.counts().tolist() == [36, 18, 90]


def test_the_parts_say_what_they_are() -> None:
    train, validation = split_validation(_index(4, 4, 4))
    assert (train.split, validation.split) == (Split.TRAIN, Split.VALIDATION)
    assert train.name == validation.name == "mini"


def test_both_parts_keep_the_order() -> None:
    for part in split_validation(_index(40, 20, 100), 0.3, seed=1):
        assert _ids(part) == sorted(_ids(part))


def test_the_same_seed_gives_the_same_parts() -> None:
    index = _index(40, 20, 100)
    assert split_validation(index, 0.2, seed=7) == split_validation(index, 0.2, seed=7)


def test_another_seed_gives_other_parts() -> None:
    index = _index(40, 20, 100)
    _, one = split_validation(index, 0.2, seed=7)
    _, two = split_validation(index, 0.2, seed=8)
    assert _ids(one) != _ids(two)


@pytest.mark.parametrize("fraction", [0.001, 0.1, 0.5, 0.999])
def test_both_parts_have_every_class_at_any_fraction(fraction: float) -> None:
    for part in split_validation(_index(2, 3, 50), fraction, seed=0):
        assert part.counts().min() >= 1


@pytest.mark.parametrize("count", [0, 1])
def test_a_class_with_fewer_than_two_faces_is_refused(count: int) -> None:
    expected = f"the train split of 'mini' has {count} of 'anger', expected at least 2 faces"
    with pytest.raises(DataError, match=expected):
        split_validation(_index(5, count, 5))


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 2, float("nan")])
def test_a_fraction_that_leaves_nothing_is_refused(fraction: float) -> None:
    with pytest.raises(UsageError, match=f"validation fraction {fraction}, expected one between"):
        split_validation(_index(5, 5, 5), fraction)


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(UsageError, match="got the seed -1, expected 0 or more"):
        split_validation(_index(5, 5, 5), seed=-1)
