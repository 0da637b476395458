"""The first convolution on the picture's own bytes, as the INT8 model for CPUs has it.

The FP32 graph casts the bytes, transposes them, takes the mean off and convolves. A pixel *is* a
uint8 with scale 1 and zero point 0, so nothing needs rounding before the convolution:

    conv(x - mean) = conv(x) - sum(w * mean)        the sum goes into the bias

1. Padding is zero behind the mean, so in pixels it is the mean's colour. A quantized Conv can pad
   with one value only, so the picture is framed with that colour before it. Pad knows one value
   too, and Where is slow in every CPU runtime, so four bars are put around it.
2. The colour is rounded to bytes. That is off by half a level at most, in the frame alone; the
   signed form is off by half a step of more than one level in every pixel.
3. A stride of 2 over 3 channels is a stride of 1 over the 12 channels of 2 x 2 pixels, with the
   kernel cut up the same way (7 x 7 and a row and a column of zeros: 4 x 4). ONNX Runtime's fast
   kernels want channels by fours; with three, this one layer costs a quarter of the network.
4. All of it is NHWC, because ONNX Runtime drops the Transpose only where a Conv follows at once.

Shapes: N faces, S model input size, K output channels, P framed size, k kernel size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from edge_arm.calibration.signed_form import SignedForm, WeightSteps

PIXELS = "input/pixels"
"""The tensor that the convolution reads: (N, 12, P/2, P/2) uint8."""

_NHWC_TO_NCHW = [0, 3, 1, 2]


@dataclass(frozen=True, eq=False)
class FirstLayer:
    """The input stage that can be replaced.

    Attributes:
        dropped: positions of the nodes that go: Cast, Transpose, Sub.
        conv: position of the convolution.
        faces: name of the graph's input.
        size: S.
        pads: of the Conv: top, left, bottom, right.
        kernel: k of the Conv: height, width.
        mean: (3,) float64, in pixels.
    """

    dropped: frozenset[int]
    conv: int
    faces: str
    size: int
    pads: tuple[int, int, int, int]
    kernel: tuple[int, int]
    mean: npt.NDArray[np.float64]

    def moved_bias(
        self, bias: npt.NDArray[np.float64], weight: WeightSteps
    ) -> npt.NDArray[np.float64]:
        """(K,) float64: the bias less what the mean adds to the sums of (K, 3, h, w) weights."""
        moved: npt.NDArray[np.float64] = bias - weight.real().sum(axis=(2, 3)) @ self.mean
        return moved

    def stage(self) -> tuple[list[onnx.NodeProto], dict[str, npt.NDArray[Any]]]:
        """Nodes and constants from the graph's input to `PIXELS`."""
        colour = np.rint(self.mean).astype(np.uint8)  # rule 2
        top, left, bottom, right = self.pads
        constants: dict[str, npt.NDArray[Any]] = {
            "input.first": np.array([0], np.int64),
            "input.end": np.array([1], np.int64),
            "input.ones": np.array([1, 1, 1], np.int64),
        }
        nodes = [  # a bar for each of the N faces, and N is not known
            _node("Shape", [self.faces], "input/shape"),
            _node("Slice", ["input/shape", "input.first", "input.end"], "input/batch"),
            _node("Concat", ["input/batch", "input.ones"], "input/repeats", axis=0),
        ]

        def bar(side: str, height: int, width: int) -> str:
            constants[f"input.{side}"] = np.tile(colour, (1, height, width, 1))
            nodes.append(_node("Expand", [f"input.{side}", "input/repeats"], f"input/{side}"))
            return f"input/{side}"

        column = [bar("top", top, self.size), self.faces, bar("bottom", bottom, self.size)]
        nodes.append(_node("Concat", column, "input/column", axis=1))
        high = top + self.size + bottom
        row = [bar("left", high, left), "input/column", bar("right", high, right)]
        nodes.append(_node("Concat", row, "input/framed", axis=2))
        # (N, P, P, 3) -> (N, P/2, P/2, 2 rows x 2 columns x 3), rule 3
        rows, columns = high // 2, (left + self.size + right) // 2
        constants["input.split"] = np.array([-1, rows, 2, columns, 2, 3], np.int64)
        constants["input.joined"] = np.array([-1, rows, columns, 12], np.int64)
        nodes += [
            _node("Reshape", ["input/framed", "input.split"], "input/split"),
            _node("Transpose", ["input/split"], "input/squares", perm=[0, 1, 3, 2, 4, 5]),
            _node("Reshape", ["input/squares", "input.joined"], "input/joined"),
            _node("Transpose", ["input/joined"], PIXELS, perm=_NHWC_TO_NCHW),
        ]
        return nodes, constants

    def convolution(self, conv: onnx.NodeProto) -> onnx.NodeProto:
        """The node with the attributes that fit `PIXELS` and `weight`."""
        squares = [(size + 1) // 2 for size in self.kernel]
        node = onnx.NodeProto()
        node.CopyFrom(conv)
        del node.attribute[:]
        for name, value in {"kernel_shape": squares, "strides": [1, 1], "pads": [0] * 4}.items():
            node.attribute.append(helper.make_attribute(name, value))
        return node

    def weight(self, weight: WeightSteps) -> WeightSteps:
        """(K, 3, k, k) cut up into (K, 12, (k + 1) / 2, (k + 1) / 2), rule 3."""
        channels, colours, high, wide = weight.steps.shape
        even = np.pad(weight.steps, ((0, 0), (0, 0), (0, high % 2), (0, wide % 2)))
        squares = even.reshape(channels, colours, (high + 1) // 2, 2, (wide + 1) // 2, 2)
        cut = squares.transpose(0, 3, 5, 1, 2, 4)  # (K, row, column, colour, ...)
        steps = cut.reshape(channels, 4 * colours, (high + 1) // 2, (wide + 1) // 2)
        return WeightSteps(np.ascontiguousarray(steps), weight.scale)


def _node(kind: str, inputs: list[str], output: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(kind, inputs, [output], f"/{output}", **attributes)


def first_layer(model: onnx.ModelProto, form: SignedForm) -> FirstLayer | None:
    """The input stage of a graph, if it is the one that export writes.

    uint8 (N, S, S, 3) -> Cast -> Transpose to NCHW -> Sub of a mean for each colour -> quantized
    Conv with stride 2 and padding, each read by the next alone. Anything else has None and keeps
    its input stage.

    Args:
        model: the signed INT8 graph.
        form: of it.
    """
    stored = {item.name: item for item in model.graph.initializer}
    (source,) = model.graph.input
    shape = [item.dim_value for item in source.type.tensor_type.shape.dim]
    if source.type.tensor_type.elem_type != TensorProto.UINT8 or len(shape) != 4 or shape[3] != 3:
        return None
    chain = _chain(form, source.name)
    if [form.nodes[position].op_type for position in chain] != ["Cast", "Transpose", "Sub", "Conv"]:
        return None
    _, transpose, sub, conv = (form.nodes[position] for position in chain)
    mean, attributes = stored.get(sub.input[1]), _attributes(conv)
    top, left, bottom, right = pads = attributes.get("pads", [0, 0, 0, 0])
    framed = (top + shape[1] + bottom, left + shape[2] + right)
    if (
        _attributes(transpose).get("perm") != _NHWC_TO_NCHW
        or mean is None
        or list(mean.dims) != [1, 3, 1, 1]
        or not form.in_int8(chain[-1])
        or attributes.get("auto_pad", b"NOTSET") != b"NOTSET"
        or attributes.get("group", 1) != 1
        or attributes.get("dilations", [1, 1]) != [1, 1]
        or attributes.get("strides") != [2, 2]
        or min(pads) < 1
        or any(size % 2 for size in framed)
    ):
        return None
    kernel = form.weights[conv.input[1]].steps.shape[2:]
    return FirstLayer(
        dropped=frozenset(chain[:-1]),
        conv=chain[-1],
        faces=source.name,
        size=shape[1],
        pads=(top, left, bottom, right),
        kernel=(kernel[0], kernel[1]),
        mean=numpy_helper.to_array(mean).astype(np.float64).reshape(3),
    )


def _chain(form: SignedForm, tensor: str) -> list[int]:
    # Positions of the nodes that read one another's output and nothing else reads, to the Conv.
    found: list[int] = []
    while True:
        readers = [place for place, node in enumerate(form.nodes) if tensor in node.input]
        if len(readers) != 1 or form.nodes[readers[0]].input[0] != tensor:
            return found
        found.append(readers[0])
        if form.nodes[readers[0]].op_type == "Conv":
            return found
        (tensor,) = form.nodes[readers[0]].output


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    return {item.name: helper.get_attribute_value(item) for item in node.attribute}
