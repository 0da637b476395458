"""One report, one verdict over all precisions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from edge_arm.runtime.batch_invariance import InvarianceCheck
from edge_arm.runtime.errors import BundleError, UsageError
from edge_arm.runtime.manifest import Precision
from edge_arm.runtime.report.report import Report
from edge_arm.runtime.statistics import Verdict

Make = Callable[..., Report]
FP32, FP16, INT8 = Precision

MANY = [0, 1, 2] * 500
THIRD_WRONG = [0, 1, 1] * 500
ONE_WRONG = [0, 1, 1, *MANY[3:]]


def test_every_other_precision_is_compared_with_fp32(report_from_answers: Make) -> None:
    report = report_from_answers(MANY, {INT8: THIRD_WRONG, FP32: MANY, FP16: ONE_WRONG})
    assert [drop.candidate.precision for drop in report.drops] == [FP16, INT8]
    assert [drop.reference.precision for drop in report.drops] == [FP32, FP32]
    assert report.data.class_counts == (500, 500, 500)


def test_one_failing_precision_fails_the_report(report_from_answers: Make) -> None:
    report = report_from_answers(MANY, {FP32: MANY, FP16: MANY, INT8: THIRD_WRONG}, 1.0)
    assert report.verdict is Verdict.FAIL


def test_all_passing_precisions_pass_the_report(report_from_answers: Make) -> None:
    report = report_from_answers(MANY, {FP32: MANY, FP16: MANY, INT8: ONE_WRONG}, 1.0)
    assert report.verdict is Verdict.PASS


def test_one_undecided_precision_leaves_the_report_undecided(report_from_answers: Make) -> None:
    report = report_from_answers(MANY[:30], {FP32: MANY[:30], INT8: MANY[:30]}, 1.0)
    assert report.verdict is Verdict.CANNOT_TELL


def test_without_fp32_there_is_no_report(report_from_answers: Make) -> None:
    with pytest.raises(BundleError, match="got predictions of int8, expected fp32 among them"):
        report_from_answers(MANY, {INT8: MANY})


def test_a_gate_with_nothing_to_judge_is_refused(report_from_answers: Make) -> None:
    with pytest.raises(UsageError, match="got --max-drop and a bundle with fp32 alone"):
        report_from_answers(MANY, {FP32: MANY}, 1.0)


def test_a_class_gate_with_nothing_to_judge_is_refused(report_from_answers: Make) -> None:
    with pytest.raises(UsageError, match="got --max-class-drop and a bundle with fp32 alone"):
        report_from_answers(MANY, {FP32: MANY}, max_class_drop_pp=1.0)


def test_the_verdict_needs_both_gates(report_from_answers: Make) -> None:
    # A third of class 2 is lost: 33 points there, 11 over all.
    answers = {FP32: MANY, INT8: [0, 1, 1, 0, 1, 2, 0, 1, 2] * 166 + MANY[:6]}
    assert report_from_answers(MANY, answers, 20.0).verdict is Verdict.PASS
    assert report_from_answers(MANY, answers, 20.0, max_class_drop_pp=20.0).verdict is Verdict.FAIL
    assert report_from_answers(MANY, answers, max_class_drop_pp=20.0).verdict is Verdict.FAIL
    assert report_from_answers(MANY, answers, max_class_drop_pp=50.0).verdict is Verdict.PASS


def test_a_class_without_faces_leaves_the_class_gate_undecided(report_from_answers: Make) -> None:
    targets = [0, 1] * 600
    report = report_from_answers(
        targets, {FP32: targets, INT8: targets}, 1.0, max_class_drop_pp=2.0
    )
    assert report.drops[0].verdict is Verdict.PASS
    assert report.verdict is Verdict.CANNOT_TELL
    assert not report.accepted


def test_a_batch_dependent_model_is_not_accepted_whatever_the_verdict(
    report_from_answers: Make,
) -> None:
    passed = report_from_answers(MANY, {FP32: MANY, INT8: MANY}, 1.0)
    check = InvarianceCheck(INT8, "onnxruntime/cpu", "batch 8", 8, 8, 0.5, 0, 0.1)
    assert passed.verdict is Verdict.PASS
    assert passed.accepted
    assert not replace(passed, invariance=(check,)).accepted
    without_gate = report_from_answers(MANY, {FP32: MANY, INT8: MANY})
    assert without_gate.accepted
    assert not replace(without_gate, invariance=(check,)).accepted
