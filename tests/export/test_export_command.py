"""`edge-arm export` as it is typed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from edge_arm.cli.main import app
from edge_arm.runtime.errors import CheckpointError, DataError, StorageError, UsageError
from edge_arm.runtime.labels import RAFDB
from edge_arm.runtime.manifest import Precision, open_bundle


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to run in, so that the default paths are under it."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _run(*words: str) -> Result:
    return CliRunner().invoke(app, ["export", *words])


def test_the_defaults_lead_from_build_to_build(
    workplace: Path, arm_checkpoint: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (workplace / "build").mkdir()
    shutil.copy(arm_checkpoint, workplace / "build" / "checkpoint.safetensors")
    result = _run()
    assert result.exception is None
    bundle = open_bundle(workplace / "build" / "bundle")
    assert bundle.manifest.precisions() == (Precision.FP32,)
    for text in ("model.fp32.onnx", "model.fp32.explicit.onnx", "PyTorch, faces", "golden.npz"):
        assert text in result.stdout
    assert "0 real faces, 32 drawn ones and 32 pictures of noise" in result.stdout
    assert "checked on drawn and random faces only, because: found no folder" in caplog.text
    with np.load(bundle.verified("golden.npz")) as golden:
        assert len(np.unique(golden["images"].reshape(32, -1), axis=0)) == 32


def test_the_faces_of_the_named_data_set_are_used(workplace: Path, arm_checkpoint: Path) -> None:
    rng = np.random.default_rng(0)
    for name in RAFDB.classes:
        for split in ("train", "test"):
            folder = workplace / "faces" / split / name
            folder.mkdir(parents=True)
            cv2.imwrite(str(folder / "1.png"), rng.integers(0, 256, (20, 20, 3), np.uint8))
    result = _run(
        str(arm_checkpoint), *("--head", "explicit", "--data", "folder", "--root", "faces")
    )
    assert result.exception is None
    assert "7 real faces" in result.stdout
    manifest = json.loads(Path("build/bundle/manifest.json").read_text())
    assert manifest["source"]["head_form"] == "explicit"


def test_a_missing_checkpoint_says_how_to_train_one(workplace: Path) -> None:
    error = _run().exception
    assert isinstance(error, CheckpointError)
    assert "edge-arm train" in str(error)
    assert list(workplace.iterdir()) == []


def test_another_file_than_a_checkpoint_is_refused(workplace: Path) -> None:
    (workplace / "photo.safetensors").write_bytes(b"not tensors at all")
    assert isinstance(_run("photo.safetensors").exception, CheckpointError)


def test_an_opset_out_of_range_is_refused() -> None:
    error = _run("--opset", "13").exception
    assert isinstance(error, UsageError)
    assert "got opset 13" in str(error)


def test_a_root_that_was_asked_for_is_not_replaced_by_drawn_faces(arm_checkpoint: Path) -> None:
    error = _run(str(arm_checkpoint), "--data", "rafdb", "--root", "nowhere").exception
    assert isinstance(error, DataError)
    assert "nowhere" in str(error)


def test_a_folder_of_somebody_else_is_not_replaced(workplace: Path, arm_checkpoint: Path) -> None:
    (workplace / "photos").mkdir()
    (workplace / "photos" / "a.jpg").write_text("a")
    error = _run(str(arm_checkpoint), "--out", "photos").exception
    assert isinstance(error, StorageError)
    assert (workplace / "photos" / "a.jpg").exists()
