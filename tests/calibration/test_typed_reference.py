"""The checks of the typed model compute what TensorRT computes: they round, they do not truncate."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edge_arm.calibration.typed_reference import TypedReference

SCALE = np.float16(8.0)


def pooled_pairs() -> onnx.ModelProto:
    """Q/DQ on both sides of a MaxPool in FP16, where an optimizer likes to move a pair."""
    pair = ["scale", "zero"]
    nodes = [
        helper.make_node("Cast", ["faces"], ["half"], to=TensorProto.FLOAT16),
        helper.make_node("Transpose", ["half"], ["x"], perm=[0, 3, 1, 2]),
        helper.make_node("QuantizeLinear", ["x", *pair], ["q1"]),
        helper.make_node("DequantizeLinear", ["q1", *pair], ["d1"]),
        helper.make_node("MaxPool", ["d1"], ["m"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("QuantizeLinear", ["m", *pair], ["q2"]),
        helper.make_node("DequantizeLinear", ["q2", *pair], ["d2"]),
        helper.make_node("Flatten", ["d2"], ["flat"]),
        helper.make_node("Cast", ["flat"], ["y"], to=TensorProto.FLOAT),
    ]
    graph = helper.make_graph(
        nodes,
        "pooled",
        [helper.make_tensor_value_info("faces", TensorProto.UINT8, ["N", 4, 4, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 12])],
        [
            numpy_helper.from_array(np.array(SCALE), "scale"),
            numpy_helper.from_array(np.array(0, np.int8), "zero"),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)


def test_pairs_around_a_pool_round_to_the_nearest_step() -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 4, 4, 3), np.uint8)
    steps = np.rint(images.transpose(0, 3, 1, 2) / 8.0)  # half to even, as the standard says
    blocks = steps.reshape(5, 3, 2, 2, 2, 2)
    expected = 8.0 * blocks.max(axis=(3, 5)).reshape(5, 12)
    np.testing.assert_array_equal(TypedReference(pooled_pairs()).infer(images), expected)
