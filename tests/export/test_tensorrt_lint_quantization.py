"""Rules on Q/DQ pairs: each on a graph that breaks it and no other.

What each version takes is copied by hand from NVIDIA's importer sources and developer guide.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import numpy as np
import onnx
import pytest
from onnx import TensorProto
from onnx_builders import SYMMETRIC, model, node, pair, weight

from edge_arm.export.tensorrt_lint import Severity, TensorRTVersion, lint

FLOAT, HALF = TensorProto.FLOAT, TensorProto.FLOAT16
UINT8, INT8 = TensorProto.UINT8, TensorProto.INT8
V8_6, V10_3, V10_13, V10_16, V11_1 = TensorRTVersion
ALL = tuple(TensorRTVersion)
AFTER_8 = ALL[1:]


def pair_model(
    constants: dict[str, np.ndarray], opset: int = 17, element_type: int = FLOAT, **axis: int
) -> onnx.ModelProto:
    """A Q/DQ pair on a (1, 4, 4) tensor between two Relus."""
    shape = [1, 4, 4]
    return model(
        [node("Relu", "x", "a"), *pair("a", **axis), node("Relu", "a_real", "y")],
        [("x", element_type, shape)],
        [("y", element_type, shape)],
        constants,
        opset,
    )


def int8_conv(outside: int, inside: int, group: int = 1) -> onnx.ModelProto:
    """A Conv with both inputs behind Q/DQ, and a float Conv before it, so that it is not first."""
    return model(
        [
            node("Conv", "x w0", "a", kernel_shape=[1, 1]),
            *pair("a"),
            *pair("w"),
            node("Conv", "a_real w_real", "y", kernel_shape=[1, 1], group=group),
        ],
        [("x", FLOAT, [1, 8, 4, 4])],
        [("y", FLOAT, [1, outside, 4, 4])],
        {"w0": weight(inside * group, 8), "w": weight(outside, inside), **SYMMETRIC},
    )


def residual(skip_quantized: bool, conv_quantized: bool) -> onnx.ModelProto:
    """Relu -> INT8 Conv -> Add with the Relu's output, with Q/DQ before the Add as asked."""
    nodes = [
        node("Relu", "x", "a"),
        *pair("a"),
        *pair("w"),
        node("Conv", "a_real w_real", "c", kernel_shape=[1, 1]),
    ]
    if conv_quantized:
        nodes += pair("c")
    ends = f"{'c_real' if conv_quantized else 'c'} {'a_real' if skip_quantized else 'a'}"
    shape = [1, 32, 4, 4]
    return model(
        [*nodes, node("Add", ends, "y")],
        [("x", FLOAT, shape)],
        [("y", FLOAT, shape)],
        {"w": weight(32, 32), **SYMMETRIC},
    )


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


