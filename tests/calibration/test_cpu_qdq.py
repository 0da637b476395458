"""The INT8 model for CPUs against integer arithmetic in numpy, and what ONNX Runtime fuses."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge_arm.calibration.cpu_qdq import CpuGraph, cpu_graph
from edge_arm.calibration.graph import Edge
from edge_arm.calibration.implicit import implicit_ranges_from
from edge_arm.calibration.placement import QuantPlan
from edge_arm.calibration.qdq import int8_graph
from edge_arm.runtime.errors import CalibrationError

CPU = ["CPUExecutionProvider"]
SUMMED = ("t8", "t13", "t18", "t24", "t29", "t35", "t40", "t46")
"""What convolutions give to the eight residual Adds, the last one included; see conftest."""


def answers(
    model: onnx.ModelProto, faces_nhwc: np.ndarray, outputs: list[str] | None = None
) -> list[np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=CPU)
    return session.run(outputs, {"faces": faces_nhwc})


def with_outputs(model: onnx.ModelProto, names: list[str], kind: int) -> onnx.ModelProto:
    result = onnx.ModelProto()
    result.CopyFrom(model)
    result.graph.output.extend(helper.make_tensor_value_info(name, kind, None) for name in names)
    return result


def largest(model: onnx.ModelProto, faces_nhwc: np.ndarray) -> dict[str, float]:
    """Largest |x| of every float tensor that a node makes."""
    names = [name for node in model.graph.node[2:-1] for name in node.output]
    found = answers(with_outputs(model, names, TensorProto.FLOAT), faces_nhwc, names)
    return {name: float(np.abs(values).max()) for name, values in zip(names, found, strict=True)}


@pytest.fixture(scope="module")
def amax(model: onnx.ModelProto, plan: QuantPlan, faces_nhwc: np.ndarray) -> dict[str, float]:
    absmax = largest(model, faces_nhwc)
    return {tensor: absmax[source] for tensor, source in implicit_ranges_from(model, plan).items()}


@pytest.fixture(scope="module")
def signed(model: onnx.ModelProto, plan: QuantPlan, amax: dict[str, float]) -> onnx.ModelProto:
    return int8_graph(model, plan, amax)


@pytest.fixture(scope="module")
def unsigned(signed: onnx.ModelProto, amax: dict[str, float]) -> CpuGraph:
    return cpu_graph(signed, amax)


def stored(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {item.name: numpy_helper.to_array(item) for item in model.graph.initializer}


def optimized(model: onnx.ModelProto, tmp_path: Path) -> onnx.ModelProto:
    """What ONNX Runtime's CPU provider makes of a model."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    onnxruntime.InferenceSession(model.SerializeToString(), options, providers=CPU)
    return onnx.load(tmp_path / "optimized.onnx")


def test_activations_are_uint8_with_every_step_above_zero_where_a_relu_made_them(
    model: onnx.ModelProto, unsigned: CpuGraph, amax: dict[str, float]
):
    constants = stored(unsigned.model)
    relus = {name for node in model.graph.node if node.op_type == "Relu" for name in node.output}
    pool = next(node for node in model.graph.node if node.op_type == "MaxPool").output[0]
    quantized = [node for node in unsigned.model.graph.node if node.op_type == "QuantizeLinear"]
    assert len(quantized) == 28
    for node in quantized:
        name = node.input[0]
        scale, zero = (constants[parameter] for parameter in node.input[1:])
        assert (scale.dtype, zero.dtype) == (np.float32, np.uint8)
        if name in relus or name == pool:
            assert zero == 0
            # rtol: the signed scale was rounded to float32 before
            np.testing.assert_allclose(scale, amax[name] / 255, rtol=2e-7)
        else:
            assert zero == 128
            np.testing.assert_allclose(scale, amax[name] / 127, rtol=2e-7)
    assert {node.input[0] for node in quantized} >= set(SUMMED)


