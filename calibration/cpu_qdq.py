"""The INT8 model for CPUs: unsigned activations, made from the signed model that TensorRT reads.

ONNX Runtime's CPU provider fuses Q/DQ into integer kernels only around whole operators, and only
its unsigned kernels are fast: the signed form, where the end of each residual block stays in float,
runs slower there than FP32. This form has the same weights, the same ranges and the same float
head:

1. Activations are uint8. Behind a Relu the zero point is 0 and 255 steps reach from 0 to amax,
   where the signed form has 127; others have zero point 128 and the signed form's scale.
2. Weights are the signed form's int8 values behind DequantizeLinear, one scale per channel.
3. Biases are int32 at scale(input) * scale(weight), as QLinearConv takes them; such a step is far
   below one of the output. Where one would not fit, the channel's weights get a coarser scale.
4. A convolution that ends in a residual Add is quantized on its output too. It is the one rounding
   that the signed form does not have.
5. The first convolution reads the picture's own bytes, see cpu_input.py.

A node that the signed form leaves in float is left in float here, with what it reads.

Shapes: K output channels of a weight.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from edge_arm.calibration.cpu_input import PIXELS, first_layer
from edge_arm.calibration.graph import Edge, residual_adds
from edge_arm.calibration.ranges import QMAX
from edge_arm.calibration.signed_form import SignedForm, WeightSteps, signed_form

UNSIGNED_MAX = 255
_MIDDLE = 128
_BIAS_MAX = 2**30
"""Half of int32; the other half is for the sums, at most 255 * 127 * 4608 in a ResNet-18."""

_NO_RANGE = (
    "the ranges name none for its output, without which ONNX Runtime computes a convolution in "
    "float"
)


@dataclass(frozen=True)
class CpuGraph:
    """The INT8 model for CPUs.

    Attributes:
        model: the graph.
        float_nodes: convolutions that run in float although the signed form has them in INT8, by
            name, with the reason.
    """

    model: onnx.ModelProto
    float_nodes: dict[str, str]


def cpu_graph(signed: onnx.ModelProto, output_amax: Mapping[str, float]) -> CpuGraph:
    """The unsigned form of a signed INT8 graph.

    Args:
        signed: as qdq.py writes it; it is not changed.
        output_amax: ranges of what convolutions give to a residual Add (rule 4); others in it are
            not looked at. One may be missing, as a TensorRT cache may miss it.

    Returns:
        A new graph with the same inputs, outputs, opset and node names.

    Raises:
        CalibrationError: if the graph is not a signed INT8 graph.
    """
    form = signed_form(signed)
    sums = _summed_convolutions(signed, form)
    scales = dict(form.scales)
    for tensor in sums:
        if tensor in output_amax:
            scales[tensor] = output_amax[tensor] / QMAX
    writer = _Writer(signed, form, scales)
    for position, node in enumerate(form.nodes):
        writer.add(position, node, sums.keys() & scales.keys())
    model = writer.finished(signed)
    without = {name: _NO_RANGE for tensor, name in sums.items() if tensor not in scales}
    return CpuGraph(model, without)


def _summed_convolutions(signed: onnx.ModelProto, form: SignedForm) -> dict[str, str]:
    """Outputs of INT8 convolutions that a residual Add reads, with the convolution's name."""
    adds = {signed.graph.node[position].name for position in residual_adds(signed)}
    read = {name for node in form.nodes if node.name in adds for name in node.input}
    return {
        node.output[0]: node.name
        for position, node in enumerate(form.nodes)
        if node.op_type == "Conv" and node.output[0] in read and form.in_int8(position)
    }


