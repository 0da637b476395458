"""Two reports of the same faces beside one another, and refusals of everything else."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge_arm.runtime.errors import DataError, UsageError
from edge_arm.runtime.faces import FaceIndex, Split
from edge_arm.runtime.labels import LabelSet
from edge_arm.runtime.manifest import Precision
from edge_arm.runtime.report.compare import (
    Change,
    Comparison,
    Kind,
    comparison_to_json,
    comparison_with,
    require_same_set,
)
from edge_arm.runtime.report.html_page import html_from_report
from edge_arm.runtime.report.json_form import report_to_json, write_json_report
from edge_arm.runtime.report.markdown_form import markdown_from_report
from edge_arm.runtime.report.reading import OlderReport, read_older_report
from edge_arm.runtime.report.report import Report
from edge_arm.runtime.report.sections_origin import (
    change_name,
    change_text,
    comparison_sentence,
)

Make = Callable[..., Report]
FP32, FP16, INT8 = Precision
TARGETS = [0] * 40 + [1] * 40
BETTER = [*TARGETS[:-1], 0]
WORSE = [*TARGETS[:-3], 0, 0, 2]


def written(report: Report, folder: Path) -> OlderReport:
    path = folder / "old.json"
    write_json_report(report, path)
    return read_older_report(path)


def compared(older: Report, newer: Report, folder: Path) -> Comparison:
    return comparison_with(written(older, folder), report_to_json(newer))


def by_field(changes: tuple[Change, ...]) -> dict[str, tuple[object, object]]:
    return {change.field: (change.before, change.after) for change in changes}


def test_a_report_beside_itself_has_no_change(report_from_answers: Make, tmp_path: Path) -> None:
    report = report_from_answers(TARGETS, {FP32: TARGETS, INT8: WORSE}, 1.0)
    comparison = compared(report, report, tmp_path)
    assert comparison.figures == ()
    assert comparison.ingredients == ()
    assert comparison.same_models == ("fp32", "int8")
    assert comparison_sentence(comparison) == (
        "Since old.json of 2030-01-02T03:04:05+00:00, on the same faces: no result changed; "
        "FP32 and INT8 are the same files."
    )


def test_changed_results_are_found_with_both_values(
    report_from_answers: Make, tmp_path: Path
) -> None:
    older = report_from_answers(TARGETS, {FP32: TARGETS, INT8: WORSE}, 3.0)
    newer = report_from_answers(TARGETS, {FP32: TARGETS, INT8: BETTER}, 6.0)
    comparison = compared(older, newer, tmp_path)
    figures = by_field(comparison.figures)
    assert figures["candidates.int8.accuracy"] == (77 / 80, 79 / 80)
    assert figures["candidates.int8.drop_pp"] == (3.75, 1.25)
    assert figures["candidates.int8.agreement"] == (77 / 80, 79 / 80)
    assert figures["candidates.int8.per_class.fear.drop_pp"] == (7.5, 2.5)
    assert "reference.accuracy" not in figures
    assert by_field(comparison.ingredients) == {"gate.max_drop_pp": (3.0, 6.0)}


def test_models_calibration_and_versions_are_ingredients(
    report_from_answers: Make, tmp_path: Path
) -> None:
    older = report_from_answers(TARGETS, {FP32: TARGETS, INT8: BETTER})
    info = replace(older.drops[0].candidate.info, model_sha256="e" * 64)
    candidate = replace(older.drops[0].candidate, info=info)
    newer = replace(
        older,
        drops=(replace(older.drops[0], candidate=candidate),),
        provenance=replace(
            older.provenance, calibration={"method": "max"}, versions={"edge-arm": "10.0"}
        ),
    )
    comparison = compared(older, newer, tmp_path)
    assert comparison.figures == ()
    assert by_field(comparison.ingredients) == {
        "candidates.int8.sha256": ("int8" * 16, "e" * 64),
        "provenance.versions.edge-arm": ("9.9", "10.0"),
        "provenance.calibration.method": ("entropy", "max"),
    }
    assert comparison.same_models == ("fp32",)


def test_a_model_that_became_batch_dependent_is_a_changed_result(
    whole_report: Make, tmp_path: Path
) -> None:
    comparison = compared(whole_report(), whole_report(batch_invariant=False), tmp_path)
    assert by_field(comparison.figures) == {"batch_invariance.holds": (True, False)}


def test_a_precision_that_is_new_or_gone_is_a_change(
    report_from_answers: Make, tmp_path: Path
) -> None:
    older = report_from_answers(TARGETS, {FP32: TARGETS, INT8: BETTER})
    newer = report_from_answers(TARGETS, {FP32: TARGETS, FP16: TARGETS})
    figures = by_field(compared(older, newer, tmp_path).figures)
    assert figures["candidates.fp16.accuracy"] == (None, 1.0)
    assert figures["candidates.int8.accuracy"] == (79 / 80, None)


def test_speed_and_time_are_no_change(report_from_answers: Make, tmp_path: Path) -> None:
    older = report_from_answers(TARGETS, {FP32: TARGETS, INT8: BETTER})
    newer = replace(
        older,
        reference=replace(older.reference, images_per_second=1.0),
        provenance=replace(older.provenance, created_at="later", command="another"),
    )
    comparison = compared(older, newer, tmp_path)
    assert comparison.figures == () == comparison.ingredients


def test_a_report_of_the_first_version_can_be_compared(
    report_from_answers: Make, tmp_path: Path
) -> None:
    report = report_from_answers(TARGETS, {FP32: TARGETS, INT8: BETTER})
    value = report_to_json(report)
    for name in (
        "max_class_drop_pp",
        "reference_origin",
        "baselines",
        "batch_invariance",
        "explanation",
        "slices",
        "leaks",
    ):
        del value[name]
    path = tmp_path / "old.json"
    path.write_text(json.dumps(value), encoding="utf-8")
    comparison = comparison_with(read_older_report(path), report_to_json(report))
    assert comparison.figures == ()
    assert by_field(comparison.ingredients) == {"reference_origin": (None, "run now")}


@pytest.mark.parametrize(
    ("field", "value", "difference"),
    [
        ("name", "affectnet", "they differ first in the data set: 'affectnet' and 'rafdb'"),
        ("split", "train", "they differ first in the split: 'train' and 'test'"),
        (
            "class_counts",
            {"fear": 40, "anger": 40, "neutral": 0},
            "they differ first in the classes: 'fear, anger, neutral' and 'anger, fear, neutral'",
        ),
        ("num_images", 79, "they differ first in the number of faces: 79 and 80"),
        (
            "class_counts",
            {"anger": 39, "fear": 41, "neutral": 0},
            "they differ first in the number of faces of 'anger': 39 and 40",
        ),
        ("sha256", "0" * 64, r"they differ first in the pictures or labels \(SHA-256\): '0000"),
    ],
)
def test_reports_of_other_data_are_refused_by_the_first_difference(
    report_from_answers: Make, tmp_path: Path, field: str, value: object, difference: str
) -> None:
    report = report_from_answers(TARGETS, {FP32: TARGETS, INT8: BETTER})
    content = report_to_json(report)
    older = OlderReport(tmp_path / "old.json", content | {"data": content["data"] | {field: value}})
    with pytest.raises(DataError, match=difference):
        comparison_with(older, report_to_json(report))


def test_another_set_is_refused_before_anything_runs(
    report_from_answers: Make, tmp_path: Path
) -> None:
    older = written(report_from_answers(TARGETS, {FP32: TARGETS, INT8: BETTER}), tmp_path)
    labels = LabelSet("three", ("anger", "fear", "neutral"))
    require_same_set(older, FaceIndex("rafdb", Split.TEST, labels, ()))
    with pytest.raises(
        DataError, match="of different data, they differ first in the split: 'test' and 'train'"
    ):
        require_same_set(older, FaceIndex("rafdb", Split.TRAIN, labels, ()))


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read .*old.json.*No such file"):
        read_older_report(tmp_path / "old.json")


@pytest.mark.parametrize("content", [b"", b"accuracy: 90", b"\xff\xfe{}"])
def test_a_file_that_is_no_json_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "old.json"
    path.write_bytes(content)
    with pytest.raises(UsageError, match="is not JSON .*, expected an older report"):
        read_older_report(path)


@pytest.mark.parametrize("content", ["[]", "{}", '"report"', "null"])
def test_other_json_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "old.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(UsageError, match="is JSON without a schema_version"):
        read_older_report(path)


def test_another_schema_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "old.json"
    path.write_text('{"schema_version": 2}', encoding="utf-8")
    with pytest.raises(UsageError, match="is a report of schema version 2, expected 1"):
        read_older_report(path)


@pytest.mark.parametrize(
    ("place", "value", "named"),
    [
        (("data",), None, "data"),
        (("data", "sha256"), 7, "data.sha256"),
        (("data", "class_counts"), [], "data.class_counts"),
        (("reference",), "fp32", "reference"),
        (("provenance",), None, "provenance"),
        (("candidates",), {}, "candidates"),
        (("candidates",), [1], "candidates"),
    ],
)
def test_a_report_with_a_part_missing_is_refused(
    report_from_answers: Make,
    tmp_path: Path,
    place: tuple[str, ...],
    value: object,
    named: str,
) -> None:
    content: Any = report_to_json(report_from_answers(TARGETS, {FP32: TARGETS, INT8: BETTER}))
    at = content
    for name in place[:-1]:
        at = at[name]
    at[place[-1]] = value
    path = tmp_path / "old.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(UsageError, match=f"has no usable '{named}', expected a whole report"):
        read_older_report(path)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (
            Change("candidates.int8.accuracy", 0.8768, 0.8908, Kind.SHARE),
            "INT8 accuracy: 87.68 %, now 89.08 % (+1.40 pp)",
        ),
        (
            Change("candidates.int8.per_class.fear.drop_pp", 7.5, 2.5, Kind.POINTS),
            "INT8 fear: +7.50, now +2.50 (-5.00 pp)",
        ),
        (
            Change("verdict", "cannot_tell", "pass", Kind.VERDICT),
            "Verdict: cannot tell, now pass",
        ),
        (
            Change("batch_invariance.holds", True, False, Kind.TEXT),
            "Batch invariance holds: yes, now no",
        ),
        (
            Change("reference.size_bytes", 44812345, 22406172, Kind.NUMBER),
            "FP32 size in bytes: 44,812,345, now 22,406,172",
        ),
        (
            Change("candidates.fp16.accuracy", None, 0.9, Kind.SHARE),
            "FP16 accuracy: -, now 90.00 %",
        ),
        (
            Change("candidates.int8.tempered.ece", 0.02, 0.01, Kind.SHARE),
            "INT8 tempered calibration error: 2.00 %, now 1.00 % (-1.00 pp)",
        ),
        (
            Change("provenance.calibration.method", "max", "entropy", Kind.TEXT),
            "calibration.method: max, now entropy",
        ),
    ],
    ids=lambda value: value.field if isinstance(value, Change) else "",
)
def test_a_change_reads_as_a_line(change: Change, text: str) -> None:
    assert change_text(change) == text


def test_names_of_files_and_versions_are_not_rewritten() -> None:
    """An underscore in a version or hash is part of it; only verdicts are words."""
    change = Change("provenance.versions.tool", "1_0", "1_1", Kind.TEXT)
    assert change_text(change) == "versions.tool: 1_0, now 1_1"
    assert change_name(change) == "versions.tool"


def test_every_form_has_the_changes(report_from_answers: Make, tmp_path: Path) -> None:
    older = report_from_answers(TARGETS, {FP32: TARGETS, INT8: WORSE})
    newer = report_from_answers(TARGETS, {FP32: TARGETS, INT8: BETTER})
    comparison = compared(older, newer, tmp_path)
    page = html_from_report(newer, comparison=comparison)
    assert '<section id="changes"><h2>What changed</h2>' in page
    assert "INT8 accuracy" in page
    markdown = markdown_from_report(newer, comparison=comparison)
    assert "| INT8 accuracy | 96.25 % | 98.75 % (+2.50 pp) |" in markdown
    path = tmp_path / "new.json"
    write_json_report(newer, path, comparison=comparison)
    value = json.loads(path.read_text(encoding="utf-8"))["comparison"]
    assert value == comparison_to_json(comparison)
    assert value["older_file"] == "old.json"
    assert {"field": "candidates.int8.drop_pp", "before": 3.75, "after": 1.25} in value["figures"]


def test_without_an_older_report_no_form_speaks_of_changes(
    report_from_answers: Make, tmp_path: Path
) -> None:
    report = report_from_answers(TARGETS, {FP32: TARGETS, INT8: BETTER})
    assert 'id="changes"' not in html_from_report(report)
    assert "What changed" not in markdown_from_report(report)
    path = tmp_path / "new.json"
    write_json_report(report, path)
    assert json.loads(path.read_text(encoding="utf-8"))["comparison"] is None


def test_a_figure_that_an_older_edge_arm_did_not_write_is_no_change(
    report_from_answers: Make, tmp_path: Path
) -> None:
    report = report_from_answers(TARGETS, {FP32: TARGETS, INT8: WORSE}, 1.0)
    content = report_to_json(report)
    for model in (content["reference"], content["candidates"][0]):
        del model["nll"], model["temperature"]
    del content["candidates"][0]["class_verdict"], content["batch_invariance"]
    older = OlderReport(tmp_path / "old.json", content)
    assert comparison_with(older, report_to_json(report)).figures == ()


@pytest.mark.parametrize("word", ["NaN", "Infinity"])
def test_an_older_report_with_a_number_that_json_lacks_is_refused(
    report_from_answers: Make, tmp_path: Path, word: str
) -> None:
    path = tmp_path / "old.json"
    content = report_to_json(report_from_answers(TARGETS, {FP32: TARGETS, INT8: WORSE}, 1.0))
    path.write_text(json.dumps(content | {"accepted": float(word)}), encoding="utf-8")
    with pytest.raises(UsageError, match=f"is not JSON .it has the number {word}., expected an"):
        read_older_report(path)
