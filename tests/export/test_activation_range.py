"""Ranges of a graph small enough to compute by hand."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge_arm.export.activation_range import activation_absmax, nodes_beyond_fp16


def _model(factor: float) -> onnx.ModelProto:
    """faces -> float -> times factor -> minus 1000."""
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["faces"], ["cast"], name="/cast", to=TensorProto.FLOAT),
            helper.make_node("Mul", ["cast", "factor"], ["large"], name="/mul"),
            helper.make_node("Neg", ["large"], ["negative"], name="/neg"),
            helper.make_node("Sigmoid", ["negative"], ["small"], name="/sigmoid"),
            helper.make_node("Flatten", ["small"], ["logits"], name="/flatten"),
        ],
        "g",
        [helper.make_tensor_value_info("faces", TensorProto.UINT8, ["n", 2, 2, 3])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 12])],
        [numpy_helper.from_array(np.array(factor, np.float32), "factor")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_the_maximum_is_over_all_batches_and_both_signs() -> None:
    images = np.zeros((9, 2, 2, 3), np.uint8)
    images[8, 1, 1, 2] = 200  # in the last, smaller batch
    seen: list[int] = []
    absmax = activation_absmax(_model(3.0), images, seen.append)
    assert absmax["large"] == 600.0
    assert absmax["negative"] == 600.0
    assert absmax["small"] == 0.5  # sigmoid(0)
    assert sum(seen) == 9


def test_a_tensor_within_a_quarter_of_the_range_needs_nothing() -> None:
    assert nodes_beyond_fp16(_model(60.0), {"cast": 255.0, "large": 16000.0}) == {}


def test_every_node_at_a_large_tensor_is_named_with_its_figure() -> None:
    reasons = nodes_beyond_fp16(_model(100.0), {"cast": 255.0, "large": 17000.0, "small": 1.0})
    assert set(reasons) == {"/mul", "/neg"}
    assert "'large' reaches 17000" in reasons["/mul"]


def test_nan_counts_as_beyond() -> None:
    assert set(nodes_beyond_fp16(_model(1.0), {"small": float("nan")})) == {"/sigmoid", "/flatten"}


@pytest.mark.parametrize(("factor", "names"), [(65504.0, set()), (65505.0, {"/mul"})])
def test_a_constant_may_fill_the_range_but_not_leave_it(factor: float, names: set[str]) -> None:
    assert set(nodes_beyond_fp16(_model(factor), {})) == names
