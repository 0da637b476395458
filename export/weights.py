"""A trained model as plain arrays: what the graph writer takes, with no PyTorch in it.

Shapes: C classes, S model input size, h = S / 32 rounded up, side of the last feature map.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_arm.runtime.errors import ExportError
from edge_arm.runtime.labels import LabelSet
from edge_arm.runtime.preprocess import PreprocessSpec

Float64Array = npt.NDArray[np.float64]

BATCH_NORM_EPSILON = 1e-5
"""PyTorch's default, which ResNet-18 and ARM use; parity with PyTorch would show another one."""


@dataclass(frozen=True, eq=False)
class ModelWeights:
    """Everything that the ONNX graph is made of.

    Attributes:
        state: float32 arrays by parameter name ("backbone.conv1.weight", "arm.alpha", ...).
        folded_weight: (C, 512, h, h) float64, the whole head as one convolution.
        folded_bias: (C,) float64.
        labels: names of the logits.
        preprocess: S, mean and standard deviation.
        checkpoint_sha256: of the file that the weights come from.
    """

    state: Mapping[str, npt.NDArray[np.float32]]
    folded_weight: Float64Array
    folded_bias: Float64Array
    labels: LabelSet
    preprocess: PreprocessSpec
    checkpoint_sha256: str

    @property
    def has_arm(self) -> bool:
        """True for ARM, False for plain average pooling."""
        return "arm.de_albino.weight" in self.state

    def array(self, name: str) -> Float64Array:
        """One parameter in float64, in which all folding is computed.

        Raises:
            ExportError: if the checkpoint has no such parameter.
        """
        if name not in self.state:
            raise ExportError(
                f"the checkpoint has no parameter {name!r}, expected a ResNet-18 with "
                "torchvision's names; export a checkpoint made by 'edge-arm train'"
            )
        return np.asarray(self.state[name], np.float64)


@dataclass(frozen=True, eq=False)
class Convolution:
    """Weights of a convolution with everything that follows it linearly folded in.

    Attributes:
        weight: (out, in / groups, kernel, kernel) float64.
        bias: (out,) float64.
    """

    weight: Float64Array
    bias: Float64Array


def folded_convolution(weights: ModelWeights, convolution: str, norm: str) -> Convolution:
    """A convolution without bias, with the inference form of the BatchNorm after it folded in.

    BatchNorm computes ``(y - mean) * gamma / sqrt(var + epsilon) + beta`` per output channel, so
    the factor goes into the kernel and the rest becomes the bias. Folded in float64, because the
    quotient of two float32 roundings is the only error this step could add.

    Args:
        weights: the model.
        convolution: name of the convolution, such as "backbone.layer1.0.conv1".
        norm: name of the BatchNorm.

    Returns:
        As many kernels as the BatchNorm has channels: a single kernel that ARM shares between
        two channels comes back twice, each scaled for its channel, ready for a grouped
        convolution.
    """
    factor, shift = _scale_and_shift(weights, norm)
    kernel = weights.array(f"{convolution}.weight")
    return Convolution(kernel * factor[:, None, None, None], shift)


def _scale_and_shift(weights: ModelWeights, norm: str) -> tuple[Float64Array, Float64Array]:
    variance = weights.array(f"{norm}.running_var")
    factor = weights.array(f"{norm}.weight") / np.sqrt(variance + BATCH_NORM_EPSILON)
    shift = weights.array(f"{norm}.bias") - weights.array(f"{norm}.running_mean") * factor
    return factor, shift
