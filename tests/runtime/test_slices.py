"""The drop by group of people, against counting by hand and tests by scipy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from edge_arm.runtime.errors import DataError
from edge_arm.runtime.face_attributes import FaceAttribute
from edge_arm.runtime.manifest import Precision
from edge_arm.runtime.predictions import Predictions
from edge_arm.runtime.slices import slice_drops
from edge_arm.runtime.statistics import ClassRules, inferiority_p

MakePredictions = Callable[..., Predictions]


def _attribute(name: str, values: list[str], order: tuple[str, ...] | None = None) -> FaceAttribute:
    by_sample = {f"test_{place:04d}.jpg": value for place, value in enumerate(values)}
    return FaceAttribute(name, order or tuple(sorted(set(values))), by_sample)


@pytest.fixture
def pair(predictions_from_answers: MakePredictions) -> tuple[Predictions, Predictions]:
    """60 faces of class 0. FP32 is right on all, INT8 wrong on the first 12 and the last."""
    wrong = [1] * 12 + [0] * 47 + [1]
    return (
        predictions_from_answers([0] * 60, [0] * 60),
        predictions_from_answers([0] * 60, wrong, precision=Precision.INT8),
    )


def test_each_group_has_its_own_paired_table(pair: tuple[Predictions, Predictions]) -> None:
    halves = _attribute("age", ["young"] * 30 + ["old"] * 30, ("young", "old"))
    young, old = slice_drops(*pair, (halves,))
    assert (young.precision, young.attribute, young.value) == (Precision.INT8, "age", "young")
    assert (young.counts.num_faces, young.counts.reference_only_right) == (30, 12)
    assert young.counts.drop == pytest.approx(0.4)
    assert (old.value, old.counts.num_faces, old.counts.reference_only_right) == ("old", 30, 1)
    assert young.interval.low < 0.4 < young.interval.high
    assert young.interval.low > 0.2


def test_p_values_go_through_holm_over_all_attributes(
    pair: tuple[Predictions, Predictions],
) -> None:
    attributes = (
        _attribute("age", ["young"] * 30 + ["old"] * 30),
        _attribute("glasses", ["yes"] * 20 + ["no"] * 40),
    )
    slices = slice_drops(*pair, attributes)
    raw = np.array([inferiority_p(item.counts) for item in slices])
    # Holm by hand: in rising order times 4, 3, 2, 1, never falling, at most 1.
    order = np.argsort(raw)
    expected = np.empty(4)
    expected[order] = np.minimum(np.maximum.accumulate(raw[order] * [4, 3, 2, 1]), 1.0)
    assert [item.drop_p for item in slices] == pytest.approx(expected.tolist(), rel=1e-12)
    alone = slice_drops(*pair, attributes[:1])
    assert alone[1].drop_p < slices[1].drop_p


def test_groups_without_faces_have_no_slice(pair: tuple[Predictions, Predictions]) -> None:
    attribute = _attribute("gender", ["male"] * 60, ("male", "female", "unsure"))
    (only,) = slice_drops(*pair, (attribute,))
    assert only.value == "male"
    assert only.counts.num_faces == 60


def test_a_small_group_is_said_to_be_too_small(
    predictions_from_answers: MakePredictions,
) -> None:
    answers = [0] * 2000
    pair = (
        predictions_from_answers(answers, answers),
        predictions_from_answers(answers, answers, precision=Precision.INT8),
    )
    attribute = _attribute("age", ["old"] * 20 + ["young"] * 1980)
    old, young = slice_drops(*pair, (attribute,))
    assert old.too_small
    assert not young.too_small
    # docs/statistics.md: with no disagreement among n faces the answer is about 5 / n.
    assert young.minimum_detectable_drop == pytest.approx(5 / 1980, rel=0.3)
    strict = slice_drops(*pair, (attribute,), rules=ClassRules(judgeable_drop=0.001))
    assert [item.too_small for item in strict] == [True, True]


def test_without_attributes_there_are_no_slices(pair: tuple[Predictions, Predictions]) -> None:
    assert slice_drops(*pair, ()) == ()


def test_different_faces_are_refused(
    pair: tuple[Predictions, Predictions], predictions_from_answers: MakePredictions
) -> None:
    other = predictions_from_answers([0] * 3, [0] * 3)
    with pytest.raises(DataError, match="fp32 and fp32 answered different faces, expected the sam"):
        slice_drops(pair[0], other, ())


def test_a_face_without_the_attribute_is_refused(pair: tuple[Predictions, Predictions]) -> None:
    with pytest.raises(DataError, match=r"the age of 'test_0050.jpg' is not known \(10 of 60 face"):
        slice_drops(*pair, (_attribute("age", ["old"] * 50),))


def test_a_value_that_is_not_listed_is_refused() -> None:
    with pytest.raises(DataError, match=r"'test_0001.jpg' has the age 'odd', expected one of old"):
        _attribute("age", ["old", "odd"], ("old", "young"))
