"""Proves on the finished typed graph that a strongly typed network takes it, at full speed.

The placement rules 1 to 3, 5 and 6 of placement_check.py hold for it as they are. Then:

1. Opset 19 or newer: FP16 scales begin there.
2. Zero points are int8 and 0, scales FP16 or float32, finite and greater than 0.
3. Quantized weights are int8 initializers.
4. All float inputs of a node have one type, and of the convolutions only the named ones are FP32:
   TensorRT inserts no casts in a strongly typed network, and lowers nothing. (That types fit at
   each node is what ONNX's own strict inference checks.)
5. The output is float32, so that clients need not know the precision.
"""

from __future__ import annotations

from collections.abc import Collection

import onnx
from onnx import TensorProto

from edge_arm.calibration.graph import WEIGHTED
from edge_arm.calibration.opset import opset_of
from edge_arm.calibration.placement_check import broken, check_pairs, check_parameters
from edge_arm.calibration.typed_qdq import LEAST_OPSET
from edge_arm.runtime.errors import CalibrationError

_FLOATS = frozenset({TensorProto.FLOAT, TensorProto.FLOAT16})


def check_typed(
    model: onnx.ModelProto, float32_nodes: Collection[str], *, kept_float: Collection[str] = ()
) -> None:
    """Refuse a typed graph that breaks one of the rules above.

    Args:
        model: with Q/DQ pairs and an FP16 float part.
        float32_nodes: names of the nodes that may be FP32.
        kept_float: names of the Convs that are in float on purpose.

    Raises:
        CalibrationError: naming the node and the rule.
    """
    if opset_of(model) < LEAST_OPSET:  # rule 1
        raise CalibrationError(
            f"the typed model has opset {opset_of(model)}, expected at least {LEAST_OPSET} for "
            "FP16 scales; export the model again, and report it if that does not help"
        )
    check_pairs(model, kept_float=kept_float)
    check_parameters(model, _FLOATS)  # rule 2
    try:
        inferred = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
    except onnx.shape_inference.InferenceError as error:  # rule 4
        raise CalibrationError(
            f"the typed model's types do not fit ({str(error).strip().splitlines()[0]}), expected "
            "one float type at each node; export the model again, and report it if that does not "
            "help"
        ) from error
    types = {item.name: item.data_type for item in model.graph.initializer}
    for item in (*inferred.graph.value_info, *inferred.graph.output):
        types[item.name] = item.type.tensor_type.elem_type
    stored = {item.name for item in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "QuantizeLinear" and node.input[0] in stored:  # rule 3
            raise broken(node, "quantizes a stored weight", "an int8 weight behind it")
        wide = node.op_type in WEIGHTED and types[node.output[0]] == TensorProto.FLOAT
        if wide and node.name not in float32_nodes:  # rule 4
            raise broken(node, "computes in FP32", "FP16, or a reason not to")
    (result,) = model.graph.output
    if result.type.tensor_type.elem_type != TensorProto.FLOAT:  # rule 5
        name = TensorProto.DataType.Name(result.type.tensor_type.elem_type)
        raise CalibrationError(
            f"the typed model's output is {name}, expected float32; "
            "export the model again, and report it if that does not help"
        )
