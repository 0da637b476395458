"""Lint rules on operators, their types and their attributes, one function each."""

from __future__ import annotations

from collections.abc import Iterator

import onnx
from onnx import TensorProto

from edge_arm.export.tensorrt_lint_graph import (
    Finding,
    LintGraph,
    Severity,
    attribute,
    input_name,
    name_of,
    type_name,
)
from edge_arm.export.tensorrt_rules import (
    DATA_INPUTS,
    HALVES,
    MAX_RANK,
    NOT_IMPORTABLE,
    RANK_LIMITED,
    UINT8_PARTNERS,
)


def refused(node: onnx.NodeProto, rule: str, message: str) -> Finding:
    """A finding that stops the build."""
    return Finding(Severity.REFUSED, name_of(node), rule, message)


def unknown_operator(graph: LintGraph, node: onnx.NodeProto) -> Iterator[Finding]:
    """Rule "operator": not importable, or not on record."""
    if node.op_type in NOT_IMPORTABLE:
        yield refused(
            node,
            "operator",
            f"got {node.op_type}, which {graph.trt} does not import, expected QuantizeLinear and "
            "DequantizeLinear around a float operator; quantize in QDQ format",
        )
    elif node.domain not in ("", "ai.onnx") or node.op_type not in graph.rules.types:
        domain = f" of domain {node.domain!r}" if node.domain else ""
        yield Finding(
            Severity.UNKNOWN,
            name_of(node),
            "operator",
            f"got {node.op_type}{domain}, expected an operator on record for {graph.trt}; try "
            "this file with trtexec on the device",
        )


def element_type(graph: LintGraph, node: onnx.NodeProto) -> Iterator[Finding]:
    """Rule "element-type": an input, or what a Cast makes, is not in the operator's row."""
    taken = graph.rules.types.get(node.op_type)
    if taken is None:
        return
    types = []
    for position in DATA_INPUTS.get(node.op_type, range(len(node.input))):
        name = input_name(node, position)
        if name not in graph.types or name in graph.uint8_inputs:
            continue  # a uint8 input of the graph has a rule of its own
        types.append(graph.types[name])
    if node.op_type == "Cast":
        types.append(int(attribute(node, "to")))
    for got in dict.fromkeys(types):
        if node.op_type == "DequantizeLinear" and got == TensorProto.INT32:
            continue  # "quantized-bias" says it better
        if graph.rules.narrowed.get(got, got) not in taken:
            yield refused(
                node,
                "element-type",
                f"got {type_name(got)} at {node.op_type}, expected one of "
                f"{', '.join(sorted(map(type_name, taken)))} in {graph.trt}; Cast before it, or "
                "export in another type",
            )


def uint8_tensors(graph: LintGraph, node: onnx.NodeProto) -> Iterator[Finding]:
    """Rules "uint8-input" and "uint8-cast": uint8 is only read by, and only made from, Casts."""
    if node.op_type != "Cast":
        for name in dict.fromkeys(name for name in node.input if name in graph.uint8_inputs):
            yield refused(
                node,
                "uint8-input",
                f"got uint8 input {name!r} feeding {node.op_type}, expected a Cast to float "
                "straight after it; put the Cast first",
            )
        return
    source, target = graph.types.get(node.input[0]), int(attribute(node, "to"))
    if source is None or TensorProto.UINT8 not in (source, target):
        return
    other = source if target == TensorProto.UINT8 else target
    if other not in (*UINT8_PARTNERS, TensorProto.UINT8):
        yield refused(
            node,
            "uint8-cast",
            f"got a Cast between UINT8 and {type_name(other)}, expected FLOAT or FLOAT16 at "
            "the other end; Cast to float first",
        )


def convolution(graph: LintGraph, node: onnx.NodeProto) -> Iterator[Finding]:
    """Rules "conv-weight", "conv-bias" and "kernel-shape"."""
    if node.op_type != "Conv":
        return
    weight, bias = node.input[1], input_name(node, 2)
    stored = weight in graph.constants
    if not stored and not graph.dequantized(node, 1):
        yield Finding(
            Severity.UNKNOWN,
            name_of(node),
            "conv-weight",
            f"got a computed weight {weight!r}, expected an initializer or a DequantizeLinear, as "
            "TensorRT 8.4 did (of later ones nothing is on record); fold it into an initializer",
        )
    vector = bias in graph.constants and len(graph.shapes[bias]) == 1
    pair = graph.made_by(bias, "DequantizeLinear")
    if pair is not None and graph.types.get(pair.input[0]) == TensorProto.INT32:
        vector = True  # "quantized-bias" says it better
    # Beside a computed weight newer importers take a computed bias as well.
    if bias and stored and not vector:
        yield refused(
            node,
            "conv-bias",
            f"got bias {bias!r} that is not a stored vector, expected a 1-D initializer; store "
            "it in the file",
        )
    kernel = attribute(node, "kernel_shape")
    actual = graph.shapes.get(weight, ())[2:]
    if kernel is None:
        if graph.rules.needs_kernel_shape and not stored:
            yield refused(
                node,
                "kernel-shape",
                f"got no kernel_shape beside a weight that is no initializer, expected "
                f"{list(actual)}: {graph.trt} cannot infer it; write the attribute",
            )
    elif actual and list(actual) != list(kernel):
        yield refused(
            node,
            "kernel-shape",
            f"got kernel_shape {list(kernel)}, expected {list(actual)} as in weight {weight!r}; "
            "write the weight's own",
        )


