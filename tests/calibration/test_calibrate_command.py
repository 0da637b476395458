from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import typer
from typer.testing import CliRunner

from edge_arm.calibration.ranges import Method
from edge_arm.calibration.tensorrt_cache import cache_text
from edge_arm.cli.calibrate import MethodName, calibrate
from edge_arm.runtime.calibration_faces import calibration_faces
from edge_arm.runtime.errors import BundleError, CalibrationError, DataError, UsageError
from edge_arm.runtime.manifest import Bundle, Precision, open_bundle
from edge_arm.runtime.perceptual_hash import perceptual_hashes
from edge_arm.runtime.preprocess import resize_face

app = typer.Typer()
app.command()(calibrate)
MakeBundle = Callable[..., Bundle]


@pytest.fixture
def rafdb(tmp_path: Path) -> Path:
    """RAF-DB's layout with three training faces per class and one test face."""
    root = tmp_path / "rafdb"
    (root / "EmoLabel").mkdir(parents=True)
    (root / "Image" / "aligned").mkdir(parents=True)
    names = [(f"train_{i:05d}", 1 + i % 7) for i in range(21)] + [("test_0001", 1)]
    random = np.random.default_rng(0)
    for name, _ in names:
        picture = cv2.resize(random.integers(0, 256, (5, 5, 3), np.uint8), (50, 50))
        cv2.imwrite(str(root / "Image" / "aligned" / f"{name}_aligned.jpg"), picture)
    lines = "".join(f"{name}.jpg {label}\n" for name, label in names)
    (root / "EmoLabel" / "list_patition_label.txt").write_text(lines)
    return root


# The command line in argv behind the packages that cannot be imported.
WITHOUT = """
import sys
for name in sys.argv.pop(1).split():
    sys.modules[name] = None
from edge_arm.cli.main import main
sys.exit(main())
"""


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)
    assert result.exit_code == 0
    return str(result.stdout)


def test_the_command_adds_int8_and_prints_what_it_did(
    model: onnx.ModelProto, make_bundle: MakeBundle, rafdb: Path
):
    bundle = make_bundle(model)
    options = ("--bundle", bundle.path, "--images", 14, "--method", "percentile", "--seed", 3)
    printed = run("--data", "rafdb", "--root", rafdb, *options)
    after = open_bundle(bundle.path)
    path, _ = after.model(Precision.INT8)
    assert "percentile" in printed
    assert "14 of 21 training faces" in printed
    assert str(path) in printed
    assert str(after.path / "model.int8.typed.onnx") in printed
    assert after.manifest.calibration is not None
    assert after.manifest.calibration["seed"] == 3


def test_neither_model_optimizer_nor_pytorch_is_needed(
    model: onnx.ModelProto, make_bundle: MakeBundle, rafdb: Path
):
    bundle = make_bundle(model)
    options = ("--data", "rafdb", "--root", rafdb, "--bundle", bundle.path, "--images", "14")
    command = ("calibrate", *options, "--method", "max")
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, "modelopt torch", *command],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert open_bundle(bundle.path).model(Precision.INT8)[0].exists()


def test_a_balanced_sample_is_drawn_and_recorded_with_the_looks_of_its_faces(
    model: onnx.ModelProto, make_bundle: MakeBundle, rafdb: Path
):
    bundle = make_bundle(model)
    options = ("--images", 15, "--method", "max", "--balance", "balanced")
    run("--data", "rafdb", "--root", rafdb, "--bundle", bundle.path, *options)
    after = open_bundle(bundle.path)
    assert after.manifest.calibration is not None
    assert after.manifest.calibration["balance"] == "balanced"
    counts = after.manifest.calibration["class_counts"].values()
    assert sorted(counts) == [2, 2, 2, 2, 2, 2, 3]
    faces = calibration_faces(after)
    assert faces is not None
    first = cv2.imread(str(rafdb / "Image" / "aligned" / f"{faces.sample_ids[0][:11]}_aligned.jpg"))
    pixels = resize_face(cv2.cvtColor(first, cv2.COLOR_BGR2RGB), 64)
    assert faces.looks[0] == perceptual_hashes(pixels[np.newaxis])[0].tobytes().hex()


def test_a_calibration_face_in_the_test_split_is_refused_before_any_work(
    model: onnx.ModelProto, make_bundle: MakeBundle, rafdb: Path
):
    bundle = make_bundle(model)
    pictures = rafdb / "Image" / "aligned"
    copied = (pictures / "train_00004_aligned.jpg").read_bytes()
    (pictures / "test_0001_aligned.jpg").write_bytes(copied)
    with pytest.raises(DataError, match=r"1 of the 21 .* 'train_00004.jpg' \(there 'test_0001"):
        run("--data", "rafdb", "--root", rafdb, "--bundle", bundle.path, "--images", 21)
    assert {path.name for path in bundle.path.iterdir()} == {
        "model.fp32.onnx", "golden.npz", "manifest.json"
    }  # fmt: skip


