"""What a calibration pass looks at, and which tensors ONNX Runtime has to hand out for it.

A tensor that is handed out costs time: ONNX Runtime cannot fuse across it, and copies it from its
blocked memory layout to NCHW. A Relu's output is max(x, 0) of its input, to the bit. So where the
input is looked at as well, as in every block of a ResNet, only the input is handed out.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import onnx
from onnx import helper

from edge_arm.calibration.graph import QUANTIZED
from edge_arm.runtime.errors import CalibrationError


@dataclass(frozen=True)
class Wanted:
    """The tensors of a model that a pass looks at; a name may be in several.

    Attributes:
        histograms: of which every value is counted.
        extremes: of which the largest |x| is kept, be it NaN or infinity.
        channels: of which the largest |x| of each channel is kept; (1, K, ...) for one face.
    """

    histograms: tuple[str, ...] = ()
    extremes: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        histograms: Iterable[str],
        *,
        extremes: Iterable[str] = (),
        channels: Iterable[str] = (),
    ) -> Wanted:
        """Without repetitions, and no extremes of what is counted anyway."""
        counted = tuple(dict.fromkeys(histograms))
        return cls(
            counted,
            tuple(name for name in dict.fromkeys(extremes) if name not in counted),
            tuple(dict.fromkeys(channels)),
        )


@dataclass(frozen=True)
class Origin:
    """Where the values of a wanted tensor come from.

    Attributes:
        tensor: that is handed out.
        rectified: whether max(x, 0) of it is the wanted tensor.
    """

    tensor: str
    rectified: bool


def origins(model: onnx.ModelProto, wanted: Wanted) -> dict[str, Origin]:
    """The origin of each wanted tensor, in the order in which they are named.

    Args:
        model: the FP32 graph.
        wanted: tensors in it.
    """
    names = dict.fromkeys((*wanted.histograms, *wanted.extremes, *wanted.channels))
    reads = {node.output[0]: node.input[0] for node in model.graph.node if node.op_type == "Relu"}
    return {
        name: Origin(reads[name], True) if reads.get(name) in names else Origin(name, False)
        for name in names
    }


def exposed_model(model: onnx.ModelProto, tensors: Iterable[str]) -> onnx.ModelProto:
    """A copy of the model that hands out these tensors too.

    Args:
        model: the FP32 graph; it is not changed.
        tensors: float32 tensors in it.

    Raises:
        CalibrationError: if the model is quantized already.
    """
    for node in model.graph.node:
        if node.op_type in QUANTIZED:
            raise CalibrationError(
                f"the model has a {node.op_type} ({node.name!r}), expected an FP32 model that is "
                "not quantized yet; calibrate the bundle's FP32 model, or export it again"
            )
    exposed = onnx.ModelProto()
    exposed.CopyFrom(model)
    present = {item.name for item in exposed.graph.output}
    exposed.graph.output.extend(
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
        for name in dict.fromkeys(tensors)
        if name not in present
    )
    return exposed
