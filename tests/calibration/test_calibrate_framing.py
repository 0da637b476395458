"""`edge-arm calibrate` as typed: the bundle learns where the detector sees training faces."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import typer
from placed_faces import frontal_face
from typer.testing import CliRunner

from edge_arm.cli.calibrate import calibrate
from edge_arm.runtime.detection.stored_framing import framing_of
from edge_arm.runtime.errors import UsageError
from edge_arm.runtime.labels import RAFDB
from edge_arm.runtime.manifest import Bundle, open_bundle

app = typer.Typer()
app.command()(calibrate)


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    """Four training faces of each class, alike but for their noise."""
    random = np.random.default_rng(0)
    for number in range(28):
        folder = tmp_path / "faces" / "train" / RAFDB.classes[number % 7]
        folder.mkdir(parents=True, exist_ok=True)
        noisy = frontal_face() + random.normal(0, 4, (160, 160, 3))
        cv2.imwrite(str(folder / f"{number:02d}.png"), np.clip(noisy, 0, 255).astype(np.uint8))
    return tmp_path / "faces"


def test_calibrate_writes_the_framing_and_prints_it(
    model: onnx.ModelProto, make_bundle: Callable[..., Bundle], faces: Path
) -> None:
    bundle = make_bundle(model)
    arguments = ["--data", "folder", "--root", faces, "--bundle", bundle.path]
    options = ["--images", 14, "--method", "max", "--rounding", "nearest"]
    done = CliRunner().invoke(app, [*map(str, arguments), *map(str, options)])
    assert done.exit_code == 0, done.output
    framing = framing_of(open_bundle(bundle.path), "haar")
    assert framing.origin == f"measured on {framing.faces} training faces of folder"
    assert 20 <= framing.faces <= 28
    assert f"haar box   {100 * framing.width:.0f} x {100 * framing.height:.0f} %" in done.stdout


def test_a_wrong_detector_is_refused_before_anything_is_written(
    model: onnx.ModelProto, make_bundle: Callable[..., Bundle], faces: Path, tmp_path: Path
) -> None:
    bundle = make_bundle(model)
    before = (bundle.path / "manifest.json").read_bytes()
    arguments = ["--data", "folder", "--root", faces, "--bundle", bundle.path]
    wrong = ["--detector", tmp_path / "none.onnx"]
    with pytest.raises(UsageError, match="to find faces with, and it is missing"):
        CliRunner().invoke(app, list(map(str, arguments + wrong)), catch_exceptions=False)
    assert (bundle.path / "manifest.json").read_bytes() == before
