"""What the lint's rules look at: a graph with every tensor's type, shape, origin and value."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from edge_arm.export.tensorrt_rules import RULES, TensorRTVersion, VersionRules
from edge_arm.runtime.errors import ExportError

Shape = tuple[int | None, ...]
"""Dimensions; None for one that is known only when the model runs."""


class Severity(Enum):
    """How bad a finding is, worst first."""

    REFUSED = "refused"
    UNKNOWN = "unknown"
    SLOW = "slow"


@dataclass(frozen=True)
class Finding:
    """One thing that one version of TensorRT would not like.

    Attributes:
        severity: REFUSED if it is refused, or read as something else; UNKNOWN if nothing is on
            record; SLOW if it runs, but badly.
        node: its name; "output (operator)" if it has none, "model" for the file as a whole.
        rule: a stable short name, such as "zero-point".
        message: got, expected, what to do.
    """

    severity: Severity
    node: str
    rule: str
    message: str


@dataclass(frozen=True, eq=False)
class LintGraph:
    """A model and everything that can be known about it without running it.

    Attributes:
        nodes: in the order of computation.
        version: the TensorRT that is asked about.
        opset: of the default domain.
        types: ONNX element type by tensor.
        shapes: by tensor; a tensor of unknown rank is missing.
        constants: stored in the file, by tensor.
        producers: the node that makes each tensor.
        uint8_inputs: inputs of the graph with element type uint8.
        after_conv: tensors with a convolution somewhere before them.
    """

    nodes: tuple[onnx.NodeProto, ...]
    version: TensorRTVersion
    opset: int
    types: Mapping[str, int]
    shapes: Mapping[str, Shape]
    constants: Mapping[str, onnx.TensorProto]
    producers: Mapping[str, onnx.NodeProto]
    uint8_inputs: frozenset[str]
    after_conv: frozenset[str]

    @property
    def rules(self) -> VersionRules:
        """The tables of the version."""
        return RULES[self.version]

    @property
    def trt(self) -> str:
        """The version as messages name it."""
        return f"TensorRT {self.version.value}"

    def value(self, name: str) -> npt.NDArray[Any] | None:
        """A stored tensor's values, or None if they are computed."""
        stored = self.constants.get(name)
        return None if stored is None else np.asarray(numpy_helper.to_array(stored))

    def made_by(self, name: str, *operators: str) -> onnx.NodeProto | None:
        """The node that makes a tensor, if it is one of these operators."""
        node = self.producers.get(name)
        return node if node is not None and node.op_type in operators else None

    def dequantized(self, node: onnx.NodeProto, position: int) -> bool:
        """Whether an input comes straight from a DequantizeLinear."""
        name = input_name(node, position)
        return self.made_by(name, "DequantizeLinear") is not None

    def convolution(self, name: str) -> onnx.NodeProto | None:
        """The Conv that makes a tensor, looking through its own BatchNormalization."""
        norm = self.made_by(name, "BatchNormalization")
        return self.made_by(norm.input[0] if norm is not None else name, "Conv")

    def quantized(self, node: onnx.NodeProto) -> bool:
        """Whether activation and weight are both behind a DequantizeLinear."""
        return self.dequantized(node, 0) and self.dequantized(node, 1)


def lint_graph(model: onnx.ModelProto, version: TensorRTVersion) -> LintGraph:
    """Read a model.

    Args:
        model: with its weights; it is not changed.
        version: to be asked about.

    Raises:
        ExportError: if the model names no opset, or is no valid ONNX.
    """
    opset = max(
        (item.version for item in model.opset_import if item.domain in ("", "ai.onnx")), default=0
    )
    if not opset:
        raise ExportError(
            "the model names no ONNX opset, expected one; it is no complete ONNX file: "
            "export it again"
        )
    try:
        _check(model)
        graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ExportError(
            f"the model is no valid ONNX ({reason}), expected one that onnx.checker accepts; "
            "export it again"
        ) from error
    constants = {item.name: item for item in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and (stored := attribute(node, "value")) is not None:
            constants[node.output[0]] = stored
    types = {name: int(item.data_type) for name, item in constants.items()}
    shapes: dict[str, Shape] = {name: tuple(item.dims) for name, item in constants.items()}
    for item in (*graph.input, *graph.value_info, *graph.output):
        tensor = item.type.tensor_type
        if tensor.elem_type:
            types[item.name] = tensor.elem_type
        if tensor.HasField("shape"):
            shapes[item.name] = tuple(
                size.dim_value if size.HasField("dim_value") else None for size in tensor.shape.dim
            )
    return LintGraph(
        nodes=tuple(graph.node),
        version=version,
        opset=opset,
        types=types,
        shapes=shapes,
        constants=constants,
        producers={name: node for node in graph.node for name in node.output if name},
        uint8_inputs=frozenset(
            item.name
            for item in graph.input
            if item.name not in constants and types.get(item.name) == TensorProto.UINT8
        ),
        after_conv=_after_conv(graph.node),
    )


def _check(model: onnx.ModelProto) -> None:
    # The checker wants a shape on every input and output; ONNX Runtime and TensorRT do not.
    checked = onnx.ModelProto()
    checked.CopyFrom(model)
    for item in (*checked.graph.input, *checked.graph.output):
        if item.type.HasField("tensor_type"):
            item.type.tensor_type.shape.SetInParent()
    onnx.checker.check_model(checked)


def _after_conv(nodes: Iterable[onnx.NodeProto]) -> frozenset[str]:
    # ONNX graphs are sorted: a node comes after all that feed it.
    found: set[str] = set()
    for node in nodes:
        if node.op_type == "Conv" or found.intersection(node.input):
            found.update(node.output)
    return frozenset(found)


def attribute(node: onnx.NodeProto, name: str) -> Any:
    """An attribute's value, or None where it is left at its default."""
    for item in node.attribute:
        if item.name == name:
            return helper.get_attribute_value(item)
    return None


def input_name(node: onnx.NodeProto, position: int) -> str:
    """The tensor at an input; empty if it is left out."""
    return str(node.input[position]) if position < len(node.input) else ""


def name_of(node: onnx.NodeProto) -> str:
    """How findings name a node."""
    if node.name:
        return str(node.name)
    return f"{next((name for name in node.output if name), '?')} ({node.op_type})"


def type_name(element_type: int) -> str:
    """Such as FLOAT16."""
    return str(TensorProto.DataType.Name(element_type))