def test_weights_are_the_signed_models_own_steps(signed: onnx.ModelProto, unsigned: CpuGraph):
    before, after = stored(signed), stored(unsigned.model)
    weights = [
        node.input[0]
        for node in signed.graph.node
        if node.op_type == "QuantizeLinear" and node.input[0] in before
    ]
    assert len(weights) == 20
    for name in weights[1:]:  # the first is cut up, see below
        scale = before[f"{name}_scale"]
        steps = after[f"{name}_quantized"]
        assert steps.dtype == np.int8
        np.testing.assert_array_equal(after[f"{name}_scale"], scale)
        # exact: the signed file stores q * scale
        np.testing.assert_array_equal(
            (steps * scale[:, None, None, None]).astype(np.float32), before[name]
        )


def test_onnx_runtime_computes_all_but_the_head_in_uint8(unsigned: CpuGraph, tmp_path: Path):
    graph = optimized(unsigned.model, tmp_path).graph
    kinds = Counter(node.op_type for node in graph.node)
    assert kinds["QLinearConv"] == 20
    assert kinds["QLinearAdd"] == 7
    assert kinds["NhwcMaxPool"] == 1
    assert kinds["QuantizeLinear"] == 0
    # The last Add and its Relu feed the float head.
    assert (kinds["Conv"], kinds["Add"], kinds["Relu"]) == (1, 1, 1)
    assert kinds["DequantizeLinear"] == 2
    assert kinds["Cast"] == 0


def test_the_signed_model_is_not_fused_like_that(signed: onnx.ModelProto, tmp_path: Path):
    kinds = Counter(node.op_type for node in optimized(signed, tmp_path).graph.node)
    assert kinds["QLinearConv"] < 20
    assert kinds["QLinearAdd"] == 0


def framed(faces_nhwc: np.ndarray, colour: np.ndarray) -> np.ndarray:
    """(N, S + 6, S + 6, 3) with a frame of three pixels in a colour."""
    count, size = faces_nhwc.shape[:2]
    result = np.empty((count, size + 6, size + 6, 3), faces_nhwc.dtype)
    result[:] = colour.astype(faces_nhwc.dtype)
    result[:, 3:-3, 3:-3] = faces_nhwc
    return result


def correlated(nchw: np.ndarray, weight: np.ndarray, stride: int) -> np.ndarray:
    """Convolution without padding, by its definition."""
    _, _, high, wide = weight.shape
    windows = np.lib.stride_tricks.sliding_window_view(nchw, (high, wide), axis=(2, 3))
    windows = windows[:, :, ::stride, ::stride]
    return np.einsum("nchwij,kcij->nkhw", windows, weight, optimize=True)


def test_the_first_convolution_is_integer_arithmetic_on_the_pixels(
    model: onnx.ModelProto, signed: onnx.ModelProto, unsigned: CpuGraph, faces_nhwc: np.ndarray
):
    conv, relu = model.graph.node[3:5]
    weight_name, bias_name = conv.input[1:]
    constants, before = stored(unsigned.model), stored(signed)
    scale = before[f"{weight_name}_scale"].astype(np.float64)
    steps = np.rint(before[weight_name] / scale[:, None, None, None]).astype(np.int64)
    pixels = framed(faces_nhwc, np.array([124, 116, 104])).transpose(0, 3, 1, 2).astype(np.int64)
    sums = correlated(pixels, steps, 2)  # integers
    mean = 255 * np.array([0.485, 0.456, 0.406])
    bias = before[bias_name] / scale - steps.sum(axis=(2, 3)) @ mean.astype(np.float32)
    sums = sums + np.rint(bias).astype(np.int64)[:, None, None]
    out = constants[f"{relu.output[0]}_scale"].astype(np.float64)
    expected = np.clip(np.rint(sums * scale[:, None, None] / out), 0, 255)

    name = f"{relu.output[0]}_quantized"
    (got,) = answers(with_outputs(unsigned.model, [name], TensorProto.UINT8), faces_nhwc, [name])
    apart = np.abs(got.astype(np.int64) - expected)
    # ONNX Runtime multiplies by a float32 factor: a tie may fall the other way.
    assert apart.max() <= 1
    assert (apart > 0).mean() < 1e-3


