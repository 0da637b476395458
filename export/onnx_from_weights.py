"""Writes the ONNX graph straight from the weights, operator by operator.

Why not `torch.onnx.export`: it keeps opset 18 without an error when its conversion to an older
one fails (it does with ReduceMean), its node names change between versions, and it leaves
BatchNorm where it stands. Written by hand, the opset is the one asked for, the same checkpoint
gives the same bytes, and every operator is one that TensorRT's parser is known to take.

Shapes: N faces, S model input size, C classes, h = S / 32 rounded up, g = (16 h - 32) / 8 + 1.
"""

from __future__ import annotations

import json

import numpy as np
import onnx
from onnx import TensorProto, helper

from edge_arm import __version__
from edge_arm.export.config import HeadForm
from edge_arm.export.graph import GraphNodes
from edge_arm.export.weights import Convolution, ModelWeights, folded_convolution
from edge_arm.runtime.labels import labels_to_json
from edge_arm.runtime.preprocess import preprocess_to_json

INPUT_NAME = "faces"
OUTPUT_NAME = "logits"
BATCH_AXIS = "batch"

_IR_VERSION = {17: 8, 18: 8, 19: 9, 20: 9}
"""The oldest file format that may carry each opset; readers refuse a newer one than they know."""

_SHUFFLE = 16  # ARM arranges 512 channels into 512 / 16**2 = 2 maps
_DE_ALBINO_STRIDE = 8


def onnx_from_weights(weights: ModelWeights, head: HeadForm, opset: int) -> onnx.ModelProto:
    """The model as an ONNX graph in float32.

    Args:
        weights: the model.
        head: one folded convolution, or ARM's steps one by one.
        opset: ONNX operator set version, one of `config.OPSETS`.

    Returns:
        A graph from "faces" (N, S, S, 3) uint8 to "logits" (N, C) float32 with N dynamic.

    Raises:
        ExportError: if a parameter is missing.
    """
    size, num_classes = weights.preprocess.size, len(weights.labels)
    graph = GraphNodes()
    features = _backbone(graph, weights, _pixels(graph, weights))
    if head is HeadForm.FOLDED:
        _folded_head(graph, weights, features)
    elif weights.has_arm:
        _arm_head(graph, weights, features, opset)
    else:
        _pool_head(graph, weights, features)
    graph.nodes[-1].output[0] = OUTPUT_NAME
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "edge-arm",
            [
                helper.make_tensor_value_info(
                    INPUT_NAME, TensorProto.UINT8, [BATCH_AXIS, size, size, 3]
                )
            ],
            [
                helper.make_tensor_value_info(
                    OUTPUT_NAME, TensorProto.FLOAT, [BATCH_AXIS, num_classes]
                )
            ],
            graph.initializers,
        ),
        opset_imports=[helper.make_opsetid("", opset)],
        ir_version=_IR_VERSION[opset],
        producer_name="edge-arm",
        producer_version=__version__,
    )
    helper.set_model_props(model, model_properties(weights, head))
    return model


def model_properties(weights: ModelWeights, head: HeadForm) -> dict[str, str]:
    """What an ONNX file says about itself, for whoever meets it without its bundle."""
    return {
        "edge_arm.version": __version__,
        "edge_arm.labels": json.dumps(labels_to_json(weights.labels)),
        "edge_arm.preprocess": json.dumps(preprocess_to_json(weights.preprocess)),
        "edge_arm.checkpoint_sha256": weights.checkpoint_sha256,
        "edge_arm.head": f"{'arm' if weights.has_arm else 'pool'}, {head.value}",
    }


def _pixels(graph: GraphNodes, weights: ModelWeights) -> str:
    # Cast comes first: TensorRT lets a uint8 input feed nothing but a Cast.
    cast = graph.node("Cast", "input/cast", (INPUT_NAME,), to=TensorProto.FLOAT)
    nchw = graph.node("Transpose", "input/transpose", (cast,), perm=[0, 3, 1, 2])  # (N, 3, S, S)
    mean = 255.0 * np.array(weights.preprocess.mean)
    # The mean stays a Sub of its own: folded into conv1's bias it would be wrong at the border,
    # where the padding is zero after the normalisation.
    return graph.node(
        "Sub", "input/sub_mean", (nchw, graph.constant("input.mean", mean.reshape(1, 3, 1, 1)))
    )


