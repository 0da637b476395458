"""A bundle of tiny models whose answers can be told by eye, and faces for them.

Each class has a colour, and the model answers with the nearest colour: logit k is
2 c_k . mean - |c_k|^2, a linear map of the mean colour, which is five ONNX nodes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
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
from edge_arm.runtime.errors import EdgeArmError
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
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", len(colors)])],
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
    classes: tuple[str, ...] = CLASSES,
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
            labels=LabelSet("colors", classes),
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
    """A folder set of `FACES_PER_CLASS` pictures per class; both splits have the same ones."""
    root = tmp_path / "faces"
    for split in ("train", "test"):
        for label, name in enumerate(CLASSES):
            (root / split / name).mkdir(parents=True)
            for number in range(FACES_PER_CLASS):
                color = COLORS[label][::-1] + number  # OpenCV writes blue, green, red
                picture = np.full((10, 10, 3), color, np.uint8)
                cv2.imwrite(str(root / split / name / f"{number:02d}.png"), picture)
    return root


Colors = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Lab:
    """What the tests of `measure` work with.

    Attributes:
        folder: for everything.
        faces: of the data set "folder".
    """

    folder: Path
    faces: Path

    classes = CLASSES
    faces_per_class = FACES_PER_CLASS
    colors = COLORS
    same = {Precision.FP32: COLORS, Precision.INT8: COLORS}
    swapped = {Precision.FP32: COLORS, Precision.FP16: COLORS, Precision.INT8: COLORS[[1, 0, 2]]}
    """Red and green changed places: INT8 is wrong on every face of fear and anger."""

    def bundle(
        self,
        models: dict[Precision, Colors],
        calibrated_with: dict[str, Path] | None = None,
        name: str = "bundle",
        classes: tuple[str, ...] = CLASSES,
    ) -> Path:
        return write_bundle(self.folder / name, models, calibrated_with, classes)

    def vouch_for(self, bundle: Path, path: Path) -> None:
        """Let the manifest take a model file as it is now."""
        manifest = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))
        for item in manifest["models"]:
            if item["file"] == path.name:
                item |= {"sha256": sha256_of_file(path), "size_bytes": path.stat().st_size}
        (bundle / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")

    def run(self, *words: object) -> tuple[int, str]:
        """Exit status and stdout; an error of ours is raised, as `main` gets it."""
        result = CliRunner().invoke(app, [str(word) for word in words])
        if isinstance(result.exception, EdgeArmError):
            raise result.exception
        assert result.exception is None or isinstance(result.exception, SystemExit)
        return result.exit_code, result.stdout

    def measure(self, bundle: Path, *words: object) -> tuple[int, str]:
        return self.run(
            *("measure", "--data", "folder", "--root", self.faces, "--bundle", bundle), *words
        )


@pytest.fixture
def lab(tmp_path: Path, faces: Path) -> Lab:
    return Lab(tmp_path, faces)