def test_without_a_test_split_the_calibration_says_that_nobody_looked(
    model: onnx.ModelProto,
    make_bundle: MakeBundle,
    rafdb: Path,
    caplog: pytest.LogCaptureFixture,
):
    listing = rafdb / "EmoLabel" / "list_patition_label.txt"
    listing.write_text(listing.read_text().replace("test_0001.jpg 1\n", ""))
    (rafdb / "Image" / "aligned" / "test_0001_aligned.jpg").unlink()
    options = ("--bundle", make_bundle(model).path, "--images", 14, "--method", "max")
    run("--data", "rafdb", "--root", rafdb, *options)
    assert "calibration faces were not looked for among test faces" in caplog.text
    assert "has no row for the test split" in caplog.text


@pytest.fixture
def cache(model: onnx.ModelProto, tmp_path: Path) -> Path:
    path = tmp_path / "old.cache"
    names = [name for node in model.graph.node for name in node.output]
    path.write_text(cache_text({"stranger": 1.0, **dict.fromkeys(names, 20.0)}))
    return path


def test_a_cache_is_converted_without_data_and_what_was_not_measured_is_said(
    model: onnx.ModelProto, make_bundle: MakeBundle, cache: Path
):
    bundle = make_bundle(model)
    printed = run("--from-cache", cache, "--bundle", bundle.path)
    assert "cache      TRT-100300-EntropyCalibration2, 52 tensors" in printed
    assert "not used   1 names that are no tensors of this model: 'stranger'" in printed
    assert "accuracy was not measured: give --data NAME" in printed
    after = open_bundle(bundle.path)
    assert {item.variant for item in after.manifest.artifacts} == {"main", "typed", "cpu"}
    assert after.manifest.calibration is not None
    assert after.manifest.calibration["method"] == "from cache"


def test_tensors_that_stay_in_fp16_on_a_dla_are_said(
    model: onnx.ModelProto, make_bundle: MakeBundle, cache: Path
):
    lines = [line for line in cache.read_text().splitlines() if not line.startswith("t8:")]
    cache.write_text("\n".join(lines))
    printed = run("--from-cache", cache, "--bundle", make_bundle(model).path)
    assert "on a DLA   1 tensors without a scale stay in FP16: t8" in printed


def test_a_cache_is_measured_beside_our_calibration_with_data(
    model: onnx.ModelProto, make_bundle: MakeBundle, cache: Path, rafdb: Path
):
    bundle = make_bundle(model)
    options = ("--bundle", bundle.path, "--images", 14, "--method", "max")
    printed = run("--from-cache", cache, "--data", "rafdb", "--root", rafdb, *options)
    comparison = open_bundle(bundle.path).manifest.calibration["comparison"]  # type: ignore[index]
    assert comparison["data"]["held_out"] == 7
    table = printed[printed.index("accuracy") :]
    for name, found in comparison["models"].items():
        (row,) = (line for line in table.splitlines() if line.startswith(f"{name} "))
        cells = row[len(name) :].split()
        assert cells[0] == f"{100 * found['accuracy']:.2f}"
        assert [int(cell) for cell in cells[-3:]] == [found["flips"], found["lost"], found["won"]]
    assert "FP32 " in table
    assert "on 7 training faces that calibrated neither" in printed
    assert "ours: max, 14 faces, seed 0" in printed


def test_neither_data_nor_a_cache_is_wrong_use():
    with pytest.raises(UsageError, match="got no --data, expected the data set that the calibrati"):
        run()


def test_a_root_without_data_is_wrong_use(cache: Path, tmp_path: Path):
    with pytest.raises(UsageError, match="got --root without --data, expected the data set"):
        run("--from-cache", cache, "--root", tmp_path)


def test_a_file_that_is_no_cache_is_refused(
    model: onnx.ModelProto, make_bundle: MakeBundle, tmp_path: Path
):
    (tmp_path / "other").write_text("hello")
    with pytest.raises(CalibrationError, match="begins with 'hello', expected the line 'TRT-"):
        run("--from-cache", tmp_path / "other", "--bundle", make_bundle(model).path)


def test_more_images_than_there_are_is_refused_and_leaves_nothing(
    model: onnx.ModelProto, make_bundle: MakeBundle, rafdb: Path
):
    bundle = make_bundle(model)
    with pytest.raises(UsageError, match="got --images 512, expected at most 21"):
        run("--data", "rafdb", "--root", rafdb, "--bundle", bundle.path)
    assert open_bundle(bundle.path).manifest == bundle.manifest
    assert not (bundle.path / "model.int8.onnx").exists()


def test_a_missing_bundle_is_refused(rafdb: Path, tmp_path: Path):
    with pytest.raises(BundleError, match="expected a bundle made by 'edge-arm export'"):
        run("--data", "rafdb", "--root", rafdb, "--bundle", tmp_path / "none")


def test_a_missing_data_folder_is_refused(
    model: onnx.ModelProto, make_bundle: MakeBundle, tmp_path: Path
):
    with pytest.raises(DataError, match="got --root .*, which is no folder"):
        run("--data", "rafdb", "--root", tmp_path / "none", "--bundle", make_bundle(model).path)


def test_an_unknown_method_is_wrong_use_and_the_message_names_all_methods():
    result = CliRunner().invoke(app, ["--data", "rafdb", "--method", "guess"])
    assert result.exit_code == 2
    for method in Method:
        assert method.value in result.output


def test_the_commands_methods_are_the_rooms_methods():
    assert [item.value for item in MethodName] == ["auto", "entropy", "max", "percentile", "mse"]
    assert {item.value for item in MethodName} - {"auto"} == {item.value for item in Method}
