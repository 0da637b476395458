"""`measure` and `inspect` as a user types them: figures, gates, exit status, files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edge_arm.runtime.errors import BundleError, DataError, StorageError, UsageError
from edge_arm.runtime.storage import sha256_of_file

Lab = Any
"""The fixture of conftest.py, which no test file can import."""


def test_each_precision_has_its_row(lab: Lab) -> None:
    bundle = lab.bundle(lab.swapped)
    status, text = lab.measure(bundle)
    rows = {line.split()[0]: line.split() for line in text.splitlines() if " MB " in line}
    assert status == 0
    assert rows["FP32"][1:3] == ["100.00", "%"]
    assert rows["FP16"][3] == "0.00"
    assert rows["INT8"][1:4] == ["33.33", "%", "+66.67"]
    assert "says nothing about INT8 or FP16 in TensorRT" in text


def test_the_files_hold_the_same_result(lab: Lab) -> None:
    bundle = lab.bundle(lab.swapped)
    json_path, html_path = lab.folder / "out" / "report.json", lab.folder / "out" / "report.html"
    status, _ = lab.measure(bundle, "--json", json_path, "--html", html_path)
    report = json.loads(json_path.read_text(encoding="utf-8"))
    assert status == 0
    assert report["data"]["num_images"] == 3 * lab.faces_per_class
    assert [item["precision"] for item in report["candidates"]] == ["fp16", "int8"]
    assert report["candidates"][1]["drop_pp"] == pytest.approx(200 / 3, rel=1e-12)
    names = [item["name"] for item in report["candidates"][1]["per_class"]]
    assert names == list(lab.classes)
    assert report["candidates"][1]["sha256"] == sha256_of_file(bundle / "model.int8.onnx")
    assert "+66.67" in html_path.read_text(encoding="utf-8")


def test_a_precision_shown_to_lose_too_much_exits_with_1(lab: Lab) -> None:
    bundle = lab.bundle(lab.swapped)
    status, text = lab.measure(bundle, "--max-drop", "20")
    assert status == 1
    assert "Shown to lose at least 20 pp" in text


def test_too_few_faces_to_tell_exit_with_1(lab: Lab) -> None:
    bundle = lab.bundle(lab.same)
    status, text = lab.measure(bundle, "--max-drop", "1")
    assert status == 1
    assert "cannot tell" in text


def test_a_gate_that_is_passed_exits_with_0(lab: Lab) -> None:
    bundle = lab.bundle(lab.same)
    status, text = lab.measure(bundle, "--max-drop", "20")
    assert status == 0
    assert "Shown to lose less than 20 pp" in text


def test_the_train_split_can_be_measured(lab: Lab) -> None:
    bundle = lab.bundle(lab.same)
    _, text = lab.measure(bundle, "--split", "train")
    assert "folder, train: 36 faces" in text


@pytest.mark.parametrize("points", ["150", "100", "-1", "nan"])
def test_a_max_drop_out_of_range_is_refused_before_anything_runs(lab: Lab, points: str) -> None:
    with pytest.raises(UsageError, match=f"got --max-drop {points}, expected percentage points"):
        lab.measure(lab.folder / "no bundle", "--max-drop", points)


def test_a_missing_bundle_is_refused(lab: Lab) -> None:
    with pytest.raises(BundleError, match="expected a bundle made by 'edge-arm export'"):
        lab.measure(lab.folder / "no bundle")


def test_faces_of_a_class_the_model_does_not_know_are_refused(lab: Lab) -> None:
    bundle = lab.bundle(lab.same)
    (lab.faces / "test" / "fear").rename(lab.faces / "test" / "sadness")
    (lab.faces / "train" / "fear").rename(lab.faces / "train" / "sadness")
    with pytest.raises(DataError, match="got the expression 'sadness'"):
        lab.measure(bundle)


def test_a_model_with_a_changed_byte_is_never_run(lab: Lab) -> None:
    bundle = lab.bundle(lab.same)
    change_a_byte(bundle / "model.int8.onnx")
    with pytest.raises(BundleError, match="expected .* as in the manifest"):
        lab.measure(bundle, "--json", lab.folder / "report.json")
    assert not (lab.folder / "report.json").exists()


def change_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def test_inspect_shows_what_a_bundle_holds(lab: Lab) -> None:
    status, text = lab.run("inspect", lab.bundle(lab.swapped))
    assert status == 0
    for words in (
        "fear, anger, neutral (colors)",
        "uint8 (N, 8, 8, 3), RGB",
        "model.int8.onnx",
        "largest_logit_difference",
        "1.25e-05",
        "9 entries",
        "4 files in",
    ):
        assert words in text


def test_inspect_prints_json_for_programs(lab: Lab) -> None:
    bundle = lab.bundle(lab.swapped)
    _, text = lab.run("inspect", bundle, "--json")
    assert json.loads(text) == json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", ["model.fp16.onnx", "calibration.json"])
def test_inspect_finds_a_changed_byte_in_any_file(lab: Lab, name: str) -> None:
    bundle = lab.bundle(lab.swapped)
    change_a_byte(bundle / name)
    with pytest.raises(BundleError, match=f"{name}' has SHA-256"):
        lab.run("inspect", bundle)


def test_the_class_gate_sets_the_exit_status(lab: Lab) -> None:
    bundle = lab.bundle(lab.same)
    status, text = lab.measure(bundle, "--max-drop", "20", "--max-class-drop", "20")
    assert status == 1  # 12 faces of a class cannot show 20 points, 36 in all can
    assert "Too few faces to certify 20 pp by emotion" in text
    assert lab.measure(bundle, "--max-class-drop", "40")[0] == 0


@pytest.mark.parametrize("points", ["150", "-1", "nan"])
def test_a_max_class_drop_out_of_range_is_refused(lab: Lab, points: str) -> None:
    with pytest.raises(UsageError, match=f"got --max-class-drop {points}, expected percentage"):
        lab.measure(lab.folder / "no bundle", "--max-class-drop", points)


def test_the_whole_report_comes_without_asking(lab: Lab) -> None:
    bundle = lab.bundle(lab.swapped)
    names = {"json": "report.json", "html": "report.html", "markdown": "report.md"}
    words = [word for kind, name in names.items() for word in (f"--{kind}", lab.folder / name)]
    lab.measure(bundle, *words)
    report = json.loads((lab.folder / "report.json").read_text(encoding="utf-8"))
    checks = report["batch_invariance"]["checks"]
    assert {item["arrangement"] for item in checks} >= {"batch 32, as measured"}
    assert {item["precision"] for item in checks} == {"fp32", "fp16", "int8"}
    assert len(report["candidates"][1]["flipped"]) == 2 * lab.faces_per_class
    assert report["accepted"] is True
    assert report["leaks"]["num_test"] == 3 * lab.faces_per_class
    assert report["not_measured"] == [
        "FP32 by the paper's protocol: the checkpoint that the bundle was exported from is not "
        "beside it; name it with --checkpoint.",
        "Tempered confidence: the bundle has no temperatures; fit them with 'edge-arm calibrate "
        "--data NAME'.",
    ]
    for name in ("report.html", "report.md"):
        assert "+66.67" in (lab.folder / name).read_text(encoding="utf-8")


def test_two_reports_in_one_file_are_refused(lab: Lab) -> None:
    path = lab.folder / "report"
    with pytest.raises(StorageError, match="for two results, expected a file for each"):
        lab.measure(lab.bundle(lab.same), "--json", path, "--html", path)
    assert not path.exists()


@pytest.mark.parametrize(("limit", "status"), [("20", 1), ("90", 0)])
def test_a_reader_who_has_gone_does_not_change_the_exit_status(
    lab: Lab, limit: str, status: int
) -> None:
    bundle = lab.bundle(lab.swapped)
    options = ["--data", "folder", "--root", lab.faces, "--bundle", bundle, "--max-drop", limit]
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as nobody:
        done = subprocess.run(
            [sys.executable, "-m", "edge_arm", "measure", *map(str, options)],
            stdout=nobody,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=60,
        )
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
