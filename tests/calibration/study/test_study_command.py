"""`edge-arm calibrate --study` from the words typed to the files written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import onnx
import typer
from typer.testing import CliRunner

from edge_arm.cli.calibrate import calibrate
from edge_arm.runtime.faces import FaceIndex
from edge_arm.runtime.manifest import Bundle

app = typer.Typer()
app.command()(calibrate)


def test_the_command_writes_figures_and_a_page_and_leaves_the_bundle_alone(
    close_model: onnx.ModelProto,
    make_bundle: Callable[[onnx.ModelProto], Bundle],
    face_index: Callable[..., FaceIndex],
    tmp_path: Path,
):
    bundle = make_bundle(close_model)
    before = {path.name: path.read_bytes() for path in bundle.path.iterdir()}
    faces = face_index((10, 9, 9, 9, 9, 9, 9))
    for sample in faces.samples:
        folder = tmp_path / "set" / "train" / faces.labels.classes[sample.target]
        folder.mkdir(parents=True, exist_ok=True)
        sample.path.rename(folder / sample.sample_id)
    words = ["--bundle", bundle.path, "--data", "folder", "--root", tmp_path / "set", "--study"]
    more = ["--method", "max", "--json", tmp_path / "s.json", "--html", tmp_path / "s.html"]
    result = CliRunner().invoke(app, [str(word) for word in (*words, *more)])
    assert result.exit_code == 0, result.exception
    assert {path.name: path.read_bytes() for path in bundle.path.iterdir()} == before
    value = json.loads((tmp_path / "s.json").read_text())
    # of 64 faces a quarter answers, and 48 are three whole blocks
    assert value["sets"]["folder"]["pool"]["num_images"] == 48
    assert [size["num_faces"] for size in value["sizes"]] == [16, 32]
    assert f"{value['enough_faces']} faces are enough" in result.stdout
    assert "How many faces" in (tmp_path / "s.html").read_text(encoding="utf-8")
