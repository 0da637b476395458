from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest

from edge_arm.calibration.comparison import (
    HELD_OUT_FACES,
    compare_models,
    num_held_out,
)
from edge_arm.calibration.sample import calibration_sample, held_out_sample
from edge_arm.runtime.errors import CalibrationError
from edge_arm.runtime.faces import FaceIndex
from edge_arm.runtime.preprocess import PreprocessSpec

SPEC = PreprocessSpec(size=64)
MakeIndex = Callable[..., FaceIndex]


def always(*answers: int) -> Callable[[np.ndarray], np.ndarray]:
    """A model that answers these classes, face after face, whatever it sees."""
    rows = iter(np.eye(7, dtype=np.float32)[list(answers)])
    return lambda images: np.stack([next(rows) for _ in images])


def test_scores_are_paired_with_fp32_by_hand(face_index: MakeIndex):
    faces = face_index((2, 1, 1, 0, 0, 0, 0))  # targets 0 0 1 2
    fp32 = always(0, 0, 1, 1)  # right on three of four
    # face 1 lost, face 3 won; those two answers differ from FP32's
    other = always(0, 5, 1, 2)
    steps: list[int] = []
    found = compare_models(fp32, {"other": other}, faces=faces, spec=SPEC, progress=steps.append)
    (score,) = found.scores
    assert (found.fp32_accuracy, score.accuracy, score.agreement) == (0.75, 0.75, 0.5)
    assert (score.flips, score.lost, score.won) == (2, 1, 1)
    assert score.drop.low < 0 < score.drop.high
    assert score.drop.low == pytest.approx(-score.drop.high)
    assert sum(steps) == 2 * 4


def test_json_names_the_faces_and_every_model(face_index: MakeIndex):
    faces = face_index((2, 1, 1, 0, 0, 0, 0))
    found = compare_models(always(0, 0, 1, 2), {"a": always(0, 0, 1, 0)}, faces=faces, spec=SPEC)
    written = json.loads(json.dumps(found.to_json()))
    assert written["data"] == {
        "name": faces.name, "split": "train", "held_out": 4, "sha256": faces.sha256
    }  # fmt: skip
    assert written["fp32_accuracy"] == 1.0
    assert written["models"]["a"]["accuracy"] == 0.75
    assert (written["models"]["a"]["lost"], written["models"]["a"]["won"]) == (1, 0)


def test_a_model_that_answers_nan_is_refused(face_index: MakeIndex):
    def nothing(images: np.ndarray) -> np.ndarray:
        return np.full((len(images), 7), np.nan, np.float32)

    faces = face_index((2, 1, 1, 0, 0, 0, 0))
    with pytest.raises(CalibrationError, match="the model 'a' answers NaN or infinity on the held"):
        compare_models(always(0, 0, 1, 2), {"a": nothing}, faces=faces, spec=SPEC)


def test_the_progress_adds_up_to_the_held_out_faces_there_are(face_index: MakeIndex):
    population = face_index()
    sample = calibration_sample(population, num_images=14, seed=0)
    left = held_out_sample(population, sample, num_images=HELD_OUT_FACES, seed=0)
    assert len(left) == 14 == num_held_out(len(population), 14)
    assert num_held_out(3000, 7) == HELD_OUT_FACES
    assert num_held_out(7, 7) == 0
