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

    Q/DQ pairs and Casts are looked through, so that an Add is found whichever of its inputs are
    quantized. ARM's own Add (mean + alpha * generic) is none: it has a constant input.
    """
    return [add for add, _ in _residual_ends(model)]


def head_nodes(model: onnx.ModelProto) -> frozenset[int]:
    """Positions of the nodes after the last residual block: ARM, or pooling, and the classifier.

    Raises:
        CalibrationError: if the graph has no residual block.
    """
    ends = _residual_ends(model)
    if not ends:
        raise CalibrationError(
            f"the model {model.graph.name!r} has no residual block (Conv and a skip into Add and "
            "Relu), expected a ResNet-18 as 'edge-arm export' writes it; export it again"
        )
    _, relu = max(ends)
    return _descendants(model, model.graph.node[relu].output)


def _residual_ends(model: onnx.ModelProto) -> list[tuple[int, int]]:
    # Position of each residual Add with that of its Relu.
    made_by = producers(model)
    nodes = model.graph.node

    def origin(name: str, *seen_through: str) -> int:
        position = made_by[name]
        while nodes[position].op_type in seen_through and nodes[position].input[0] in made_by:
            position = made_by[nodes[position].input[0]]
        return position

    relus = {
        origin(node.input[0], "Cast"): position
        for position, node in enumerate(nodes)
        if node.op_type == "Relu" and node.input[0] in made_by
    }
    found = []
    for position, node in enumerate(nodes):
        if node.op_type != "Add" or not all(name in made_by for name in node.input):
            continue
        origins = [
            nodes[origin(name, "QuantizeLinear", "DequantizeLinear", "Cast")].op_type
            for name in node.input
        ]
        if "Conv" in origins and position in relus:
            found.append((position, relus[position]))
    return found


def input_stage(model: onnx.ModelProto) -> frozenset[int]:
    """Positions of the nodes before the first weighted operator: from pixels to its input."""
    # ONNX graphs are sorted: a node comes after all that feed it.
    behind: set[str] = set()
    found = []
    for position, node in enumerate(model.graph.node):
        if node.op_type in WEIGHTED or behind.intersection(node.input):
            behind.update(node.output)
        else:
            found.append(position)
    return frozenset(found)


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
