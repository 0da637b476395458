"""What `measure` checks beside the drop, and what it takes from the bundle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from edge_arm.runtime.errors import (
    BundleError,
    CalibrationError,
    CheckpointError,
    DataError,
    UsageError,
)
from edge_arm.runtime.manifest import Precision
from edge_arm.runtime.storage import sha256_of_file

Lab = Any
"""The fixture of conftest.py, which no test file can import."""


def test_a_model_that_looks_at_its_neighbours_exits_with_1_without_any_gate(lab: Lab) -> None:
    bundle = lab.bundle(lab.same)
    path = bundle / "model.int8.onnx"
    leaking = onnx.load(path)
    leaking.graph.node[-1].output[0] = "own"
    leaking.graph.node.extend(
        [
            helper.make_node("ReduceMean", ["own"], ["shared"], axes=[0], keepdims=1),
            helper.make_node("Add", ["own", "shared"], ["logits"]),
        ]
    )
    onnx.save(leaking, path)
    lab.vouch_for(bundle, path)
    status, text = lab.measure(bundle)
    assert status == 1
    assert "ALARM: INT8 depends on the other faces of a batch" in text


def test_the_faces_that_calibrated_are_refused(lab: Lab) -> None:
    picture = lab.faces / "train" / "fear" / "00.png"
    bundle = lab.bundle(lab.same, {"train/fear/00.png": picture})
    with pytest.raises(DataError, match=r"1 of the faces .* chose the INT8 ranges: 'train/fear/00"):
        lab.measure(bundle, "--split", "train")
    # The test split has the same picture under another name.
    with pytest.raises(DataError, match=r"'test/fear/00.png' \(there 'train/fear/00.png'\)"):
        lab.measure(bundle)


def test_near_duplicates_are_left_out_where_asked(lab: Lab) -> None:
    rng = np.random.default_rng(0)
    coarse = cv2.resize(rng.integers(40, 200, (5, 5, 3), np.uint8), (32, 32))
    calibrating, test = (
        lab.faces / "train" / "fear" / "x.png",
        lab.faces / "test" / "fear" / "x.png",
    )
    cv2.imwrite(str(calibrating), coarse)
    cv2.imwrite(str(test), coarse + 1)
    bundle = lab.bundle(lab.same, {"train/fear/x.png": calibrating})
    report = lab.folder / "report.json"
    lab.measure(bundle, "--json", report)
    found = json.loads(report.read_text(encoding="utf-8"))
    assert [item["test_id"] for item in found["leaks"]["duplicates"]] == ["test/fear/x.png"]
    assert found["data"]["num_images"] == 37
    lab.measure(bundle, "--json", report, "--exclude-near-duplicates")
    left = json.loads(report.read_text(encoding="utf-8"))
    assert left["data"]["num_images"] == 36
    assert left["leaks"]["excluded"] is True
    assert left["data"]["sha256"] != found["data"]["sha256"]


def test_what_changed_since_an_older_report_is_said(lab: Lab) -> None:
    older = lab.folder / "older.json"
    lab.measure(lab.bundle(lab.same, name="a"), "--json", older)
    newer = lab.bundle(lab.swapped, name="b")
    _, text = lab.measure(newer, "--compare", older)
    assert "older.json" in text
    with pytest.raises(DataError, match="differ first in the split: 'test' and 'train'"):
        lab.measure(newer, "--compare", older, "--split", "train")


def test_a_checkpoint_of_other_weights_is_refused(lab: Lab) -> None:
    bundle = lab.bundle(lab.same)
    (lab.folder / "other.safetensors").write_bytes(b"other")
    with pytest.raises(CheckpointError, match="which the bundle was exported from"):
        lab.measure(bundle, "--checkpoint", lab.folder / "other.safetensors")


def quantize(path: Path) -> None:
    """Put Q/DQ around the mean colour and the weight, as `edge-arm calibrate` puts it."""
    model = onnx.load(path)
    weight = next(item for item in model.graph.initializer if item.name == "weight")
    scale = np.float32(np.abs(numpy_helper.to_array(weight)).max() / 127)
    rounded = np.rint(numpy_helper.to_array(weight) / scale) * scale
    weight.CopyFrom(numpy_helper.from_array(rounded.astype(np.float32), "weight"))
    nodes = list(model.graph.node)
    for name, step in (("mean", np.float32(2)), ("weight", scale)):
        model.graph.initializer.extend(
            [
                numpy_helper.from_array(np.array(step), f"{name}_scale"),
                numpy_helper.from_array(np.array(0, np.int8), f"{name}_zero"),
            ]
        )
        parameters = [f"{name}_scale", f"{name}_zero"]
        position = next(i for i, node in enumerate(nodes) if name in node.input)
        nodes[position].input[list(nodes[position].input).index(name)] = f"{name}_real"
        nodes[position:position] = [
            helper.make_node("QuantizeLinear", [name, *parameters], [f"{name}_steps"]),
            helper.make_node("DequantizeLinear", [f"{name}_steps", *parameters], [f"{name}_real"]),
        ]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def test_explain_runs_one_source_of_error_at_a_time(lab: Lab) -> None:
    bundle = lab.bundle({**lab.same, Precision.FP16: lab.colors})
    quantize(bundle / "model.int8.onnx")
    lab.vouch_for(bundle, bundle / "model.int8.onnx")
    report = lab.folder / "report.json"
    _, text = lab.measure(bundle, "--explain", "--json", report)
    found = json.loads(report.read_text(encoding="utf-8"))["explanation"]
    assert [item["name"] for item in found] == [
        "FP32 again",
        "FP16",
        "weights rounded",
        "activations rounded",
        "INT8: both",
    ]
    assert found[0]["mean_kl"] == found[1]["mean_kl"] == 0.0
    assert "Changed answers of 36 faces by source" in text


def test_explain_without_int8_has_the_control_and_fp16(lab: Lab) -> None:
    bundle = lab.bundle({Precision.FP32: lab.colors, Precision.FP16: lab.colors})
    report = lab.folder / "report.json"
    lab.measure(bundle, "--explain", "--json", report)
    found = json.loads(report.read_text(encoding="utf-8"))["explanation"]
    assert [item["name"] for item in found] == ["FP32 again", "FP16"]


def test_explain_of_an_int8_model_without_quantization_is_refused(lab: Lab) -> None:
    bundle = lab.bundle(lab.same)
    with pytest.raises(CalibrationError, match="has 0 quantized weights and 0 quantized activat"):
        lab.measure(bundle, "--explain")


def test_recorded_answers_stand_in_for_fp32(lab: Lab) -> None:
    bundle = lab.bundle(lab.swapped)
    ran, recorded = lab.folder / "ran.json", lab.folder / "recorded.json"
    lab.measure(bundle, "--json", ran, "--record-reference")
    assert (bundle / "reference.folder-test.npz").is_file()
    lab.measure(bundle, "--json", recorded)
    before, after = (json.loads(path.read_text(encoding="utf-8")) for path in (ran, recorded))
    assert before["reference_origin"] == "run now"
    assert after["reference_origin"].startswith("recorded in reference.folder-test.npz")
    assert after["reference"]["accuracy"] == before["reference"]["accuracy"]
    assert [item["drop_pp"] for item in after["candidates"]] == [
        item["drop_pp"] for item in before["candidates"]
    ]
    ran_here = {item["precision"] for item in after["batch_invariance"]["checks"]}
    assert ran_here == {"fp16", "int8"}


def test_fp32_runs_where_that_is_asked_for(lab: Lab) -> None:
    bundle = lab.bundle(lab.same)
    report = lab.folder / "report.json"
    lab.measure(bundle, "--record-reference")
    lab.measure(bundle, "--json", report, "--reference", "run")
    assert json.loads(report.read_text(encoding="utf-8"))["reference_origin"] == "run now"


def test_recorded_answers_that_are_not_there_are_refused(lab: Lab) -> None:
    with pytest.raises(BundleError, match=r"has no 'reference\.folder-test\.npz'; make it on a"):
        lab.measure(lab.bundle(lab.same), "--reference", "recorded")


def test_fp32_alone_always_runs(lab: Lab) -> None:
    bundle = lab.bundle({Precision.FP32: lab.colors})
    lab.measure(bundle, "--record-reference")
    report = lab.folder / "report.json"
    lab.measure(bundle, "--json", report)
    assert json.loads(report.read_text(encoding="utf-8"))["reference_origin"] == "run now"
    with pytest.raises(UsageError, match="got --reference recorded and a bundle with fp32 alone"):
        lab.measure(bundle, "--reference", "recorded")


def test_recording_and_using_at_once_is_refused(lab: Lab) -> None:
    with pytest.raises(UsageError, match="got --record-reference with --reference recorded"):
        lab.measure(lab.bundle(lab.same), "--reference", "recorded", "--record-reference")


def test_answers_recorded_for_other_weights_are_refused(lab: Lab) -> None:
    bundle = lab.bundle(lab.same)
    lab.measure(bundle, "--record-reference")
    path = bundle / "model.fp32.onnx"
    path.write_bytes((lab.bundle(lab.swapped, name="other") / "model.int8.onnx").read_bytes())
    lab.vouch_for(bundle, path)
    with pytest.raises(BundleError, match="the weights are others"):
        lab.measure(bundle)


def test_answers_recorded_for_other_pictures_are_refused(lab: Lab) -> None:
    bundle = lab.bundle(lab.same)
    lab.measure(bundle, "--record-reference")
    path = lab.faces / "test" / "fear" / "03.png"
    path.write_bytes((lab.faces / "test" / "fear" / "04.png").read_bytes())
    with pytest.raises(DataError, match=r"the picture of 'test/fear/03\.png' has SHA-256"):
        lab.measure(bundle)


def test_answers_recorded_for_other_faces_are_refused(lab: Lab) -> None:
    bundle = lab.bundle(lab.same)
    lab.measure(bundle, "--record-reference")
    (lab.faces / "test" / "anger" / "02.png").unlink()
    with pytest.raises(DataError, match="they differ first at face 2"):
        lab.measure(bundle)


def test_stored_temperatures_reach_the_report(lab: Lab) -> None:
    bundle = lab.bundle(lab.same)
    store_temperature(bundle, Precision.INT8, 1e5)
    report = lab.folder / "report.json"
    lab.measure(bundle, "--json", report)
    found = json.loads(report.read_text(encoding="utf-8"))
    candidate = found["candidates"][0]
    assert candidate["temperature"] == 1e5
    assert candidate["tempered"]["nll"] > candidate["nll"]  # all right: less sure is worse
    assert found["reference"]["tempered"] is None
    assert found["temperature_origin"] == "9 validation faces of folder"
    assert "Temperature of fp32: too few faces." in found["not_measured"]


def store_temperature(bundle: Path, precision: Precision, temperature: float) -> None:
    """As `edge-arm calibrate` stores it, for one model."""
    path = bundle / "temperature.json"
    model = {
        "temperature": temperature,
        "nll_before": 0.5,
        "nll_after": 0.4,
        "model_sha256": sha256_of_file(bundle / f"model.{precision.value}.onnx"),
    }
    content = {
        "schema_version": 1,
        "data": {"name": "folder", "faces": "validation", "num_faces": 9, "sha256": "0" * 64},
        "models": {precision.value: model},
        "left_out": {"fp32": "too few faces"},
    }
    path.write_text(json.dumps(content), encoding="utf-8")
    manifest = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))
    manifest["files"]["temperature.json"] = sha256_of_file(path)
    (bundle / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")


def test_slices_come_from_a_table_beside_the_faces(lab: Lab) -> None:
    names = sorted(path.relative_to(lab.faces) for path in (lab.faces / "test").rglob("*.png"))
    rows = [f"{name.as_posix()},{'a' if name.stem < '06' else 'b'}" for name in names]
    table = lab.faces / "attributes.csv"
    table.write_text("\n".join(["sample_id,half", *rows]), encoding="utf-8")
    report = lab.folder / "report.json"
    lab.measure(lab.bundle(lab.swapped), "--json", report)
    found = json.loads(report.read_text(encoding="utf-8"))["slices"]
    assert [(item["precision"], item["value"], item["num_faces"]) for item in found] == [
        ("fp16", "a", 18),
        ("fp16", "b", 18),
        ("int8", "a", 18),
        ("int8", "b", 18),
    ]
    assert found[2]["drop_pp"] == pytest.approx(200 / 3, rel=1e-12)


def test_answers_of_an_engine_are_not_kept(lab: Lab) -> None:
    with pytest.raises(UsageError, match="--record-reference with --backend tensorrt, expected"):
        lab.measure(lab.bundle(lab.same), "--record-reference", "--backend", "tensorrt")


def test_near_duplicates_of_unknown_faces_cannot_be_left_out(lab: Lab) -> None:
    bundle = lab.bundle(lab.same)
    manifest = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))
    (bundle / "calibration.json").unlink()
    manifest["files"] = {}
    (bundle / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(DataError, match="ranges name no faces, as those of a TensorRT cache"):
        lab.measure(bundle, "--exclude-near-duplicates")


def test_near_duplicates_of_absent_faces_are_refused_before_any_model_runs(
    lab: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = lab.bundle(lab.same)  # its only calibration face is gone
    with pytest.raises(DataError, match="no calibration faces to compare with .*; bring them here"):
        lab.measure(bundle, "--exclude-near-duplicates")
    assert "measuring" not in capsys.readouterr().err
