"""Small residual networks of other forms than ResNet-18's, and what a plan must refuse.

Shapes: W channels in the first stage.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SIZE = 32
W = 16


class Graph:
    """Collects nodes and weights; each method returns the name of its output."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self._random = np.random.default_rng(0)

    def node(self, kind: str, *inputs: str, **attributes: object) -> str:
        place = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [place], f"/{place}", **attributes))
        return place

    def constant(self, values: np.ndarray) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(values.astype(np.float32), name))
        return name

    def conv(self, x: str, shape: tuple[int, ...], stride: int = 1, groups: int = 1) -> str:
        kernel = list(shape[2:])
        weight = self.constant(self._random.normal(0, 0.1, shape))
        return self.node(
            "Conv", x, weight, kernel_shape=kernel, strides=[stride] * 2, group=groups,
            pads=[side // 2 for side in kernel] * 2,
        )  # fmt: skip

    def pixels(self) -> str:
        x = self.node("Cast", "faces", to=TensorProto.FLOAT)
        x = self.node("Transpose", x, perm=[0, 3, 1, 2])
        return self.node("Sub", x, self.constant(np.full((1, 3, 1, 1), 120)))

    def stem(self) -> str:
        x = self.node("Relu", self.conv(self.pixels(), (W, 3, 7, 7), 2))
        return self.pool(x)

    def pool(self, x: str) -> str:
        return self.node("MaxPool", x, kernel_shape=[3, 3], pads=[1] * 4)

    def end(self, branch: str, skip: str) -> str:
        return self.node("Relu", self.node("Add", branch, skip))

    def basic(self, x: str, inside: int, outside: int) -> str:
        y = self.node("Relu", self.conv(x, (outside, inside, 3, 3)))
        y = self.conv(y, (outside, outside, 3, 3))
        return self.end(y, x if inside == outside else self.conv(x, (outside, inside, 1, 1)))

    def finished(self, x: str, channels: int, classifier: str = "Gemm") -> onnx.ModelProto:
        x = self.node("Flatten", self.node("GlobalAveragePool", x), axis=1)
        self.node(classifier, x, self.constant(self._random.normal(0, 0.1, (channels, 7))))
        self.nodes[-1].output[0] = "logits"
        graph = helper.make_graph(
            self.nodes,
            "network",
            [helper.make_tensor_value_info("faces", TensorProto.UINT8, ["n", SIZE, SIZE, 3])],
            [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 7])],
            self.constants,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.checker.check_model(model, full_check=True)
        return model


def like_resnet34() -> onnx.ModelProto:
    """More basic blocks in a stage, and a MatMul as classifier."""
    g = Graph()
    x = g.stem()
    for inside, outside in ((W, W), (W, W), (W, W), (W, 2 * W), (2 * W, 2 * W)):
        x = g.basic(x, inside, outside)
    return g.finished(x, 2 * W, "MatMul")


def like_resnet50() -> onnx.ModelProto:
    """Bottlenecks: 1x1, 3x3, 1x1, the first with a downsampling Conv of its own."""
    g = Graph()
    x, inside = g.stem(), W
    for _ in range(2):
        y = g.node("Relu", g.conv(x, (W, inside, 1, 1)))
        y = g.node("Relu", g.conv(y, (W, W, 3, 3)))
        y = g.conv(y, (4 * W, W, 1, 1))
        skip = x if inside == 4 * W else g.conv(x, (4 * W, inside, 1, 1))
        x, inside = g.end(y, skip), 4 * W
    return g.finished(x, inside)


def skip_first() -> onnx.ModelProto:
    """The skip is the first input of its Adds, and its Conv stands first in the file."""
    g = Graph()
    x = g.stem()
    skip = g.conv(x, (2 * W, W, 1, 1), 2)
    y = g.conv(g.node("Relu", g.conv(x, (2 * W, W, 3, 3), 2)), (2 * W, 2 * W, 3, 3))
    x = g.end(skip, y)
    return g.finished(g.end(x, g.conv(x, (2 * W, 2 * W, 3, 3))), 2 * W)


def activated_first() -> onnx.ModelProto:
    """Relu before the Convs (ResNet v2): an Add is read by a Relu and by the next Add."""
    g = Graph()
    x = g.stem()
    for _ in range(2):
        y = g.conv(g.node("Relu", x), (W, W, 3, 3))
        x = g.node("Add", g.conv(g.node("Relu", y), (W, W, 3, 3)), x)
    return g.finished(g.node("Relu", x), W)


def activated_branches() -> onnx.ModelProto:
    """The skip's Conv has a Relu, the stem no MaxPool."""
    g = Graph()
    x = g.node("Relu", g.conv(g.pixels(), (W, 3, 3, 3)))
    y = g.conv(g.node("Relu", g.conv(x, (W, W, 3, 3))), (W, W, 3, 3))
    x = g.end(g.node("Relu", g.conv(x, (W, W, 1, 1))), y)
    return g.finished(g.basic(x, W, W), W)


def equally_long() -> onnx.ModelProto:
    """Two branches of one Conv each: nothing says which of them is the skip."""
    g = Graph()
    x = g.stem()
    x = g.end(g.conv(x, (W, W, 3, 3)), g.conv(x, (W, W, 1, 1)))
    return g.finished(x, W)


def depthwise() -> onnx.ModelProto:
    """A Conv with one channel per group between two of 1x1, and pools between the blocks."""
    g = Graph()
    x = g.stem()
    y = g.node("Relu", g.conv(x, (2 * W, W, 1, 1)))
    y = g.node("Relu", g.conv(y, (2 * W, 1, 3, 3), groups=2 * W))
    x = g.pool(g.pool(g.end(g.conv(y, (W, 2 * W, 1, 1)), x)))
    return g.finished(g.basic(x, W, W), W)


FORMS: tuple[Callable[[], onnx.ModelProto], ...] = (
    like_resnet34, like_resnet50, skip_first, activated_first, activated_branches, equally_long,
    depthwise,
)  # fmt: skip
