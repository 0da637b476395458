"""The first convolution on the picture's own bytes, as the INT8 model for CPUs has it.

The FP32 graph casts the bytes, transposes them, takes the mean off and convolves. Pixels *are*
uint8 with scale 1 and zero point 0, so no rounding is needed before the convolution:

    conv(x - mean) = conv(x) - sum(w * mean)        where no padding is touched
                                                    (the sum goes into the bias)

1. Padding is zero behind the mean, so in pixels it is the mean's colour. A quantized Conv can pad
   with one value only, the zero point, so the picture is padded before it, with that colour.
2. The colour is rounded to bytes. That is off by half a level at most, in the frame alone; the
   signed form is off by half a step of more than one level in every pixel.
3. Padding is done in NHWC: what is between the Transpose and the Conv would keep ONNX Runtime from
   dropping the one against its own.

Shapes: S model input size, K output channels, P padded size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from edge_arm.calibration.graph import Edge
from edge_arm.calibration.signed_form import SignedForm, WeightSteps

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
        mean: (3,) float64, in pixels.
    """

    dropped: frozenset[int]
    conv: int
    faces: str
    size: int
    pads: tuple[int, int, int, int]
    mean: npt.NDArray[np.float64]

    @property
    def pixels(self) -> str:
        """Name of the tensor that the convolution reads: (N, 3, P, P) uint8."""
        return f"{self.faces}_pixels"

    def moved_bias(
        self, bias: npt.NDArray[np.float64], weight: WeightSteps
    ) -> npt.NDArray[np.float64]:
        """(K,) float64: the bias less what the mean adds to the sums of (K, 3, h, w) weights."""
        moved: npt.NDArray[np.float64] = bias - weight.real().sum(axis=(2, 3)) @ self.mean
        return moved

    def stage(self) -> tuple[list[onnx.NodeProto], dict[str, npt.NDArray[Any]]]:
        """Nodes and constants from the graph's input to `pixels`."""
        if not any(self.pads):
            transpose = helper.make_node(
                "Transpose", [self.faces], [self.pixels], "/input/pixels", perm=_NHWC_TO_NCHW
            )
            return [transpose], {}
        top, left, bottom, right = self.pads
        inside = np.zeros((1, top + self.size + bottom, left + self.size + right, 1), np.bool_)
        inside[:, top : top + self.size, left : left + self.size] = True
        constants = {
            "input.pads": np.array([0, top, left, 0, 0, bottom, right, 0], np.int64),
            "input.inside": inside,
            "input.mean_pixel": np.rint(self.mean).astype(np.uint8),
        }
        framed, coloured = "input/framed", "input/coloured"
        nodes = [
            helper.make_node("Pad", [self.faces, "input.pads"], [framed], "/input/frame"),
            helper.make_node(
                "Where", ["input.inside", framed, "input.mean_pixel"], [coloured], "/input/colour"
            ),
            helper.make_node(
                "Transpose", [coloured], [self.pixels], "/input/pixels", perm=_NHWC_TO_NCHW
            ),
        ]
        return nodes, constants


def first_layer(model: onnx.ModelProto, form: SignedForm) -> FirstLayer | None:
    """The input stage of a graph, if it is the one that export writes.

    uint8 (N, S, S, 3) -> Cast -> Transpose to NCHW -> Sub of a mean for each colour -> quantized
    Conv, each read by the next alone. Anything else has None and keeps its input stage.

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
    mean = stored.get(sub.input[1])
    attributes = _attributes(conv)
    if (
        _attributes(transpose).get("perm") != _NHWC_TO_NCHW
        or mean is None
        or list(mean.dims) != [1, 3, 1, 1]
        or Edge(chain[-1], 0) not in form.activations
        or Edge(chain[-1], 1) not in form.weight_edges
        or attributes.get("auto_pad", b"NOTSET") != b"NOTSET"
        or attributes.get("group", 1) != 1
        or attributes.get("dilations", [1, 1]) != [1, 1]
    ):
        return None
    top, left, bottom, right = attributes.get("pads", [0, 0, 0, 0])
    return FirstLayer(
        dropped=frozenset(chain[:-1]),
        conv=chain[-1],
        faces=source.name,
        size=shape[1],
        pads=(top, left, bottom, right),
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
