"""The model as its INT8 graph computes it: folded convolutions between rounded tensors.

The places are those of the Q/DQ pairs (edge_arm.calibration.placement), and each is called by the
ONNX tensor that it rounds, so that the ranges can be written into the graph as they are. A test
holds the two against each other.

1. The input of each convolution, the first one's included: pixels minus the mean.
2. Weights with the BatchNorm folded in, and conv1's with the standard deviation too, as exported:
   in float64, rounded once.
3. The skip branch of each residual Add.
4. Around the MaxPool once, behind it: the graph has a pair on each side with the same range, and
   clipping, rounding and taking a maximum commute.
5. The head stays in float.

BatchNorm's statistics and ARM's stored mean stay as they are: they are folded at inference, so a
statistic of a batch would be something that the exported graph does not have, and a face's answer
would depend on its neighbours.

Shapes: N batch, S input size, C classes, h = ceil(S / 32).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edge_arm.model.fer_model import FerModel
from edge_arm.model.resnet import ResidualBlock
from edge_arm.quantization_aware.fake_quantization import (
    activation_quantizer,
    learn_range,
    weight_quantizer,
)
from edge_arm.runtime.preprocess import PreprocessSpec

_STAGES, _BLOCKS = 4, 2


class QuantizedNetwork(nn.Module):
    """A model with int8 rounding where its INT8 graph has Q/DQ.

    It shares the model's parameters. Until `set_ranges` activations are not rounded.

    Args:
        model: put into evaluation mode, where it has to stay.
        spec: its input.
    """

    def __init__(self, model: FerModel, spec: PreprocessSpec) -> None:
        super().__init__()
        self.model = model.eval()
        self.round_weight = weight_quantizer()
        self._quantizers: dict[str, Any] = {name: activation_quantizer() for name in _tensors()}
        for quantizer in self._quantizers.values():
            quantizer.disable_quant()
        # A module's name may have no dot, and an ONNX tensor's has.
        self.rounding = nn.ModuleList(self._quantizers.values())
        self._std = [255 * value for value in spec.std]

    @property
    def quantizers(self) -> Mapping[str, Any]:
        """Model Optimizer's quantizer of each activation, by ONNX tensor, in graph order."""
        return self._quantizers

    def set_ranges(self, amax: Mapping[str, float]) -> None:
        """Round activations from now on.

        Args:
            amax: range by tensor, one for each of `quantizers`.
        """
        for tensor, quantizer in self._quantizers.items():
            learn_range(quantizer, amax[tensor])
        self.to(next(self.model.parameters()).device)

    def ranges(self) -> dict[str, float]:
        """The present range of each tensor."""
        return {tensor: float(item.amax.detach()) for tensor, item in self._quantizers.items()}

    def forward(self, centred: Tensor) -> Tensor:
        """Logits of faces.

        Args:
            centred: (N, 3, S, S) float32, RGB on the 0..255 scale minus the mean, see `centred`.

        Returns:
            (N, C) float32.
        """
        backbone = self.model.backbone
        x = self._quantizers["input/sub_mean"](centred)
        x = torch.relu(self._convolved(x, backbone.conv1, backbone.bn1, std=self._std))
        x = self._quantizers["backbone/maxpool"](backbone.maxpool(x))  # (N, 64, S/4, S/4)
        for place, block in _blocks(self.model):
            x = self._block(x, place, block)
        return self.model.classify(x)

    def _block(self, x: Tensor, place: str, block: ResidualBlock) -> Tensor:
        y = torch.relu(self._convolved(x, block.conv1, block.bn1))
        y = self._convolved(self._quantizers[f"{place}/relu1"](y), block.conv2, block.bn2)
        if block.downsample is not None:
            convolution, norm = block.downsample
            x = self._quantizers[f"{place}/downsample"](self._convolved(x, convolution, norm))
        y = torch.relu(y + x)
        quantizer = self._quantizers.get(f"{place}/relu2")  # not behind the last: the head is float
        return y if quantizer is None else quantizer(y)

    def _convolved(
        self, x: Tensor, convolution: nn.Module, norm: nn.Module, std: list[float] | None = None
    ) -> Tensor:
        assert isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
        weight, bias = _folded(convolution, norm)
        if std is not None:
            weight = weight / weight.new_tensor(std)[:, None, None]
        return F.conv2d(
            x,
            self.round_weight(weight.float()),
            bias.float(),
            stride=convolution.stride,
            padding=convolution.padding,
        )


def centred(images_nchw: Tensor, spec: PreprocessSpec) -> Tensor:
    """Pixels minus the mean, the tensor that the INT8 graph rounds first.

    Args:
        images_nchw: (N, 3, S, S) uint8.
        spec: the mean.

    Returns:
        (N, 3, S, S) float32.
    """
    mean = torch.tensor([255 * value for value in spec.mean], device=images_nchw.device)
    return (images_nchw.float() - mean[:, None, None]).contiguous()


def _folded(convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    # In float64 and rounded once, as the export does it: another rounding of a weight could end
    # on another int8 step.
    assert norm.running_mean is not None and norm.running_var is not None
    factor = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
    bias = norm.bias.double() - norm.running_mean.double() * factor
    return convolution.weight.double() * factor[:, None, None, None], bias


def _places() -> list[tuple[int, int, str]]:
    return [
        (stage, block, f"backbone/layer{stage}.{block}")
        for stage in range(1, _STAGES + 1)
        for block in range(_BLOCKS)
    ]


def _blocks(model: FerModel) -> Iterator[tuple[str, ResidualBlock]]:
    for stage, number, place in _places():
        block = model.backbone.get_submodule(f"layer{stage}.{number}")
        assert isinstance(block, ResidualBlock)
        yield place, block


def _tensors() -> tuple[str, ...]:
    names = ["input/sub_mean", "backbone/maxpool"]
    for stage, number, place in _places():
        names.append(f"{place}/relu1")
        if stage > 1 and number == 0:
            names.append(f"{place}/downsample")
        names.append(f"{place}/relu2")
    return tuple(names[:-1])