def test_the_first_convolution_rounds_nothing_but_the_frame(
    signed: onnx.ModelProto, unsigned: CpuGraph, faces_nhwc: np.ndarray
):
    # FP32 arithmetic with the same rounded weights, against the sums before they are rounded.
    conv = next(node for node in signed.graph.node if node.op_type == "Conv")
    constants = stored(signed)
    weight_name = conv.input[1].removesuffix("_dequantized")
    weight = constants[weight_name].astype(np.float64)
    bias = constants[conv.input[2]].astype(np.float64)[:, None, None]
    mean = 255 * np.array([0.485, 0.456, 0.406])
    centred = framed(faces_nhwc.astype(np.float64) - mean, np.zeros(3))
    expected = correlated(centred.transpose(0, 3, 1, 2), weight, 2) + bias

    real = next(node for node in unsigned.model.graph.node if node.op_type == "Conv").output[0]
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        with_outputs(unsigned.model, [real], TensorProto.FLOAT).SerializeToString(),
        options,
        providers=CPU,
    )
    (got,) = session.run([real], {"faces": faces_nhwc})
    apart = np.abs(got - expected)
    # Inside: the bias is rounded to a step of the sums, and float32 adds 147 numbers up to 255.
    step = float(constants[f"{weight_name}_scale"].max())
    assert apart[:, :, 2:-2, 2:-2].max() < step
    # Frame: half a level of each colour at most, 0.47 of blue.
    limit = 0.5 * np.abs(weight).sum(axis=(1, 2, 3)).max() + step
    assert apart.max() < limit
    assert apart[:, :, 0].max() > 10 * step


def test_it_is_no_further_from_fp32_than_the_signed_model(
    model: onnx.ModelProto, signed: onnx.ModelProto, unsigned: CpuGraph, faces_nhwc: np.ndarray
):
    fp32, main, cpu = (answers(item, faces_nhwc)[0] for item in (model, signed, unsigned.model))
    # It rounds twice as finely behind each Relu, and once more before each Add.
    assert 0 < np.abs(cpu - fp32).mean() < 1.1 * np.abs(main - fp32).mean()


def test_logits_do_not_depend_on_the_batch(unsigned: CpuGraph, faces_nhwc: np.ndarray):
    (whole,) = answers(unsigned.model, faces_nhwc)
    for batch in (1, 5):
        parts = [
            answers(unsigned.model, faces_nhwc[start : start + batch])[0]
            for start in range(0, len(faces_nhwc), batch)
        ]
        np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_inputs_outputs_opset_and_node_names_are_the_signed_models(
    signed: onnx.ModelProto, unsigned: CpuGraph
):
    assert unsigned.model.graph.input == signed.graph.input
    assert unsigned.model.graph.output == signed.graph.output
    assert unsigned.model.opset_import == signed.opset_import
    names = {node.name for node in unsigned.model.graph.node}
    assert names >= {node.name for node in signed.graph.node if node.op_type in ("Conv", "Add")}
    assert unsigned.float_nodes == {}
    assert len(unsigned.model.SerializeToString()) < 0.3 * len(signed.SerializeToString())


def test_the_explicit_head_stays_in_float(
    explicit_model: onnx.ModelProto,
    plan: QuantPlan,
    amax: dict[str, float],
    faces_nhwc: np.ndarray,
    tmp_path: Path,
):
    # Its backbone is that of `model`, position by position.
    main = int8_graph(explicit_model, replace(plan, float_nodes={}), amax)
    cpu = cpu_graph(main, amax).model
    kinds = Counter(node.op_type for node in optimized(cpu, tmp_path).graph.node)
    assert (kinds["QLinearConv"], kinds["Gemm"]) == (20, 1)
    fp32, ours = answers(explicit_model, faces_nhwc)[0], answers(cpu, faces_nhwc)[0]
    assert np.abs(ours - fp32).max() < 0.2 * np.ptp(fp32)


