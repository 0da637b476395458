"""`edge-arm export --fp16` goes on to the engine, and says so where there is no TensorRT."""

from __future__ import annotations

import importlib.util
import logging
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edge_arm.cli.main import app
from edge_arm.runtime.manifest import Precision, open_bundle

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("tensorrt") is not None, reason="TensorRT is here"
)


def test_without_tensorrt_the_export_of_fp16_is_complete_and_names_the_next_command(
    tmp_path: Path,
    arm_checkpoint: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.chdir(tmp_path)
    words = ["export", str(arm_checkpoint), "--fp16"]
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert result.exit_code == 0
    assert Precision.FP16 in open_bundle(tmp_path / "build" / "bundle").manifest.precisions()
    assert "run 'edge-arm build --bundle build/bundle --precision fp16'" in caplog.text
