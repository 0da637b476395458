"""Lint rules on Q/DQ pairs: what the importer refuses, and what makes INT8 slow.

The placement rules are NVIDIA's (developer guide, "Q/DQ Layer-Placement Recommendations" and
"Optimizing for Tensor Cores").
"""

from __future__ import annotations

from collections.abc import Iterator

import onnx
from onnx import TensorProto

from edge_arm.export.tensorrt_lint_graph import (
    Finding,
    LintGraph,
    Severity,
    Shape,
    attribute,
    input_name,
    name_of,
    type_name,
)
from edge_arm.export.tensorrt_lint_operators import refused
from edge_arm.export.tensorrt_rules import HALVES, INT8_ALIGNMENT, INT8_GROUP_ALIGNMENT

_HALF_SCALES_FROM_OPSET = 19
_ONNX_DEFAULT_AXIS = 1
_PICTURE_CHANNELS = 3


def _slow(node: onnx.NodeProto, rule: str, message: str) -> Finding:
    return Finding(Severity.SLOW, name_of(node), rule, message)


def _is_pair(node: onnx.NodeProto) -> bool:
    return node.op_type in ("QuantizeLinear", "DequantizeLinear")


def zero_point(graph: LintGraph, node: onnx.NodeProto) -> Iterator[Finding]:
    """Rules "zero-point" and "zero-point-missing": quantization is symmetric."""
    if not _is_pair(node):
        return
    name = input_name(node, 2)
    if not name:
        if graph.rules.needs_zero_point:
            yield refused(
                node,
                "zero-point-missing",
                f"got {len(node.input)} inputs, expected 3: {graph.trt} needs the zero point; "
                "write an int8 zero",
            )
        return
    values = graph.value(name)
    if node.op_type == "QuantizeLinear" and graph.types.get(name) == TensorProto.UINT8:
        yield refused(
            node,
            "zero-point",
            "got a UINT8 zero point, expected INT8; quantize activations to symmetric QInt8",
        )
    if values is not None and values.astype("float64").any():
        worst = max(values.ravel().astype("float64"), key=abs)
        yield refused(
            node,
            "zero-point",
            f"got zero point {worst:g}, expected 0 everywhere; quantize symmetrically",
        )


def scales(graph: LintGraph, node: onnx.NodeProto) -> Iterator[Finding]:
    """Rules "scale-type", "scale-value" and "scale-count"."""
    if not _is_pair(node):
        return
    name = node.input[1]
    got = graph.types.get(name)
    if got in HALVES and not graph.rules.reads_half_scales:
        yield refused(
            node,
            "scale-type",
            f"got {type_name(got)} scales, expected FLOAT: {graph.trt} reads them as float32 "
            "bytes; store the scales in FP32",
        )
    elif got in HALVES and graph.opset < _HALF_SCALES_FROM_OPSET:
        yield refused(
            node,
            "scale-type",
            f"got {type_name(got)} scales at opset {graph.opset}, expected opset "
            f"{_HALF_SCALES_FROM_OPSET} or newer; export at opset {_HALF_SCALES_FROM_OPSET}, or "
            "store the scales in FP32",
        )
    values = graph.value(name)
    if values is None:
        return
    smallest = values.astype("float64").min(initial=float("inf"))
    if not smallest > 0:  # so that NaN is caught as well
        yield refused(
            node,
            "scale-value",
            f"got a scale of {smallest}, expected more than 0; a channel of zeros can take any "
            "scale, such as 1",
        )
    yield from _scale_count(graph, node, values.size)


def _scale_count(graph: LintGraph, node: onnx.NodeProto, count: int) -> Iterator[Finding]:
    # Blocks of weights (opset 21) have scales of the weights' own rank.
    if attribute(node, "block_size"):
        return
    zeros = graph.value(input_name(node, 2))
    if zeros is not None and zeros.size != count:
        yield refused(
            node,
            "scale-count",
            f"got {count} scales and {zeros.size} zero points, expected as many of both; store one "
            "zero per scale",
        )
    axis = attribute(node, "axis")
    if count == 1:
        return
    if axis is None and graph.rules.default_scale_axis != _ONNX_DEFAULT_AXIS:
        yield refused(
            node,
            "scale-axis",
            f"got {count} scales without an axis, expected the axis: {graph.trt} would read "
            f"{graph.rules.default_scale_axis} where ONNX means {_ONNX_DEFAULT_AXIS}; write it",
        )
    axis = _ONNX_DEFAULT_AXIS if axis is None else axis
    shape = graph.shapes.get(node.input[0], ())
    size = shape[axis] if -len(shape) <= axis < len(shape) else None
    if size is not None and size != count:
        yield refused(
            node,
            "scale-count",
            f"got {count} scales along axis {axis} of size {size}, expected {size} or one; set "
            "the axis of the output channels",
        )


def quantized_bias(graph: LintGraph, node: onnx.NodeProto) -> Iterator[Finding]:
    """Rule "quantized-bias": ONNX Runtime's quantizer writes int32 biases by default."""
    if node.op_type == "DequantizeLinear" and graph.types.get(node.input[0]) == TensorProto.INT32:
        yield refused(
            node,
            "quantized-bias",
            f"got INT32 {node.input[0]!r} behind DequantizeLinear, expected a float bias; quantize "
            "with QuantizeBias off",
        )


