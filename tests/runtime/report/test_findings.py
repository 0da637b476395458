"""One sentence for each check, and the alarms that come before any figure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from edge_arm.runtime.leaks import Duplicate, LeakCheck
from edge_arm.runtime.manifest import Precision
from edge_arm.runtime.report.contents import document_from_report
from edge_arm.runtime.report.document import Tone
from edge_arm.runtime.report.findings import (
    alarms,
    baseline_sentence,
    confidence_sentence,
    explanation_sentence,
    findings,
    invariance_sentence,
    leak_sentence,
    slice_sentence,
)
from edge_arm.runtime.report.html_page import html_from_report
from edge_arm.runtime.report.report import Report

Make = Callable[..., Report]
FP32, FP16, INT8 = Precision
TARGETS = [0] * 40 + [1] * 40


@pytest.fixture
def bare(report_from_answers: Make) -> Report:
    return report_from_answers(TARGETS, {FP32: TARGETS, INT8: TARGETS})


def test_what_was_not_looked_at_is_not_spoken_of(bare: Report) -> None:
    assert findings(bare) == ()
    assert alarms(bare) == ()


def test_a_model_that_depends_on_its_company_is_an_alarm(whole_report: Make) -> None:
    report = whole_report(batch_invariant=False)
    (alarm,) = alarms(report)
    assert alarm.startswith(
        "INT8 depends on the other faces of a batch: at batch 64, a logit moved by 1.8 (at most "
        "0.02 is accepted) and 5 of 64 faces changed their answer."
    )
    assert invariance_sentence(report) == (
        "Batch invariance FAILS for INT8: 5 of 18 checks on 64 faces moved a logit by more than is "
        "accepted."
    )


def test_a_pass_of_a_batch_dependent_model_is_not_shown_as_a_pass(whole_report: Make) -> None:
    passing = whole_report(class_gate_pp=None)
    assert document_from_report(passing).tone is Tone.PASS
    failing = replace(passing, invariance=whole_report(batch_invariant=False).invariance)
    document = document_from_report(failing)
    assert (document.tone, document.verdict) == (Tone.FAIL, "Not accepted")
    page = html_from_report(failing)
    assert page.index('class="alarm"') < page.index("<h2>")


def test_a_logit_that_became_no_number_is_the_worst_of_all(whole_report: Make) -> None:
    report = whole_report(batch_invariant=False)
    checks = list(report.invariance)
    position = next(i for i, check in enumerate(checks) if check.arrangement == "batch 8")
    checks[position] = replace(checks[position], max_logit_difference=float("nan"))
    alarm = alarms(replace(report, invariance=tuple(checks)))[0]
    assert alarm.startswith("FP32 depends on the other faces of a batch: at batch 8, a logit moved")
    assert "moved by NaN" in alarm


def test_invariance_that_holds_names_the_largest_move(whole_report: Make) -> None:
    assert invariance_sentence(whole_report()) == (
        "Batch invariance holds: 64 faces in 6 arrangements, no logit moved by more than 0.00098."
    )


def test_exact_invariance_is_called_so(whole_report: Make) -> None:
    report = whole_report()
    exact = tuple(replace(check, max_logit_difference=0.0) for check in report.invariance)
    assert invariance_sentence(replace(report, invariance=exact)) == (
        "Batch invariance holds: 64 faces in 6 arrangements, no logit moved at all."
    )


def leaks(*duplicates: Duplicate, **others: object) -> LeakCheck:
    check = LeakCheck(num_calibration=490, num_test=3068, max_distance=48, duplicates=duplicates)
    return replace(check, **others)  # type: ignore[arg-type]


SAME = Duplicate("test_1.jpg", "train_1.jpg", None)
NEAR = Duplicate("test_2.jpg", "train_2.jpg", 3)
COMPARED = "3,068 test and 490 calibration faces were compared"


@pytest.mark.parametrize(
    ("check", "sentence"),
    [
        (
            leaks(),
            f"{COMPARED}: 0 are the same file, 0 nearly the same picture (at most 48 of 256 bits "
            "differ).",
        ),
        (
            leaks(SAME, NEAR, excluded=True),
            f"{COMPARED}: 1 are the same file, 1 nearly the same picture and left out (at most 48 "
            "of 256 bits differ).",
        ),
        (
            leaks(not_checked="near duplicates were not looked for, the training split is absent"),
            f"{COMPARED} by their files alone: 0 are the same; near duplicates were not looked "
            "for, the training split is absent.",
        ),
        (
            leaks(num_calibration=0, not_checked="the bundle has no calibration"),
            "Leaks were not looked for: the bundle has no calibration.",
        ),
    ],
    ids=["none", "both", "exact only", "not checked"],
)
def test_leaks_are_counted_or_said_to_be_unknown(
    bare: Report, check: LeakCheck, sentence: str
) -> None:
    assert leak_sentence(replace(bare, leaks=check)) == sentence


def test_a_test_face_in_the_calibration_set_is_an_alarm(bare: Report) -> None:
    (alarm,) = alarms(replace(bare, leaks=leaks(SAME, NEAR)))
    assert alarm == (
        "1 face of the test set is in the calibration set, the first test_1.jpg: INT8 has seen "
        "what it is judged by."
    )


def test_only_slices_that_are_shown_to_lose_are_named(whole_report: Make) -> None:
    report = whole_report()
    assert str(slice_sentence(report)).startswith("Slices that lose: INT8, age 4-19: +1.40 pp (")
    harmless = tuple(replace(item, drop_p=1.0) for item in report.slices)
    assert slice_sentence(replace(report, slices=harmless)) == (
        "Slices: no drop is shown in any of 11 parts by gender, age or race as annotated, all "
        "looks counted."
    )


def test_the_three_fp32_figures_are_said_with_their_protocol(whole_report: Make) -> None:
    assert baseline_sentence(whole_report()) == (
        "FP32: 90.84 % (paper protocol, list order, batch 64), 89.31 % (paper protocol, shuffled, "
        "batch 64), 89.50 % (deployable, stored mean, batch 1). Drops are measured against the "
        "deployable model."
    )


def test_published_figures_stand_beside_ours_and_are_called_so(whole_report: Make) -> None:
    page = html_from_report(whole_report())
    assert "90.42" in page
    assert "86.40" in page
    assert page.count("published, paper protocol") == 2


def test_the_sources_of_a_drop_are_counted_in_answers(whole_report: Make) -> None:
    assert explanation_sentence(whole_report()) == (
        "Changed answers of 3,068 faces by source: FP32 again 0, weights rounded 21, activations "
        "rounded 78, INT8: both 90."
    )


def test_the_stored_temperature_is_shown_by_what_it_does(whole_report: Make) -> None:
    sentence = str(confidence_sentence(whole_report()))
    assert sentence.startswith("Calibration error with the stored temperature: FP32 4.05 % to ")
    assert "(T = 0.94)" in sentence
