"""Where Q/DQ pairs go, from the graph's structure alone: Model Optimizer's placement without it.

Importing and running Model Optimizer costs hundreds of megabytes and seconds, and what it says of a
ResNet follows from few rules. `plan_from_modelopt` is the reference: tests hold this plan against
its plan, edge for edge. The rules are NVIDIA's (TensorRT's developer guide, "Q/DQ Layer-Placement
Recommendations", and what Model Optimizer 0.47 makes of them):

1. Every Conv outside the head gets a pair on its activation and on its weight.
2. Every residual Add gets a pair on its skip. The other input comes from the Conv that TensorRT
   fuses the Add into; where both come from a Conv (the skip has a downsampling one), it is the
   input that is more steps away from where the branches part, and the second if none is.
3. A MaxPool gets a pair on its input if a node of rule 1 or 2 reads its output or makes its input.
4. A tensor has one pair, and all that read the tensor read the pair: the Relu of a block that is
   activated first too. The one exception is the other input in rule 2.
5. The head stays in float.

They say nothing about other operators, nor about a Conv with so few channels that Model Optimizer
leaves it in float, so such graphs are refused.
"""

from __future__ import annotations

from collections.abc import Iterator

import onnx

from edge_arm.calibration.graph import (
    WEIGHTED,
    Edge,
    head_nodes,
    initializer_names,
    input_stage,
    producers,
    refuse_quantized,
    residual_adds,
)
from edge_arm.calibration.placement import HEAD_IN_FLOAT, QuantPlan
from edge_arm.runtime.errors import CalibrationError

_BACKBONE = frozenset({"Add", "Conv", "MaxPool", "Relu"})
_CONSTANT_ARITHMETIC = frozenset({"Add", "Div", "Mul", "Sub"})
_INPUT_STAGE = _CONSTANT_ARITHMETIC | {"Cast", "Transpose"}
_FEW_CHANNELS = 16
_CHANNEL_GROUP = 8
"""Model Optimizer's limits for a Conv that int8 makes faster: below 16 channels in or out, one of
the two numbers must be a multiple of 8 and one at least 16, and the kernel square."""


def plan_from_structure(model: onnx.ModelProto) -> QuantPlan:
    """Where Model Optimizer would quantize, by the rules above.

    Args:
        model: the FP32 graph; it is not changed.

    Returns:
        The plan, in terms of positions in `model`.

    Raises:
        CalibrationError: if the model is quantized already, has no residual block, or has what
            the rules do not cover.
    """
    refuse_quantized(model)
    head = head_nodes(model)
    _refuse_unknown(model, head)
    nodes = model.graph.node
    made_by = producers(model)
    convs = [
        position
        for position, node in enumerate(nodes)
        if node.op_type == "Conv" and position not in head
    ]
    fused = {Edge(add, _fused_input(model, made_by, add)) for add in residual_adds(model)}
    computing = {*convs, *(edge.node for edge in fused)}
    tensors = {nodes[conv].input[0] for conv in convs}  # rule 1
    tensors |= {nodes[edge.node].input[1 - edge.input] for edge in fused}  # rule 2
    for position, node in enumerate(nodes):  # rule 3
        if node.op_type == "MaxPool" and position not in head:
            beside = {*_readers(model, node.output[0]), made_by.get(node.input[0])}
            if computing & beside:
                tensors.add(node.input[0])
    _refuse_shared(model, tensors, head, fused)
    return QuantPlan(
        activations=tuple(  # rule 4
            edge
            for position, node in enumerate(nodes)
            for place, name in enumerate(node.input)
            if name in tensors and (edge := Edge(position, place)) not in fused
        ),
        weights=tuple(Edge(conv, 1) for conv in convs),
        float_nodes={  # rule 5
            node.name: HEAD_IN_FLOAT
            for position, node in enumerate(nodes)
            if node.op_type in WEIGHTED and position in head
        },
    )


def _fused_input(model: onnx.ModelProto, made_by: dict[str, int], add: int) -> int:
    # Which input of a residual Add comes from the Conv that it is fused into: rule 2.
    node = model.graph.node[add]
    branches = [list(_upstream(model, made_by, name)) for name in node.input]
    first, second = branches
    met = next((position for position in first if position in second), None)
    convs = [_activated_conv(model, branch) for branch in branches]
    if met is None or met in convs or convs[0] == convs[1]:
        raise _unknown(node, "does not end two branches from one tensor")
    if None in convs:
        return convs.index(None) ^ 1
    return 0 if first.index(met) > second.index(met) else 1


