"""Ours: the stage behind `edge-arm calibrate`, with all that it checks and writes."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

# Every quantizer's libraries are loaded before its clock starts; ours would load this one inside.
import modelopt.onnx.quantization  # noqa: F401
from peers.task import Task

from edge_arm.calibration.calibrated_model import Recipe
from edge_arm.calibration.int8_from_bundle import CalibrationConfig, int8_from_bundle
from edge_arm.calibration.ranges import Method
from edge_arm.runtime.manifest import Precision, open_bundle


def quantize(task: Task, method: str | None) -> None:
    """Calibrate a copy of the bundle.

    Args:
        task: what to do.
        method: of choosing ranges; the default's when None.

    Raises:
        RuntimeError: if the stage drew other faces than the peers were given.
    """
    chosen = {} if method is None else {"recipe": Recipe(method=Method(method))}
    config = CalibrationConfig(num_images=len(task.faces), seed=task.seed, **chosen)
    with tempfile.TemporaryDirectory(prefix="edge-arm-", dir=task.out.parent) as folder:
        copy = Path(folder) / "bundle"
        shutil.copytree(task.bundle.path, copy)
        after = int8_from_bundle(open_bundle(copy), task.train_index, config)
        if (after.manifest.calibration or {}).get("faces_sha256") != task.faces.sha256:
            raise RuntimeError("the stage did not calibrate with the faces that the peers get")
        after.model(Precision.INT8)[0].replace(task.out)
