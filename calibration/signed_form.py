"""Reads a signed INT8 graph back: the float graph in it, and what its Q/DQ pairs say.

The form for CPUs is made from the finished file, so that whatever chose its ranges and rounded its
weights need not be known here.

Shapes: K output channels of a weight.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, numpy_helper

from edge_arm.calibration.graph import Edge, producers
from edge_arm.calibration.ranges import QMAX
from edge_arm.runtime.errors import CalibrationError


@dataclass(frozen=True, eq=False)
class WeightSteps:
    """An int8 weight.

    Attributes:
        steps: (K, ...) int8.
        scale: (K,) float32, of each output channel.
    """

    steps: npt.NDArray[np.int8]
    scale: npt.NDArray[np.float32]

    def real(self) -> npt.NDArray[np.float64]:
        """(K, ...) float64: what the steps stand for."""
        per_channel = self.scale.astype(np.float64).reshape(-1, *[1] * (self.steps.ndim - 1))
        values: npt.NDArray[np.float64] = self.steps * per_channel
        return values


@dataclass(frozen=True, eq=False)
class SignedForm:
    """A signed INT8 graph, taken apart.

    Attributes:
        nodes: without Q/DQ, in order; each input is the float tensor or the weight itself.
        scales: of each quantized activation, by tensor.
        weights: int8 values of each quantized weight, by initializer.
        activations: edges of `nodes` that read a quantized activation.
        weight_edges: edges of `nodes` that read a quantized weight.
    """

    nodes: tuple[onnx.NodeProto, ...]
    scales: dict[str, float]
    weights: dict[str, WeightSteps]
    activations: frozenset[Edge]
    weight_edges: frozenset[Edge]

    def in_int8(self, position: int) -> bool:
        """Whether a node has both its input and its weight in int8."""
        return Edge(position, 0) in self.activations and Edge(position, 1) in self.weight_edges


def signed_form(model: onnx.ModelProto) -> SignedForm:
    """Take a signed INT8 graph apart.

    Args:
        model: as qdq.py writes it; it is not changed.

    Raises:
        CalibrationError: if it has no Q/DQ pairs, or one that is not symmetric int8.
    """
    stored = {item.name: item for item in model.graph.initializer}
    made_by = producers(model)
    of_output: dict[str, str] = {}  # of a DequantizeLinear: what it stands for
    scales: dict[str, float] = {}
    weights: dict[str, WeightSteps] = {}
    for node in model.graph.node:
        if node.op_type != "DequantizeLinear":
            continue
        scale = _scale(node, stored)
        source = node.input[0]
        if source in made_by:
            source = model.graph.node[made_by[source]].input[0]
        of_output[node.output[0]] = source
        if source in stored:
            weights[source] = _steps(numpy_helper.to_array(stored[source]), scale)
        else:
            scales[source] = float(scale)
    if not scales or not weights:
        raise CalibrationError(
            f"the INT8 model {model.graph.name!r} has {len(weights)} quantized weights and "
            f"{len(scales)} quantized activations, expected some of each; calibrate again with "
            "'edge-arm calibrate'"
        )
    nodes: list[onnx.NodeProto] = []
    activations: set[Edge] = set()
    weight_edges: set[Edge] = set()
    for original in model.graph.node:
        if original.op_type in ("QuantizeLinear", "DequantizeLinear"):
            continue
        node = onnx.NodeProto()
        node.CopyFrom(original)
        for place, name in enumerate(original.input):
            if name in of_output:
                node.input[place] = of_output[name]
                edges = weight_edges if of_output[name] in stored else activations
                edges.add(Edge(len(nodes), place))
        nodes.append(node)
    return SignedForm(
        tuple(nodes), scales, weights, frozenset(activations), frozenset(weight_edges)
    )


def _scale(node: onnx.NodeProto, stored: dict[str, onnx.TensorProto]) -> npt.NDArray[np.float32]:
    parameters = [stored[name] for name in node.input[1:] if name in stored]
    if (
        len(parameters) != 2
        or parameters[0].data_type != TensorProto.FLOAT
        or parameters[1].data_type != TensorProto.INT8
        or numpy_helper.to_array(parameters[1]).any()
    ):
        raise CalibrationError(
            f"node {node.name!r} is not symmetric int8 with a float32 scale, expected the INT8 "
            "model that 'edge-arm calibrate' writes for TensorRT; calibrate again"
        )
    scale: npt.NDArray[np.float32] = numpy_helper.to_array(parameters[0])
    return scale


def _steps(
    weight: npt.NDArray[np.float32] | npt.NDArray[np.int8], scale: npt.NDArray[np.float32]
) -> WeightSteps:
    if weight.dtype == np.int8:
        return WeightSteps(weight.astype(np.int8), scale)
    per_channel = scale.reshape(-1, *[1] * (weight.ndim - 1))
    steps = np.clip(np.rint(weight / per_channel), -QMAX, QMAX).astype(np.int8)
    return WeightSteps(steps, scale)
