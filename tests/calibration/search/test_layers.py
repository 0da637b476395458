from __future__ import annotations

from dataclasses import replace

import onnx
import pytest
from onnx import TensorProto, helper

from edge_arm.calibration.graph import Edge
from edge_arm.calibration.placement import QuantPlan
from edge_arm.calibration.placement_check import check_placement
from edge_arm.calibration.qdq import int8_graph
from edge_arm.calibration.search.layers import Layer, layers_of, plan_only, plan_without
from edge_arm.calibration.typed_check import check_typed
from edge_arm.calibration.typed_qdq import typed_graph
from edge_arm.runtime.errors import CalibrationError, UsageError

INPUT_STAGE = ("/n0/Cast", "/n1/Transpose", "/n2/Sub")


def names_of(model: onnx.ModelProto, layer: Layer) -> list[tuple[str, int]]:
    return [(model.graph.node[edge.node].name, edge.input) for edge in layer.edges]


def test_every_edge_of_the_plan_belongs_to_exactly_one_layer(
    model: onnx.ModelProto, plan: QuantPlan
):
    owned = [edge for layer in layers_of(plan, model) for edge in layer.edges]
    assert len(owned) == len(set(owned))
    assert set(owned) == {*plan.activations, *plan.weights}


def test_a_layer_is_a_conv_with_the_skip_that_is_fused_into_it_and_the_pool_before_it(
    model: onnx.ModelProto, plan: QuantPlan
):
    layers = {layer.name: names_of(model, layer) for layer in layers_of(plan, model)}
    assert len(layers) == 20
    # the graph of conftest: n3 conv1, n4 Relu, n5 MaxPool, then layer1.0: n6, n7 Relu, n8, n9 Add
    assert layers["/n3/Conv"] == [("/n3/Conv", 0), ("/n3/Conv", 1)]
    assert layers["/n6/Conv"] == [("/n5/MaxPool", 0), ("/n6/Conv", 0), ("/n6/Conv", 1)]
    assert layers["/n8/Conv"] == [("/n8/Conv", 0), ("/n9/Add", 1), ("/n8/Conv", 1)]
    # layer2.0: n16 conv1, n17 Relu, n18 conv2, n19 downsample, n20 Add of n18 and n19
    assert layers["/n18/Conv"] == [("/n18/Conv", 0), ("/n20/Add", 1), ("/n18/Conv", 1)]
    assert layers["/n19/Conv"] == [("/n19/Conv", 0), ("/n19/Conv", 1)]


def test_the_plan_without_a_layer_lacks_its_edges_and_has_the_reason(
    model: onnx.ModelProto, plan: QuantPlan
):
    mixed = plan_without(plan, model, layers=["/n8/Conv"], reason="it is sensitive")
    gone = {*plan.activations, *plan.weights} - {*mixed.activations, *mixed.weights}
    assert gone == {Edge(8, 0), Edge(8, 1), Edge(9, 1)}
    assert mixed.float_nodes["/n8/Conv"] == "it is sensitive"
    assert list(mixed.float_nodes) == ["/n8/Conv", "/n49/Conv"]  # in graph order
    assert mixed.kept_float == {"/n8/Conv"}


def test_the_plan_of_a_layer_has_its_edges_alone(model: onnx.ModelProto, plan: QuantPlan):
    alone = plan_only(plan, model, layers=["/n6/Conv"])
    assert alone.activations == (Edge(5, 0), Edge(6, 0))
    assert alone.weights == (Edge(6, 1),)
    assert len(alone.float_nodes) == 20


@pytest.mark.parametrize("name", ["/n3/Conv", "/n6/Conv", "/n8/Conv", "/n18/Conv", "/n19/Conv"])
def test_a_mixed_graph_is_placed_as_tensorrt_wants_it(
    model: onnx.ModelProto, plan: QuantPlan, name: str
):
    mixed = plan_without(plan, model, layers=[name], reason="it is sensitive")
    amax = dict.fromkeys(plan.ranges_from(model), 3.0)
    check_placement(int8_graph(model, mixed, amax), kept_float=mixed.kept_float)
    typed = typed_graph(model, mixed, amax, float32_nodes=INPUT_STAGE).model
    check_typed(typed, INPUT_STAGE, kept_float=mixed.kept_float)


