"""Raises the opset of a float graph, keeping every name.

`onnx.version_converter` does it too, but it drops node names and writes constants as nodes. Of the
operators in our graphs only ReduceMean is written differently, so that one is rewritten here, and
an operator of which that is not known is refused.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper

from edge_arm.runtime.errors import CalibrationError

_SAME_FORM = frozenset({"AveragePool", "Cast", "Constant", "Identity", "Reshape"})
"""Redefined between opset 13 and 20 by new types or optional attributes alone."""

_AXES_ARE_AN_INPUT = 18  # of ReduceMean

_IR_VERSION = 9
"""The oldest file format for opset 19 and 20; readers refuse a newer one than they know."""


def opset_of(model: onnx.ModelProto) -> int:
    """Version of the ONNX operator set that a model is written in."""
    return next(int(item.version) for item in model.opset_import if item.domain in ("", "ai.onnx"))


def with_opset_at_least(model: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    """A copy of the model in a newer opset, or in its own where that is new enough.

    Args:
        model: of opset 13 or newer; it is not changed.
        opset: the least, up to 20.

    Raises:
        CalibrationError: if an operator has changed its form in between.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    before = opset_of(model)
    if before >= opset:
        return result
    for node in result.graph.node:
        if node.op_type == "ReduceMean" and before < _AXES_ARE_AN_INPUT <= opset:
            _axes_to_input(result.graph, node)
        elif node.op_type not in _SAME_FORM and _since(node, before) != _since(node, opset):
            raise CalibrationError(
                f"node {node.name!r} ({node.op_type}) is written differently in opset {opset} than "
                f"in the model's {before}, expected an operator that is the same in both; export "
                f"the model again with 'edge-arm export --opset {opset}'"
            )
    for item in result.opset_import:
        if item.domain in ("", "ai.onnx"):
            item.version = opset
    result.ir_version = max(result.ir_version, _IR_VERSION)
    return result


def _since(node: onnx.NodeProto, opset: int) -> int:
    return int(onnx.defs.get_schema(node.op_type, opset, node.domain).since_version)


def _axes_to_input(graph: onnx.GraphProto, node: onnx.NodeProto) -> None:
    (axes,) = (item for item in node.attribute if item.name == "axes")
    values = np.array(helper.get_attribute_value(axes), np.int64)
    node.attribute.remove(axes)
    name = f"{node.output[0]}_axes"
    graph.initializer.append(numpy_helper.from_array(values, name))
    node.input.append(name)