def _backbone(graph: GraphNodes, weights: ModelWeights, pixels: str) -> str:
    conv1 = folded_convolution(weights, "backbone.conv1", "backbone.bn1")
    std = 255.0 * np.array(weights.preprocess.std)
    conv1 = Convolution(conv1.weight / std[None, :, None, None], conv1.bias)
    x = graph.convolution("backbone/conv1", pixels, conv1, stride=2, padding=3)
    x = graph.node("Relu", "backbone/relu", (x,))
    x = graph.node(
        "MaxPool", "backbone/maxpool", (x,), kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4
    )
    for layer in range(1, 5):
        for block in range(2):
            stride = 2 if layer > 1 and block == 0 else 1
            x = _basic_block(graph, weights, x, f"backbone.layer{layer}.{block}", stride)
    return x  # (N, 512, h, h)


def _basic_block(graph: GraphNodes, weights: ModelWeights, x: str, name: str, stride: int) -> str:
    place = name.replace(".", "/", 1)  # "backbone.layer1.0" -> "backbone/layer1.0"
    conv1 = folded_convolution(weights, f"{name}.conv1", f"{name}.bn1")
    conv2 = folded_convolution(weights, f"{name}.conv2", f"{name}.bn2")
    y = graph.convolution(f"{place}/conv1", x, conv1, stride=stride, padding=1)
    y = graph.node("Relu", f"{place}/relu1", (y,))
    y = graph.convolution(f"{place}/conv2", y, conv2, padding=1)
    if stride != 1:
        skip = folded_convolution(weights, f"{name}.downsample.0", f"{name}.downsample.1")
        x = graph.convolution(f"{place}/downsample", x, skip, stride=stride)
    # The convolution first, the skip second: TensorRT fuses the Add into the first one.
    y = graph.node("Add", f"{place}/add", (y, x))
    return graph.node("Relu", f"{place}/relu2", (y,))


def _folded_head(graph: GraphNodes, weights: ModelWeights, features: str) -> None:
    folded = Convolution(weights.folded_weight, weights.folded_bias)
    x = graph.convolution("head/folded", features, folded)  # (N, C, 1, 1)
    graph.node("Flatten", "head/flatten", (x,), axis=1)


def _arm_head(graph: GraphNodes, weights: ModelWeights, features: str, opset: int) -> None:
    # PixelShuffle is DepthToSpace in CRD order: (N, 512, h, h) -> (N, 2, 16 h, 16 h).
    x = graph.node("DepthToSpace", "head/arrangement", (features,), blocksize=_SHUFFLE, mode="CRD")
    # A grouped convolution, not a Reshape of the two maps into the batch: the batch axis is
    # dynamic, and TensorRT wants the channel count of a convolution fixed and its batch plain.
    de_albino = folded_convolution(weights, "arm.de_albino", "arm.bn")
    x = graph.convolution(
        "head/de_albino", x, de_albino, stride=_DE_ALBINO_STRIDE, groups=len(de_albino.bias)
    )  # (N, 2, g, g)
    if opset < 18:  # from 18 on the axes are an input
        x = graph.node("ReduceMean", "head/unique", (x,), axes=[1], keepdims=1)
    else:
        axes = graph.constant("head.unique.axes", np.array([1], np.int64))
        x = graph.node("ReduceMean", "head/unique", (x, axes), keepdims=1)  # (N, 1, g, g)
    generic = weights.array("arm.generic")
    affinity = weights.array("arm.alpha").reshape(()) * generic.reshape(1, 1, *generic.shape[-2:])
    x = graph.node("Add", "head/affinity", (x, graph.constant("head.affinity", affinity)))
    _linear(graph, weights, x)


def _pool_head(graph: GraphNodes, weights: ModelWeights, features: str) -> None:
    _linear(graph, weights, graph.node("GlobalAveragePool", "head/pool", (features,)))


def _linear(graph: GraphNodes, weights: ModelWeights, x: str) -> None:
    flat = graph.node("Flatten", "head/flatten", (x,), axis=1)
    # alpha and beta are 1: TensorRT makes any other value an FP32 constant, which a strongly
    # typed FP16 network refuses.
    graph.node(
        "Gemm",
        "head/fc",
        (
            flat,
            graph.constant("head.fc.weight", weights.array("fc.weight")),
            graph.constant("head.fc.bias", weights.array("fc.bias")),
        ),
        alpha=1.0,
        beta=1.0,
        transA=0,
        transB=1,
    )
