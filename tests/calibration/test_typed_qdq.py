"""The INT8 model for strongly typed networks: its types, its grid, and what it answers."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from edge_arm.calibration.graph import Edge
from edge_arm.calibration.half_range import float_tensors, nodes_in_float32
from edge_arm.calibration.observe import observe
from edge_arm.calibration.placement import QuantPlan
from edge_arm.calibration.qdq import int8_graph
from edge_arm.calibration.typed_check import check_typed
from edge_arm.calibration.typed_qdq import TypedGraph, typed_graph
from edge_arm.calibration.typed_reference import TypedReference, with_float32_quantizers
from edge_arm.runtime.batches import FaceBatch
from edge_arm.runtime.errors import BackendError, CalibrationError

INPUT_STAGE = ("/n0/Cast", "/n1/Transpose", "/n2/Sub")
FLOAT, HALF = TensorProto.FLOAT, TensorProto.FLOAT16


@pytest.fixture(scope="module")
def amax(model: onnx.ModelProto, plan: QuantPlan, faces_nhwc: np.ndarray) -> dict[str, float]:
    """What the tensors really reach."""
    source = plan.ranges_from(model)
    seen = observe(model, dict.fromkeys(source.values()), [FaceBatch(0, faces_nhwc, ())])
    return {tensor: seen.absmax[origin] for tensor, origin in source.items()}


@pytest.fixture(scope="module")
def typed(model: onnx.ModelProto, plan: QuantPlan, amax: dict[str, float]) -> TypedGraph:
    return typed_graph(model, plan, amax, float32_nodes=INPUT_STAGE)


def answers(model: onnx.ModelProto, faces_nhwc: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return np.asarray(session.run(None, {"faces": faces_nhwc})[0])


def constant(model: onnx.ModelProto, name: str) -> np.ndarray:
    return numpy_helper.to_array(next(i for i in model.graph.initializer if i.name == name))


def types(model: onnx.ModelProto) -> dict[str, int]:
    graph = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    made = {item.name: item.type.tensor_type.elem_type for item in graph.value_info}
    return made | {item.name: item.data_type for item in graph.initializer}


def copy(model: onnx.ModelProto) -> onnx.ModelProto:
    result = onnx.ModelProto()
    result.CopyFrom(model)
    return result


def replaced(model: onnx.ModelProto, name: str, values: np.ndarray) -> onnx.ModelProto:
    result = copy(model)
    item = next(item for item in result.graph.initializer if item.name == name)
    item.CopyFrom(numpy_helper.from_array(values, name))
    return result


def test_it_answers_like_the_other_int8_model_and_like_fp32(
    model: onnx.ModelProto,
    plan: QuantPlan,
    amax: dict[str, float],
    typed: TypedGraph,
    faces_nhwc: np.ndarray,
):
    reference = answers(model, faces_nhwc)
    main = np.abs(answers(int8_graph(model, plan, amax), faces_nhwc) - reference).mean()
    apart = np.abs(TypedReference(typed.model).infer(faces_nhwc) - reference).mean()
    # FP16 adds 2^-11 to steps of 1/127: the error is INT8's, not larger by more than its chance.
    assert apart < 1.5 * main
    assert apart < 0.1 * reference.std()


def test_onnxs_own_evaluator_answers_alike_on_the_file_as_it_is(
    model: onnx.ModelProto, typed: TypedGraph, faces_nhwc: np.ndarray
):
    reference = answers(model, faces_nhwc[:3])
    (found,) = ReferenceEvaluator(typed.model).run(None, {"faces": faces_nhwc[:3]})
    assert np.abs(found - reference).mean() < 0.1 * reference.std()


def test_onnx_runtime_truncates_fp16_where_the_standard_rounds(
    typed: TypedGraph, faces_nhwc: np.ndarray
):
    """If this fails, ONNX Runtime is repaired and `with_float32_quantizers` can go."""
    right = TypedReference(typed.model).infer(faces_nhwc)
    # several times the whole error of INT8
    assert np.abs(answers(typed.model, faces_nhwc) - right).max() > 0.2 * right.std()


def test_a_quantizer_by_hand():
    # In steps of 2/127 rounded up to FP16 (0.015747 -> 0.01575470): 0.4 / 0.0157547 = 25.39 -> 25
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["p"], ["x"], "cast", to=FLOAT),
            helper.make_node("Conv", ["x", "w"], ["y"], "conv", kernel_shape=[1, 1]),
        ],
        "g",
        [helper.make_tensor_value_info("p", TensorProto.DOUBLE, [1, 1, 1, 3])],
        [helper.make_tensor_value_info("y", FLOAT, [1, 1, 1, 3])],
        [numpy_helper.from_array(np.ones((1, 1, 1, 1), np.float32), "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    plan = QuantPlan((Edge(1, 0),), (Edge(1, 1),), {})
    typed = typed_graph(model, plan, {"x": 2.0}, float32_nodes=("cast",)).model
    scale = np.float16(0.0157547)
    assert constant(typed, "x_scale") == scale
    below = float(np.nextafter(scale, np.float16(0)))
    assert below < 2 / 127 <= float(scale)
    session = onnxruntime.InferenceSession(
        with_float32_quantizers(typed).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (y,) = session.run(None, {"p": np.array([0.4, -0.4, 3.0]).reshape(1, 1, 1, 3)})
    # the weight is 127 steps of 1/127 rounded up to FP16, 1.0009; then FP16 twice, 2^-11 each
    expected = np.array([25, -25, 127]) * np.float64(scale) * 1.0009
    np.testing.assert_allclose(y.ravel(), expected, rtol=3 * 2**-11)


def test_the_float_part_is_fp16_and_the_input_stage_and_the_output_are_not(typed: TypedGraph):
    found = types(typed.model)
    assert {found[name] for name in ("t0", "t1", "t2")} == {FLOAT}
    assert {found[f"t{number}"] for number in range(3, 50)} == {HALF}
    assert typed.model.graph.output[0].type.tensor_type.elem_type == FLOAT
    assert [node.op_type for node in typed.model.graph.node][-1] == "Cast"


def test_biases_and_the_heads_weights_are_fp16_constants(typed: TypedGraph, model: onnx.ModelProto):
    for name in ("c2", "c41", "c42"):
        stored = constant(typed.model, name)
        assert stored.dtype == np.float16
        assert (stored == constant(model, name).astype(np.float16)).all()


def test_scales_are_fp16_and_not_below_those_of_the_ranges(
    typed: TypedGraph, amax: dict[str, float], model: onnx.ModelProto
):
    for name, value in amax.items():
        scale = constant(typed.model, f"{name}_scale")
        assert scale.dtype == np.float16
        assert value / 127 <= float(scale) <= value / 127 * (1 + 2**-10)
    weight = constant(model, "c1")
    scales = constant(typed.model, "c1_scale").astype(np.float64)
    exact = np.abs(weight).max(axis=(1, 2, 3)) / 127
    # 2^-24 is the smallest step of FP16: these scales are around 5e-5, below its normal numbers
    assert ((exact * (1 - 1e-6) <= scales) & (scales <= exact + 2**-24)).all()
    assert typed.scale_rounding == pytest.approx((scales / exact - 1).max(), rel=1e-3)


def test_weights_are_int8_and_within_half_a_rounded_step(typed: TypedGraph, model: onnx.ModelProto):
    for name in ("c1", "c3"):
        steps = constant(typed.model, f"{name}_quantized")
        assert steps.dtype == np.int8
        assert np.abs(steps.astype(int)).max() <= 127
        scale = constant(typed.model, f"{name}_scale").astype(np.float64).reshape(-1, 1, 1, 1)
        apart = np.abs(constant(model, name) - steps * scale)
        assert (apart <= scale * 0.50001).all()
    assert "c1" not in {item.name for item in typed.model.graph.initializer}


def test_the_file_is_about_a_quarter_of_the_other(
    typed: TypedGraph, model: onnx.ModelProto, plan: QuantPlan, amax: dict[str, float]
):
    main = len(int8_graph(model, plan, amax).SerializeToString())
    assert len(typed.model.SerializeToString()) < 0.3 * main


def test_nodes_keep_their_names_and_only_casts_and_pairs_are_added(
    typed: TypedGraph, model: onnx.ModelProto
):
    ours = {node.name: node.op_type for node in typed.model.graph.node}
    assert {node.name for node in model.graph.node} < ours.keys()
    added = ours.keys() - {node.name for node in model.graph.node}
    assert {ours[name] for name in added} == {"Cast", "QuantizeLinear", "DequantizeLinear"}
    assert sum(ours[name] == "Cast" for name in added) == 2
    assert len(ours) == len(typed.model.graph.node)  # every name once


def test_inputs_and_outputs_stay_and_the_opset_is_19(typed: TypedGraph, model: onnx.ModelProto):
    assert typed.model.graph.input == model.graph.input
    assert typed.model.graph.output == model.graph.output
    assert [item.version for item in typed.model.opset_import] == [19]
    assert typed.model.ir_version == 9


def test_the_explicit_head_is_fp16_as_well(
    explicit_model: onnx.ModelProto, plan: QuantPlan, amax: dict[str, float], faces_nhwc: np.ndarray
):
    typed = typed_graph(explicit_model, plan, amax, float32_nodes=INPUT_STAGE)
    check_typed(typed.model, INPUT_STAGE)
    (mean,) = (node for node in typed.model.graph.node if node.op_type == "ReduceMean")
    # from opset 18 on the axes are an input
    assert not any(item.name == "axes" for item in mean.attribute)
    assert constant(typed.model, mean.input[1]).tolist() == [1]
    reference = answers(explicit_model, faces_nhwc)
    apart = np.abs(TypedReference(typed.model).infer(faces_nhwc) - reference)
    assert apart.mean() < 0.15 * reference.std()


def test_a_model_with_activations_beyond_fp16_keeps_those_nodes_in_fp32(
    model: onnx.ModelProto, plan: QuantPlan, amax: dict[str, float], faces_nhwc: np.ndarray
):
    # The last convolution of the last block gives 30,000 times more.
    large = copy(model)
    for name in ("c39", "c40"):
        large = replaced(large, name, constant(model, name) * np.float32(30000))
    seen = observe(large, (), [FaceBatch(0, faces_nhwc, ())], extremes=float_tensors(large))
    float32 = nodes_in_float32(large, seen.absmax, known={})
    behind = ["/n46/Conv", "/n47/Add", "/n48/Relu", "/n49/Conv", "/n50/Flatten"]
    assert [*float32] == [*INPUT_STAGE, *behind]
    typed = typed_graph(large, plan, amax, float32_nodes=float32)
    check_typed(typed.model, float32)
    found = types(typed.model)
    assert {found[name] for name in ("t46", "t47", "t48", "t49")} == {FLOAT}
    assert found["t45"] == HALF
    # The skip t43 is read in FP16 by a Conv and in FP32 by the Add, each behind a pair of its own.
    assert constant(typed.model, "t43_scale").dtype == np.float16
    assert constant(typed.model, "t43_float32_scale").dtype == np.float32
    reference = answers(large, faces_nhwc)
    apart = np.abs(TypedReference(typed.model).infer(faces_nhwc) - reference)
    assert apart.mean() < 0.15 * reference.std()
    # without the exception the same graph overflows
    naive = typed_graph(large, plan, amax, float32_nodes=INPUT_STAGE)
    assert not np.isfinite(TypedReference(naive.model).infer(faces_nhwc)).all()


def test_a_weight_beyond_fp16_that_is_not_named_is_refused(
    model: onnx.ModelProto, plan: QuantPlan, amax: dict[str, float]
):
    large = replaced(model, "c39", constant(model, "c39") * np.float32(1e9))
    with pytest.raises(
        CalibrationError, match="tensor 'c39' has the scale .*at most 65504 for FP1"
    ):
        typed_graph(large, plan, amax, float32_nodes=INPUT_STAGE)


def test_an_operator_that_changes_its_form_is_refused(
    explicit_model: onnx.ModelProto, plan: QuantPlan, amax: dict[str, float]
):
    other = copy(explicit_model)
    (mean,) = (node for node in other.graph.node if node.op_type == "ReduceMean")
    mean.op_type = "ReduceMax"
    with pytest.raises(CalibrationError, match="'/n51/ReduceMean' .ReduceMax. is written differ"):
        typed_graph(other, plan, amax, float32_nodes=INPUT_STAGE)


def refused(model: onnx.ModelProto, float32_nodes: tuple[str, ...] = INPUT_STAGE) -> str:
    with pytest.raises(CalibrationError) as caught:
        check_typed(model, float32_nodes)
    return str(caught.value)


def test_the_check_passes_it(typed: TypedGraph):
    check_typed(typed.model, INPUT_STAGE)


def test_the_check_finds_an_old_opset(typed: TypedGraph):
    old = copy(typed.model)
    old.opset_import[0].version = 17
    assert "the typed model has opset 17, expected at least 19" in refused(old)


def test_the_check_finds_a_convolution_in_fp32(
    model: onnx.ModelProto, plan: QuantPlan, amax: dict[str, float]
):
    wide = typed_graph(model, plan, amax, float32_nodes=(*INPUT_STAGE, "/n8/Conv"))
    assert "'/n8/Conv' computes in FP32, expected FP16, or a reason not to" in refused(wide.model)


def test_the_check_finds_inputs_of_two_types(typed: TypedGraph):
    mixed = replaced(typed.model, "c2", constant(typed.model, "c2").astype(np.float32))
    message = refused(mixed)
    assert "types do not fit" in message
    assert "node name: /n3/Conv): B has inconsistent type tensor(float)" in message


def test_the_check_finds_a_weight_that_is_quantized_at_run_time(typed: TypedGraph):
    stored = copy(typed.model)
    steps = constant(stored, "c1_quantized")
    stored.graph.initializer.append(numpy_helper.from_array(steps.astype(np.float16), "c1"))
    stored.graph.node.insert(
        0,
        helper.make_node("QuantizeLinear", ["c1", "one", "none"], ["c1_again"], "late"),
    )
    stored.graph.initializer.append(numpy_helper.from_array(np.float16(1), "one"))
    stored.graph.initializer.append(numpy_helper.from_array(np.int8(0), "none"))
    assert "'late' quantizes a stored weight" in refused(stored)


def test_the_check_finds_a_bfloat16_scale_and_a_shifted_zero_point(typed: TypedGraph):
    shifted = replaced(typed.model, "t5_zero_point", np.array(3, np.int8))
    assert "has a zero point that is not int8 0" in refused(shifted)
    zero = replaced(typed.model, "t5_scale", np.array(0, np.float16))
    assert "has a scale that is no positive float16 or float32" in refused(zero)


def test_the_check_finds_an_fp16_output(typed: TypedGraph):
    half = copy(typed.model)
    del half.graph.node[-1]
    half.graph.output[0].name = "logits_float16"
    half.graph.output[0].type.tensor_type.elem_type = HALF
    assert "the typed model's output is FLOAT16, expected float32" in refused(half)


def test_the_check_finds_a_quantized_head(
    model: onnx.ModelProto, plan: QuantPlan, amax: dict[str, float]
):
    head = max(i for i, node in enumerate(model.graph.node) if node.op_type == "Conv")
    with_head = QuantPlan(plan.activations, (*plan.weights, Edge(head, 1)), {})
    wrong = typed_graph(model, with_head, amax, float32_nodes=INPUT_STAGE)
    assert "is in the head and has a quantized input" in refused(wrong.model)


def test_what_onnx_runtime_cannot_load_is_an_error(typed: TypedGraph):
    broken = copy(typed.model)
    del broken.graph.node[5]
    with pytest.raises(BackendError, match="ONNX Runtime cannot load the typed model"):
        TypedReference(broken)