def stored_int8(graph: LintGraph, node: onnx.NodeProto) -> Iterator[Finding]:
    """Rule "int8-weight": 8.x's guide asks for FP32 weights, its importer takes INT8."""
    if (
        graph.rules.wants_float_weights
        and node.op_type == "DequantizeLinear"
        and node.input[0] in graph.constants
        and graph.types.get(node.input[0]) == TensorProto.INT8
    ):
        yield Finding(
            Severity.UNKNOWN,
            name_of(node),
            "int8-weight",
            f"got INT8 initializer {node.input[0]!r}, expected FP32 -> QuantizeLinear -> "
            f"DequantizeLinear as the guide of {graph.trt} asks; store the weight in FP32",
        )


def residual_add(graph: LintGraph, node: onnx.NodeProto) -> Iterator[Finding]:
    """Rule "residual-add": of a residual Add the skip is quantized, and only that.

    TensorRT fuses the Add into the convolution before it; a Q/DQ pair between them forbids that.
    """
    if node.op_type != "Add" or any(name in graph.constants for name in node.input):
        return
    quantized = [graph.dequantized(node, position) for position in (0, 1)]
    if all(quantized):
        yield _slow(
            node,
            "residual-add",
            "got both inputs quantized, expected the skip alone: Conv and Add are not fused; "
            "remove Q/DQ between the convolution and the Add",
        )
    elif any(quantized):
        branch = quantized.index(True)
        pair = graph.producers[node.input[branch]]
        quantizer = graph.made_by(pair.input[0], "QuantizeLinear")
        source = quantizer.input[0] if quantizer is not None else ""
        # Where both branches end in a convolution either may count as the skip.
        if graph.convolution(source) and not graph.convolution(node.input[1 - branch]):
            yield _slow(
                node,
                "residual-add",
                "got the convolution's branch quantized and the skip in float, expected the "
                "reverse: Conv and Add are not fused; move Q/DQ to the skip",
            )
    else:
        convolutions = [graph.convolution(name) for name in node.input]
        if any(conv is not None and graph.quantized(conv) for conv in convolutions):
            yield _slow(
                node,
                "residual-add",
                "got a float skip beside an INT8 convolution, expected Q/DQ on the skip; "
                "quantize it",
            )


def half_quantized(graph: LintGraph, node: onnx.NodeProto) -> Iterator[Finding]:
    """Rule "half-quantized": a weighted operator is in INT8 with all its inputs or not at all."""
    if node.op_type not in ("Conv", "Gemm", "MatMul"):
        return
    behind = [graph.dequantized(node, position) for position in (0, 1)]
    # A MatMul of two activations has no weight.
    if any(behind) and not all(behind):
        got, missing = ("activation", "weight") if behind[0] else ("weight", "activation")
        yield _slow(
            node,
            "half-quantized",
            f"got Q/DQ on the {got} alone, expected it on the {missing} too: the operator stays "
            "in float; quantize both or neither",
        )


def int8_channels(graph: LintGraph, node: onnx.NodeProto) -> Iterator[Finding]:
    """Rules "int8-channels" and "dynamic-channels", for operators that run in INT8."""
    if node.op_type not in ("Conv", "Gemm", "MatMul") or not graph.quantized(node):
        return
    weight = graph.shapes.get(node.input[1], ())
    if node.op_type != "Conv":
        if len(weight) == 2:
            yield from _padded(graph, node, weight, "as the sides of its weight (K and N)")
        return
    data = graph.shapes.get(node.input[0])
    if data is not None and len(data) > 1 and data[1] is None:
        yield refused(
            node,
            "dynamic-channels",
            "got a channel dimension that is known only at run time, expected a constant for an "
            "INT8 Conv; export with fixed channels",
        )
    if len(weight) < 2 or weight[0] is None or weight[1] is None:
        return
    groups = attribute(node, "group") or 1
    inside, outside = weight[1], weight[0] // groups
    if groups == 1:
        yield from _padded(graph, node, (inside, outside), "input and output channels")
    elif inside % INT8_GROUP_ALIGNMENT or outside % INT8_GROUP_ALIGNMENT:
        yield _slow(
            node,
            "int8-channels",
            f"got groups of {inside} input and {outside} output channels, expected multiples of "
            f"{INT8_GROUP_ALIGNMENT} for an INT8 kernel; leave this Conv in float",
        )


def _padded(
    graph: LintGraph, node: onnx.NodeProto, channels: Shape, meaning: str
) -> Iterator[Finding]:
    if not any(count is not None and count % INT8_ALIGNMENT for count in channels):
        return
    got = f"got {channels[0]} and {channels[1]} {meaning}, expected multiples of {INT8_ALIGNMENT}"
    picture = node.input[0] not in graph.after_conv and channels[0] == _PICTURE_CHANNELS
    if picture and channels[1] is not None and channels[1] % INT8_ALIGNMENT == 0:
        advice = "unavoidable where a picture with 3 colours comes in, so there is nothing to do"
    else:
        advice = "use aligned channels, or leave this operator in float"
    yield _slow(node, "int8-channels", f"{got}: TensorRT pads the rest; {advice}")


QUANTIZATION_RULES = (
    zero_point,
    scales,
    quantized_bias,
    stored_int8,
    residual_add,
    half_quantized,
    int8_channels,
)
