from __future__ import annotations

import logging

import numpy as np
import onnx
import pytest
from onnx import helper

from edge_arm.calibration.graph import head_nodes, residual_adds
from edge_arm.calibration.placement import Edge, QuantPlan, plan_from_modelopt
from edge_arm.runtime.errors import CalibrationError


def kinds(model: onnx.ModelProto, edges: tuple[Edge, ...]) -> list[str]:
    return [model.graph.node[edge.node].op_type for edge in edges]


def test_every_conv_but_the_heads_gets_an_activation_and_a_weight_scale(
    model: onnx.ModelProto, plan: QuantPlan
):
    convs = [i for i, node in enumerate(model.graph.node) if node.op_type == "Conv"]
    assert len(convs) == 21
    assert [edge.node for edge in plan.weights] == convs[:-1]
    assert {Edge(conv, 0) for conv in convs[:-1]} <= set(plan.activations)
    assert all(edge.input == 1 for edge in plan.weights)


def test_each_residual_add_is_quantized_on_its_skip_alone(model: onnx.ModelProto, plan: QuantPlan):
    skips = [edge for edge in plan.activations if model.graph.node[edge.node].op_type == "Add"]
    assert [edge.node for edge in skips] == residual_adds(model)
    assert len(skips) == 8
    # By construction of the graph the skip is the second input of its Adds.
    assert all(edge.input == 1 for edge in skips)


def test_nothing_else_is_quantized_but_max_pool(model: onnx.ModelProto, plan: QuantPlan):
    assert set(kinds(model, plan.activations)) == {"Conv", "Add", "MaxPool"}


def test_the_range_before_max_pool_is_that_behind_it(model: onnx.ModelProto, plan: QuantPlan):
    (pool,) = (node for node in model.graph.node if node.op_type == "MaxPool")
    source = plan.ranges_from(model)
    assert source[pool.input[0]] == pool.output[0]
    assert all(name == origin for name, origin in source.items() if name != pool.input[0])


def test_the_head_stays_in_float_and_says_why(model: onnx.ModelProto, plan: QuantPlan):
    head = [node.name for node in model.graph.node if node.op_type == "Conv"][-1]
    assert list(plan.float_nodes) == [head]
    assert plan.float_nodes[head].startswith("the head stays in float")


def test_the_explicit_head_stays_in_float_as_a_whole(
    explicit_model: onnx.ModelProto, plan: QuantPlan, faces_nhwc: np.ndarray
):
    explicit = plan_from_modelopt(explicit_model, faces_nhwc[:1])
    assert (explicit.activations, explicit.weights) == (plan.activations, plan.weights)
    kept = {node.name: node.op_type for node in explicit_model.graph.node}
    assert [kept[name] for name in explicit.float_nodes] == ["Conv", "Gemm"]


def test_arms_own_add_is_no_residual_add(explicit_model: onnx.ModelProto):
    assert len(residual_adds(explicit_model)) == 8
    operators = [explicit_model.graph.node[i].op_type for i in sorted(head_nodes(explicit_model))]
    assert operators == ["DepthToSpace", "Conv", "ReduceMean", "Add", "Flatten", "Gemm"]


def test_asking_model_optimizer_changes_neither_the_model_nor_the_logging(
    model: onnx.ModelProto, faces_nhwc: np.ndarray, capfd: pytest.CaptureFixture[str]
):
    before = model.SerializeToString(deterministic=True)
    logger = logging.getLogger("modelopt.onnx")
    handlers = list(logger.handlers)
    plan_from_modelopt(model, faces_nhwc[:1])
    assert model.SerializeToString(deterministic=True) == before
    assert logger.handlers == handlers
    assert capfd.readouterr().out == ""


def test_a_quantized_model_is_refused(faces_nhwc: np.ndarray):
    node = helper.make_node("DequantizeLinear", ["x", "s"], ["y"], "already")
    quantized = helper.make_model(helper.make_graph([node], "g", [], []))
    with pytest.raises(CalibrationError, match="already quantized .node 'already' is a Dequan"):
        plan_from_modelopt(quantized, faces_nhwc[:1])


def test_a_model_without_residual_blocks_is_refused(faces_nhwc: np.ndarray):
    plain = helper.make_model(helper.make_graph([], "plain", [], []))
    with pytest.raises(CalibrationError, match="the model 'plain' has no residual block"):
        plan_from_modelopt(plain, faces_nhwc[:1])


def test_a_failure_inside_model_optimizer_is_a_calibration_error(model: onnx.ModelProto):
    wrong_size = np.zeros((1, 8, 8, 3), np.uint8)
    with pytest.raises(CalibrationError, match="Model Optimizer cannot place Q/DQ in this model"):
        plan_from_modelopt(model, wrong_size)
