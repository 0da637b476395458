"""One source of error at a time, each against the same FP32."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from edge_arm.runtime.errors import DataError
from edge_arm.runtime.explanation import Source, drop_sources
from edge_arm.runtime.manifest import Precision
from edge_arm.runtime.predictions import Predictions

Make = Callable[..., Predictions]
TARGETS = [0, 0, 1, 1, 2, 2, 2, 2]


def test_each_source_has_its_flips_and_its_drop_in_the_order_of_a_report(
    predictions_from_answers: Make,
) -> None:
    found = drop_sources(
        predictions_from_answers(TARGETS, TARGETS),
        {
            Source.ACTIVATIONS: predictions_from_answers(TARGETS, [1, 1, 1, 1, 2, 2, 2, 2]),
            Source.CONTROL: predictions_from_answers(TARGETS, TARGETS),
            Source.WEIGHTS: predictions_from_answers(TARGETS, [0, 0, 1, 1, 2, 2, 2, 1]),
        },
    )
    assert [item.name for item in found] == [
        "FP32 again",
        "weights rounded",
        "activations rounded",
    ]
    assert [item.flips for item in found] == [0, 1, 2]
    assert [item.drop for item in found] == [0.0, 1 / 8, 2 / 8]
    assert [item.num_faces for item in found] == [8, 8, 8]
    assert all(item.interval.low <= item.drop <= item.interval.high for item in found)
    assert found[0].mean_kl == 0.0 < found[1].mean_kl < found[2].mean_kl


def test_what_ran_each_source_is_said(predictions_from_answers: Make) -> None:
    same = predictions_from_answers(TARGETS, TARGETS, precision=Precision.INT8)
    (found,) = drop_sources(same, {Source.INT8_DEVICE: same})
    assert found.meaning.endswith("the engine's own arithmetic. Run by onnxruntime/cpu.")


def test_every_source_has_a_meaning_of_its_own(predictions_from_answers: Make) -> None:
    same = predictions_from_answers(TARGETS, TARGETS)
    found = drop_sources(same, dict.fromkeys(Source, same))
    assert len({item.meaning for item in found}) == len(Source)


def test_a_source_over_other_faces_is_refused(predictions_from_answers: Make) -> None:
    with pytest.raises(DataError, match="answered 8 and 2 faces"):
        drop_sources(
            predictions_from_answers(TARGETS, TARGETS),
            {Source.WEIGHTS: predictions_from_answers([0, 0], [0, 0])},
        )
