"""A small model with statistics of its own, as a checkpoint."""

from __future__ import annotations

from pathlib import Path

import torch

from edge_arm.model.checkpoint import Checkpoint, save_checkpoint
from edge_arm.model.config import Head, ModelConfig
from edge_arm.model.fer_model import FerModel, seeded_model
from edge_arm.runtime.labels import LabelSet
from edge_arm.runtime.preprocess import PreprocessSpec

LABELS = LabelSet("three", ("fear", "anger", "neutral"))


def small_model(config: ModelConfig, seed: int = 0) -> FerModel:
    """Random weights, and statistics that are not those of an untrained BatchNorm."""
    model = seeded_model(config, seed)
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                assert module.running_mean is not None and module.running_var is not None
                shape = module.running_mean.shape
                module.running_mean.copy_(0.1 * torch.randn(shape, generator=random))
                module.running_var.copy_(0.5 + torch.rand(shape, generator=random))
                module.bias.copy_(0.1 * torch.randn(shape, generator=random))
        if model.arm is not None:
            model.arm.generic.copy_(torch.rand(model.arm.generic.shape, generator=random))
    return model.eval()


def small_checkpoint(path: Path, head: Head = Head.POOL, size: int = 32) -> Checkpoint:
    config = ModelConfig(len(LABELS), size, head)
    metrics = {"seed": 0, "validation_accuracy": 0.5}
    path.parent.mkdir(exist_ok=True)
    checkpoint = Checkpoint(
        config, LABELS, PreprocessSpec(size=size), metrics, {}, {}, small_model(config).state_dict()
    )
    return save_checkpoint(path, checkpoint)
