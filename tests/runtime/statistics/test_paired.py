from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from edge_arm.runtime.errors import DataError
from edge_arm.runtime.statistics import PairedCounts, mcnemar_exact_p, paired_counts


def table(num_faces: int, b: int, c: int) -> PairedCounts:
    return PairedCounts(num_faces, num_faces - b - c, b, c, 0)


def test_the_four_cells_are_counted_face_by_face() -> None:
    reference = np.array([True, True, True, False, False, False])
    candidate = np.array([True, False, False, True, False, False])
    counts = paired_counts(reference, candidate)
    assert counts == PairedCounts(6, 1, 2, 1, 2)


def test_accuracies_and_drop_come_from_the_cells() -> None:
    counts = PairedCounts(10, 5, 3, 1, 1)
    assert counts.reference_accuracy == 0.8
    assert counts.candidate_accuracy == 0.6
    assert counts.drop == 0.2
    assert counts.num_discordant == 4


def test_a_better_candidate_has_a_negative_drop() -> None:
    assert PairedCounts(4, 2, 0, 1, 1).drop == -0.25


# statsmodels 0.15.0: mcnemar([[0, b], [c, 0]], exact=True).pvalue; 6 and 16 are also the published
# example of Fagerland, Lydersen and Laake (2014), P = 0.0525.
@pytest.mark.parametrize(
    ("b", "c", "p"),
    [
        (5, 0, 0.0625),
        (6, 16, 0.052478790283203125),
        (40, 20, 0.01348929373119186),
        (1, 7, 0.0703125),
        (300, 250, 0.036578745549102676),
        (12, 12, 1.0),
    ],
)
def test_mcnemars_exact_p_is_the_one_of_statsmodels(b: int, c: int, p: float) -> None:
    assert mcnemar_exact_p(table(1000, b, c)) == pytest.approx(p, rel=1e-11)


@pytest.mark.parametrize("b", range(10))
def test_mcnemars_exact_p_is_the_binomial_test_of_scipy(b: int) -> None:
    expected = binomtest(b, 9, 0.5).pvalue
    assert mcnemar_exact_p(table(20, b, 9 - b)) == pytest.approx(expected, rel=1e-11)


def test_without_discordant_faces_mcnemars_p_is_one() -> None:
    assert mcnemar_exact_p(table(50, 0, 0)) == 1.0


def test_answers_that_are_not_boolean_are_refused() -> None:
    with pytest.raises(
        DataError, match=r"right answers of the reference are int64 of shape \(2,\)"
    ):
        paired_counts(np.array([1, 0]), np.array([True, False]))


def test_answers_in_two_dimensions_are_refused() -> None:
    with pytest.raises(DataError, match=r"right answers of the candidate are bool of shape \(1, 2"):
        paired_counts(np.array([True, False]), np.array([[True, False]]))


def test_answers_to_different_numbers_of_faces_are_refused() -> None:
    with pytest.raises(DataError, match="2 answers of the reference and 1 of the candidate"):
        paired_counts(np.array([True, False]), np.array([True]))


def test_a_comparison_of_no_faces_is_refused() -> None:
    with pytest.raises(DataError, match="a comparison of 0 faces"):
        paired_counts(np.zeros(0, bool), np.zeros(0, bool))


@pytest.mark.parametrize("cells", [(1, 1, 1, 1), (4, -1, 0, 0)])
def test_cells_that_do_not_add_up_are_refused(cells: tuple[int, int, int, int]) -> None:
    with pytest.raises(DataError, match="expected four counts from 0 that add up"):
        PairedCounts(3, *cells)
