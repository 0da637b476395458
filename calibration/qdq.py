"""Writes Q/DQ pairs into an FP32 graph, in the one form that every TensorRT from 8.6 to 11 reads.

1. Scales are float32, zero points int8 and 0, both always given (8.6 asks for three inputs), and
   the opset stays that of the FP32 model.
2. Activations: one scale per tensor; one pair serves all quantized consumers of the tensor.
3. Weights: FP32 initializer -> QuantizeLinear -> DequantizeLinear, one scale per output channel,
   axis 0. An int8 initializer -> DequantizeLinear would be a quarter of the size, but TensorRT 8
   does not take pre-quantized weights. The FP32 values are stored rounded, q * scale, so that
   every runtime's division and rounding finds the very same q.
4. Biases stay float initializers: TensorRT refuses a bias behind a DequantizeLinear.

Shapes: K output channels of a weight.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from edge_arm.calibration.graph import initializer_names
from edge_arm.calibration.placement import QuantPlan
from edge_arm.calibration.ranges import QMAX
from edge_arm.runtime.errors import CalibrationError

LEAST_OPSET = 13
"""From here on QuantizeLinear knows an axis."""


def int8_graph(
    model: onnx.ModelProto, plan: QuantPlan, amax: Mapping[str, float]
) -> onnx.ModelProto:
    """The graph with Q/DQ pairs.

    Args:
        model: the FP32 graph; it is not changed.
        plan: which edges are quantized.
        amax: range of each quantized activation.

    Returns:
        A new graph with the same inputs, outputs, opset and node names.

    Raises:
        CalibrationError: if the opset is too old, or a weight is not a finite stored constant.
    """
    opset = next(item.version for item in model.opset_import if item.domain in ("", "ai.onnx"))
    if opset < LEAST_OPSET:
        raise CalibrationError(
            f"the FP32 model has opset {opset}, expected at least {LEAST_OPSET} for one scale per "
            "channel; export it again with 'edge-arm export --opset 17'"
        )
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    constants = {item.name: item for item in graph.initializer}
    pairs: dict[int, list[onnx.NodeProto]] = {}
    dequantized: dict[str, str] = {}

    for edge in (*plan.activations, *plan.weights):
        node = graph.node[edge.node]
        name = node.input[edge.input]
        if name not in dequantized:
            if name in constants:  # rule 3
                scale, rounded = rounded_weight(numpy_helper.to_array(constants[name]), name)
                constants[name].CopyFrom(numpy_helper.from_array(rounded, name))
            else:  # rule 2
                scale = np.array(amax[name] / QMAX, np.float32)
            pairs.setdefault(edge.node, []).extend(_pair(graph, name, scale))
            dequantized[name] = f"{name}_dequantized"
        node.input[edge.input] = dequantized[name]

    nodes = list(graph.node)
    del graph.node[:]
    for position, node in enumerate(nodes):
        graph.node.extend(pairs.get(position, []))
        graph.node.append(node)
    onnx.checker.check_model(result, full_check=True)
    return result


def rounded_weight(
    weight: npt.NDArray[np.float32], name: str
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Scale per output channel, and the weight on its int8 grid.

    Args:
        weight: (K, ...) float32.
        name: of the weight, for the message.

    Returns:
        (K,) float32 scales, each greater than 0, and the weight rounded to q * scale with q in
        -127..127.

    Raises:
        CalibrationError: if a weight is NaN or infinite.
    """
    scale = channel_scales(weight, name)
    per_channel = scale.reshape(-1, *[1] * (weight.ndim - 1))
    steps = np.clip(np.rint(weight / per_channel), -QMAX, QMAX)
    return scale, (steps * per_channel).astype(np.float32)


def channel_scales(weight: npt.NDArray[np.float32], name: str) -> npt.NDArray[np.float32]:
    """Scale per output channel: the largest |weight| by 127.

    Args:
        weight: (K, ...) float32.
        name: of the weight, for the message.

    Returns:
        (K,) float32, each greater than 0.

    Raises:
        CalibrationError: if a weight is NaN or infinite.
    """
    if not np.isfinite(weight).all():
        raise CalibrationError(
            f"weight {name!r} has NaN or infinite values, expected numbers; the FP32 model is "
            "broken: train or export it again"
        )
    amax = np.abs(weight).reshape(len(weight), -1).max(axis=1)
    # A channel of zeros has no range, and TensorRT refuses a scale of 0: any other will do.
    scale: npt.NDArray[np.float32] = np.where(
        amax > np.finfo(np.float32).tiny * QMAX, amax / QMAX, 1
    ).astype(np.float32)
    return scale


def _pair(
    graph: onnx.GraphProto, name: str, scale: npt.NDArray[np.float32]
) -> list[onnx.NodeProto]:
    zero = np.zeros(scale.shape, np.int8)  # rule 1
    graph.initializer.append(numpy_helper.from_array(scale, f"{name}_scale"))
    graph.initializer.append(numpy_helper.from_array(zero, f"{name}_zero_point"))
    parameters = [f"{name}_scale", f"{name}_zero_point"]
    steps, real = f"{name}_quantized", f"{name}_dequantized"
    pair = [
        helper.make_node("QuantizeLinear", [name, *parameters], [steps], f"{name}_QuantizeLinear"),
        helper.make_node(
            "DequantizeLinear", [steps, *parameters], [real], f"{name}_DequantizeLinear"
        ),
    ]
    if scale.ndim:
        for node in pair:
            node.attribute.append(helper.make_attribute("axis", 0))
    return pair


def weight_bytes(model: onnx.ModelProto, plan: QuantPlan, *, float_bytes: int = 4) -> int:
    """Bytes that the weights of an engine built from this graph need: 1 each in int8.

    The ONNX file itself stores every weight in FP32 (rule 3), so its size says nothing.

    Args:
        model: the FP32 graph.
        plan: which weights are int8.
        float_bytes: of each of the others.
    """
    quantized = {model.graph.node[edge.node].input[edge.input] for edge in plan.weights}
    assert quantized <= initializer_names(model)
    return sum(
        int(np.prod(item.dims)) * (1 if item.name in quantized else float_bytes)
        for item in model.graph.initializer
    )
