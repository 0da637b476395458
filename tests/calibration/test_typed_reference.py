"""The checks of the typed model round as TensorRT does; ONNX Runtime by itself truncates."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edge_arm.calibration.typed_reference import TypedReference

SCALE = np.float16(2.3)
"""Most multiples of it are no FP16 numbers: divided again they lie just off a whole step."""


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
    pixels = images.transpose(0, 3, 1, 2).astype(np.float32)
    steps = np.clip(np.rint(pixels / np.float32(SCALE)), -128, 127)
    blocks = steps.reshape(5, 3, 2, 2, 2, 2)
    expected = blocks.max(axis=(3, 5)).reshape(5, 12).astype(np.float16) * SCALE
    np.testing.assert_array_equal(TypedReference(pooled_pairs()).infer(images), expected)
