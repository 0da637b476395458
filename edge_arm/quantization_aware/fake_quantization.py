"""Rounding to int8 and back while training, in NVIDIA Model Optimizer's quantizers.

Model Optimizer's `TensorQuantizer` holds and calibrates a range; the arithmetic is registered with
it as a backend of our own, for three reasons. It rounds as ONNX's QuantizeLinear does (a division
by the scale, -128..127), so the trained network and the exported file agree to the step. The range
can learn. And Model Optimizer's own needs a CUDA compiler and minutes on a GPU, and prints to
stdout, where our results go.

With scale s = amax / 127 and r = x / s (Esser et al. 2020, Learned Step Size Quantization):

    y       = s * clip(round(r), -128, 127)
    dy/dx   = 1 inside the range, 0 outside             (round passes gradients straight through)
    dy/ds   = round(r) - r inside, -128 or 127 outside

Shapes: K output channels of a weight.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any

import torch
from torch import Tensor, nn

from edge_arm.runtime.errors import UsageError

QMIN, QMAX = -128, 127
_BACKEND = "edge_arm"


class _RoundedToSteps(torch.autograd.Function):
    """The formula above; `scale` is broadcast against `x`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor) -> Tensor:
        ctx.save_for_backward(x, scale)
        return (x / scale).round_().clamp_(QMIN, QMAX).mul_(scale)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor | None]:
        x, scale = ctx.saved_tensors
        (gradient,) = gradients
        ratio = x / scale
        inside = (ratio >= QMIN) & (ratio <= QMAX)
        to_scale = None
        if ctx.needs_input_grad[1]:
            by_step = torch.where(inside, ratio.round() - ratio, ratio.clamp(QMIN, QMAX))
            to_scale = (by_step * gradient).sum().reshape(scale.shape)
        return gradient * inside, to_scale


def activation_quantizer() -> Any:
    """A quantizer with one range for a tensor, not calibrated yet.

    Raises:
        UsageError: if Model Optimizer is not installed.
    """
    return _quantizer(axis=None)


def weight_quantizer() -> Any:
    """A quantizer with one range per output channel, the largest |weight| of each call.

    It keeps nothing, so one serves all weights; the export takes the same ranges from the final
    weights.

    Raises:
        UsageError: if Model Optimizer is not installed.
    """
    return _quantizer(axis=0)


def learn_range(quantizer: Any, amax: float) -> nn.Parameter:
    """Give an activation's quantizer a range that an optimizer can change.

    Args:
        quantizer: changed in place; quantizes from now on.
        amax: to start with, greater than 0.

    Returns:
        The range, () float32.
    """
    quantizer.reset_amax()  # a buffer, which would stand in the parameter's place
    parameter = nn.Parameter(torch.tensor(amax, dtype=torch.float32))
    quantizer.register_parameter("_amax", parameter)
    quantizer.disable_calib()
    quantizer.enable_quant()
    return parameter


def _quantizer(axis: int | None) -> Any:
    with _quiet():
        try:
            from modelopt.torch.quantization.config import QuantizerAttributeConfig
            from modelopt.torch.quantization.nn import (
                TensorQuantizer,
                is_registered_quant_backend,
                register_quant_backend,
            )
        except ImportError as error:
            raise UsageError(
                "the PyTorch part of NVIDIA Model Optimizer cannot be imported "
                f"({error}), expected nvidia-modelopt with all that it needs; run: "
                "pip install 'edge-arm[workstation]'"
            ) from error
        if not is_registered_quant_backend(_BACKEND):
            register_quant_backend(_BACKEND, _rounded)
        return TensorQuantizer(QuantizerAttributeConfig(num_bits=8, axis=axis, backend=_BACKEND))


def _rounded(inputs: Tensor, quantizer: Any) -> Tensor:
    amax = quantizer.amax
    if amax is None:
        amax = inputs.detach().abs().amax(dim=tuple(range(1, inputs.ndim)), keepdim=True)
        # A channel of zeros has no range; any other scale keeps it 0.
        amax = torch.where(amax > torch.finfo(torch.float32).tiny * QMAX, amax, float(QMAX))
    rounded: Tensor = _RoundedToSteps.apply(inputs, amax / QMAX)  # type: ignore[no-untyped-call]
    return rounded


@contextmanager
def _quiet() -> Iterator[None]:
    # Its import warns about other packages' versions and may print.
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
