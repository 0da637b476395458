"""`edge-arm calibrate` goes on to the engine, and says so where there is no TensorRT."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from typer.testing import CliRunner

from edge_arm.cli.main import app
from edge_arm.runtime.labels import RAFDB
from edge_arm.runtime.manifest import Bundle, Precision, open_bundle

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("tensorrt") is not None, reason="TensorRT is here"
)


def test_without_tensorrt_the_calibration_is_complete_and_names_the_next_command(
    tmp_path: Path,
    model: onnx.ModelProto,
    make_bundle: Callable[..., Bundle],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    rng = np.random.default_rng(0)
    for name in RAFDB.classes:
        for split in ("train", "test"):
            folder = tmp_path / "faces" / split / name
            folder.mkdir(parents=True)
            cv2.imwrite(str(folder / "1.png"), rng.integers(0, 256, (20, 20, 3), np.uint8))
    bundle = make_bundle(model)
    faces = ["--data", "folder", "--root", str(tmp_path / "faces"), "--images", "7"]
    words = ["calibrate", *faces, "--bundle", str(bundle.path)]
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert result.exit_code == 0
    assert Precision.INT8 in open_bundle(bundle.path).manifest.precisions()
    assert f"run 'edge-arm build --bundle {bundle.path} --precision int8'" in caplog.text
