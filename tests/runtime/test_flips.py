"""Faces with two answers, in the order in which they are worth looking at."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_arm.runtime.errors import DataError
from edge_arm.runtime.faces import FaceIndex, FaceSample, Split
from edge_arm.runtime.flips import flipped_faces
from edge_arm.runtime.labels import LabelSet
from edge_arm.runtime.manifest import Precision
from edge_arm.runtime.predictions import Predictions

LABELS = LabelSet("three", ("anger", "fear", "neutral"))
INDEX = FaceIndex(
    "rafdb",
    Split.TEST,
    LABELS,
    tuple(FaceSample(f"{name}.jpg", Path("/faces") / f"{name}.jpg", 1) for name in "abcd"),
)
BEFORE = [[0.6, 0.3, 0.1], [0.1, 0.8, 0.1], [0.5, 0.4, 0.1], [0.05, 0.05, 0.9]]
AFTER = [[0.6, 0.3, 0.1], [0.15, 0.25, 0.6], [0.4, 0.5, 0.1], [0.05, 0.05, 0.9]]


def predictions(
    make: object, probabilities: list[list[float]], precision: Precision
) -> Predictions:
    found: Predictions = make([1] * 4, [0] * 4, precision=precision)  # type: ignore[operator]
    return replace(
        found,
        logits=np.log(np.array(probabilities)).astype(np.float32),
        sample_ids=tuple(sample.sample_id for sample in INDEX.samples),
    )


@pytest.fixture
def pair(predictions_from_answers: object) -> tuple[Predictions, Predictions]:
    return (
        predictions(predictions_from_answers, BEFORE, Precision.FP32),
        predictions(predictions_from_answers, AFTER, Precision.INT8),
    )


def test_the_surest_answer_that_changed_comes_first(pair: tuple[Predictions, Predictions]) -> None:
    found = flipped_faces(*pair, INDEX)
    assert [face.sample_id for face in found] == ["b.jpg", "c.jpg"]


def test_a_flip_has_both_answers_the_truth_and_both_margins(
    pair: tuple[Predictions, Predictions],
) -> None:
    face = flipped_faces(*pair, INDEX)[0]
    assert (face.target, face.reference_answer, face.candidate_answer) == (1, 1, 2)
    assert face.path == Path("/faces/b.jpg")
    assert face.precision is Precision.INT8
    # By hand: 0.8 - 0.1 and 0.6 - 0.25; float32 logits keep seven digits.
    assert face.reference_margin == pytest.approx(0.7, abs=1e-6)
    assert face.candidate_margin == pytest.approx(0.35, abs=1e-6)


def test_equal_answers_are_no_flips(pair: tuple[Predictions, Predictions]) -> None:
    assert flipped_faces(pair[0], pair[0], INDEX) == ()


def test_an_index_of_other_faces_is_refused(pair: tuple[Predictions, Predictions]) -> None:
    with pytest.raises(DataError, match="predictions of 4 faces and an index of 2 others"):
        flipped_faces(*pair, INDEX.subset([0, 1]))
