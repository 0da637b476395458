"""The model: ResNet-18, ARM or pooling, and one linear layer.

Shapes: N batch, S input size, C classes, h = ceil(S / 32).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edge_arm.model.arm import Arm
from edge_arm.model.config import FEATURE_CHANNELS, Head, ModelConfig
from edge_arm.model.partial_heads import PartialHead, SharedPooling, partial_head
from edge_arm.model.resnet import ResNet18


class FerModel(nn.Module):
    """Facial expression recognition model.

    Its parts are `backbone`, `arm` (None for other heads), `partial` (a head of the ablation, None
    for ARM and pooling) and `fc`.

    Args:
        config: its shape.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = ResNet18()
        self.arm: Arm | None = None
        inputs = FEATURE_CHANNELS
        if config.head is Head.ARM:
            self.arm = Arm(config.feature_size)
            inputs = self.arm.grid**2
        self.partial: PartialHead | None = partial_head(config.head, config.feature_size)
        if self.partial is not None:
            inputs = self.partial.outputs
        self.fc = nn.Linear(inputs, config.num_classes)

    @property
    def sharing(self) -> Arm | SharedPooling | None:
        """The part that adds what the faces of a batch have in common, if there is one."""
        return self.partial if isinstance(self.partial, SharedPooling) else self.arm

    def forward(self, x: Tensor) -> Tensor:
        """Logits of faces.

        Args:
            x: (N, 3, S, S) float, RGB minus mean over standard deviation.

        Returns:
            (N, C).
        """
        return self.classify(self.backbone(x))

    def classify(self, features: Tensor) -> Tensor:
        """Logits from the backbone's features.

        Under autocast this part stays in float32: it is a thousandth of the arithmetic, and its
        statistics are what the folded head is made of.

        Args:
            features: (N, 512, h, h).

        Returns:
            (N, C).
        """
        if torch.is_autocast_enabled(features.device.type):
            with torch.autocast(features.device.type, enabled=False):
                return self._classify(features.float())
        return self._classify(features)

    def _classify(self, features: Tensor) -> Tensor:
        head = self.arm or self.partial
        pooled = features.mean(dim=(2, 3)) if head is None else head(features)
        logits: Tensor = self.fc(pooled)
        return logits


def seeded_model(config: ModelConfig, seed: int) -> FerModel:
    """A model with random weights, the same for the same seed.

    Args:
        config: its shape.
        seed: of the weights; the caller's own random state is left as it was.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return FerModel(config)
