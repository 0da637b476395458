"""Rules on operators, types and attributes: each on a graph that breaks it and no other.

What each version takes is copied by hand from NVIDIA's operator tables and importer sources.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx_builders import SYMMETRIC, Tensor, model, node, pair, weight

from edge_arm.export.tensorrt_lint import Severity, TensorRTVersion, lint

FLOAT, HALF = TensorProto.FLOAT, TensorProto.FLOAT16
UINT8, INT8 = TensorProto.UINT8, TensorProto.INT8
V8_6, V10_3, V10_13, V10_16, V11_1 = TensorRTVersion
ALL = tuple(TensorRTVersion)
AFTER_8 = ALL[1:]
SQUARE = [1, 2, 4, 4]
NINE = [1] * 9


@dataclass(frozen=True)
class Case:
    """A graph, the one rule it breaks, where, and for whom."""

    id: str
    model: onnx.ModelProto
    rule: str
    node: str
    message: str
    versions: tuple[TensorRTVersion, ...] = ALL
    severity: Severity = Severity.REFUSED
    unless: dict[TensorRTVersion, Severity] = field(default_factory=dict)


def unary(
    operator: str, element_type: int, shape: list[int], opset: int = 17, **attributes: object
) -> onnx.ModelProto:
    result = [None] * len(shape)
    return model(
        [node(operator, "x", "y", **attributes)],
        [("x", element_type, list(shape))],
        [("y", element_type, result)],
        opset=opset,
    )


def gemm_model(alpha: float, element_type: int, beta: float = 1.0) -> onnx.ModelProto:
    dtype = helper.tensor_dtype_to_np_dtype(element_type)
    return model(
        [node("Gemm", "x w b", "y", alpha=alpha, beta=beta)],
        [("x", element_type, [1, 4])],
        [("y", element_type, [1, 2])],
        {"w": np.ones((4, 2), dtype), "b": np.ones(2, dtype)},
    )


def conv_model(
    inputs: str = "x w",
    more_inputs: tuple[Tensor, ...] = (),
    constants: dict[str, np.ndarray] | None = None,
    **attributes: object,
) -> onnx.ModelProto:
    stored = {"w": weight(2, 2)} if constants is None else constants
    return model(
        [node("Conv", inputs, "y", **attributes)],
        [("x", FLOAT, SQUARE), *more_inputs],
        [("y", FLOAT, [1, 2, None, None])],
        stored,
    )


def axes_model(operator: str, opset: int) -> onnx.ModelProto:
    """The axes come in as an input of the graph."""
    inputs = "x starts ends axes" if operator == "Slice" else "x axes"
    return model(
        [node(operator, inputs, "y")],
        [("x", FLOAT, SQUARE), ("axes", TensorProto.INT64, [1])],
        [("y", FLOAT, None)],
        {"starts": np.array([0]), "ends": np.array([1])},
        opset,
    )


def both_ways(first: int, second: int) -> onnx.ModelProto:
    """A Cast of a graph input to another type, which is the output."""
    return model(
        [node("Cast", "x", "y", to=second)], [("x", first, [2, 2])], [("y", second, [2, 2])]
    )


CASES = [
    Case(
        "an operator on record as refused",
        model(
            [node("MatMulInteger", "x w", "y")],
            [("x", INT8, [2, 2])],
            [("y", TensorProto.INT32, [2, 2])],
            {"w": np.ones((2, 2), np.int8)},
        ),
        "operator",
        "/y",
        r"got MatMulInteger, which TensorRT [\d.]+ does not import, expected .* in QDQ format",
    ),
    Case(
        "an operator not on record",
        unary("Softsign", FLOAT, SQUARE),
        "operator",
        "/y",
        "got Softsign, expected an operator on record for TensorRT",
        severity=Severity.UNKNOWN,
    ),
    Case(
        "another domain",
        model(
            [node("Gelu", "x", "y", domain="com.microsoft")],
            [("x", FLOAT, SQUARE)],
            [("y", FLOAT, SQUARE)],
        ),
        "operator",
        "/y",
        "got Gelu of domain 'com.microsoft', expected an operator on record",
        severity=Severity.UNKNOWN,
    ),
    Case(
        "bfloat16 before 10",
        unary("Relu", TensorProto.BFLOAT16, SQUARE),
        "element-type",
        "/y",
        "got BFLOAT16 at Relu, expected one of FLOAT, FLOAT16, INT8 in TensorRT 8.6; Cast before",
        versions=(V8_6,),
    ),
    Case(
        "int8 pooling since 10",
        unary("MaxPool", INT8, SQUARE, kernel_shape=[2, 2]),
        "element-type",
        "/y",
        "got INT8 at MaxPool, expected one of BFLOAT16, FLOAT, FLOAT16 in TensorRT 1",
        versions=AFTER_8,
    ),
    Case(
        "a Cast that wants to be a quantization",
        both_ways(FLOAT, INT8),
        "element-type",
        "/y",
        "got INT8 at Cast, expected",
        versions=AFTER_8,
    ),
    Case(
        "uint8 data behind DequantizeLinear",
        model(
            [node("DequantizeLinear", "w scale zero", "d"), node("Add", "x d", "y")],
            [("x", FLOAT, [2, 2])],
            [("y", FLOAT, [2, 2])],
            {**SYMMETRIC, "w": np.ones((2, 2), np.uint8), "zero": np.array(0, np.uint8)},
        ),
        "element-type",
        "/d",
        "got UINT8 at DequantizeLinear, expected",
    ),
    Case(
        "uint8 into a Transpose",
        unary("Transpose", UINT8, SQUARE, perm=[0, 3, 1, 2]),
        "uint8-input",
        "/y",
        "got uint8 input 'x' feeding Transpose, expected a Cast to float straight after it; put",
    ),
    Case(
        "uint8 to an integer",
        both_ways(UINT8, TensorProto.INT32),
        "uint8-cast",
        "/y",
        "got a Cast between UINT8 and INT32, expected FLOAT or FLOAT16 at the other end; Cast",
    ),
    Case(
        "an integer to uint8",
        both_ways(TensorProto.INT32, UINT8),
        "uint8-cast",
        "/y",
        "got a Cast between UINT8 and INT32",
    ),
    Case(
        "a weight that is an input",
        conv_model(more_inputs=(("w", FLOAT, [2, 2, 1, 1]),), constants={}, kernel_shape=[1, 1]),
        "conv-weight",
        "/y",
        "got a computed weight 'w', expected an initializer or a DequantizeLinear",
        severity=Severity.UNKNOWN,
    ),
    Case(
        "a bias that is an input",
        conv_model("x w b", (("b", FLOAT, [2]),), kernel_shape=[1, 1]),
        "conv-bias",
        "/y",
        "got bias 'b' that is not a stored vector, expected a 1-D initializer; store it",
    ),
    Case(
        "a kernel_shape of another weight",
        conv_model(kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        "kernel-shape",
        "/y",
        r"got kernel_shape \[3, 3\], expected \[1, 1\] as in weight 'w'; write the weight's own",
    ),
    Case(
        "no kernel_shape beside a quantized weight",
        model(
            [
                *pair("x"),
                *pair("w"),
                node("Conv", "x_real w_real", "y"),
            ],
            [("x", FLOAT, [1, 32, 4, 4])],
            [("y", FLOAT, [1, 32, 4, 4])],
            {"w": weight(32, 32), **SYMMETRIC},
        ),
        "kernel-shape",
        "/y",
        r"got no kernel_shape beside a weight .* expected \[1, 1\]: TensorRT .* cannot infer it",
        versions=(V8_6, V10_3),
    ),
    Case(
        "indices of a pool",
        model(
            [node("MaxPool", "x", "y where", kernel_shape=[2, 2])],
            [("x", FLOAT, SQUARE)],
            [("y", FLOAT, [1, 2, 3, 3]), ("where", TensorProto.INT64, [1, 2, 3, 3])],
        ),
        "pool-indices",
        "/y",
        r"got a second output 'where' \(Indices\), expected the pooled tensor alone; export",
    ),
    Case(
        "a dilated pool",
        unary("MaxPool", FLOAT, SQUARE, kernel_shape=[2, 2], dilations=[2, 2]),
        "pool-dilations",
        "/y",
        r"got dilations \[2, 2\], expected 1 in every direction; pool without them",
        versions=AFTER_8,
    ),
    Case(
        "a pool along one axis",
        unary("AveragePool", FLOAT, [1, 2, 8], kernel_shape=[2]),
        "pool-rank",
        "/y",
        r"got an input of rank 3, expected 4 or 5 \(2-D or 3-D pooling\); add axes of size 1",
    ),
    Case(
        "alpha in half precision",
        gemm_model(0.5, HALF),
        "gemm-scale",
        "/y",
        "got alpha 0.5 and beta 1.0 in half precision, expected 1 and 1: .* into the weights",
        versions=(V10_13, V10_16, V11_1),
    ),
    Case(
        "beta in half precision",
        gemm_model(1.0, HALF, beta=2.0),
        "gemm-scale",
        "/y",
        "got alpha 1.0 and beta 2.0",
        versions=(V10_13, V10_16, V11_1),
    ),
    Case(
        "a Gemm of more axes",
        model(
            [node("Gemm", "x w", "y")],
            [("x", FLOAT, [1, 2, 4])],
            [("y", FLOAT, None)],
            {"w": np.ones((4, 2), np.float32)},
        ),
        "gemm-rank",
        "/y",
        "got 'x' of rank 3, expected 2; Flatten it first",
    ),
    Case(
        "nine axes",
        unary("Transpose", FLOAT, NINE, perm=list(range(9))),
        "rank",
        "/y",
        "got a tensor of rank 9 at Transpose, expected at most 8; do it in two steps",
    ),
    Case(
        "a DepthToSpace of five axes",
        unary("DepthToSpace", FLOAT, [1, 4, 2, 2, 2], blocksize=2),
        "depth-to-space-rank",
        "/y",
        r"got an input of rank 5, expected 4; Reshape it to \(N, C, H, W\)",
    ),
    Case(
        "computed axes",
        axes_model("Squeeze", 17),
        "axes",
        "/y",
        "got computed axes 'axes' at Squeeze, expected an initializer; store them in the file",
    ),
    Case(
        "computed axes of a Slice",
        axes_model("Slice", 17),
        "axes",
        "/y",
        "got computed axes 'axes' at Slice",
        versions=(V8_6, V10_3),
    ),
    Case(
        "an opset that is too new for all",
        unary("Relu", FLOAT, SQUARE, opset=25),
        "opset",
        "model",
        r"got opset 25, expected \d+ to \d+ for TensorRT [\d.]+; export with --opset 17",
    ),
    Case(
        "an opset that is too old for 10",
        unary("Relu", FLOAT, SQUARE, opset=8),
        "opset",
        "model",
        "got opset 8, expected 9 to",
        versions=AFTER_8,
    ),
    Case(
        "an opset of which only the newest are sure",
        unary("Relu", FLOAT, SQUARE, opset=22),
        "opset",
        "model",
        "got opset 22, expected",
        versions=(V8_6, V10_3, V10_13),
        unless={V10_13: Severity.UNKNOWN},
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
@pytest.mark.parametrize("version", ALL, ids=lambda version: version.value)
def test_a_graph_breaks_this_rule_and_no_other(case: Case, version: TensorRTVersion) -> None:
    findings = lint(case.model, version)
    if version not in case.versions:
        assert findings == ()
        return
    severity = case.unless.get(version, case.severity)
    assert {(item.severity, item.rule) for item in findings} == {(severity, case.rule)}
    assert [item.node for item in findings] == case.node.split()
    for item in findings:
        assert re.search(case.message, item.message), item.message


@pytest.mark.parametrize(
    ("version", "read", "not_read", "severity"),
    [
        (V8_6, (8, 17), 18, Severity.REFUSED),
        (V10_3, (9, 20), 21, Severity.REFUSED),
        (V10_13, (9, 20), 21, Severity.UNKNOWN),
        (V10_13, (9, 20), 24, Severity.UNKNOWN),
        (V10_16, (9, 24), 25, Severity.REFUSED),
        (V11_1, (9, 24), 25, Severity.REFUSED),
    ],
)
def test_opsets_are_read_up_to_the_one_on_record(
    version: TensorRTVersion, read: tuple[int, ...], not_read: int, severity: Severity
) -> None:
    for opset in read:
        assert lint(unary("Relu", FLOAT, SQUARE, opset=opset), version) == ()
    found = lint(unary("Relu", FLOAT, SQUARE, opset=not_read), version)
    assert [(item.rule, item.severity) for item in found] == [("opset", severity)]