def test_a_convolution_without_a_range_for_its_output_is_told_and_computed_in_float(
    signed: onnx.ModelProto, amax: dict[str, float], faces_nhwc: np.ndarray, tmp_path: Path
):
    lacking = {name: value for name, value in amax.items() if name not in SUMMED[:2]}
    made = cpu_graph(signed, lacking)
    assert list(made.float_nodes) == ["/n8/Conv", "/n13/Conv"]
    assert "the ranges name none for its output" in made.float_nodes["/n8/Conv"]
    kinds = Counter(node.op_type for node in optimized(made.model, tmp_path).graph.node)
    assert kinds["QLinearConv"] == 18
    main, ours = answers(signed, faces_nhwc)[0], answers(made.model, faces_nhwc)[0]
    assert np.abs(ours - main).max() < 0.2 * np.ptp(main)


def test_what_the_signed_model_leaves_in_float_stays_in_float(
    model: onnx.ModelProto, plan: QuantPlan, amax: dict[str, float], tmp_path: Path
):
    # The first Conv of the third block.
    position = next(i for i, node in enumerate(model.graph.node) if node.name == "/n16/Conv")
    smaller = replace(
        plan,
        activations=tuple(edge for edge in plan.activations if edge.node != position),
        weights=tuple(edge for edge in plan.weights if edge.node != position),
    )
    made = cpu_graph(int8_graph(model, smaller, amax), amax)
    conv = next(node for node in made.model.graph.node if node.name == "/n16/Conv")
    assert list(conv.input) == list(model.graph.node[position].input)
    assert Edge(position, 0) not in smaller.activations
    kinds = Counter(node.op_type for node in optimized(made.model, tmp_path).graph.node)
    assert kinds["Conv"] >= 2  # this one and the head


def test_a_bias_that_does_not_fit_makes_its_channel_coarser(
    model: onnx.ModelProto, plan: QuantPlan, amax: dict[str, float], faces_nhwc: np.ndarray
):
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    position = next(i for i, node in enumerate(copy.graph.node) if node.name == "/n6/Conv")
    _, weight_name, bias_name = copy.graph.node[position].input
    for item in copy.graph.initializer:
        values = numpy_helper.to_array(item).copy()
        if item.name == weight_name:
            values[3] *= 1e-9
        elif item.name == bias_name:
            values[3] = 2.0
        item.CopyFrom(numpy_helper.from_array(values, item.name))
    constants = stored(cpu_graph(int8_graph(copy, plan, amax), amax).model)
    bias = constants[f"{bias_name}_quantized"]
    assert bias.dtype == np.int32
    assert abs(bias[3] - 2**30) <= 64  # float32 has 24 of its 30 bits
    assert bias[3] * float(constants[f"{bias_name}_scale"][3]) == pytest.approx(2.0, rel=1e-6)
    assert np.abs(constants[f"{weight_name}_quantized"][3]).max() <= 1


def test_another_input_stage_is_kept(
    model: onnx.ModelProto, plan: QuantPlan, amax: dict[str, float], faces_nhwc: np.ndarray
):
    # One mean for all colours: the rewriting knows one for each.
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    mean = next(item for item in copy.graph.initializer if item.name == copy.graph.node[2].input[1])
    mean.CopyFrom(numpy_helper.from_array(np.float32(120), mean.name))
    main = int8_graph(copy, plan, amax)
    made = cpu_graph(main, amax).model
    assert [node.op_type for node in made.graph.node[:4]] == [
        "Cast", "Transpose", "Sub", "QuantizeLinear"
    ]  # fmt: skip
    assert stored(made)["t2_zero_point"] == 128
    found, expected = answers(made, faces_nhwc)[0], answers(main, faces_nhwc)[0]
    assert np.abs(found - expected).max() < 0.2 * np.ptp(expected)


def test_a_float_model_is_refused(model: onnx.ModelProto):
    with pytest.raises(CalibrationError, match="has 0 quantized weights and 0 quantized activ"):
        cpu_graph(model, {})


def test_a_model_that_is_unsigned_already_is_refused(unsigned: CpuGraph):
    with pytest.raises(CalibrationError, match="is not symmetric int8 with a float32 scale, exp"):
        cpu_graph(unsigned.model, {})
