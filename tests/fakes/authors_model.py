"""ResNet-18 + ARM with the modules, names and behaviour of the authors' public code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from edge_arm.model.resnet import ResNet18

_CHILDREN = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4")


class _Arm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.de_albino = nn.Conv2d(1, 1, 32, stride=8, bias=False)
        self.bn = nn.BatchNorm2d(2)
        self.alpha = nn.Parameter(torch.tensor([0.75]))

    def forward(self, x: Tensor) -> Tensor:
        maps = torch.cat([self.de_albino(x[:, m : m + 1]) for m in range(2)], dim=1)
        x = self.bn(maps)
        # The mean over faces and maps of this batch, in evaluation too.
        return x.mean(dim=1) + self.alpha * x.mean(dim=(0, 1))


class AuthorsModel(nn.Module):
    """Takes normalised faces of 96 pixels (theirs has 224, which changes fc alone)."""

    def __init__(self, num_classes: int = 7, seed: int = 0, grid: int = 3) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            backbone = ResNet18()
            self.features = nn.Sequential(*(getattr(backbone, name) for name in _CHILDREN))
            self.arm = _Arm()
            self.fc = nn.Linear(grid**2, num_classes)
            # Statistics as after some training, so that a swapped one would show.
            for module in self.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.running_mean.normal_(0.0, 0.2)  # type: ignore[union-attr]
                    module.running_var.uniform_(0.5, 1.5)  # type: ignore[union-attr]
                    module.weight.data.uniform_(0.5, 1.0)
                    module.num_batches_tracked.fill_(40)  # type: ignore[union-attr]
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        arranged = nn.functional.pixel_shuffle(self.features(x), 16)
        logits: Tensor = self.fc(self.arm(arranged).flatten(1))
        return logits


def save_as_they_do(path: Path, state: dict[str, Any]) -> Path:
    """The file that their training writes."""
    torch.save({"iter": 59, "model_state_dict": state, "optimizer_state_dict": {"state": {}}}, path)
    return path
