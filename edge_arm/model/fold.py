"""The whole head as one convolution, exactly.

With the shared part stored, everything behind layer4 is affine, so it is a convolution from 512
channels to the classes whose kernel covers the features. ARM then costs nothing at inference.

    unique = 1/2 * sum_m ( s_m * (k conv A_m) + t_m )      s_m = gamma_m / sqrt(var_m + eps)
    logits = W (unique + alpha * generic) + b              t_m = beta_m - mean_m * s_m

W applied to `k conv A` is the transposed convolution of W's rows with k, applied to A; and A is a
rearrangement of the features, which is undone on the kernel.

Shapes: C classes, h features' size, g grid of ARM, m the two maps.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from edge_arm.model.arm import MAPS, STRIDE, UPSCALE, Arm
from edge_arm.model.config import FEATURE_CHANNELS
from edge_arm.model.fer_model import FerModel

Float64Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class FoldedHead:
    """A convolution without padding that does what the head does.

    Attributes:
        weight: (C, 512, h, h) float64.
        bias: (C,) float64.
    """

    weight: Float64Array
    bias: Float64Array


def folded_head(model: FerModel) -> FoldedHead:
    """Fold ARM or pooling, and the linear layer, into one convolution.

    Computed in float64, because the transposed convolution adds up to a thousand terms; the
    caller rounds once, at the end.

    Args:
        model: with ARM or pooling; its evaluation behaviour is folded, whatever mode it is in.
    """
    assert model.partial is None, "the export has refused the heads of the ablation"
    size = model.config.feature_size
    classes = model.config.num_classes
    with torch.no_grad():
        fc_weight = model.fc.weight.double().cpu()
        fc_bias = model.fc.bias.double().cpu()
        if model.arm is None:
            kernel = fc_weight[:, :, None, None].expand(classes, FEATURE_CHANNELS, size, size)
            return FoldedHead((kernel / size**2).numpy(), fc_bias.numpy())
        weight, bias = _fold_arm(model.arm, fc_weight, fc_bias)
    return FoldedHead(weight.numpy(), bias.numpy())


def _fold_arm(arm: Arm, fc_weight: Tensor, fc_bias: Tensor) -> tuple[Tensor, Tensor]:
    statistics = arm.bn
    assert statistics.running_mean is not None and statistics.running_var is not None
    scale = statistics.weight.double().cpu() / torch.sqrt(
        statistics.running_var.double().cpu() + statistics.eps
    )  # (2,)
    shift = statistics.bias.double().cpu() - statistics.running_mean.double().cpu() * scale
    rows = fc_weight.reshape(-1, 1, arm.grid, arm.grid)  # (C, 1, g, g)
    # Every pixel of A is reached, because 16h - 32 is a multiple of the stride.
    on_maps = F.conv_transpose2d(
        rows, arm.de_albino.weight.double().cpu(), stride=STRIDE
    )  # (C, 1, 16h, 16h)
    weight = F.pixel_unshuffle(on_maps * scale[:, None, None] / MAPS, UPSCALE)  # (C, 512, h, h)
    constant = scale.new_full((arm.grid, arm.grid), float(shift.mean()))
    constant = constant + arm.alpha.double().cpu() * arm.generic.double().cpu()
    return weight, fc_bias + fc_weight @ constant.flatten()
