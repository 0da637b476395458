"""Our placement against Model Optimizer's, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx
import pytest
import residual_networks
from onnx import TensorProto, helper
from residual_networks import FORMS, SIZE, Graph, W

from edge_arm.calibration.placement import QuantPlan, plan_from_modelopt
from edge_arm.calibration.placement_rules import plan_from_structure
from edge_arm.runtime.errors import CalibrationError


def assert_same(ours: QuantPlan, theirs: QuantPlan) -> None:
    assert ours == theirs
    # Equal dicts may have another order, and the order is what reports show.
    assert list(ours.float_nodes) == list(theirs.float_nodes)


def test_a_resnet_with_other_names_is_placed_as_by_model_optimizer(
    model: onnx.ModelProto, explicit_model: onnx.ModelProto, faces_nhwc: np.ndarray
):
    for graph in (model, explicit_model):
        assert_same(plan_from_structure(graph), plan_from_modelopt(graph, faces_nhwc[:1]))


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
def test_other_residual_networks_are_placed_as_by_model_optimizer(
    form: Callable[[], onnx.ModelProto],
):
    graph = form()
    face = np.random.default_rng(0).integers(0, 256, (1, SIZE, SIZE, 3), np.uint8)
    assert_same(plan_from_structure(graph), plan_from_modelopt(graph, face))


def test_the_model_is_not_changed(model: onnx.ModelProto):
    before = model.SerializeToString(deterministic=True)
    plan_from_structure(model)
    assert model.SerializeToString(deterministic=True) == before


def test_a_quantized_model_is_refused_by_the_rules_too():
    node = helper.make_node("DequantizeLinear", ["x", "s"], ["y"], "already")
    quantized = helper.make_model(helper.make_graph([node], "g", [], []))
    with pytest.raises(CalibrationError, match="already quantized .node 'already' is a Dequan"):
        plan_from_structure(quantized)


def test_a_plain_network_has_no_residual_block_to_go_by():
    g = Graph()
    plain = g.finished(g.node("Relu", g.conv(g.stem(), (W, W, 3, 3))), W)
    with pytest.raises(CalibrationError, match="the model 'network' has no residual block"):
        plan_from_structure(plain)


def _average_pool() -> onnx.ModelProto:
    g = Graph()
    x = g.node("AveragePool", g.stem(), kernel_shape=[2, 2])
    return g.finished(g.basic(x, W, W), W)


def _relu_on_pixels() -> onnx.ModelProto:
    g = Graph()
    x = g.conv(g.node("Relu", g.pixels()), (W, 3, 3, 3))
    return g.finished(g.basic(x, W, W), W)


def _sum_of_pixels() -> onnx.ModelProto:
    g = Graph()
    x = g.pixels()
    return g.finished(g.basic(g.conv(g.node("Mul", x, x), (W, 3, 3, 3)), W, W), W)


def _linear_bottleneck() -> onnx.ModelProto:
    g = Graph()
    x = g.stem()
    return g.finished(g.basic(g.node("Add", g.conv(x, (W, W, 1, 1)), x), W, W), W)


def _narrow(shape: tuple[int, int, int, int], groups: int = 1) -> onnx.ModelProto:
    g = Graph()
    outside, inside = shape[0], shape[1] * groups
    x = g.conv(g.conv(g.stem(), (inside, W, 1, 1)), shape, groups=groups)
    return g.finished(g.basic(g.conv(x, (W, outside, 1, 1)), W, W), W)


def _weight_as_input() -> onnx.ModelProto:
    g = Graph()
    graph = g.finished(g.basic(g.conv(g.stem(), (W, W, 1, 1)), W, W), W)
    conv = [node for node in graph.graph.node if node.op_type == "Conv"][1]
    conv.input[1] = "weight"
    graph.graph.input.append(
        helper.make_tensor_value_info("weight", TensorProto.FLOAT, [W, W, 1, 1])
    )
    return graph


def _one_conv_twice() -> onnx.ModelProto:
    g = Graph()
    y = g.conv(g.stem(), (W, W, 3, 3))
    return g.finished(g.end(y, g.node("Relu", y)), W)


def _strangers() -> onnx.ModelProto:
    g = Graph()
    x = g.basic(g.stem(), W, W)
    y = g.basic(x, W, W)
    # From behind one block and behind the next: they meet nowhere in between.
    return g.finished(g.end(g.conv(y, (W, W, 3, 3)), x), W)


def _head_reads_a_block() -> onnx.ModelProto:
    g = Graph()
    x = g.basic(g.stem(), W, W)
    return g.finished(g.node("Concat", g.basic(x, W, W), x, axis=1), 2 * W)


def _second_output() -> onnx.ModelProto:
    graph = residual_networks.like_resnet34()
    relu = next(node for node in graph.graph.node if node.op_type == "Relu")
    graph.graph.output.append(
        helper.make_tensor_value_info(relu.output[0], TensorProto.FLOAT, None)
    )
    return graph


def _branch_read_twice() -> onnx.ModelProto:
    g = Graph()
    x = g.stem()
    y = g.conv(x, (W, W, 3, 3))
    return g.finished(g.node("Concat", g.end(y, x), y, axis=1), 2 * W)


def _dead_end() -> onnx.ModelProto:
    g = Graph()
    x = g.stem()
    g.node("Relu", x)
    return g.finished(g.basic(x, W, W), W)


@dataclass(frozen=True)
class Refused:
    """A graph that the rules do not cover, and what is said of it."""

    id: str
    model: onnx.ModelProto
    match: str


REFUSED = (
    Refused(
        "another operator",
        _average_pool(),
        r"^node '/t6' \(AveragePool\) stands between the first Conv and the head, and where Q/DQ "
        "belongs there is not known, expected a ResNet as 'edge-arm export' writes it: .*; export "
        "the model again$",
    ),
    Refused("Relu on pixels", _relu_on_pixels(), r"\(Relu\) stands before the first Conv"),
    Refused("pixels squared", _sum_of_pixels(), r"\(Mul\) stands before the first Conv"),
    Refused("an Add without Relu", _linear_bottleneck(), r"\(Add\) ends no residual block"),
    Refused("8 channels", _narrow((8, 8, 3, 3)), r"of shape \[8, 8, 3, 3\].* too narrow"),
    Refused("12 of 20", _narrow((12, 20, 3, 3)), r"of shape \[12, 20, 3, 3\].* too narrow"),
    Refused("oblong", _narrow((8, 16, 3, 1)), r"of shape \[8, 16, 3, 1\].* too narrow"),
    Refused("grouped 1x1", _narrow((16, 4, 1, 1), 4), r"of shape \[16, 4, 1, 1\].* too narrow"),
    Refused("a weight as input", _weight_as_input(), "has no stored weight and bias"),
    Refused("one Conv twice", _one_conv_twice(), "does not end two branches from one tensor"),
    Refused("strangers", _strangers(), "does not end two branches from one tensor"),
    Refused("a head on a block", _head_reads_a_block(), "is in the head and reads a tensor of"),
    Refused("a second output", _second_output(), "makes an output of the model outside the head"),
    Refused("a branch read twice", _branch_read_twice(), "is read by a residual Add and by anot"),
    Refused("a dead end", _dead_end(), r"^node '/t6' \(Relu\) makes what no node reads"),
)  # fmt: skip


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.id)
def test_what_the_rules_do_not_cover_is_refused_by_name(case: Refused):
    with pytest.raises(CalibrationError, match=case.match):
        plan_from_structure(case.model)
