"""The sentences that people read first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from edge_arm.runtime.manifest import Precision
from edge_arm.runtime.report.json_form import report_to_json
from edge_arm.runtime.report.plot_speed import speed_plot
from edge_arm.runtime.report.report import Report
from edge_arm.runtime.report.text import (
    faces_text,
    gate_remarks,
    limits_pp,
    names_text,
    not_said,
    p_value,
    percent,
    rate_text,
    signed_pp,
    size_text,
    small_number,
    speed_note,
    verdict_sentence,
)

Make = Callable[..., Report]
FP32, FP16, INT8 = Precision
MANY = [0, 1, 2] * 500


@pytest.mark.parametrize(
    ("points", "text"),
    [(0.416, "+0.42"), (-0.1, "-0.10"), (0.0, "0.00"), (-0.004, "0.00"), (-0.0, "0.00")],
)
def test_points_carry_their_sign_and_zero_has_none(points: float, text: str) -> None:
    assert signed_pp(points) == text


def test_limits_are_joined_by_to() -> None:
    assert limits_pp((-0.1, 0.94)) == "-0.10 to +0.94"


def test_numbers_have_the_digits_that_people_read() -> None:
    assert percent(0.93125) == "93.12 %"
    assert size_text(44_812_345) == "44.8 MB"
    assert [rate_text(rate) for rate in (1234.5, 151.4, 9.876)] == ["1,234", "151", "9.88"]
    assert [p_value(p) for p in (0.00001, 0.00702, 0.5)] == ["< 0.0001", "0.0070", "0.50"]


def test_a_pass_names_limit_faces_and_every_drop(report_from_answers: Make) -> None:
    sentence = verdict_sentence(report_from_answers(MANY, {FP32: MANY, FP16: MANY, INT8: MANY}, 1))
    assert sentence.startswith(
        "Shown to lose less than 1 pp on 1,500 faces of rafdb: FP16 shows no"
    )
    assert "; INT8 shows no drop (95 % interval of the drop -0." in sentence


def test_a_fail_names_only_the_precision_that_failed(report_from_answers: Make) -> None:
    worse = [0, 1, 1] * 500
    sentence = verdict_sentence(report_from_answers(MANY, {FP32: MANY, FP16: MANY, INT8: worse}, 1))
    assert sentence.startswith("Shown to lose at least 1 pp on 1,500 faces of rafdb: INT8 loses")
    assert "33.33 pp" in sentence
    assert "FP16" not in sentence


def test_an_undecided_gate_says_so_and_what_would_decide(report_from_answers: Make) -> None:
    report = report_from_answers(MANY[:30], {FP32: MANY[:30], INT8: MANY[:30]}, 1)
    assert verdict_sentence(report).startswith(
        "The limit of 1 pp lies inside the interval, so 30 faces of rafdb cannot tell"
    )
    (remark,) = gate_remarks(report)
    assert "faces like these would decide, 30 are here" in remark


def test_a_drop_at_the_limit_is_said_to_be_undecidable(report_from_answers: Make) -> None:
    targets = [0] * 100
    report = report_from_answers(targets, {FP32: targets, INT8: [1, *targets[1:]]}, 1)
    (remark,) = gate_remarks(report)
    assert "even a million faces like these would not decide" in remark


def test_without_a_gate_no_verdict_is_given(report_from_answers: Make) -> None:
    better = report_from_answers([0, 0, 1], {FP32: [0, 1, 1], INT8: [0, 0, 1]})
    sentence = verdict_sentence(better)
    assert sentence.startswith("INT8 gains 33.33 pp")
    assert sentence.endswith("no limit was set, so there is no verdict.")


def test_fp32_alone_is_reported_alone(report_from_answers: Make) -> None:
    sentence = verdict_sentence(report_from_answers([1], {FP32: [1]}))
    assert sentence.startswith("FP32 answers 100.00 % rightly on 1 face of rafdb")


def test_a_cpus_speed_is_said_not_to_be_tensorrts(report_from_answers: Make) -> None:
    note = speed_note(report_from_answers(MANY, {FP32: MANY, INT8: MANY}))
    assert note is not None and "says nothing about INT8 or FP16 in TensorRT" in note
    assert note.endswith("ONNX Runtime is slow with it; the form for CPUs was not measured.")
    assert speed_note(report_from_answers(MANY, {FP32: MANY})) is None


def test_small_and_absent_classes_are_named(report_from_answers: Make) -> None:
    targets = [0] * 1000 + [1] * 5
    lines = "\n".join(not_said(report_from_answers(targets, {FP32: targets, INT8: targets})))
    assert "too few faces of fear to show either a drop or that it is below 5 pp" in lines
    assert "There is no face of neutral" in lines


def test_a_small_class_that_is_shown_to_drop_is_not_called_unknown(
    report_from_answers: Make,
) -> None:
    targets = [0] * 1000 + [1] * 20
    worse = [0] * 1000 + [0] * 20
    lines = "\n".join(not_said(report_from_answers(targets, {FP32: targets, INT8: worse})))
    assert "Single emotions" not in lines


def test_what_decides_comes_first_in_the_sentence(whole_report: Make) -> None:
    assert verdict_sentence(whole_report()).startswith(
        "By emotion, against 5 pp, FP16 and INT8 are undecided for fear; over all emotions, shown "
        "to lose less than 1 pp on 3,068 faces of rafdb: FP16 loses 0.03 pp ("
    )
    sentence = verdict_sentence(whole_report(int8_noise=1.5))
    assert sentence.startswith("Shown to lose at least 1 pp on 3,068 faces of rafdb: INT8 loses ")
    assert "; by emotion, against 5 pp, FP16 is undecided for fear" in sentence


def test_a_limit_by_emotion_alone_is_a_verdict_too(whole_report: Make) -> None:
    passing = verdict_sentence(whole_report(gate_pp=None, class_gate_pp=20.0))
    assert passing.startswith(
        "By emotion, against 20 pp, FP16 and INT8 are shown to lose less in each on 3,068 faces of "
        "rafdb; FP16 loses 0.03 pp ("
    )
    failing = verdict_sentence(whole_report(gate_pp=None, class_gate_pp=0.0, int8_noise=1.5))
    assert "INT8 is shown to lose at least that in " in failing
    assert "fear" not in failing.split("at least that in ")[1].split(" on 3,068")[0]


def test_emotions_that_could_never_pass_are_named_with_what_they_could(whole_report: Make) -> None:
    (remark,) = gate_remarks(whole_report())
    assert remark == (
        "Too few faces to certify 5 pp by emotion, even without any drop: fear (74 faces, 8.2 pp "
        "or more)."
    )


def test_what_was_not_measured_is_among_the_limits(whole_report: Make) -> None:
    assert (
        "Not measured. The engine's own arithmetic was not looked at: no engine ran."
        in not_said(whole_report())
    )


def test_names_and_counts_read_as_in_a_sentence() -> None:
    assert [names_text(names) for names in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == [
        "",
        "a",
        "a and b",
        "a, b and c",
    ]
    assert [faces_text(count) for count in (0, 1, 3068)] == ["0 faces", "1 face", "3,068 faces"]
    assert [small_number(value) for value in (0.0, 2.44e-6, 0.0123, 1.75, float("nan"))] == [
        "0",
        "2.4e-06",
        "0.012",
        "1.8",
        "NaN",
    ]


def test_a_model_that_did_not_run_here_has_no_speed(whole_report: Make) -> None:
    report = whole_report()
    recorded = replace(report.reference, images_per_second=0.0)
    assert rate_text(recorded.images_per_second) == "not run here"
    assert "FP32: 5.0 MB, not run here." in speed_plot(replace(report, reference=recorded))
    value = report_to_json(replace(report, reference=recorded))
    assert value["reference"]["images_per_second"] is None


def test_every_backend_that_answered_is_named(whole_report: Make) -> None:
    report = whole_report()
    drop = report.drops[1]
    engine = replace(drop.candidate.info, name="tensorrt", version="10.3.0")
    candidate = replace(drop.candidate, info=engine)
    mixed = replace(report, drops=(replace(drop, candidate=candidate),))
    assert any(
        "computed by onnxruntime/cpu 1.2.3 and tensorrt 10.3.0" in line for line in not_said(mixed)
    )
    # Only FP32's answers came from a CPU, and its speed is nobody's concern.
    assert speed_note(mixed) is None


def test_an_open_interval_is_never_called_keeping_the_accuracy(report_from_answers: Make) -> None:
    few = [0, 1, 2]
    report = report_from_answers(few, {FP32: few, INT8: few}, 1)
    assert "cannot tell: INT8 shows no drop (95 % interval" in verdict_sentence(report)


def test_fp32_by_itself_is_not_taken_for_all_that_the_bundle_has(report_from_answers: Make) -> None:
    report = report_from_answers(MANY, {FP32: MANY}, None)
    assert verdict_sentence(report).endswith("no other precision was measured to compare with it.")


def test_one_face_is_one(report_from_answers: Make) -> None:
    report = report_from_answers([0], {FP32: [0], INT8: [0]}, 1)
    assert "faces like these would decide, 1 is here" in gate_remarks(report)[0]