def pooling(graph: LintGraph, node: onnx.NodeProto) -> Iterator[Finding]:
    """Rules "pool-indices", "pool-dilations" and "pool-rank"."""
    if node.op_type not in ("MaxPool", "AveragePool"):
        return
    if any(node.output[1:]):
        yield refused(
            node,
            "pool-indices",
            f"got a second output {node.output[1]!r} (Indices), expected the pooled tensor alone; "
            "export without indices",
        )
    dilations = attribute(node, "dilations") or []
    if graph.rules.refuses_pool_dilations and any(step != 1 for step in dilations):
        yield refused(
            node,
            "pool-dilations",
            f"got dilations {list(dilations)}, expected 1 in every direction; pool without them",
        )
    shape = graph.shapes.get(node.input[0])
    if shape is not None and len(shape) not in (4, 5):
        yield refused(
            node,
            "pool-rank",
            f"got an input of rank {len(shape)}, expected 4 or 5 (2-D or 3-D pooling); add axes "
            "of size 1",
        )


def gemm(graph: LintGraph, node: onnx.NodeProto) -> Iterator[Finding]:
    """Rules "gemm-scale" and "gemm-rank"."""
    if node.op_type != "Gemm":
        return
    alpha, beta = attribute(node, "alpha"), attribute(node, "beta")
    factors = [alpha, beta if input_name(node, 2) else None]
    half = graph.types.get(node.input[0]) in HALVES
    if graph.rules.typed and half and any(factor not in (None, 1.0) for factor in factors):
        yield refused(
            node,
            "gemm-scale",
            f"got alpha {1.0 if alpha is None else alpha} and beta {1.0 if beta is None else beta} "
            "in half precision, expected 1 and 1: TensorRT makes another factor an FP32 constant, "
            "which clashes in a strongly typed network; multiply it into the weights",
        )
    for name in node.input[:2]:
        rank = len(graph.shapes.get(name, (0, 0)))
        if rank != 2:
            yield refused(
                node,
                "gemm-rank",
                f"got {name!r} of rank {rank}, expected 2; Flatten it first",
            )


def rank_limit(graph: LintGraph, node: onnx.NodeProto) -> Iterator[Finding]:
    """Rules "rank" and "depth-to-space-rank"."""
    ranks = [len(graph.shapes.get(name, ())) for name in (*node.input, *node.output)]
    if node.op_type in RANK_LIMITED and max(ranks) > MAX_RANK:
        yield refused(
            node,
            "rank",
            f"got a tensor of rank {max(ranks)} at {node.op_type}, expected at most {MAX_RANK}; "
            "do it in two steps, or merge axes that stay together",
        )
    if node.op_type == "DepthToSpace" and node.input[0] in graph.shapes and ranks[0] != 4:
        yield refused(
            node,
            "depth-to-space-rank",
            f"got an input of rank {ranks[0]}, expected 4; Reshape it to (N, C, H, W)",
        )


def constant_axes(graph: LintGraph, node: onnx.NodeProto) -> Iterator[Finding]:
    """Rule "axes": axes that are an input must be stored in the file."""
    position = {"ReduceMean": 1, "Squeeze": 1, "Unsqueeze": 1, "Slice": 3}.get(node.op_type)
    if position is None or (node.op_type == "Slice" and not graph.rules.needs_constant_slice_axes):
        return
    axes = input_name(node, position)
    if axes and axes not in graph.constants:
        yield refused(
            node,
            "axes",
            f"got computed axes {axes!r} at {node.op_type}, expected an initializer; store them "
            "in the file",
        )


OPERATOR_RULES = (
    unknown_operator,
    element_type,
    uint8_tensors,
    convolution,
    pooling,
    gemm,
    rank_limit,
    constant_axes,
)
