from __future__ import annotations

import numpy as np
import pytest
from scipy.special import rel_entr, softmax

from edge_arm.runtime.errors import DataError
from edge_arm.runtime.statistics import compare_answers

REFERENCE = np.log([[0.7, 0.2, 0.1], [0.5, 0.4, 0.1], [0.1, 0.1, 0.8], [0.2, 0.5, 0.3]])
CANDIDATE = np.log([[0.6, 0.3, 0.1], [0.4, 0.5, 0.1], [0.1, 0.2, 0.7], [0.2, 0.3, 0.5]])


def test_agreement_is_the_share_of_equal_answers() -> None:
    assert compare_answers(REFERENCE, CANDIDATE).agreement == 0.5


def test_flips_are_counted_from_the_references_to_the_candidates_answer() -> None:
    assert compare_answers(REFERENCE, CANDIDATE).flips.tolist() == [[1, 1, 0], [0, 0, 1], [0, 0, 1]]


def test_flipped_faces_come_with_the_references_margins() -> None:
    answers = compare_answers(REFERENCE, CANDIDATE)
    assert answers.flipped_faces.tolist() == [1, 3]
    # By hand: 0.5 - 0.4 and 0.5 - 0.3.
    np.testing.assert_allclose(answers.flipped_margins, [0.1, 0.2], rtol=1e-12)


def test_the_median_margin_is_over_all_faces() -> None:
    # By hand: margins 0.5, 0.1, 0.7 and 0.2.
    assert compare_answers(REFERENCE, CANDIDATE).median_margin == pytest.approx(0.35, rel=1e-12)


def test_the_mean_divergence_is_scipys() -> None:
    rng = np.random.default_rng(0)
    reference = rng.normal(size=(30, 7)).astype(np.float32) * 5
    candidate = reference + rng.normal(size=(30, 7)).astype(np.float32)
    p = softmax(reference.astype(np.float64), axis=1)
    q = softmax(candidate.astype(np.float64), axis=1)
    expected = rel_entr(p, q).sum(axis=1).mean()
    assert compare_answers(reference, candidate).mean_kl == pytest.approx(expected, rel=1e-10)


def test_equal_models_agree_fully_and_do_not_diverge() -> None:
    answers = compare_answers(REFERENCE, REFERENCE)
    assert (answers.agreement, answers.mean_kl) == (1.0, 0.0)
    assert answers.flipped_margins.shape == (0,)


def test_equal_logits_are_answered_with_the_first_class() -> None:
    tie = np.array([[1.0, 1.0]])
    assert compare_answers(tie, tie).flips.tolist() == [[1, 0], [0, 0]]


def test_models_of_different_classes_are_refused() -> None:
    with pytest.raises(DataError, match="3 classes of the reference and 2 of the candidate"):
        compare_answers(REFERENCE, CANDIDATE[:, :2])


def test_logits_of_different_faces_are_refused() -> None:
    with pytest.raises(DataError, match="4 rows of reference logits and 3 rows of candidate"):
        compare_answers(REFERENCE, CANDIDATE[:3])


def test_broken_logits_of_the_candidate_are_named() -> None:
    broken = CANDIDATE.copy()
    broken[2, 1] = np.nan
    with pytest.raises(DataError, match="candidate logits of face 2"):
        compare_answers(REFERENCE, broken)