def _upstream(model: onnx.ModelProto, made_by: dict[str, int], tensor: str) -> Iterator[int]:
    # The nodes that a tensor comes from, nearest first, up to one with two of its inputs computed.
    while tensor in made_by:
        position = made_by[tensor]
        yield position
        computed = [name for name in model.graph.node[position].input if name in made_by]
        if len(computed) != 1:
            return
        (tensor,) = computed


def _activated_conv(model: onnx.ModelProto, branch: list[int]) -> int | None:
    # The Conv that ends a branch, with a Relu behind it or without.
    for position in branch:
        operator = model.graph.node[position].op_type
        if operator != "Relu" or position != branch[0]:
            return position if operator == "Conv" else None
    return None


def _readers(model: onnx.ModelProto, tensor: str) -> list[int]:
    return [position for position, node in enumerate(model.graph.node) if tensor in node.input]


def _refuse_unknown(model: onnx.ModelProto, head: frozenset[int]) -> None:
    nodes = model.graph.node
    constants = initializer_names(model)
    stage = input_stage(model)
    adds = set(residual_adds(model))
    for position, node in enumerate(nodes):
        if position in head:
            continue
        if position in stage:
            constant = bool(constants.intersection(node.input))
            if node.op_type not in _INPUT_STAGE or (
                node.op_type in _CONSTANT_ARITHMETIC and not constant
            ):
                raise _unknown(node, "stands before the first Conv")
        elif node.op_type not in _BACKBONE:
            raise _unknown(node, "stands between the first Conv and the head")
        elif node.op_type == "Add" and position not in adds:
            raise _unknown(node, "ends no residual block (a Conv and a skip, then Relu)")
        elif node.op_type == "Conv":
            _refuse_conv(model, node, constants)


def _refuse_conv(model: onnx.ModelProto, node: onnx.NodeProto, constants: frozenset[str]) -> None:
    if not constants.issuperset(node.input[1:]) or node.input[0] in constants:
        raise _unknown(node, "has no stored weight and bias")
    dims = next(item.dims for item in model.graph.initializer if item.name == node.input[1])
    attributes = {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}
    outside, inside = dims[0], dims[1]
    kernel = attributes.get("kernel_shape", [1, 1])
    by_eight = outside % _CHANNEL_GROUP == 0
    if attributes.get("group", 1) > 1:
        # A grouped Conv stores the channels of one group.
        fast = by_eight and min(kernel) >= 3
    else:
        fast = (
            (by_eight or inside % _CHANNEL_GROUP == 0)
            and max(outside, inside) >= _FEW_CHANNELS
            and len(set(kernel)) == 1
        )
    if min(outside, inside) < _FEW_CHANNELS and not fast:
        raise _unknown(
            node,
            f"has a weight of shape {list(dims)}, which is too narrow to be faster in int8",
        )


def _refuse_shared(
    model: onnx.ModelProto, tensors: set[str], head: frozenset[int], fused: set[Edge]
) -> None:
    # Where rule 4 has limits: Model Optimizer moves or drops pairs at such places.
    nodes = model.graph.node
    outputs = {item.name for item in model.graph.output}
    fused_tensors = {nodes[edge.node].input[edge.input] for edge in fused}
    for position, node in enumerate(nodes):
        if position in head:
            if tensors.intersection(node.input):
                raise _unknown(node, "is in the head and reads a tensor of the blocks")
            continue
        if outputs.intersection(node.output):
            raise _unknown(node, "makes an output of the model outside the head")
        readers = _readers(model, node.output[0])
        if not readers:
            raise _unknown(node, "makes what no node reads")
        if len(readers) > 1 and fused_tensors.intersection(node.output):
            raise _unknown(node, "is read by a residual Add and by another node")


def _unknown(node: onnx.NodeProto, what: str) -> CalibrationError:
    return CalibrationError(
        f"node {node.name!r} ({node.op_type}) {what}, and where Q/DQ belongs there is not known, "
        "expected a ResNet as 'edge-arm export' writes it: arithmetic with constants, then Conv, "
        "Relu, MaxPool and residual Add, then the head; export the model again"
    )