CASES = [
    Case(
        "a zero point that is not zero",
        pair_model({**SYMMETRIC, "zero": np.array(-3, np.int8)}),
        "zero-point",
        "/a_steps /a_real",
        "got zero point -3, expected 0 everywhere; quantize symmetrically",
    ),
    Case(
        "a uint8 zero point",
        model(
            [node("QuantizeLinear", "x scale zero", "y")],
            [("x", FLOAT, [2])],
            [("y", UINT8, [2])],
            {**SYMMETRIC, "zero": np.array(0, np.uint8)},
        ),
        "zero-point",
        "/y",
        "got a UINT8 zero point, expected INT8; quantize activations to symmetric QInt8",
    ),
    Case(
        "two inputs",
        model(
            [node("DequantizeLinear", "x scale", "y")],
            [("x", INT8, [2])],
            [("y", FLOAT, [2])],
            {"scale": SYMMETRIC["scale"]},
        ),
        "zero-point-missing",
        "/y",
        "got 2 inputs, expected 3: TensorRT 8.6 needs the zero point; write an int8 zero",
        versions=(V8_6,),
    ),
    Case(
        "a quantized bias",
        model(
            [
                node("DequantizeLinear", "b scale zero", "b_real"),
                node("Conv", "x w b_real", "y", kernel_shape=[1, 1]),
            ],
            [("x", FLOAT, [1, 2, 4, 4])],
            [("y", FLOAT, [1, 2, 4, 4])],
            {
                "w": weight(2, 2),
                "b": np.ones(2, np.int32),
                "scale": np.array(0.1, np.float32),
                "zero": np.array(0, np.int32),
            },
        ),
        "quantized-bias",
        "/b_real",
        "got INT32 'b' behind DequantizeLinear, expected a float bias; .* with QuantizeBias off",
    ),
    Case(
        "half scales at opset 17",
        pair_model({**SYMMETRIC, "scale": np.array(0.1, np.float16)}, 17, HALF),
        "scale-type",
        "/a_steps /a_real",
        "got FLOAT16 scales",
    ),
    Case(
        "a scale of zero",
        pair_model({**SYMMETRIC, "scale": np.array(0, np.float32)}),
        "scale-value",
        "/a_steps /a_real",
        "got a scale of 0.0, expected more than 0; a channel of zeros can take any scale",
    ),
    Case(
        "a scale that is no number",
        pair_model({**SYMMETRIC, "scale": np.array(np.nan, np.float32)}),
        "scale-value",
        "/a_steps /a_real",
        "got a scale of nan, expected more than 0",
    ),
    Case(
        "too few scales",
        pair_model({"scale": np.ones(3, np.float32), "zero": np.zeros(3, np.int8)}, axis=1),
        "scale-count",
        "/a_steps /a_real",
        "got 3 scales along axis 1 of size 4, expected 4 or one; set the axis",
    ),
    Case(
        "one zero for many scales",
        pair_model({"scale": np.ones(4, np.float32), "zero": np.array(0, np.int8)}, axis=1),
        "scale-count",
        "/a_steps /a_real",
        "got 4 scales and 1 zero points, expected as many of both; store one zero per scale",
    ),
    Case(
        "no axis",
        pair_model({"scale": np.ones(4, np.float32), "zero": np.zeros(4, np.int8)}),
        "scale-axis",
        "/a_steps /a_real",
        "got 4 scales without an axis, .* TensorRT 8.6 would read 0 where ONNX means 1; write it",
        versions=(V8_6,),
    ),
    Case(
        "int8 weights in the file",
        model(
            [node("DequantizeLinear", "w scale zero", "d"), node("Add", "x d", "y")],
            [("x", FLOAT, [2, 2])],
            [("y", FLOAT, [2, 2])],
            {**SYMMETRIC, "w": np.ones((2, 2), np.int8)},
        ),
        "int8-weight",
        "/d",
        "got INT8 initializer 'w', expected FP32 -> .* as the guide of TensorRT 8.6 asks; store",
        versions=(V8_6,),
        severity=Severity.UNKNOWN,
    ),
    Case(
        "both inputs of a residual Add",
        residual(skip_quantized=True, conv_quantized=True),
        "residual-add",
        "/y",
        "got both inputs quantized, expected the skip alone: Conv and Add are not fused; remove",
        severity=Severity.SLOW,
    ),
    Case(
        "the convolution's branch of a residual Add",
        residual(skip_quantized=False, conv_quantized=True),
        "residual-add",
        "/y",
        "got the convolution's branch quantized and the skip in float, .*; move Q/DQ to the skip",
        severity=Severity.SLOW,
    ),
    Case(
        "a float skip",
        residual(skip_quantized=False, conv_quantized=False),
        "residual-add",
        "/y",
        "got a float skip beside an INT8 convolution, expected Q/DQ on the skip; quantize it",
        severity=Severity.SLOW,
    ),
    Case(
        "a quantized weight alone",
        model(
            [*pair("w"), node("Conv", "x w_real", "y", kernel_shape=[1, 1])],
            [("x", FLOAT, [1, 32, 4, 4])],
            [("y", FLOAT, [1, 32, 4, 4])],
            {"w": weight(32, 32), **SYMMETRIC},
        ),
        "half-quantized",
        "/y",
        "got Q/DQ on the weight alone, expected it on the activation too: .* stays in float",
        severity=Severity.SLOW,
    ),
    Case(
        "channels that are no multiple of 32",
        int8_conv(outside=32, inside=16),
        "int8-channels",
        "/y",
        "got 16 and 32 input and output channels, expected multiples of 32: TensorRT pads the "
        "rest; use aligned channels",
        severity=Severity.SLOW,
    ),
    Case(
        "groups of two channels",
        int8_conv(outside=32, inside=2, group=16),
        "int8-channels",
        "/y",
        "got groups of 2 input and 2 output channels, expected multiples of 4 for an INT8 kernel",
        severity=Severity.SLOW,
    ),
    Case(
        "the colours of a picture",
        model(
            [*pair("x"), *pair("w"), node("Conv", "x_real w_real", "y", kernel_shape=[1, 1])],
            [("x", FLOAT, [1, 3, 4, 4])],
            [("y", FLOAT, [1, 64, 4, 4])],
            {"w": weight(64, 3), **SYMMETRIC},
        ),
        "int8-channels",
        "/y",
        "got 3 and 64 .* unavoidable where a picture with 3 colours comes in, .* nothing to do",
        severity=Severity.SLOW,
    ),
    Case(
        "an INT8 classifier",
        model(
            [*pair("x"), *pair("w"), node("Gemm", "x_real w_real", "y", transB=1)],
            [("x", FLOAT, [1, 64])],
            [("y", FLOAT, [1, 7])],
            {"w": np.ones((7, 64), np.float32), **SYMMETRIC},
        ),
        "int8-channels",
        "/y",
        r"got 7 and 64 as the sides of its weight \(K and N\), expected multiples of 32",
        severity=Severity.SLOW,
    ),
    Case(
        "channels known only at run time",
        model(
            [*pair("x"), *pair("w"), node("Conv", "x_real w_real", "y", kernel_shape=[1, 1])],
            [("x", FLOAT, [1, "channels", 4, 4])],
            [("y", FLOAT, [1, 32, 4, 4])],
            {"w": weight(32, 32), **SYMMETRIC},
        ),
        "dynamic-channels",
        "/y",
        "got a channel dimension that is known only at run time, expected a constant for an INT8",
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


def test_half_scales_are_read_from_opset_19_on_and_not_by_8() -> None:
    half = pair_model({**SYMMETRIC, "scale": np.array(0.1, np.float16)}, 19, HALF)
    assert [lint(half, version) for version in AFTER_8] == [()] * 4
    found = lint(half, V8_6)
    assert [item.rule for item in found] == ["opset", "scale-type", "scale-type"]
    assert re.search(
        "TensorRT 8.6 reads them as float32 bytes; store the scales in FP32", found[1].message
    )


def test_a_skip_that_is_quantized_alone_is_what_tensorrt_wants() -> None:
    graph = residual(skip_quantized=True, conv_quantized=False)
    assert [lint(graph, version) for version in ALL] == [()] * 5


def test_an_aligned_int8_convolution_has_no_finding() -> None:
    assert lint(int8_conv(outside=64, inside=32), V10_3) == ()
