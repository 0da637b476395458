from __future__ import annotations

import numpy as np
import pytest

from edge_arm.runtime.errors import DataError
from edge_arm.runtime.statistics.arrays import check_same_faces, checked_labels, checked_logits


def test_labels_of_any_integer_type_become_int64() -> None:
    assert checked_labels(np.array([0, 6], np.uint8), 7, "targets").dtype == np.int64


def test_logits_of_any_floating_type_become_float64() -> None:
    assert checked_logits(np.zeros((2, 7), np.float16), "logits").dtype == np.float64


def test_labels_that_are_not_integers_are_refused() -> None:
    with pytest.raises(DataError, match=r"targets are float64 of shape \(2,\), expected integers"):
        checked_labels(np.array([0.0, 1.0]), 7, "targets")


def test_no_labels_are_refused() -> None:
    with pytest.raises(DataError, match="targets of 0 faces"):
        checked_labels(np.zeros(0, np.int64), 7, "targets")


@pytest.mark.parametrize("label", [7, -1])
def test_a_label_outside_the_classes_is_refused_by_face(label: int) -> None:
    with pytest.raises(DataError, match=f"targets hold class {label} for face 1, expected 0 to 6"):
        checked_labels(np.array([3, label, label]), 7, "targets")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_logits_that_are_not_finite_are_refused_by_face(bad: float) -> None:
    logits = np.zeros((3, 2))
    logits[1, 0] = bad
    with pytest.raises(DataError, match=r"candidate logits of face 1 are \[.*\], expected finite"):
        checked_logits(logits, "candidate logits")


@pytest.mark.parametrize("logits", [np.zeros(7), np.zeros((3, 1)), np.zeros((3, 7), np.int64)])
def test_arrays_that_are_no_logits_are_refused(logits: np.ndarray) -> None:  # type: ignore[type-arg]
    with pytest.raises(DataError, match="logits are .*expected floating point of shape"):
        checked_logits(logits, "logits")


def test_no_logits_are_refused() -> None:
    with pytest.raises(DataError, match="logits of 0 faces"):
        checked_logits(np.zeros((0, 7)), "logits")


def test_arrays_about_different_numbers_of_faces_are_refused() -> None:
    with pytest.raises(DataError, match="2 targets and 3 predictions, expected one each"):
        check_same_faces(np.zeros(2), np.zeros(3), ("targets", "predictions"))