def test_a_layer_kept_in_float_is_fp16_in_the_typed_graph(model: onnx.ModelProto, plan: QuantPlan):
    mixed = plan_without(plan, model, layers=["/n8/Conv"], reason="it is sensitive")
    amax = dict.fromkeys(plan.ranges_from(model), 3.0)
    typed = typed_graph(model, mixed, amax, float32_nodes=INPUT_STAGE).model
    kept = next(node for node in typed.graph.node if node.name == "/n8/Conv")
    stored = {item.name: item.data_type for item in typed.graph.initializer}
    assert {stored[name] for name in kept.input[1:]} == {TensorProto.FLOAT16}


def test_a_float_conv_that_nobody_chose_is_still_refused(model: onnx.ModelProto, plan: QuantPlan):
    mixed = plan_without(plan, model, layers=["/n8/Conv"], reason="it is sensitive")
    graph = int8_graph(model, mixed, dict.fromkeys(plan.ranges_from(model), 3.0))
    with pytest.raises(
        CalibrationError, match="'/n8/Conv' has DequantizeLinear on 0 of activation"
    ):
        check_placement(graph)


def test_a_quantized_skip_into_a_float_conv_is_refused(model: onnx.ModelProto, plan: QuantPlan):
    mixed = plan_without(plan, model, layers=["/n8/Conv"], reason="it is sensitive")
    half = replace(mixed, activations=(*mixed.activations, Edge(9, 1)))
    graph = int8_graph(model, half, dict.fromkeys(plan.ranges_from(model), 3.0))
    with pytest.raises(CalibrationError, match="1 quantized inputs, expected none, because its"):
        check_placement(graph, kept_float=mixed.kept_float)


def test_a_conv_kept_in_float_with_a_quantized_input_is_refused(
    model: onnx.ModelProto, plan: QuantPlan
):
    mixed = plan_without(plan, model, layers=["/n3/Conv"], reason="it is sensitive")
    half = replace(mixed, activations=(*mixed.activations, Edge(3, 0)))
    graph = int8_graph(model, half, dict.fromkeys(plan.ranges_from(model), 3.0))
    with pytest.raises(CalibrationError, match="'/n3/Conv' is kept in float and has a quantized"):
        check_placement(graph, kept_float=mixed.kept_float)


def test_an_unknown_layer_is_refused_with_the_names_there_are(
    model: onnx.ModelProto, plan: QuantPlan
):
    with pytest.raises(UsageError, match="got the layer 'conv9', expected one of '/n3/Conv', "):
        plan_without(plan, model, layers=["conv9"], reason="")
    with pytest.raises(UsageError, match="got the layer 'conv9'"):
        plan_only(plan, model, layers=["conv9"])


def line_graph(*kinds: str, names: tuple[str, ...] = ()) -> onnx.ModelProto:
    nodes = [
        helper.make_node(
            kind, [f"t{i}", f"w{i}"][: 2 if kind == "Conv" else 1], [f"t{i + 1}"], name
        )
        for i, (kind, name) in enumerate(zip(kinds, names or kinds, strict=True))
    ]
    return helper.make_model(helper.make_graph(nodes, "line", [], []))


def test_an_edge_with_no_layer_behind_it_belongs_to_the_one_before():
    line = line_graph("Conv", "Relu", "GlobalAveragePool")
    plan = QuantPlan((Edge(0, 0), Edge(2, 0)), (Edge(0, 1),), {})
    (layer,) = layers_of(plan, line)
    assert layer.edges == (Edge(0, 0), Edge(2, 0), Edge(0, 1))


def test_an_edge_with_no_layer_at_all_is_refused():
    with pytest.raises(CalibrationError, match="node 'Relu' .Relu. has a quantized input and no"):
        layers_of(QuantPlan((Edge(0, 0),), (), {}), line_graph("Relu"))


@pytest.mark.parametrize("names", [("a", "a"), ("", "b")])
def test_layers_without_a_name_of_their_own_are_refused(names: tuple[str, str]):
    plan = QuantPlan((Edge(0, 0), Edge(1, 0)), (), {})
    with pytest.raises(
        CalibrationError, match="expected one of its own, because layers are chosen"
    ):
        layers_of(plan, line_graph("Conv", "Conv", names=names))
