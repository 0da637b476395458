"""`edge-arm train --qat`, and the ranges on their way into the INT8 model."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import typer
from onnx import numpy_helper
from small_checkpoints import LABELS, small_checkpoint
from typer.testing import CliRunner, Result

from edge_arm.cli.calibrate import calibrate
from edge_arm.cli.export import export
from edge_arm.cli.train import train
from edge_arm.model.checkpoint import load_checkpoint
from edge_arm.runtime.errors import CheckpointError, UsageError


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with six training faces of each class and a trained checkpoint."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    for split in ("train", "test"):
        for name in LABELS.classes:
            folder = tmp_path / "faces" / split / name
            folder.mkdir(parents=True)
            for number in range(6):
                coarse = random.integers(0, 256, (5, 5, 3), np.uint8)
                cv2.imwrite(str(folder / f"{number}.png"), cv2.resize(coarse, (32, 32)))
    small_checkpoint(tmp_path / "build" / "checkpoint.safetensors")
    return tmp_path


def _run(command: object, *words: str) -> Result:
    app = typer.Typer()
    app.command()(command)  # type: ignore[type-var]
    return CliRunner().invoke(app, [*words])


def _qat(*words: str) -> Result:
    return _run(train, "--qat", "--data", "folder", "--root", "faces", "--device", "cpu", *words)


def test_a_checkpoint_becomes_an_int8_model_with_the_trained_ranges(workplace: Path) -> None:
    result = _qat("--epochs", "1", "--batch-size", "8")
    assert result.exit_code == 0, result.output
    assert "INT8 after, against the FP32 it started from" in result.stdout
    assert "Next: edge-arm export build/checkpoint.qat.safetensors" in result.stdout
    ranges = load_checkpoint(workplace / "build" / "checkpoint.qat.safetensors").ranges
    assert ranges is not None
    shown = f"{ranges.training['validation']['after']['flips']} of 3"
    assert shown in result.stdout

    exported = _run(export, "build/checkpoint.qat.safetensors")
    assert exported.exit_code == 0, exported.output
    calibrated = _run(
        calibrate, "--data", "folder", "--root", "faces", "--images", "6", "--no-sensitivity"
    )
    assert calibrated.exit_code == 0, calibrated.output
    assert "trained: 20 ranges of 'train --qat'" in calibrated.stdout
    int8 = onnx.load(workplace / "build" / "bundle" / "model.int8.onnx")
    scales = {item.name: item for item in int8.graph.initializer if item.name.endswith("_scale")}
    for tensor, amax in ranges.amax.items():
        assert numpy_helper.to_array(scales[f"{tensor}_scale"]) == np.float32(amax / 127)
    table = json.loads((workplace / "build" / "bundle" / "calibration.json").read_text("utf-8"))
    assert table["method"] == "trained"


def test_options_that_a_fine_tuning_does_not_have_are_named(workplace: Path) -> None:
    error = _qat("--resume").exception
    assert isinstance(error, UsageError)
    assert "got --resume with --qat, expected none of these" in str(error)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--image-size", "64"), "got --image-size 64, expected 32"),
        (("--head", "arm"), "got --head arm, expected pool"),
    ],
    ids=str,
)
def test_another_shape_than_the_checkpoints_is_refused(
    workplace: Path, words: tuple[str, ...], message: str
) -> None:
    error = _qat(*words).exception
    assert isinstance(error, UsageError)
    assert message in str(error)


def test_a_missing_checkpoint_is_named(workplace: Path) -> None:
    error = _qat("--init-checkpoint", "nowhere.safetensors").exception
    assert isinstance(error, CheckpointError)
    assert "'nowhere.safetensors'" in str(error)


def test_the_validation_faces_are_those_of_the_first_training(workplace: Path) -> None:
    small = ("--image-size", "32", "--head", "pool", "--epochs", "1", "--batch-size", "8")
    where = ("--data", "folder", "--root", "faces", "--device", "cpu")
    trained = _run(train, *where, *small, "--seed", "5", "--val-fraction", "0.4")
    assert trained.exit_code == 0, trained.output
    first = load_checkpoint(workplace / "build" / "checkpoint.safetensors")
    refused = _qat("--val-fraction", "0.3").exception
    assert isinstance(refused, UsageError)
    assert "got --val-fraction 0.3 with --qat" in str(refused)
    assert _qat("--epochs", "1", "--batch-size", "8", "--seed", "1").exit_code == 0
    second = load_checkpoint(workplace / "build" / "checkpoint.qat.safetensors")
    assert second.data == first.data
    assert second.metrics["seed"] == 5
