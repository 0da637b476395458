from __future__ import annotations

import onnx

from edge_arm.calibration.graph import residual_adds
from edge_arm.calibration.implicit import implicit_ranges_from
from edge_arm.calibration.placement import QuantPlan


def test_every_tensor_that_an_int8_convolution_reads_or_writes_has_a_range(
    model: onnx.ModelProto, plan: QuantPlan
):
    source = implicit_ranges_from(model, plan)
    for edge in plan.weights:
        node = model.graph.node[edge.node]
        assert {node.input[0], node.output[0]} <= source.keys()


def test_the_ranges_of_the_qdq_model_are_taken_over(model: onnx.ModelProto, plan: QuantPlan):
    source = implicit_ranges_from(model, plan)
    assert plan.ranges_from(model).items() <= source.items()


def test_a_tensor_before_a_relu_has_the_range_behind_it(model: onnx.ModelProto, plan: QuantPlan):
    source = implicit_ranges_from(model, plan)
    # n3 Conv, n4 Relu, n5 MaxPool; n6 Conv, n7 Relu; n9 Add, n10 Relu
    assert (source["t3"], source["t4"], source["t6"], source["t9"]) == ("t5", "t5", "t7", "t10")


def test_the_convolution_before_a_residual_add_has_a_range_of_its_own(
    model: onnx.ModelProto, plan: QuantPlan
):
    source = implicit_ranges_from(model, plan)
    branches = [model.graph.node[add].input[0] for add in residual_adds(model)]
    assert [source[name] for name in branches] == branches


def test_the_input_stage_the_last_add_and_the_head_have_none(
    model: onnx.ModelProto, explicit_model: onnx.ModelProto, plan: QuantPlan
):
    for graph in (model, explicit_model):
        source = implicit_ranges_from(graph, plan)
        made = [name for node in graph.graph.node for name in node.output]
        assert [name for name in made if name not in source] == [
            "t0", "t1", *made[made.index("t47"):]
        ]  # fmt: skip


def test_the_order_is_that_of_the_graph(model: onnx.ModelProto, plan: QuantPlan):
    made = [name for node in model.graph.node for name in node.output]
    positions = [made.index(name) for name in implicit_ranges_from(model, plan)]
    assert positions == sorted(positions)
