"""A small trained-looking model: random weights with statistics that are not the initial ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from edge_arm.export.check_images import DrawnFaces
from edge_arm.export.onnx_from_checkpoint import TrainedModel, trained_model_from_checkpoint
from edge_arm.model.checkpoint import Checkpoint, save_checkpoint
from edge_arm.model.config import Head, ModelConfig
from edge_arm.model.fer_model import seeded_model
from edge_arm.runtime.labels import RAFDB
from edge_arm.runtime.preprocess import PreprocessSpec

SIZE = 96  # the smallest that ARM takes


def _write_checkpoint(path: Path, head: Head = Head.ARM, scale: float = 1.0) -> Path:
    """A checkpoint whose BatchNorm statistics and generic part are far from their first values.

    Args:
        path: of the file.
        head: of the model.
        scale: of the first BatchNorm's output, to provoke large activations.
    """
    model = seeded_model(ModelConfig(num_classes=7, image_size=SIZE, head=head), seed=3)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if name.endswith("running_var"):
                value.uniform_(0.5, 2.0, generator=generator)
            elif name.endswith(("running_mean", "generic", ".bias")):
                value.normal_(0.0, 0.2, generator=generator)
        if model.arm is not None:
            model.arm.alpha.fill_(0.7)
        model.backbone.bn1.weight.mul_(scale)
    save_checkpoint(
        path,
        Checkpoint(
            config=model.config,
            labels=RAFDB,
            preprocess=PreprocessSpec(SIZE),
            metrics={"validation_accuracy": 0.5},
            data={"name": "rafdb"},
            versions={"torch": "x"},
            state=dict(model.state_dict()),
        ),
    )
    return path


@pytest.fixture(scope="session")
def arm_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _write_checkpoint(tmp_path_factory.mktemp("arm") / "checkpoint.safetensors")


@pytest.fixture(scope="session")
def pool_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _write_checkpoint(tmp_path_factory.mktemp("pool") / "checkpoint.safetensors", Head.POOL)


@pytest.fixture(scope="session")
def arm_model(arm_checkpoint: Path) -> TrainedModel:
    return trained_model_from_checkpoint(arm_checkpoint)


@pytest.fixture(scope="session")
def pool_model(pool_checkpoint: Path) -> TrainedModel:
    return trained_model_from_checkpoint(pool_checkpoint)


@pytest.fixture(scope="session")
def drawn() -> DrawnFaces:
    """Smooth blobs: face drawing belongs to another room, and these checks only need pictures."""
    rng = np.random.default_rng(7)
    coarse = rng.integers(0, 256, (32, SIZE // 8, SIZE // 8, 3), np.uint8)
    return DrawnFaces(coarse.repeat(8, axis=1).repeat(8, axis=2), np.arange(32))


@pytest.fixture(scope="session")
def loud_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Activations beyond what FP16 can hold."""
    path = tmp_path_factory.mktemp("loud") / "checkpoint.safetensors"
    return _write_checkpoint(path, scale=30000.0)
