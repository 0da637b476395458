"""The JSON's fields are a promise to other people's programs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_arm.runtime.errors import StorageError
from edge_arm.runtime.manifest import Precision
from edge_arm.runtime.report import Report
from edge_arm.runtime.report_json import report_to_json, write_json_report

Make = Callable[..., Report]
FP32, FP16, INT8 = Precision
TARGETS = [0, 0, 0, 0, 1, 1, 1, 1]
CANDIDATE = [0, 0, 0, 1, 1, 1, 1, 1]

MODEL = {"precision", "backend", "sha256", "batch_size", "accuracy", "mean_class_accuracy"}
CANDIDATE_FIELDS = MODEL | {
    "drop_pp",
    "drop_pp_interval",
    "confidence",
    "agreement",
    "mcnemar_p",
    "flips",
    "minimum_detectable_drop_pp",
    "verdict",
    "per_class",
}
CLASS = {
    "name",
    "support",
    "reference_recall",
    "candidate_recall",
    "drop_pp",
    "drop_pp_interval",
}


@pytest.fixture
def written(report_from_answers: Make, tmp_path: Path) -> dict[str, Any]:
    path = tmp_path / "deep" / "report.json"
    write_json_report(report_from_answers(TARGETS, {FP32: TARGETS, INT8: CANDIDATE}), path)
    value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return value


def test_no_promised_field_is_missing(written: dict[str, Any]) -> None:
    assert written["schema_version"] == 1
    assert set(written["data"]) >= {"name", "split", "num_images", "sha256"}
    assert set(written["reference"]) >= MODEL
    (candidate,) = written["candidates"]
    assert set(candidate) >= CANDIDATE_FIELDS
    for one in candidate["per_class"]:
        assert set(one) >= CLASS


def test_the_values_are_those_of_the_faces(written: dict[str, Any]) -> None:
    assert written["data"]["name"] == "rafdb"
    assert written["data"]["split"] == "test"
    assert written["data"]["num_images"] == 8
    assert written["reference"]["accuracy"] == 1.0
    (candidate,) = written["candidates"]
    assert candidate["precision"] == "int8"
    assert candidate["accuracy"] == 0.875
    assert candidate["drop_pp"] == 12.5
    assert candidate["confidence"] == 0.95
    assert candidate["agreement"] == 0.875
    assert candidate["flips"] == [[3, 1, 0], [0, 4, 0], [0, 0, 0]]
    low, high = candidate["drop_pp_interval"]
    assert low < 12.5 < high
    anger, fear, neutral = candidate["per_class"]
    assert (anger["name"], anger["support"], anger["drop_pp"]) == ("anger", 4, 25.0)
    assert (fear["candidate_recall"], fear["drop_pp"]) == (1.0, 0.0)
    assert neutral["support"] == 0


def test_without_a_gate_every_verdict_is_null(written: dict[str, Any]) -> None:
    assert written["verdict"] is None
    assert written["gate"] is None
    assert written["candidates"][0]["verdict"] is None


def test_with_a_gate_the_verdicts_are_words(report_from_answers: Make) -> None:
    value = report_to_json(report_from_answers(TARGETS, {FP32: TARGETS, INT8: CANDIDATE}, 1.0))
    assert value["gate"] == {"max_drop_pp": 1.0, "confidence": 0.95}
    assert value["verdict"] == "cannot_tell"
    assert value["candidates"][0]["verdict"] == "cannot_tell"


def test_a_class_without_faces_has_nulls_and_no_invented_figures(written: dict[str, Any]) -> None:
    neutral = written["candidates"][0]["per_class"][2]
    assert {neutral[name] for name in CLASS - {"name", "support", "drop_pp_interval"}} == {None}
    assert neutral["drop_pp_interval"] is None


def test_one_face_right_or_wrong_is_written(report_from_answers: Make) -> None:
    for answer in (0, 1):
        value = report_to_json(report_from_answers([0], {FP32: [0], INT8: [answer]}))
        json.dumps(value, allow_nan=False)
        assert value["candidates"][0]["drop_pp"] == 100.0 * answer


def test_the_list_of_calibration_faces_stays_in_the_bundle(written: dict[str, Any]) -> None:
    assert written["provenance"]["calibration"] == {"method": "entropy"}
    assert written["provenance"]["source"]["metrics"] == {"validation_accuracy": 0.75}


def test_a_place_that_is_taken_by_a_folder_is_an_error(
    report_from_answers: Make, tmp_path: Path
) -> None:
    with pytest.raises(StorageError, match="it is a folder"):
        write_json_report(report_from_answers([0], {FP32: [0]}), tmp_path)
