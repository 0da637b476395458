"""The JSON's fields are a promise to other people's programs."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge_arm.runtime.errors import StorageError
from edge_arm.runtime.manifest import Precision
from edge_arm.runtime.report.json_form import report_to_json, write_json_report
from edge_arm.runtime.report.report import Report

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


def test_parts_that_were_not_measured_are_null_or_empty(written: dict[str, Any]) -> None:
    assert written["leaks"] is None
    assert written["max_class_drop_pp"] is None
    assert written["batch_invariance"] == {"holds": None, "checks": []}
    assert written["baselines"] == written["slices"] == written["explanation"] == []
    (candidate,) = written["candidates"]
    assert candidate["class_verdict"] is None
    assert candidate["temperature"] is None
    assert candidate["tempered"] is None
    assert candidate["flipped"] == []


def test_every_part_of_a_whole_report_is_in_it(whole_report: Make) -> None:
    report = whole_report()
    value = report_to_json(report)
    json.dumps(value, allow_nan=False)
    assert value["max_class_drop_pp"] == 5.0
    assert value["reference_origin"] == "run now"
    assert [item["protocol"] for item in value["baselines"]] == [
        "paper",
        "paper-shuffled",
        "deployable",
    ]
    assert value["baselines"][2]["accuracy"] == value["reference"]["accuracy"]
    assert [(item["model"], item["accuracy"]) for item in value["published"]] == [
        ("ResNet-18 + ARM", 0.9042),
        ("plain ResNet-18", 0.864),
    ]
    assert value["batch_invariance"]["holds"] is True
    assert len(value["batch_invariance"]["checks"]) == 18
    assert [item["flips"] for item in value["explanation"]] == [0, 21, 78, 90]
    assert value["explanation"][3]["drop_pp"] == pytest.approx(100 * 22 / 3068)  # 22 of 3,068
    assert value["leaks"]["num_calibration"] == 490
    assert value["leaks"]["duplicates"][1] == {
        "test_id": "test_0007.jpg",
        "calibration_id": "train_00001.jpg",
        "distance": 1,
    }
    assert {(item["attribute"], item["precision"]) for item in value["slices"]} == {
        (attribute, precision)
        for attribute in ("gender", "age", "race")
        for precision in ("fp16", "int8")
    }
    genders = [s for s in value["slices"] if (s["precision"], s["attribute"]) == ("int8", "gender")]
    assert sum(item["num_faces"] for item in genders) == 3068


def test_class_gate_flips_and_temperature_are_with_their_candidate(whole_report: Make) -> None:
    value = report_to_json(whole_report())
    fp16, int8 = value["candidates"]
    assert (int8["verdict"], int8["class_verdict"]) == ("pass", "cannot_tell")
    fear = next(item for item in int8["per_class"] if item["name"] == "fear")
    assert (fear["verdict"], fear["too_small"]) == ("cannot_tell", True)
    assert len(fp16["flipped"]) == 4
    changed = sum(map(sum, int8["flips"])) - sum(int8["flips"][i][i] for i in range(7))
    assert len(int8["flipped"]) == changed
    for face in int8["flipped"]:
        assert face["reference_answer"] != face["candidate_answer"]
    assert int8["tempered"]["nll"] < int8["nll"]  # fitted on these very faces, in this test only
    assert sum(item["num_faces"] for item in int8["tempered"]["reliability"]) == 3068


def test_a_logit_that_became_no_number_is_null(whole_report: Make) -> None:
    report = whole_report()
    check = replace(report.invariance[0], max_logit_difference=float("nan"))
    value = report_to_json(replace(report, invariance=(check,)))
    json.dumps(value, allow_nan=False)
    assert value["batch_invariance"]["holds"] is False
    assert value["batch_invariance"]["checks"][0]["max_logit_difference"] is None
