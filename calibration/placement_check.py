"""Proves on the finished graph that Q/DQ is where TensorRT wants it.

The rules are NVIDIA's (developer guide, "Q/DQ Layer-Placement Recommendations"), and each of them
has cost somebody a slow or refused engine. They are checked on the file and not on the plan, so
that whatever placed the pairs is checked too.

1. Every Conv but the head's reads a DequantizeLinear on its activation and on its weight, the
   first Conv included; a Conv that is kept in float on purpose reads none.
2. Of each residual Add exactly one input is a DequantizeLinear, the skip: quantizing both breaks
   the fusion of Conv and Add. None is where the Conv that it is fused into is kept in float: the
   fused layer reads all its inputs in one precision.
3. The head has none.
4. Zero points are int8 and 0, scales float32, finite and greater than 0.
5. No bias is behind a DequantizeLinear.
6. The uint8 input goes straight into Casts: TensorRT takes uint8 nowhere else.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from edge_arm.calibration.graph import head_nodes, producers, residual_adds
from edge_arm.runtime.errors import CalibrationError

_TYPE_NAMES = {int(TensorProto.FLOAT): "float32", int(TensorProto.FLOAT16): "float16"}


def check_placement(model: onnx.ModelProto, *, kept_float: Collection[str] = ()) -> None:
    """Refuse a quantized graph that breaks one of the rules above.

    Args:
        model: with Q/DQ pairs.
        kept_float: names of the Convs that are in float on purpose.

    Raises:
        CalibrationError: naming the node and the rule.
    """
    check_pairs(model, kept_float=kept_float)
    check_parameters(model, frozenset({TensorProto.FLOAT}))


def check_pairs(model: onnx.ModelProto, *, kept_float: Collection[str] = ()) -> None:
    """Rules 1, 2, 3, 5 and 6: where pairs are, whatever their types.

    Args:
        model: with Q/DQ pairs.
        kept_float: names of the Convs that are in float on purpose.

    Raises:
        CalibrationError: naming the node and the rule.
    """
    made_by = producers(model)
    nodes = model.graph.node
    head = head_nodes(model)

    def dequantized(node: onnx.NodeProto) -> list[bool]:
        return [
            name in made_by and nodes[made_by[name]].op_type == "DequantizeLinear"
            for name in node.input
        ]

    for position, node in enumerate(nodes):
        behind = dequantized(node)
        if position in head:
            if any(behind):  # rule 3
                raise broken(node, "is in the head and has a quantized input", "float there")
        elif node.op_type == "Conv" and node.name in kept_float:
            if any(behind):  # rule 1
                raise broken(node, "is kept in float and has a quantized input", "float inputs")
        elif node.op_type == "Conv":
            if not all(behind[:2]):  # rule 1
                raise broken(
                    node,
                    f"has DequantizeLinear on {sum(behind[:2])} of activation and weight",
                    "on both",
                )
            if any(behind[2:]):  # rule 5
                raise broken(node, "has a quantized bias", "a float bias")
    for position in residual_adds(model):
        behind = dequantized(nodes[position])
        plain = [
            name
            for name, is_behind in zip(nodes[position].input, behind, strict=True)
            if not is_behind
        ]
        in_float = kept_float and any(_maker(model, made_by, name) in kept_float for name in plain)
        if sum(behind) != (0 if in_float else 1):  # rule 2
            raise broken(
                nodes[position],
                f"has {sum(behind)} quantized inputs",
                "none, because its Conv is in float" if in_float else "the skip branch alone",
            )
    _check_input(model)


def check_parameters(model: onnx.ModelProto, scale_types: Collection[int]) -> None:
    """Rule 4: scales and zero points.

    Args:
        model: with Q/DQ pairs.
        scale_types: element types that a scale may have.

    Raises:
        CalibrationError: naming the node.
    """
    allowed = " or ".join(sorted(_TYPE_NAMES[kind] for kind in scale_types))
    constants = {item.name: item for item in model.graph.initializer}
    for node in model.graph.node:  # rule 4
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
            continue
        parameters = [constants[name] for name in node.input[1:] if name in constants]
        if len(parameters) != 2:
            raise broken(node, "has no stored scale and zero point", "both as initializers")
        scale, zero = parameters
        values = numpy_helper.to_array(scale)
        if scale.data_type not in scale_types or not (np.isfinite(values) & (values > 0)).all():
            raise broken(node, f"has a scale that is no positive {allowed}", f"positive {allowed}")
        if zero.data_type != TensorProto.INT8 or numpy_helper.to_array(zero).any():
            raise broken(node, "has a zero point that is not int8 0", "symmetric int8")


def _check_input(model: onnx.ModelProto) -> None:
    integer = {
        item.name
        for item in model.graph.input
        if item.type.tensor_type.elem_type == TensorProto.UINT8
    }
    for node in model.graph.node:  # rule 6
        if node.op_type != "Cast" and integer.intersection(node.input):
            raise broken(node, f"({node.op_type}) reads the uint8 input", "a Cast in between")


def _maker(model: onnx.ModelProto, made_by: dict[str, int], tensor: str) -> str:
    # Name of the node that makes a tensor, behind the Casts of a typed graph.
    node = model.graph.node[made_by[tensor]]
    while node.op_type == "Cast" and node.input[0] in made_by:
        node = model.graph.node[made_by[node.input[0]]]
    return str(node.name)


def broken(node: onnx.NodeProto, got: str, expected: str) -> CalibrationError:
    """The error for a node that breaks a rule."""
    return CalibrationError(
        f"node {node.name!r} {got}, expected {expected}: TensorRT would refuse this graph or run "
        "it slowly; export the model again, and report it if that does not help"
    )
