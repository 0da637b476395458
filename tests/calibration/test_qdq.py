from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

from edge_arm.calibration.graph import Edge
from edge_arm.calibration.placement import QuantPlan
from edge_arm.calibration.placement_check import check_placement
from edge_arm.calibration.qdq import int8_graph, rounded_weight, weight_bytes
from edge_arm.runtime.errors import CalibrationError


def answers(model: onnx.ModelProto, faces_nhwc: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return np.asarray(session.run(None, {"faces": faces_nhwc})[0])


@pytest.fixture
def amax(model: onnx.ModelProto, plan: QuantPlan) -> dict[str, float]:
    return {name: 4.0 for name in plan.ranges_from(model)}


@pytest.fixture
def int8(model: onnx.ModelProto, plan: QuantPlan, amax: dict[str, float]) -> onnx.ModelProto:
    return int8_graph(model, plan, amax)


def constant(model: onnx.ModelProto, name: str) -> np.ndarray:
    return numpy_helper.to_array(next(i for i in model.graph.initializer if i.name == name))


def test_a_conv_with_qdq_computes_round_and_clip_by_hand():
    # x in steps of 2/127 clipped at 2, weights 1 and -0.5 exactly on their own grids
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"], "conv")],
        "g",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 1, 1, 4])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1, 2, 1, 4])],
        [numpy_helper.from_array(np.array([1, -0.5], np.float32).reshape(2, 1, 1, 1), "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    plan = QuantPlan((Edge(0, 0),), (Edge(0, 1),), {})
    session = onnxruntime.InferenceSession(
        int8_graph(model, plan, {"x": 2.0}).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    x = np.array([0.0, 0.01, 1.0, 3.0], np.float32).reshape(1, 1, 1, 4)
    # in steps of 2/127: 0, 0.635 -> 1, 63.5 -> 64 (to even), 190.5 -> 127
    expected = np.array([0, 1, 64, 127]) * 2 / 127
    (y,) = session.run(None, {"x": x})
    np.testing.assert_allclose(y[0, 0, 0], expected, rtol=1e-6)  # float32
    np.testing.assert_allclose(y[0, 1, 0], -0.5 * expected, rtol=1e-6)


def test_activation_scales_are_amax_over_127(int8: onnx.ModelProto):
    assert constant(int8, "t2_scale") == np.float32(4 / 127)
    assert constant(int8, "t2_scale").dtype == np.float32


def test_weight_scales_are_the_channels_amax_over_127(
    int8: onnx.ModelProto, model: onnx.ModelProto
):
    weight = constant(model, "c1")
    expected = np.abs(weight).max(axis=(1, 2, 3)) / np.float32(127)
    assert (constant(int8, "c1_scale") == expected).all()


def test_stored_weights_are_on_their_grid_and_within_half_a_step(
    int8: onnx.ModelProto, model: onnx.ModelProto
):
    scale = constant(int8, "c1_scale").astype(np.float64).reshape(-1, 1, 1, 1)
    steps = constant(int8, "c1") / scale
    # float32 storage of q * scale
    np.testing.assert_allclose(steps, np.rint(steps), atol=1e-4)
    assert np.abs(steps).max() == pytest.approx(127, abs=1e-4)
    assert (np.abs(constant(model, "c1") - np.rint(steps) * scale) <= scale * 0.50001).all()


def test_int8_weights_behind_a_dequantize_answer_the_same(
    int8: onnx.ModelProto, faces_nhwc: np.ndarray
):
    stored = onnx.ModelProto()
    stored.CopyFrom(int8)
    nodes = [node for node in stored.graph.node if node.name != "c1_QuantizeLinear"]
    del stored.graph.node[:]
    stored.graph.node.extend(nodes)
    steps = constant(int8, "c1") / constant(int8, "c1_scale").reshape(-1, 1, 1, 1)
    stored.graph.initializer.append(
        numpy_helper.from_array(np.rint(steps).astype(np.int8), "c1_quantized")
    )
    assert (answers(stored, faces_nhwc) == answers(int8, faces_nhwc)).all()


def test_biases_and_the_head_are_left_as_they_were(int8: onnx.ModelProto, model: onnx.ModelProto):
    for name in ("c2", "c41", "c42"):
        assert (constant(int8, name) == constant(model, name)).all()


def test_inputs_outputs_and_opset_stay(int8: onnx.ModelProto, model: onnx.ModelProto):
    assert int8.opset_import == model.opset_import
    assert int8.graph.input == model.graph.input
    assert int8.graph.output == model.graph.output


def test_a_tensor_with_several_consumers_has_one_pair(int8: onnx.ModelProto):
    pairs = [node.input[0] for node in int8.graph.node if node.op_type == "QuantizeLinear"]
    assert len(pairs) == len(set(pairs)) == 21 + 20


def test_the_result_passes_the_placement_check(int8: onnx.ModelProto):
    check_placement(int8)


def test_a_channel_of_zeros_gets_a_positive_scale_and_stays_zero():
    scale, rounded = rounded_weight(np.array([[0, 0], [1, -2]], np.float32), "w")
    assert scale.tolist() == [1.0, float(np.float32(2) / np.float32(127))]
    assert not rounded[0].any()


def test_weight_bytes_count_one_byte_for_int8_and_four_for_float(
    model: onnx.ModelProto, plan: QuantPlan
):
    body = sum(constant(model, f"c{i}").size for i in range(1, 41, 2))
    rest = sum(item_size(item) for item in model.graph.initializer) - body
    assert weight_bytes(model, plan) == body + 4 * rest


def item_size(item: onnx.TensorProto) -> int:
    return int(numpy_helper.to_array(item).size)


def test_nan_weights_are_refused():
    with pytest.raises(CalibrationError, match="weight 'w' has NaN or infinite values"):
        rounded_weight(np.array([[np.nan]], np.float32), "w")


def test_an_opset_without_per_channel_scales_is_refused(model: onnx.ModelProto, plan: QuantPlan):
    old = onnx.ModelProto()
    old.CopyFrom(model)
    old.opset_import[0].version = 12
    with pytest.raises(CalibrationError, match="the FP32 model has opset 12, expected at least 13"):
        int8_graph(old, plan, {})


def broken(model: onnx.ModelProto, plan: QuantPlan, amax: dict[str, float]) -> str:
    with pytest.raises(CalibrationError) as caught:
        check_placement(int8_graph(model, plan, amax))
    return str(caught.value)


def test_the_check_finds_a_float_weight(model: onnx.ModelProto, plan: QuantPlan, amax):
    message = broken(model, replace(plan, weights=plan.weights[1:]), amax)
    assert "'/n3/Conv' has DequantizeLinear on 1 of activation and weight, expected on both" in (
        message
    )


def test_the_check_finds_a_float_first_conv(model: onnx.ModelProto, plan: QuantPlan, amax):
    activations = tuple(edge for edge in plan.activations if edge != Edge(3, 0))
    weights = plan.weights[1:]
    partial = replace(plan, activations=activations, weights=weights)
    assert "'/n3/Conv' has DequantizeLinear on 0 of" in broken(model, partial, amax)


def test_the_check_finds_a_quantized_bias(model: onnx.ModelProto, plan: QuantPlan, amax):
    with_bias = replace(plan, weights=(*plan.weights, Edge(3, 2)))
    assert "'/n3/Conv' has a quantized bias" in broken(model, with_bias, amax)


def test_the_check_finds_an_add_with_two_quantized_inputs(
    model: onnx.ModelProto, plan: QuantPlan, amax
):
    add = next(i for i, node in enumerate(model.graph.node) if node.op_type == "Add")
    both = replace(plan, activations=(*plan.activations, Edge(add, 0)))
    amax[model.graph.node[add].input[0]] = 4.0
    assert "'/n9/Add' has 2 quantized inputs, expected the skip branch alone" in (
        broken(model, both, amax)
    )


def test_the_check_finds_an_add_in_float(model: onnx.ModelProto, plan: QuantPlan, amax):
    without = tuple(
        edge for edge in plan.activations if model.graph.node[edge.node].op_type != "Add"
    )
    assert "has 0 quantized inputs" in broken(model, replace(plan, activations=without), amax)


def test_the_check_finds_a_quantized_head(model: onnx.ModelProto, plan: QuantPlan, amax):
    head = max(i for i, node in enumerate(model.graph.node) if node.op_type == "Conv")
    with_head = replace(plan, weights=(*plan.weights, Edge(head, 1)))
    assert "is in the head and has a quantized input" in broken(model, with_head, amax)


def changed(int8: onnx.ModelProto, name: str, values: np.ndarray) -> onnx.ModelProto:
    result = onnx.ModelProto()
    result.CopyFrom(int8)
    item = next(item for item in result.graph.initializer if item.name == name)
    item.CopyFrom(numpy_helper.from_array(values, name))
    return result


def test_the_check_finds_unsigned_and_shifted_zero_points(int8: onnx.ModelProto):
    for zero in (np.array(0, np.uint8), np.array(3, np.int8)):
        with pytest.raises(CalibrationError, match="has a zero point that is not int8 0"):
            check_placement(changed(int8, "t5_zero_point", zero))


def test_the_check_finds_a_scale_that_is_zero_or_half(int8: onnx.ModelProto):
    for scale in (np.array(0, np.float32), np.array(1, np.float16)):
        with pytest.raises(CalibrationError, match="has a scale that is no positive float32"):
            check_placement(changed(int8, "t5_scale", scale))


def test_the_check_finds_a_missing_zero_point(int8: onnx.ModelProto):
    result = onnx.ModelProto()
    result.CopyFrom(int8)
    node = next(node for node in result.graph.node if node.name == "t5_QuantizeLinear")
    del node.input[2]
    with pytest.raises(CalibrationError, match="has no stored scale and zero point"):
        check_placement(result)


def test_the_check_finds_a_transpose_on_the_uint8_input(int8: onnx.ModelProto):
    result = onnx.ModelProto()
    result.CopyFrom(int8)
    result.graph.node.append(helper.make_node("Transpose", ["faces"], ["turned"], "turn"))
    with pytest.raises(CalibrationError, match="'turn' .Transpose. reads the uint8 input"):
        check_placement(result)
