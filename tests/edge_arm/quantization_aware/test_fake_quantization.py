"""Rounding against ONNX Runtime, against Model Optimizer's own, and gradients by hand."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from edge_arm.quantization_aware.fake_quantization import (
    activation_quantizer,
    learn_range,
    weight_quantizer,
)
from edge_arm.runtime.errors import UsageError


def _by_onnx_runtime(x: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """QuantizeLinear and DequantizeLinear with int8 zero points of 0, one scale or one per row."""
    zero = np.zeros(scale.shape, np.int8)
    constants = [numpy_helper.from_array(scale, "s"), numpy_helper.from_array(zero, "z")]
    axis = {"axis": 0} if scale.ndim else {}
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"], **axis),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"], **axis),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, x.shape) for name in "xy"]
    graph = helper.make_graph(nodes, "rounding", ends[:1], ends[1:], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (y,) = session.run(None, {"x": x})
    return np.asarray(y)


def _rounded(quantizer: Any, x: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return np.asarray(quantizer(torch.from_numpy(x)).numpy())


def test_an_activation_is_rounded_exactly_as_onnx_runtime_does() -> None:
    x = np.random.default_rng(0).normal(0, 3, (4, 5, 6, 7)).astype(np.float32)
    x[0, 0, 0, :3] = (-100, 100, 0)  # beyond the range: steps -128 and 127
    quantizer = activation_quantizer()
    learn_range(quantizer, 5.0)
    scale = np.array(5.0 / 127, np.float32)
    np.testing.assert_array_equal(_rounded(quantizer, x), _by_onnx_runtime(x, scale))


def test_a_weight_has_a_scale_per_output_channel_and_a_channel_of_zeros_stays_zero() -> None:
    w = np.random.default_rng(1).normal(0, 1, (6, 3, 3, 3)).astype(np.float32)
    w *= np.array([1, 0, 1e-3, 10, 1, 1], np.float32)[:, None, None, None]
    largest = np.abs(w).max(axis=(1, 2, 3))
    scale = (np.where(largest > 0, largest, 127) / np.float32(127)).astype(np.float32)
    np.testing.assert_array_equal(_rounded(weight_quantizer(), w), _by_onnx_runtime(w, scale))


def test_it_is_model_optimizers_own_rounding_but_for_ties() -> None:
    from modelopt.torch.quantization.config import QuantizerAttributeConfig
    from modelopt.torch.quantization.nn import TensorQuantizer

    x = np.random.default_rng(2).normal(0, 2, (8, 64)).astype(np.float32)
    theirs = TensorQuantizer(QuantizerAttributeConfig(num_bits=8, axis=None), amax=4.0)
    ours = activation_quantizer()
    learn_range(ours, 4.0)
    apart = np.abs(_rounded(ours, x) - _rounded(theirs, x))
    # They multiply by 127 / amax and we divide by amax / 127: a value between two steps to seven
    # digits may go to either.
    assert apart.max() <= 4.0 / 127 * 1.001
    assert (apart > 1e-6).mean() < 0.01


def test_gradients_are_those_of_learned_step_sizes() -> None:
    quantizer = activation_quantizer()
    amax = learn_range(quantizer, 127.0)  # a scale of 1
    x = torch.tensor([0.25, 0.75, -3.5, 200.0, -200.0], requires_grad=True)
    quantizer(x).sum().backward()
    assert x.grad is not None and amax.grad is not None
    assert x.grad.tolist() == [1, 1, 1, 0, 0]
    # By hand: round(x) - x is -0.25, 0.25, -0.5 (to the even -4); outside 127 and -128.
    # Of the scale -1.5, and the range has 1 / 127 of that.
    assert amax.grad.item() == pytest.approx(-1.5 / 127, rel=1e-6)


def test_a_weight_passes_its_gradient_on() -> None:
    w = torch.randn(4, 3, 3, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    weight_quantizer()(w).sum().backward()
    assert w.grad is not None
    assert bool((w.grad == 1).all())


def test_without_model_optimizers_pytorch_part_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "modelopt.torch.quantization.config", None)
    with pytest.raises(UsageError, match=r"PyTorch part of NVIDIA Model Optimizer.*workstation"):
        weight_quantizer()
