"""`measure` and `inspect` on a bundle of tiny models whose answers can be told by eye.

Each class has a colour, and the model answers with the nearest colour: logit k is
2 c_k . mean - |c_k|^2, a linear map of the mean colour, which is five ONNX nodes.
"""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import onnx
import pytest
import typer
from onnx import TensorProto, helper, numpy_helper
from typer.testing import CliRunner

from edge_arm.cli.inspect import inspect
from edge_arm.cli.measure import measure
from edge_arm.runtime.errors import (
    BundleError,
    CalibrationError,
    CheckpointError,
    DataError,
    EdgeArmError,
    UsageError,
)
from edge_arm.runtime.labels import LabelSet
from edge_arm.runtime.manifest import Artifact, Manifest, Precision, write_manifest
from edge_arm.runtime.preprocess import PreprocessSpec
from edge_arm.runtime.storage import sha256_of_file

SIZE = 8
CLASSES = ("fear", "anger", "neutral")  # not the alphabetical order, on purpose
COLORS = np.array([[200, 30, 30], [30, 200, 30], [30, 30, 200]], np.float32)
FACES_PER_CLASS = 12

app = typer.Typer()
app.command()(measure)
app.command()(inspect)


def write_model(path: Path, colors: npt.NDArray[np.float32]) -> None:
    weight, bias = 2 * colors.T, -(colors**2).sum(axis=1)
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["faces"], ["pixels"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMean", ["pixels"], ["mean"], axes=[1, 2], keepdims=0),
            helper.make_node("MatMul", ["mean", "weight"], ["product"]),
            helper.make_node("Add", ["product", "bias"], ["logits"]),
        ],
        "nearest_color",
        [helper.make_tensor_value_info("faces", TensorProto.UINT8, ["batch", SIZE, SIZE, 3])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", len(CLASSES)])],
        [
            numpy_helper.from_array(weight.astype(np.float32), "weight"),
            numpy_helper.from_array(bias.astype(np.float32), "bias"),
        ],
    )
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)


def write_calibration(folder: Path, faces: dict[str, Path]) -> None:
    images = [
        {"sample_id": name, "class": name.split("/")[1], "sha256": sha256_of_file(path)}
        for name, path in faces.items()
    ]
    table = {
        "schema_version": 1,
        "data": {"name": "folder", "split": "train"},
        "images": images or [{"sample_id": "gone.png", "class": "fear", "sha256": "0" * 64}],
    }
    (folder / "calibration.json").write_text(json.dumps(table), encoding="utf-8")


def write_bundle(
    folder: Path,
    models: dict[Precision, npt.NDArray[np.float32]],
    calibrated_with: dict[str, Path] | None = None,
) -> Path:
    folder.mkdir()
    artifacts = []
    for precision, colors in models.items():
        path = folder / f"model.{precision.value}.onnx"
        write_model(path, colors)
        artifacts.append(
            Artifact(
                file=path.name,
                precision=precision,
                variant="main",
                opset=17,
                sha256=sha256_of_file(path),
                size_bytes=path.stat().st_size,
                checks={"largest_logit_difference": 1.25e-5},
            )
        )
    write_calibration(folder, calibrated_with or {})
    write_manifest(
        folder,
        Manifest(
            labels=LabelSet("colors", CLASSES),
            preprocess=PreprocessSpec(SIZE),
            artifacts=tuple(artifacts),
            files={"calibration.json": sha256_of_file(folder / "calibration.json")},
            source={"head": "folded"},
            tool_versions={"onnx": onnx.__version__},
            calibration={"method": "entropy", "faces": [f"face {i}" for i in range(9)]},
        ),
    )
    return folder


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    root = tmp_path / "faces"
    for split in ("train", "test"):
        for label, name in enumerate(CLASSES):
            (root / split / name).mkdir(parents=True)
            for number in range(FACES_PER_CLASS):
                color = COLORS[label][::-1] + number  # OpenCV writes blue, green, red
                picture = np.full((10, 10, 3), color, np.uint8)
                cv2.imwrite(str(root / split / name / f"{number:02d}.png"), picture)
    return root


