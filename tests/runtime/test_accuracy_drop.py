"""The drop of hand-made answers, and the refusal of pairs that are none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from edge_arm.runtime.accuracy_drop import accuracy_of, compare
from edge_arm.runtime.errors import DataError
from edge_arm.runtime.labels import LabelSet
from edge_arm.runtime.manifest import Precision
from edge_arm.runtime.predictions import Predictions
from edge_arm.runtime.statistics import Gate, Verdict

Make = Callable[..., Predictions]

# Ten faces: the reference is wrong on the last, the candidate on the first two.
TARGETS = [0, 0, 0, 0, 1, 1, 1, 2, 2, 2]
REFERENCE = [0, 0, 0, 0, 1, 1, 1, 2, 2, 1]
CANDIDATE = [1, 2, 0, 0, 1, 1, 1, 2, 2, 2]


def test_the_drop_is_reference_minus_candidate_in_percentage_points(
    predictions_from_answers: Make,
) -> None:
    drop = compare(
        predictions_from_answers(TARGETS, REFERENCE),
        predictions_from_answers(TARGETS, CANDIDATE, precision=Precision.INT8),
    )
    assert drop.reference.accuracy == pytest.approx(0.9, abs=1e-12)
    assert drop.candidate.accuracy == pytest.approx(0.8, abs=1e-12)
    assert drop.drop_pp == pytest.approx(10.0, abs=1e-9)
    assert drop.drop_pp_interval[0] < 10.0 < drop.drop_pp_interval[1]


def test_agreement_counts_equal_answers_and_flips_hold_the_others(
    predictions_from_answers: Make,
) -> None:
    drop = compare(
        predictions_from_answers(TARGETS, REFERENCE),
        predictions_from_answers(TARGETS, CANDIDATE),
    )
    assert drop.agreement.agreement == pytest.approx(0.7, abs=1e-12)
    # rows: reference's answer; columns: candidate's
    assert drop.agreement.flips.tolist() == [[2, 1, 1], [0, 3, 1], [0, 0, 2]]


def test_mcnemar_is_the_binomial_test_of_the_discordant_faces(
    predictions_from_answers: Make,
) -> None:
    drop = compare(
        predictions_from_answers(TARGETS, REFERENCE),
        predictions_from_answers(TARGETS, CANDIDATE),
    )
    assert drop.mcnemar_p == pytest.approx(stats.binomtest(1, 3, 0.5).pvalue, rel=1e-9)


def test_the_accuracy_interval_is_wilsons(predictions_from_answers: Make) -> None:
    model = accuracy_of(predictions_from_answers(TARGETS, REFERENCE))
    expected = stats.binomtest(9, 10).proportion_ci(0.95, method="wilson")
    assert model.interval.low == pytest.approx(expected.low, rel=1e-9)
    assert model.interval.high == pytest.approx(expected.high, rel=1e-9)


def test_mean_class_accuracy_gives_each_class_the_same_weight(
    predictions_from_answers: Make,
) -> None:
    model = accuracy_of(predictions_from_answers(TARGETS, REFERENCE))
    assert model.scores.mean_class_accuracy == pytest.approx((1 + 1 + 2 / 3) / 3, rel=1e-12)


def test_images_per_second_come_from_the_time_inside_the_model(
    predictions_from_answers: Make,
) -> None:
    model = accuracy_of(predictions_from_answers(TARGETS, REFERENCE, seconds=2.0))
    assert model.images_per_second == pytest.approx(5.0, rel=1e-12)


def test_a_stored_temperature_moves_confidence_and_no_answer(
    predictions_from_answers: Make,
) -> None:
    plain = predictions_from_answers(TARGETS, REFERENCE)
    model = accuracy_of(replace(plain, temperature=2.0))
    halved = accuracy_of(replace(plain, logits=plain.logits / np.float32(2)))
    assert model.temperature == 2.0
    assert model.tempered is not None
    # Halving float32 logits is exact.
    assert model.tempered.nll == pytest.approx(halved.confidence_quality.nll, rel=1e-12)
    assert model.tempered.nll != pytest.approx(model.confidence_quality.nll, rel=1e-3)
    assert model.num_right == accuracy_of(plain).num_right
    assert accuracy_of(plain).tempered is None


def test_a_class_gate_judges_each_class_and_the_accuracy_gate_does_not(
    predictions_from_answers: Make,
) -> None:
    targets = [0, 1, 2] * 400
    worse = [0, 1, 1] * 40 + [0, 1, 2] * 360  # class 2 loses a tenth, the accuracy a thirtieth
    drop = compare(
        predictions_from_answers(targets, targets),
        predictions_from_answers(targets, worse),
        Gate(0.06),
        max_class_drop=0.05,
    )
    assert drop.verdict is Verdict.PASS
    assert drop.classes.verdict is Verdict.FAIL
    verdicts = [one.verdict for one in drop.classes.drops if one is not None]
    assert verdicts == [Verdict.PASS, Verdict.PASS, Verdict.FAIL]


def test_the_macro_drop_is_the_difference_of_the_macro_scores(
    predictions_from_answers: Make,
) -> None:
    drop = compare(
        predictions_from_answers(TARGETS, REFERENCE),
        predictions_from_answers(TARGETS, CANDIDATE),
    )
    # By hand, recalls: reference 1, 1, 2/3; candidate 1/2, 1, 1.
    assert drop.macro.mean_class_accuracy == pytest.approx((8 / 3 - 5 / 2) / 3, rel=1e-9)
    assert drop.macro.macro_f1_interval is not None
    again = compare(
        predictions_from_answers(TARGETS, REFERENCE),
        predictions_from_answers(TARGETS, CANDIDATE),
    )
    assert again.macro == drop.macro


def test_without_a_gate_there_is_no_verdict(predictions_from_answers: Make) -> None:
    same = predictions_from_answers(TARGETS, REFERENCE)
    assert compare(same, same).verdict is None


def test_equal_answers_on_many_faces_pass(predictions_from_answers: Make) -> None:
    many = predictions_from_answers([0, 1, 2] * 500, [0, 1, 2] * 500)
    drop = compare(many, many, Gate(0.01))
    assert drop.verdict is Verdict.PASS
    assert drop.faces_to_decide is None


def test_a_large_drop_fails(predictions_from_answers: Make) -> None:
    targets = [0, 1, 2] * 100
    worse = [0, 1, 1] * 100
    drop = compare(
        predictions_from_answers(targets, targets),
        predictions_from_answers(targets, worse),
        Gate(0.01),
    )
    assert drop.verdict is Verdict.FAIL


def test_one_face_works_and_cannot_tell(predictions_from_answers: Make) -> None:
    one = predictions_from_answers([1], [1])
    drop = compare(one, one, Gate(0.01))
    assert drop.verdict is Verdict.CANNOT_TELL
    assert drop.drop_pp == 0.0
    assert drop.faces_to_decide is not None and drop.faces_to_decide > 1


def test_all_wrong_by_both_is_no_drop(predictions_from_answers: Make) -> None:
    wrong = predictions_from_answers(TARGETS, [(target + 1) % 3 for target in TARGETS])
    drop = compare(wrong, wrong)
    assert (drop.reference.accuracy, drop.drop_pp) == (0.0, 0.0)
    assert drop.reference.interval.high > 0.0


def test_all_right_against_all_wrong_is_a_drop_of_everything(
    predictions_from_answers: Make,
) -> None:
    targets = TARGETS * 4
    drop = compare(
        predictions_from_answers(targets, targets),
        predictions_from_answers(targets, [(target + 1) % 3 for target in targets]),
        Gate(0.5),
    )
    assert drop.drop_pp == pytest.approx(100.0, abs=1e-9)
    assert drop.verdict is Verdict.FAIL


def test_a_class_without_faces_has_no_figures(predictions_from_answers: Make) -> None:
    two = predictions_from_answers([0, 0, 2], [0, 1, 2])
    assert [one is None for one in compare(two, two).classes.drops] == [False, True, False]


def test_other_labels_are_refused(predictions_from_answers: Make) -> None:
    other = LabelSet("other", ("fear", "anger", "neutral"))
    with pytest.raises(DataError, match="classes anger, fear, neutral and fear, anger, neutral"):
        compare(
            predictions_from_answers(TARGETS, REFERENCE),
            predictions_from_answers(TARGETS, CANDIDATE, labels=other),
        )


def test_another_number_of_faces_is_refused(predictions_from_answers: Make) -> None:
    with pytest.raises(DataError, match="answered 10 and 9 faces"):
        compare(
            predictions_from_answers(TARGETS, REFERENCE),
            predictions_from_answers(TARGETS[:9], CANDIDATE[:9]),
        )


def test_another_order_is_refused_naming_the_first_difference(
    predictions_from_answers: Make,
) -> None:
    reference = predictions_from_answers(TARGETS, REFERENCE)
    ids = list(reference.sample_ids)
    ids[3], ids[4] = ids[4], ids[3]
    with pytest.raises(DataError, match=r"first at face 3: 'test_0003\.jpg' and 'test_0004\.jpg'"):
        compare(reference, replace(reference, sample_ids=tuple(ids)))


def test_other_targets_are_refused_naming_the_first_difference(
    predictions_from_answers: Make,
) -> None:
    reference = predictions_from_answers(TARGETS, REFERENCE)
    targets = reference.targets.copy()
    targets[6] = 2
    with pytest.raises(DataError, match=r"labels 'fear' and 'neutral' for 'test_0006\.jpg'"):
        compare(reference, replace(reference, targets=targets))


def test_other_pictures_of_the_same_names_are_refused(predictions_from_answers: Make) -> None:
    with pytest.raises(DataError, match="same faces, but their pictures differ"):
        compare(
            predictions_from_answers(TARGETS, REFERENCE),
            predictions_from_answers(TARGETS, CANDIDATE, data_sha256="e" * 64),
        )


def test_logits_that_are_no_numbers_never_become_an_accuracy(
    predictions_from_answers: Make,
) -> None:
    reference = predictions_from_answers(TARGETS, REFERENCE)
    logits = reference.logits.copy()
    logits[4] = np.nan
    with pytest.raises(DataError, match="of face 4 are"):
        compare(reference, replace(reference, logits=logits))
