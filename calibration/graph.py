"""What calibration needs to know about a graph: who feeds whom, the residual Adds, the head.

Everything is read from the structure. Node names come from the exporter and change with it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import onnx

from edge_arm.runtime.errors import CalibrationError

WEIGHTED = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
"""Operators with weights, the ones that int8 makes faster."""

QUANTIZED = frozenset(
    {"QuantizeLinear", "DequantizeLinear", "QLinearConv", "QLinearMatMul", "ConvInteger"}
    | {"MatMulInteger", "DynamicQuantizeLinear"}
)


@dataclass(frozen=True)
class Edge:
    """One input of one node.

    Attributes:
        node: position of the node in the graph.
        input: position among its inputs.
    """

    node: int
    input: int


def producers(model: onnx.ModelProto) -> dict[str, int]:
    """Position of the node that makes each tensor; graph inputs and initializers are not in it."""
    return {
        output: position
        for position, node in enumerate(model.graph.node)
        for output in node.output
        if output
    }


def initializer_names(model: onnx.ModelProto) -> frozenset[str]:
    """Names of the weights and other constants that are stored in the graph."""
    return frozenset(item.name for item in model.graph.initializer)


def residual_adds(model: onnx.ModelProto) -> list[int]:
    """Positions of the Adds that end a residual block: Conv + anything but a constant -> Relu.

    Q/DQ pairs are looked through, so that an Add is found whichever of its inputs are quantized.
    ARM's own Add (mean + alpha * generic) is none: it has a constant input.
    """
    made_by = producers(model)

    def origin(name: str) -> str:
        node = model.graph.node[made_by[name]]
        while node.op_type in ("QuantizeLinear", "DequantizeLinear") and node.input[0] in made_by:
            node = model.graph.node[made_by[node.input[0]]]
        return str(node.op_type)

    feeds_relu = {
        name for node in model.graph.node if node.op_type == "Relu" for name in node.input
    }
    found = []
    for position, node in enumerate(model.graph.node):
        if node.op_type != "Add" or not all(name in made_by for name in node.input):
            continue
        if "Conv" in [origin(name) for name in node.input] and node.output[0] in feeds_relu:
            found.append(position)
    return found


def head_nodes(model: onnx.ModelProto) -> frozenset[int]:
    """Positions of the nodes after the last residual block: ARM, or pooling, and the classifier.

    Raises:
        CalibrationError: if the graph has no residual block.
    """
    adds = residual_adds(model)
    if not adds:
        raise CalibrationError(
            f"the model {model.graph.name!r} has no residual block (Conv and a skip into Add and "
            "Relu), expected a ResNet-18 as 'edge-arm export' writes it; export it again"
        )
    (end,) = (
        position
        for position, node in enumerate(model.graph.node)
        if node.op_type == "Relu" and node.input[0] == model.graph.node[max(adds)].output[0]
    )
    return _descendants(model, model.graph.node[end].output)


def refuse_quantized(model: onnx.ModelProto) -> None:
    """Refuse a graph that has been quantized before.

    Raises:
        CalibrationError: naming the first node that says so.
    """
    for node in model.graph.node:
        if node.op_type in QUANTIZED:
            raise CalibrationError(
                f"the FP32 model is already quantized (node {node.name!r} is a {node.op_type}), "
                "expected a float model; export it again with 'edge-arm export'"
            )


def _descendants(model: onnx.ModelProto, tensors: Iterable[str]) -> frozenset[int]:
    # ONNX graphs are sorted: a node comes after all that feed it.
    reached, found = set(tensors), set()
    for position, node in enumerate(model.graph.node):
        if reached.intersection(node.input):
            found.add(position)
            reached.update(node.output)
    return frozenset(found)