SAME = {Precision.FP32: COLORS, Precision.INT8: COLORS}
# Red and green changed places: INT8 is wrong on every face of fear and anger.
SWAPPED = {Precision.FP32: COLORS, Precision.FP16: COLORS, Precision.INT8: COLORS[[1, 0, 2]]}


def run(*words: object) -> tuple[int, str]:
    """Exit status and stdout; an error of ours is raised, as `main` gets it."""
    result = CliRunner().invoke(app, [str(word) for word in words])
    if isinstance(result.exception, EdgeArmError):
        raise result.exception
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout


def measure_words(bundle: Path, faces: Path) -> tuple[object, ...]:
    return ("measure", "--data", "folder", "--root", faces, "--bundle", bundle)


def test_each_precision_has_its_row(tmp_path: Path, faces: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle", SWAPPED)
    status, text = run(*measure_words(bundle, faces))
    rows = {line.split()[0]: line.split() for line in text.splitlines() if " MB " in line}
    assert status == 0
    assert rows["FP32"][1:3] == ["100.00", "%"]
    assert rows["FP16"][3] == "0.00"
    assert rows["INT8"][1:4] == ["33.33", "%", "+66.67"]
    assert "says nothing about INT8 or FP16 in TensorRT" in text


def test_the_files_hold_the_same_result(tmp_path: Path, faces: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle", SWAPPED)
    json_path, html_path = tmp_path / "out" / "report.json", tmp_path / "out" / "report.html"
    status, _ = run(*measure_words(bundle, faces), "--json", json_path, "--html", html_path)
    report = json.loads(json_path.read_text(encoding="utf-8"))
    assert status == 0
    assert report["data"]["num_images"] == 3 * FACES_PER_CLASS
    assert [item["precision"] for item in report["candidates"]] == ["fp16", "int8"]
    assert report["candidates"][1]["drop_pp"] == pytest.approx(200 / 3, rel=1e-12)
    names = [item["name"] for item in report["candidates"][1]["per_class"]]
    assert names == list(CLASSES)
    assert report["candidates"][1]["sha256"] == sha256_of_file(bundle / "model.int8.onnx")
    assert "+66.67" in html_path.read_text(encoding="utf-8")


def test_a_precision_shown_to_lose_too_much_exits_with_1(tmp_path: Path, faces: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle", SWAPPED)
    status, text = run(*measure_words(bundle, faces), "--max-drop", "20")
    assert status == 1
    assert "Shown to lose at least 20 pp" in text


def test_too_few_faces_to_tell_exit_with_1(tmp_path: Path, faces: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle", SAME)
    status, text = run(*measure_words(bundle, faces), "--max-drop", "1")
    assert status == 1
    assert "cannot tell" in text


def test_a_gate_that_is_passed_exits_with_0(tmp_path: Path, faces: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle", SAME)
    status, text = run(*measure_words(bundle, faces), "--max-drop", "20")
    assert status == 0
    assert "Shown to lose less than 20 pp" in text


def test_the_train_split_can_be_measured(tmp_path: Path, faces: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle", SAME)
    _, text = run(*measure_words(bundle, faces), "--split", "train")
    assert "folder, train: 36 faces" in text


@pytest.mark.parametrize("points", ["150", "100", "-1", "nan"])
def test_a_max_drop_out_of_range_is_refused_before_anything_runs(
    tmp_path: Path, faces: Path, points: str
) -> None:
    with pytest.raises(UsageError, match=f"got --max-drop {points}, expected percentage points"):
        run(*measure_words(tmp_path / "no bundle", faces), "--max-drop", points)


def test_a_missing_bundle_is_refused(tmp_path: Path, faces: Path) -> None:
    with pytest.raises(BundleError, match="expected a bundle made by 'edge-arm export'"):
        run(*measure_words(tmp_path / "no bundle", faces))


def test_faces_of_a_class_the_model_does_not_know_are_refused(tmp_path: Path, faces: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle", SAME)
    (faces / "test" / "fear").rename(faces / "test" / "sadness")
    (faces / "train" / "fear").rename(faces / "train" / "sadness")
    with pytest.raises(DataError, match="got the expression 'sadness'"):
        run(*measure_words(bundle, faces))


def test_a_model_with_a_changed_byte_is_never_run(tmp_path: Path, faces: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle", SAME)
    change_a_byte(bundle / "model.int8.onnx")
    with pytest.raises(BundleError, match="expected .* as in the manifest"):
        run(*measure_words(bundle, faces), "--json", tmp_path / "report.json")
    assert not (tmp_path / "report.json").exists()


def change_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def test_inspect_shows_what_a_bundle_holds(tmp_path: Path) -> None:
    status, text = run("inspect", write_bundle(tmp_path / "bundle", SWAPPED))
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


def test_inspect_prints_json_for_programs(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle", SWAPPED)
    _, text = run("inspect", bundle, "--json")
    assert json.loads(text) == json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", ["model.fp16.onnx", "calibration.json"])
def test_inspect_finds_a_changed_byte_in_any_file(tmp_path: Path, name: str) -> None:
    bundle = write_bundle(tmp_path / "bundle", SWAPPED)
    change_a_byte(bundle / name)
    with pytest.raises(BundleError, match=f"{name}' has SHA-256"):
        run("inspect", bundle)


def test_the_class_gate_sets_the_exit_status(tmp_path: Path, faces: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle", SAME)
    status, text = run(*measure_words(bundle, faces), "--max-drop", "20", "--max-class-drop", "20")
    assert status == 1  # 12 faces of a class cannot show 20 points, 36 in all can
    assert "Too few faces to certify 20 pp by emotion" in text
    assert run(*measure_words(bundle, faces), "--max-class-drop", "40")[0] == 0


@pytest.mark.parametrize("points", ["150", "-1", "nan"])
def test_a_max_class_drop_out_of_range_is_refused(tmp_path: Path, faces: Path, points: str) -> None:
    with pytest.raises(UsageError, match=f"got --max-class-drop {points}, expected percentage"):
        run(*measure_words(tmp_path / "no bundle", faces), "--max-class-drop", points)


def test_the_whole_report_comes_without_asking(tmp_path: Path, faces: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle", SWAPPED)
    names = {"json": "report.json", "html": "report.html", "markdown": "report.md"}
    words = [word for kind, name in names.items() for word in (f"--{kind}", tmp_path / name)]
    run(*measure_words(bundle, faces), *words)
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    checks = report["batch_invariance"]["checks"]
    assert {item["arrangement"] for item in checks} >= {"batch 32, as measured"}
    assert {item["precision"] for item in checks} == {"fp32", "fp16", "int8"}
    assert len(report["candidates"][1]["flipped"]) == 2 * FACES_PER_CLASS
    assert report["accepted"] is True
    assert report["leaks"]["num_test"] == 3 * FACES_PER_CLASS
    assert report["not_measured"] == [
        "FP32 by the paper's protocol: the checkpoint that the bundle was exported from is not "
        "beside it; name it with --checkpoint."
    ]
    for name in ("report.html", "report.md"):
        assert "+66.67" in (tmp_path / name).read_text(encoding="utf-8")


def test_a_model_that_looks_at_its_neighbours_exits_with_1_without_any_gate(
    tmp_path: Path, faces: Path
) -> None:
    bundle = write_bundle(tmp_path / "bundle", SAME)
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
    vouch_for(bundle, path)
    status, text = run(*measure_words(bundle, faces))
    assert status == 1
    assert "ALARM: INT8 depends on the other faces of a batch" in text


def vouch_for(bundle: Path, path: Path) -> None:
    """Let the manifest take a model file as it is now."""
    manifest = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))
    for item in manifest["models"]:
        if item["file"] == path.name:
            item |= {"sha256": sha256_of_file(path), "size_bytes": path.stat().st_size}
    (bundle / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")


def test_the_faces_that_calibrated_are_refused(tmp_path: Path, faces: Path) -> None:
    picture = faces / "train" / "fear" / "00.png"
    bundle = write_bundle(tmp_path / "bundle", SAME, {"train/fear/00.png": picture})
    with pytest.raises(DataError, match=r"1 of the faces .* chose the INT8 ranges: 'train/fear/00"):
        run(*measure_words(bundle, faces), "--split", "train")
    # The test split has the same picture under another name.
    with pytest.raises(DataError, match=r"'test/fear/00.png' \(there 'train/fear/00.png'\)"):
        run(*measure_words(bundle, faces))


def test_near_duplicates_are_left_out_where_asked(tmp_path: Path, faces: Path) -> None:
    rng = np.random.default_rng(0)
    coarse = cv2.resize(rng.integers(40, 200, (5, 5, 3), np.uint8), (32, 32))
    calibrating, test = faces / "train" / "fear" / "x.png", faces / "test" / "fear" / "x.png"
    cv2.imwrite(str(calibrating), coarse)
    cv2.imwrite(str(test), coarse + 1)
    bundle = write_bundle(tmp_path / "bundle", SAME, {"train/fear/x.png": calibrating})
    report = tmp_path / "report.json"
    words = (*measure_words(bundle, faces), "--json", report)
    run(*words)
    found = json.loads(report.read_text(encoding="utf-8"))
    assert [item["test_id"] for item in found["leaks"]["duplicates"]] == ["test/fear/x.png"]
    assert found["data"]["num_images"] == 37
    run(*words, "--exclude-near-duplicates")
    left = json.loads(report.read_text(encoding="utf-8"))
    assert left["data"]["num_images"] == 36
    assert left["leaks"]["excluded"] is True
    assert left["data"]["sha256"] != found["data"]["sha256"]


def test_what_changed_since_an_older_report_is_said(tmp_path: Path, faces: Path) -> None:
    older = tmp_path / "older.json"
    run(*measure_words(write_bundle(tmp_path / "a", SAME), faces), "--json", older)
    newer = (*measure_words(write_bundle(tmp_path / "b", SWAPPED), faces), "--compare", older)
    _, text = run(*newer)
    assert "older.json" in text
    with pytest.raises(DataError, match="differ first in the split: 'test' and 'train'"):
        run(*newer, "--split", "train")


def test_a_checkpoint_of_other_weights_is_refused(tmp_path: Path, faces: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle", SAME)
    (tmp_path / "other.safetensors").write_bytes(b"other")
    with pytest.raises(CheckpointError, match="which the bundle was exported from"):
        run(*measure_words(bundle, faces), "--checkpoint", tmp_path / "other.safetensors")


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


def test_explain_runs_one_source_of_error_at_a_time(tmp_path: Path, faces: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle", {**SAME, Precision.FP16: COLORS})
    quantize(bundle / "model.int8.onnx")
    vouch_for(bundle, bundle / "model.int8.onnx")
    report = tmp_path / "report.json"
    _, text = run(*measure_words(bundle, faces), "--explain", "--json", report)
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


def test_explain_without_int8_has_the_control_and_fp16(tmp_path: Path, faces: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle", {Precision.FP32: COLORS, Precision.FP16: COLORS})
    report = tmp_path / "report.json"
    run(*measure_words(bundle, faces), "--explain", "--json", report)
    found = json.loads(report.read_text(encoding="utf-8"))["explanation"]
    assert [item["name"] for item in found] == ["FP32 again", "FP16"]


def test_explain_of_an_int8_model_without_quantization_is_refused(
    tmp_path: Path, faces: Path
) -> None:
    bundle = write_bundle(tmp_path / "bundle", SAME)
    with pytest.raises(CalibrationError, match="has 0 quantized weights and 0 quantized activat"):
        run(*measure_words(bundle, faces), "--explain")
