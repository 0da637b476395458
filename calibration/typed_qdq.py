"""Writes the INT8 model for strongly typed networks: Q/DQ with an FP16 float part.

From TensorRT 10.12 on the file alone decides every type, and the FP32 float part of the main INT8
model (qdq.py) would run in FP32. Here, in opset 19 or newer, where FP16 scales begin:

1. The float part is FP16: constants are stored in it, a Cast stands wherever the type changes,
   the output is cast back to float32. The nodes that are named stay in FP32.
2. A pair's scales have the type of the node that reads it, because DequantizeLinear gives the
   type of its scale, and QuantizeLinear takes the type of its input.
3. Weights are int8 initializers -> DequantizeLinear. TensorRT 10 and 11 take pre-quantized weights
   (8.6, which does not, does not read this opset either), the file is a quarter as large, and no
   runtime has to find q again by dividing in FP16.
4. Scales are rounded to FP16 before the weights are put on their grid, so that the rounding is
   part of the grid and costs nothing afterwards.
5. Biases stay float initializers: TensorRT refuses a bias behind a DequantizeLinear.

Node names are those of the FP32 graph.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from edge_arm.calibration.graph import Edge
from edge_arm.calibration.half_range import half_scale
from edge_arm.calibration.opset import with_opset_at_least
from edge_arm.calibration.placement import QuantPlan
from edge_arm.calibration.qdq import channel_scales
from edge_arm.calibration.ranges import QMAX

LEAST_OPSET = 19
"""From here on Q/DQ scales may be FP16."""

_Key = tuple[str, str, int]  # what is written, of which tensor, in which type

_FLOATS: dict[int, Any] = {TensorProto.FLOAT: np.float32, TensorProto.FLOAT16: np.float16}
_SUFFIX: dict[int, str] = {TensorProto.FLOAT: "_float32", TensorProto.FLOAT16: "_float16"}


@dataclass(frozen=True)
class TypedGraph:
    """The INT8 model with FP16 types.

    Attributes:
        model: the graph.
        scale_rounding: largest relative change of a scale by FP16.
    """

    model: onnx.ModelProto
    scale_rounding: float


def typed_graph(
    model: onnx.ModelProto,
    plan: QuantPlan,
    amax: Mapping[str, float],
    *,
    float32_nodes: Collection[str],
) -> TypedGraph:
    """The graph with Q/DQ pairs and an FP16 float part.

    Args:
        model: the FP32 graph; it is not changed.
        plan: which edges are quantized.
        amax: range of each quantized activation.
        float32_nodes: names of the nodes that stay in FP32; a Cast of the graph must be one.

    Returns:
        A new graph with the same inputs, outputs and node names.

    Raises:
        CalibrationError: if an operator is not known at the higher opset, a weight is not finite,
            or a scale is beyond FP16.
    """
    raised = with_opset_at_least(model, LEAST_OPSET)
    writer = _Writer(raised, amax)
    activations, weights = frozenset(plan.activations), frozenset(plan.weights)
    for position, original in enumerate(model.graph.node):
        kind = TensorProto.FLOAT if original.name in float32_nodes else TensorProto.FLOAT16
        node = onnx.NodeProto()
        node.CopyFrom(raised.graph.node[position])
        for place, name in enumerate(node.input):
            if Edge(position, place) in weights:
                node.input[place] = writer.weight(name, kind)
            elif Edge(position, place) in activations:
                node.input[place] = writer.activation(name, kind)
            else:
                node.input[place] = writer.typed(name, kind)
        writer.add(node, kind)
    return TypedGraph(writer.finished(raised), writer.scale_rounding)


class _Writer:
    """Collects nodes and constants; a tensor exists once for each type that somebody reads."""

    def __init__(self, model: onnx.ModelProto, amax: Mapping[str, float]) -> None:
        self.scale_rounding = 0.0
        self._amax = amax
        self._stored = {item.name: item for item in model.graph.initializer}
        self._output = model.graph.output[0].name
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._types: dict[str, int] = {}  # of what nodes make; the graph's input is no float
        self._written: dict[tuple[str, str, int], str] = {}

    def add(self, node: onnx.NodeProto, kind: int) -> None:
        """Add a node whose outputs have this type."""
        self._nodes.append(node)
        self._types.update(dict.fromkeys(node.output, kind))

    def typed(self, name: str, kind: int) -> str:
        """A tensor or constant in a float type (rule 1); what is no float stays as it is."""
        if name not in self._stored:
            if self._types.get(name, kind) == kind:
                return name
            return self._once(("cast", name, kind), self._add_cast)
        return self._once(("constant", name, kind), self._add_constant)

    def activation(self, name: str, kind: int) -> str:
        """A tensor behind a pair."""
        return self._once(("activation", name, kind), self._add_activation)

    def weight(self, name: str, kind: int) -> str:
        """A weight in int8 behind DequantizeLinear (rule 3)."""
        return self._once(("weight", name, kind), self._add_weight)

    def finished(self, raised: onnx.ModelProto) -> onnx.ModelProto:
        """The model with everything that was added, checked."""
        if self._types[self._output] != TensorProto.FLOAT:  # rule 1
            inner = f"{self._output}_float16"
            (last,) = (node for node in self._nodes if self._output in node.output)
            last.output[0] = inner
            self._nodes.append(_cast(inner, self._output, TensorProto.FLOAT))
        graph = raised.graph
        del graph.node[:], graph.initializer[:], graph.value_info[:]
        graph.node.extend(self._nodes)
        graph.initializer.extend(self._constants)
        onnx.checker.check_model(raised, full_check=True)
        return raised

    def _once(self, key: _Key, write: Callable[[str, int, str], str]) -> str:
        if key not in self._written:
            what, name, kind = key
            # Nearly always one type reads a tensor, and its names are those of the main model.
            second = any((what, name, other) in self._written for other in _FLOATS)
            self._written[key] = write(name, kind, _SUFFIX[kind] if second else "")
        return self._written[key]

    def _add_cast(self, name: str, kind: int, suffix: str) -> str:
        del suffix  # the type is in the name anyway
        output = f"{name}{_SUFFIX[kind]}"
        self.add(_cast(name, output, kind), kind)
        return output

    def _add_constant(self, name: str, kind: int, suffix: str) -> str:
        item = self._stored[name]
        values = numpy_helper.to_array(item)
        if item.data_type == TensorProto.FLOAT:
            values = values.astype(_FLOATS[kind])
        return self._store(f"{name}{suffix}", values)

    def _add_activation(self, name: str, kind: int, suffix: str) -> str:
        source = self.typed(name, kind)
        scale = self._scale(np.array(self._amax[name] / QMAX), kind, name)
        parameters = self._parameters(f"{name}{suffix}", scale)
        steps, real = f"{name}{suffix}_quantized", f"{name}{suffix}_dequantized"
        names = [f"{name}{suffix}_{place}" for place in ("QuantizeLinear", "DequantizeLinear")]
        self._nodes += [
            helper.make_node("QuantizeLinear", [source, *parameters], [steps], names[0]),
            helper.make_node("DequantizeLinear", [steps, *parameters], [real], names[1]),
        ]
        return real

    def _add_weight(self, name: str, kind: int, suffix: str) -> str:
        weight = numpy_helper.to_array(self._stored[name])
        scale = self._scale(channel_scales(weight, name).astype(np.float64), kind, name)
        per_channel = scale.astype(np.float32).reshape(-1, *[1] * (weight.ndim - 1))
        steps = np.clip(np.rint(weight / per_channel), -QMAX, QMAX).astype(np.int8)  # rule 4
        stored = self._store(f"{name}{suffix}_quantized", steps)
        real = f"{name}{suffix}_dequantized"
        self._nodes.append(
            helper.make_node(
                "DequantizeLinear",
                [stored, *self._parameters(f"{name}{suffix}", scale)],
                [real],
                f"{name}{suffix}_DequantizeLinear",
                axis=0,
            )
        )
        return real

    def _scale(
        self, exact: npt.NDArray[np.float64], kind: int, name: str
    ) -> npt.NDArray[np.floating[Any]]:
        if kind == TensorProto.FLOAT:
            return exact.astype(np.float32)
        rounded = half_scale(exact, name)
        change = np.abs(rounded.astype(np.float64) / exact - 1).max()
        self.scale_rounding = max(self.scale_rounding, float(change))
        return rounded

    def _parameters(self, name: str, scale: npt.NDArray[np.floating[Any]]) -> list[str]:
        zero = np.zeros(scale.shape, np.int8)
        return [self._store(f"{name}_scale", scale), self._store(f"{name}_zero_point", zero)]

    def _store(self, name: str, values: npt.NDArray[Any]) -> str:
        self._constants.append(numpy_helper.from_array(values, name))
        return name


def _cast(name: str, output: str, kind: int) -> onnx.NodeProto:
    return helper.make_node("Cast", [name], [output], f"{output}_Cast", to=kind)
