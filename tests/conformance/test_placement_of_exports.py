"""Every form of our exports is placed as Model Optimizer places it, edge for edge and in order."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from small_checkpoints import small_checkpoint

from edge_arm.calibration.placement import plan_from_modelopt
from edge_arm.calibration.placement_rules import plan_from_structure
from edge_arm.export.config import HeadForm
from edge_arm.export.onnx_from_checkpoint import trained_model_from_checkpoint
from edge_arm.export.onnx_from_weights import onnx_from_weights
from edge_arm.model.config import Head


@dataclass(frozen=True)
class Exported:
    """A form of the export: the head as trained and as written, pixels, opset."""

    head: Head
    form: HeadForm
    size: int
    opset: int


FORMS = (
    Exported(Head.ARM, HeadForm.FOLDED, 224, 17),
    Exported(Head.ARM, HeadForm.EXPLICIT, 112, 17),
    Exported(Head.ARM, HeadForm.EXPLICIT, 112, 20),
    Exported(Head.POOL, HeadForm.FOLDED, 64, 19),
    Exported(Head.POOL, HeadForm.EXPLICIT, 64, 18),
)


@pytest.mark.slow  # Model Optimizer is imported and quantizes whole models
@pytest.mark.parametrize(
    "case", FORMS, ids=lambda case: f"{case.head.value}-{case.form.value}-{case.size}-{case.opset}"
)
def test_an_export_is_placed_as_by_model_optimizer(case: Exported, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    small_checkpoint(path, case.head, case.size)
    weights = trained_model_from_checkpoint(path).weights
    model = onnx_from_weights(weights, case.form, case.opset)
    ours = plan_from_structure(model)
    face = np.random.default_rng(0).integers(0, 256, (1, case.size, case.size, 3), np.uint8)
    theirs = plan_from_modelopt(model, face)
    assert ours == theirs
    assert list(ours.float_nodes) == list(theirs.float_nodes)
    # 20 Convs; 20 inputs of theirs, 8 skips and the MaxPool
    assert (len(ours.weights), len(ours.activations)) == (20, 29)
