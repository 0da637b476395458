"""What `lint` answers as a whole: nothing for a good graph, findings in order, clear errors."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto
from onnx_builders import SYMMETRIC, model, node, pair, weight

from edge_arm.export.tensorrt_lint import Finding, Severity, TensorRTVersion, lint
from edge_arm.runtime.errors import ExportError, UsageError

FLOAT, UINT8 = TensorProto.FLOAT, TensorProto.UINT8
V8_6, V10_3, V10_13, V10_16, V11_1 = TensorRTVersion
ALL = tuple(TensorRTVersion)
SQUARE = [1, 2, 4, 4]


def clean_graph() -> onnx.ModelProto:
    """Everything that our exports use, in the form that every version takes."""
    constants = {
        "mean": np.full((1, 3, 1, 1), 100, np.float32),
        "w0": weight(32, 3, 3),
        "b0": np.ones(32, np.float32),
        "w": weight(32, 32),
        "w_scale": np.full(32, 0.01, np.float32),
        "w_zero": np.zeros(32, np.int8),
        "affinity": np.ones((1, 1, 8, 8), np.float32),
        "fc": np.ones((7, 64), np.float32),
        "fc_bias": np.ones(7, np.float32),
        **SYMMETRIC,
    }
    nodes = [
        node("Cast", "faces", "cast", to=FLOAT),
        node("Transpose", "cast", "nchw", perm=[0, 3, 1, 2]),
        node("Sub", "nchw mean", "pixels"),
        node("Conv", "pixels w0 b0", "c0", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        node("Relu", "c0", "a"),
        *pair("a"),
        *pair("w", "w_scale", "w_zero", axis=0),
        node("Conv", "a_real w_real b0", "c1", kernel_shape=[1, 1]),
        node("Add", "c1 a_real", "sum"),
        node("Relu", "sum", "r"),
        node("MaxPool", "r", "pooled", kernel_shape=[2, 2], strides=[2, 2]),
        node("DepthToSpace", "pooled", "arranged", blocksize=4, mode="CRD"),
        node("MaxPool", "arranged", "small", kernel_shape=[2, 2], strides=[2, 2]),
        node("ReduceMean", "small", "unique", axes=[1], keepdims=1),
        node("Add", "unique affinity", "tuned"),
        node("Flatten", "tuned", "flat", axis=1),
        node("Gemm", "flat fc fc_bias", "logits", alpha=1.0, beta=1.0, transB=1),
    ]
    return model(
        nodes, [("faces", UINT8, ["n", 8, 8, 3])], [("logits", FLOAT, ["n", 7])], constants
    )


def test_a_graph_in_the_form_that_all_take_has_no_finding() -> None:
    graph = clean_graph()
    onnx.checker.check_model(graph, full_check=True)
    assert {version: lint(graph, version) for version in ALL} == dict.fromkeys(ALL, ())


def test_findings_come_worst_first_then_in_the_order_of_the_graph() -> None:
    nodes = [
        node("Softsign", "x", "a"),
        node("Transpose", "p", "b", perm=[0, 3, 1, 2]),
        node("Softsign", "a", "c"),
        node("Relu", "p", "d"),
    ]
    graph = model(
        nodes,
        [("x", FLOAT, SQUARE), ("p", UINT8, SQUARE)],
        [("b", UINT8, None), ("c", FLOAT, None), ("d", UINT8, None)],
    )
    found = lint(graph, V10_3)
    assert [(item.severity, item.node) for item in found] == [
        (Severity.REFUSED, "/b"),
        (Severity.REFUSED, "/d"),
        (Severity.UNKNOWN, "/a"),
        (Severity.UNKNOWN, "/c"),
    ]


def test_the_model_is_not_changed() -> None:
    graph = clean_graph()
    before = graph.SerializeToString(deterministic=True)
    lint(graph, V10_3)
    assert graph.SerializeToString(deterministic=True) == before


def test_a_node_without_a_name_is_named_after_its_output() -> None:
    graph = model([node("Softsign", "x", "y")], [("x", FLOAT, SQUARE)], [("y", FLOAT, SQUARE)])
    graph.graph.node[0].ClearField("name")
    assert [item.node for item in lint(graph, V10_3)] == ["y (Softsign)"]


def test_nodes_that_no_rule_can_judge_are_told() -> None:
    graph = model(
        [node("Mystery", "x", "a", domain="com.microsoft"), node("Relu", "a", "y")],
        [("x", FLOAT, SQUARE)],
        [("y", FLOAT, SQUARE)],
    )
    found = [item for item in lint(graph, V10_3) if item.rule == "untyped"]
    message = (
        "got 1 nodes with inputs of unknown type, '/y' first, expected types that ONNX can infer; "
        "replace the operators it does not know"
    )
    assert found == [Finding(Severity.UNKNOWN, "model", "untyped", message)]


def test_int64_and_double_are_narrowed_before_the_table_is_asked() -> None:
    wide = model(
        [node("Add", "x x", "y"), node("Relu", "d", "z")],
        [("x", TensorProto.INT64, [2]), ("d", TensorProto.DOUBLE, [2])],
        [("y", TensorProto.INT64, [2]), ("z", TensorProto.DOUBLE, [2])],
    )
    assert [lint(wide, version) for version in ALL] == [()] * 5


def test_a_model_without_an_opset_is_an_error() -> None:
    graph = clean_graph()
    del graph.opset_import[:]
    with pytest.raises(ExportError, match="names no ONNX opset, expected one; .* export it again"):
        lint(graph, V10_3)


def test_a_model_that_is_no_valid_onnx_is_an_error() -> None:
    graph = clean_graph()
    graph.graph.node[0].input[0] = "nowhere"
    with pytest.raises(ExportError, match=r"no valid ONNX \(.*nowhere.*\), expected one that"):
        lint(graph, V10_3)


@pytest.mark.parametrize(("text", "version"), [("10.3", V10_3), ("10.13.3.9", V10_13)])
def test_a_version_is_known_with_and_without_its_patch(text: str, version: TensorRTVersion) -> None:
    assert TensorRTVersion.parse(text) is version


@pytest.mark.parametrize("text", ["10.30", "9", ""])
def test_a_version_without_tables_is_an_error(text: str) -> None:
    with pytest.raises(UsageError, match=f"got TensorRT version '{text}', expected one of 8.6, 1"):
        TensorRTVersion.parse(text)