class _Writer:
    """Collects nodes and constants; each tensor gets one pair, each weight one DequantizeLinear."""

    def __init__(
        self, signed: onnx.ModelProto, form: SignedForm, scales: Mapping[str, float]
    ) -> None:
        self._form = form
        self._stored = {item.name: item for item in signed.graph.initializer}
        self._positive = _positive_tensors(form)
        self._scales = {
            name: np.float32(scale * QMAX / UNSIGNED_MAX if name in self._positive else scale)
            for name, scale in scales.items()
        }
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, onnx.TensorProto] = {}
        self._dequantized: dict[str, str] = {}
        self._first = first_layer(signed, form)
        if self._first is not None:
            nodes, constants = self._first.stage()
            self._nodes += nodes
            for name, value in constants.items():
                self._store(name, value)
            self._pixels()

    def add(self, position: int, original: onnx.NodeProto, also: Set[str]) -> None:
        """Add a node of the signed form.

        Args:
            position: of it.
            original: the node.
            also: tensors that a residual Add reads in uint8 here (rule 4).
        """
        if self._first is not None and position in self._first.dropped:
            return
        node = onnx.NodeProto()
        node.CopyFrom(original)
        if node.op_type == "Conv" and self._form.in_int8(position):
            self._convolution(node, position)
        else:
            for place, name in enumerate(original.input):
                if Edge(position, place) in self._form.activations or (
                    node.op_type == "Add" and name in also
                ):
                    node.input[place] = self._activation(name)
        self._nodes.append(node)

    def finished(self, signed: onnx.ModelProto) -> onnx.ModelProto:
        """The model with everything that was added, checked."""
        result = onnx.ModelProto()
        result.CopyFrom(signed)
        graph = result.graph
        read = {name for node in self._nodes for name in node.input}
        stored = {**self._stored, **self._constants}
        del graph.node[:], graph.initializer[:], graph.value_info[:]
        graph.node.extend(self._nodes)
        graph.initializer.extend(item for name, item in stored.items() if name in read)
        onnx.checker.check_model(result, full_check=True)
        return result

    def _convolution(self, node: onnx.NodeProto, position: int) -> None:
        source, weight, *bias = node.input
        first = self._first if self._first is not None and position == self._first.conv else None
        source = source if first is None else PIXELS
        steps = self._form.weights[weight]
        values = (
            numpy_helper.to_array(self._stored[bias[0]]).astype(np.float64)
            if bias
            else np.zeros(len(steps.scale))
        )  # (K,)
        if first is not None:  # rule 5
            values = first.moved_bias(values, steps)
            steps = first.weight(steps)
            node.CopyFrom(first.convolution(node))
        steps = _with_room_for_bias(steps, values, self._scales[source])
        del node.input[:]
        node.input.extend(
            [
                self._activation(source),
                self._weight(weight, steps),
                self._bias(f"{bias[0] if bias else f'{weight}_bias'}", values, source, steps),
            ]
        )

    def _pixels(self) -> None:
        # They are uint8 already: no QuantizeLinear.
        self._scales[PIXELS] = np.float32(1)
        self._positive |= {PIXELS}
        self._dequantized[PIXELS] = self._dequantize(PIXELS, self._parameters(PIXELS), PIXELS)

    def _activation(self, name: str) -> str:
        if name not in self._dequantized:
            steps, parameters = f"{name}_quantized", self._parameters(name)
            self._nodes.append(
                helper.make_node(
                    "QuantizeLinear", [name, *parameters], [steps], f"{name}_QuantizeLinear"
                )
            )
            self._dequantized[name] = self._dequantize(steps, parameters, name)
        return self._dequantized[name]

    def _parameters(self, name: str) -> list[str]:
        zero = np.uint8(0 if name in self._positive else _MIDDLE)  # rule 1
        return [
            self._store(f"{name}_scale", np.array(self._scales[name])),
            self._store(f"{name}_zero_point", np.array(zero)),
        ]

    def _weight(self, name: str, weight: WeightSteps) -> str:
        if name not in self._dequantized:  # rule 2
            parameters = [
                self._store(f"{name}_scale", weight.scale),
                self._store(f"{name}_zero_point", np.zeros(weight.scale.shape, np.int8)),
            ]
            stored = self._store(f"{name}_quantized", weight.steps)
            self._dequantized[name] = self._dequantize(stored, parameters, name, axis=0)
        return self._dequantized[name]

    def _bias(
        self, name: str, values: npt.NDArray[np.float64], source: str, weight: WeightSteps
    ) -> str:
        scale = self._scales[source] * weight.scale  # rule 3, float32 as in ONNX Runtime
        steps = np.rint(values / scale).astype(np.int32)
        parameters = [
            self._store(f"{name}_scale", scale),
            self._store(f"{name}_zero_point", np.zeros(scale.shape, np.int32)),
        ]
        return self._dequantize(self._store(f"{name}_quantized", steps), parameters, name, axis=0)

    def _dequantize(self, steps: str, parameters: list[str], name: str, **axis: Any) -> str:
        real = f"{name}_dequantized"
        self._nodes.append(
            helper.make_node(
                "DequantizeLinear",
                [steps, *parameters],
                [real],
                f"{name}_DequantizeLinear",
                **axis,
            )
        )
        return real

    def _store(self, name: str, values: npt.NDArray[Any]) -> str:
        self._constants[name] = numpy_helper.from_array(values, name)
        return name


def _positive_tensors(form: SignedForm) -> frozenset[str]:
    """Tensors that are never below 0: what a Relu gives, and a MaxPool of it."""
    positive: set[str] = set()
    for node in form.nodes:
        if node.op_type == "Relu" or (node.op_type == "MaxPool" and node.input[0] in positive):
            positive.update(node.output)
    return frozenset(positive)


def _with_room_for_bias(
    weight: WeightSteps, bias: npt.NDArray[np.float64], source_scale: np.float32
) -> WeightSteps:
    """Rule 3: coarser scales for channels whose bias would not fit into int32."""
    least = (np.abs(bias) / (float(source_scale) * _BIAS_MAX)).astype(np.float32)  # (K,)
    if (weight.scale >= least).all():
        return weight
    scale = np.maximum(weight.scale, least)
    ratio = (weight.scale / scale).reshape(-1, *[1] * (weight.steps.ndim - 1))
    return WeightSteps(np.rint(weight.steps * ratio).astype(np.int8), scale)
