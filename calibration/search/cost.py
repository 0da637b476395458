"""What a layer in FP16 costs in time: an estimate from its work and its traffic.

Nobody knows before `edge-arm build` how long a layer takes on a device. What can be said from the
graph: a layer multiplies and adds so often, and moves its weights, inputs and outputs once each. In
FP16 both take twice as long as in int8: half the rate of the tensor cores, two bytes for one.

    time of a layer at batch 1  ~  max(multiply-adds / rate, bytes / bandwidth)  (the roofline)

Rate by bandwidth is that of a Jetson Orin Nano 8 GB, from its data sheet: 20 TOPS dense int8, which
are 10^13 multiply-adds a second, and 68 GB/s. Other devices weigh layers a little differently.
Left out: launches, the conversions between int8 and FP16 layers, and all but the weighted nodes.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper

from edge_arm.calibration.graph import WEIGHTED, initializer_names
from edge_arm.calibration.search.cuts import Cuts

MULTIPLY_ADDS_PER_BYTE = 1e13 / 68e9
"""What an Orin Nano computes in int8 in the time in which it moves a byte."""

FP16_FACTOR = 2
"""FP16 by int8, of rate and of bytes alike."""


@dataclass(frozen=True)
class LayerCost:
    """Work of one weighted node for one face.

    Attributes:
        name: of the node.
        multiply_adds: how many.
        elements: weights, inputs and outputs, each moved once; as many bytes in int8.
    """

    name: str
    multiply_adds: int
    elements: int

    @property
    def int8_time(self) -> float:
        """In the time that one byte takes."""
        return max(self.multiply_adds / MULTIPLY_ADDS_PER_BYTE, float(self.elements))


def layer_costs(model: onnx.ModelProto) -> tuple[LayerCost, ...]:
    """The work of every weighted node, the head's included, in graph order.

    A node does (elements of its output) x (elements of the weight behind one of them)
    multiply-adds: C / group * kh * kw for a Conv, the inner dimension for a Gemm or MatMul. For a
    ConvTranspose inputs and outputs change places.

    Args:
        model: the FP32 graph.

    Raises:
        CalibrationError: if a tensor's shape cannot be told.
    """
    cuts = Cuts(model)
    stored = initializer_names(model)
    dims = {item.name: tuple(item.dims) for item in model.graph.initializer}
    found = []
    for node in model.graph.node:
        weights = [name for name in node.input[1:2] if name in stored]
        if node.op_type not in WEIGHTED or not weights:
            continue
        shape = dims[weights[0]]
        inputs, outputs = (cuts.tensor_elements(name) for name in (node.input[0], node.output[0]))
        turned = node.op_type == "ConvTranspose"
        behind_one = int(np.prod(shape)) // shape[0 if turned else _output_axis(node)]
        found.append(
            LayerCost(
                name=node.name,
                multiply_adds=(inputs if turned else outputs) * behind_one,
                elements=int(np.prod(shape)) + inputs + outputs,
            )
        )
    return tuple(found)


def relative_latency(
    costs: Collection[LayerCost], *, int8_layers: Collection[str], in_float: Collection[str]
) -> float:
    """Estimated time by that of the graph with all its layers in int8.

    Args:
        costs: of all weighted nodes.
        int8_layers: names of those that the full plan has in int8; the others are FP16 anyway.
        in_float: names of those of them that are in FP16 now.
    """

    def total(fast: Collection[str]) -> float:
        return sum(cost.int8_time * (1 if cost.name in fast else FP16_FACTOR) for cost in costs)

    return total([name for name in int8_layers if name not in in_float]) / total(int8_layers)


def _output_axis(node: onnx.NodeProto) -> int:
    """The dimension of the weight that counts outputs."""
    if node.op_type == "MatMul":
        return 1
    values = {item.name: helper.get_attribute_value(item) for item in node.attribute}
    return 0 if node.op_type == "Conv" or values.get("transB", 0) else 1
