"""ResNet-18 up to layer4, with the parameter names under which its weights are published.

Written here and not taken from torchvision, which would be one more pinned package for sixty
lines. The names match torchvision's, so its files and those pre-trained on MS-Celeb-1M load.

Shapes: N batch, S input size, h = ceil(S / 32).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

_STAGE_CHANNELS = (64, 128, 256, 512)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut around both (He et al. 2015, figure 2).

    Args:
        channels_in: of the input.
        channels_out: of the output.
        stride: of the first convolution; the shortcut gets a 1x1 convolution where the shape
            changes.
    """

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, 1, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels_out)
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Sequential | None = None
        if stride != 1 or channels_in != channels_out:
            self.downsample = nn.Sequential(
                nn.Conv2d(channels_in, channels_out, 1, stride, bias=False),
                nn.BatchNorm2d(channels_out),
            )

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, channels_in, H, W) to (N, channels_out, H / stride, W / stride), rounded up."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.bn2(self.conv2(x))
        return torch.relu(x + shortcut)


class ResNet18(nn.Module):
    """The four stages of ResNet-18 without pooling and classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        channels_in = 64
        for number, channels in enumerate(_STAGE_CHANNELS, start=1):
            first = ResidualBlock(channels_in, channels, stride=1 if number == 1 else 2)
            stage = nn.Sequential(first, ResidualBlock(channels, channels, stride=1))
            self.add_module(f"layer{number}", stage)
            channels_in = channels
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Features of faces.

        Args:
            x: (N, 3, S, S) float, normalised RGB.

        Returns:
            (N, 512, h, h).
        """
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))  # (N, 64, S/4, S/4)
        for number in range(1, len(_STAGE_CHANNELS) + 1):
            x = self.get_submodule(f"layer{number}")(x)
        return x
