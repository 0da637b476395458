"""Numbers are from hand calculation and from ONNX Runtime."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge_arm.calibration.equalization import (
    channel_factors,
    equalized,
    streams,
)
from edge_arm.calibration.exposure import exposed_model
from edge_arm.runtime.errors import CalibrationError


def run(model: onnx.ModelProto, faces_nhwc: np.ndarray, *tensors: str) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(
        exposed_model(model, tensors).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run([model.graph.output[0].name, *tensors], {"faces": faces_nhwc})


def faces(number: int = 4, size: int = 64) -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, (number, size, size, 3), np.uint8)


def weights(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {item.name: numpy_helper.to_array(item) for item in model.graph.initializer}


def two_convs(*, tap: bool = False, group: int = 1) -> onnx.ModelProto:
    """x (1,1,4,4) -> Conv 1x1 to 2 channels -> Relu -> Conv 1x1 to 1 channel -> y."""
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["a"], "/first"),
        helper.make_node("Relu", ["a"], ["r"], "/relu"),
        helper.make_node("Conv", ["r", "w2"], ["y"], "/second", group=group),
    ]
    if tap:
        nodes.append(helper.make_node("Sigmoid", ["r"], ["s"], "/tap"))
    shape = (2 if group == 2 else 1, 2 // group, 1, 1)
    return helper.make_model(
        helper.make_graph(
            nodes,
            "two",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 4, 4])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
            [
                numpy_helper.from_array(np.array([[[[2.0]]], [[[0.5]]]], np.float32), "w1"),
                numpy_helper.from_array(np.array([4.0, 1.0], np.float32), "b1"),
                numpy_helper.from_array(np.full(shape, 3.0, np.float32), "w2"),
            ],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
    )


def test_a_resnet_has_a_stream_for_each_block_and_each_stage(model: onnx.ModelProto):
    found = streams(model)
    nodes = model.graph.node
    kinds = [(len(item.producers), len(item.consumers)) for item in found]
    # conv1 and two blocks make what layer1 carries, three Convs and a skip Conv read it; the
    # last stage is read by its second block and the head; each block has one of its own inside.
    assert sorted(kinds) == sorted([(3, 4), (3, 3), (3, 3), (3, 2)] + 8 * [(1, 1)])
    assert all(
        nodes[at].op_type == "Conv" for item in found for at in (*item.producers, *item.consumers)
    )
    assert "faces" not in {name for item in found for name in item.tensors}


def test_a_stage_that_arm_reads_operator_by_operator_is_left_as_it_is(
    explicit_model: onnx.ModelProto,
):
    kinds = [(len(item.producers), len(item.consumers)) for item in streams(explicit_model)]
    assert sorted(kinds) == sorted([(3, 4), (3, 3), (3, 3)] + 8 * [(1, 1)])


@pytest.mark.parametrize("other", [{"tap": True}, {"group": 2}], ids=["second-reader", "grouped"])
def test_a_tensor_that_anything_else_reads_is_no_stream(other: dict[str, int]):
    assert streams(two_convs(**other)) == ()
    assert [item.name for item in streams(two_convs())] == ["a"]


def test_a_factor_is_the_channels_share_of_the_range_to_the_power_of_three_quarters():
    (stream,) = streams(two_convs())
    factors = channel_factors([stream], {"r": np.array([8.0, 0.5, 1e-6, 0.0], np.float32)})
    # 0.5 / 8 = 2^-4; what is smaller counts as a hundredth: 0.01^0.75 = 0.0316227766
    np.testing.assert_allclose(factors["a"], [1.0, 0.125, 0.0316227766, 0.0316227766], rtol=1e-6)


def test_tensors_of_a_stream_share_the_larger_share():
    (stream,) = streams(two_convs())
    seen = {"a": np.array([16.0, 1.0], np.float32), "r": np.array([2.0, 2.0], np.float32)}
    np.testing.assert_array_equal(channel_factors([stream], seen)["a"], [1.0, 1.0])


def test_a_stream_that_nobody_looked_at_or_that_is_zero_has_no_factor():
    (stream,) = streams(two_convs())
    assert channel_factors([stream], {}) == {}
    assert channel_factors([stream], {"r": np.zeros(2, np.float32)}) == {}


def test_the_factor_goes_out_of_rows_and_biases_and_into_columns():
    scaled = weights(equalized(two_convs(), {"a": np.array([1.0, 0.25], np.float32)}))
    np.testing.assert_array_equal(scaled["w1"].ravel(), [2.0, 2.0])
    np.testing.assert_array_equal(scaled["b1"], [4.0, 4.0])
    np.testing.assert_array_equal(scaled["w2"].ravel(), [3.0, 0.75])


def test_the_model_answers_as_before_and_its_channels_have_like_ranges(model: onnx.ModelProto):
    inside = [item for item in streams(model) if len(item.producers) == 1]
    names = [item.tensors[-1] for item in inside]
    logits, *before = run(model, faces(), *names)
    amax = {name: value.max(axis=(0, 2, 3)) for name, value in zip(names, before, strict=True)}
    scaled = equalized(model, channel_factors(inside, amax))
    again, *after = run(scaled, faces(), *names)
    # float32 sums in another order of magnitude: a few of the last bits
    np.testing.assert_allclose(again, logits, rtol=1e-4, atol=1e-4)
    for name, value in zip(names, after, strict=True):
        own, old = value.max(axis=(0, 2, 3)), amax[name]
        np.testing.assert_allclose(own.max(), old.max(), rtol=1e-5)
        alive = old > 0.02 * old.max()
        assert own[alive].min() / own.max() > old[alive].min() / old.max()
    assert [node.name for node in scaled.graph.node] == [node.name for node in model.graph.node]


def test_factors_of_another_model_are_refused():
    with pytest.raises(CalibrationError, match="scales channels of 'other', which this FP32 model"):
        equalized(two_convs(), {"other": np.ones(2, np.float32)})
    with pytest.raises(CalibrationError, match="3 factors for the channels of 'a', expected 2"):
        equalized(two_convs(), {"a": np.ones(3, np.float32)})
