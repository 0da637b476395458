"""From ONNX nodes to the layers that TensorRT's parser makes of them, and what it refuses.

Which operators and types are refused, and the texts, are from docs and importer sources of
onnx-tensorrt (8.6-GA, 10.1-GA, operators.md of 10.15 and 11.1) and from what TensorRT-RTX 1.7.1
says. What is not known is not imitated: a model that passes here may still be refused elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

LAYER_OF = {
    "Add": "ELEMENTWISE",
    "AveragePool": "POOLING",
    "BatchNormalization": "SCALE",
    "Cast": "CAST",
    "Clip": "ACTIVATION",
    "Concat": "CONCATENATION",
    "Constant": "CONSTANT",
    "Conv": "CONVOLUTION",
    "DepthToSpace": "SHUFFLE",
    "DequantizeLinear": "DEQUANTIZE",
    "Div": "ELEMENTWISE",
    "Flatten": "SHUFFLE",
    "Gemm": "MATRIX_MULTIPLY",
    "GlobalAveragePool": "REDUCE",
    "Identity": "IDENTITY",
    "MatMul": "MATRIX_MULTIPLY",
    "MaxPool": "POOLING",
    "Mul": "ELEMENTWISE",
    "QuantizeLinear": "QUANTIZE",
    "ReduceMean": "REDUCE",
    "Relu": "ACTIVATION",
    "Reshape": "SHUFFLE",
    "Slice": "SLICE",
    "Softmax": "SOFTMAX",
    "Split": "SLICE",
    "Squeeze": "SHUFFLE",
    "Sub": "ELEMENTWISE",
    "Transpose": "SHUFFLE",
    "Unsqueeze": "SHUFFLE",
}
TYPE_OF = {
    TensorProto.FLOAT: "FLOAT",
    TensorProto.FLOAT16: "HALF",
    TensorProto.INT8: "INT8",
    TensorProto.INT32: "INT32",
    TensorProto.INT64: "INT64",
    TensorProto.UINT8: "UINT8",
    TensorProto.BOOL: "BOOL",
}
WORD_OF = {"FLOAT": "Float", "HALF": "Half", "UINT8": "UInt8", "INT8": "Int8", "INT32": "Int32"}


@dataclass(frozen=True)
class Refusal:
    """Why a model is not taken.

    Attributes:
        code: name of an ErrorCode.
        node: index of the node, -1 if it is none.
        text: as TensorRT says it.
        name: of the node.
        operator: of the node.
    """

    code: str
    node: int
    text: str
    name: str = ""
    operator: str = ""


@dataclass(frozen=True)
class Importer:
    """What one version takes.

    Attributes:
        number: major and minor of it.
    """

    number: tuple[int, int]

    @property
    def newest_opset(self) -> int | None:
        """The last one of the version's table; None for 11, which takes newer ones (tried: 30)."""
        if self.number < (10, 0):
            return 17
        if self.number < (10, 15):
            return 20
        return 24 if self.number < (11, 0) else None

    def refusals(self, graph: Graph) -> list[Refusal]:
        """The first node that is not taken, as one refusal; the parser stops there."""
        newest = self.newest_opset
        if newest is not None and graph.opset > newest:
            text = f"This version of the parser supports opsets up to {newest}, got {graph.opset}"
            return [Refusal("UNSUPPORTED_GRAPH", -1, text)]
        for index, node in enumerate(graph.nodes):
            for code, text in self._reasons(node, graph):
                return [Refusal(code, index, text, node.name, node.op_type)]
        return []

    def _reasons(self, node: onnx.NodeProto, graph: Graph) -> list[tuple[str, str]]:
        found = []
        if node.op_type not in LAYER_OF:
            found.append(self._unknown(node.op_type))
        kinds = [graph.type_of(name) for name in node.input]
        first = kinds[0] if kinds else ""
        if first == "UINT8" and node.op_type not in ("Cast", "DequantizeLinear"):
            accepted = "Float, Half, BFloat16, FP8, E8M0, FP4, Int4, Int8, Int64, Int32, or Bool"
            found.append(
                _invalid(node, f"first input has type UInt8 but must have type {accepted}.")
            )
        if node.op_type == "DequantizeLinear" and first == "INT32":
            text = "input has type Int32 but must have type FP8, FP4, Int4, Int8, or UInt8."
            found.append(_invalid(node, text))
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            found += self._about_scales(node, graph)
        if node.op_type in ("Add", "Sub", "Mul", "Div") and len(set(kinds[:2])) == 2:
            words = " and ".join(WORD_OF.get(kind, kind) for kind in kinds[:2])
            text = (
                f"ElementWiseOperation must have same input types. But they are of types {words}."
            )
            found.append(_invalid(node, text))
        return found

    def _about_scales(self, node: onnx.NodeProto, graph: Graph) -> list[tuple[str, str]]:
        found = []
        if self.number < (10, 0) and len(node.input) < 3:
            text = "Assertion failed: (inputs.size() == 3) && This version of TensorRT requires 3 "
            found.append(("INVALID_NODE", f"{text}inputs for the {node.op_type} operator."))
        if self.number < (10, 0) and graph.type_of(node.input[1]) != "FLOAT":
            text = "Assertion failed: scale.is_weights() && the scale must be of type float"
            found.append(("INVALID_NODE", text))
        if len(node.input) > 2 and node.input[2]:
            zero = graph.initializers.get(node.input[2])
            if zero is not None and np.any(zero):
                if self.number < (10, 0):
                    text = (
                        "Assertion failed: shiftIsAllZeros(zeroPoint) && TensorRT only supports "
                        "symmetric quantization. The zero point for the QuantizeLinear/"
                        "DequantizeLinear operator must be all zeros."
                    )
                else:
                    text = (
                        "Assertion failed: shiftIsAllZeros(zeroPoint): Non-zero zero point is not "
                        "supported. Please set kENABLE_UINT8_AND_ASYMMETRIC_QUANTIZATION_DLA to "
                        "enable asymmetric quantization if it is on DLA."
                    )
                found.append(("INVALID_NODE", text))
            elif zero is not None and zero.dtype == np.uint8:
                text = "Assertion failed: the zero point must not be of type UINT8"
                found.append(("INVALID_NODE", text))
        return found

    def _unknown(self, operator: str) -> tuple[str, str]:
        if self.number >= (10, 0) and onnx.defs.has(operator):
            return "UNSUPPORTED_NODE", f"false (check{operator})"
        plugin = "Plugin not found, are the plugin name, version, and namespace correct?"
        return (
            "UNSUPPORTED_NODE" if self.number < (10, 0) else "INVALID_NODE",
            f'creator && "{plugin}"',
        )


def _invalid(node: onnx.NodeProto, text: str) -> tuple[str, str]:
    usage = f"ITensor::getDimensions: Error Code 4: API Usage Error ({node.name}: {text})"
    return "INVALID_NODE", f"Invalid Node - {node.name}\n{usage}"


class Graph:
    """An ONNX graph with the type and shape of each tensor.

    Attributes:
        nodes: in order.
        opset: of the standard operators.
        initializers: by name.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        inferred = onnx.shape_inference.infer_shapes(model)
        self.graph = inferred.graph
        self.nodes = list(self.graph.node)
        self.opset = next((item.version for item in model.opset_import if not item.domain), 0)
        self.initializers = {
            item.name: numpy_helper.to_array(item) for item in self.graph.initializer
        }
        values = [*self.graph.input, *self.graph.value_info, *self.graph.output]
        self._types = {item.name: item.type.tensor_type for item in values}

    def type_of(self, name: str) -> str:
        """Name of a DataType; empty if it is not known."""
        if name in self.initializers:
            kind = onnx.helper.np_dtype_to_tensor_dtype(self.initializers[name].dtype)
            return TYPE_OF.get(kind, "")
        known = self._types.get(name)
        return TYPE_OF.get(known.elem_type, "") if known is not None else ""

    def shape_of(self, name: str) -> tuple[int, ...] | None:
        """-1 for what is dynamic; None if nothing is known."""
        if name in self.initializers:
            return tuple(self.initializers[name].shape)
        known = self._types.get(name)
        if known is None or not known.HasField("shape"):
            return None
        return tuple(
            side.dim_value if side.HasField("dim_value") else -1 for side in known.shape.dim
        )


def fill_network(trt: Any, network: Any, graph: Graph) -> None:
    """Make the layers of a graph that was not refused."""
    tensors: dict[str, Any] = {}

    def tensor(name: str, kind: str, shape: tuple[int, ...] | None) -> Any:
        if name not in tensors:
            tensors[name] = trt.make("ITensor", name=name, type=kind, shape=shape)
        return tensors[name]

    def known(name: str) -> Any:
        return tensor(name, graph.type_of(name) or "FLOAT", graph.shape_of(name))

    def add(name: str, kind: str, *, node: Any, inputs: list[Any], outputs: list[Any]) -> None:
        metadata = f"[ONNX Layer: {name}]" if node is not None and trt.number >= (9, 0) else ""
        layer = trt.make(
            "ILayer",
            name=name,
            kind=kind,
            node=node,
            inputs=inputs,
            outputs=outputs,
            network=network,
            metadata=metadata,
            output_types={},
        )
        network._layers.append(layer)

    def constant(name: str) -> Any:
        if f"{name}_output" not in tensors:
            kind, shape = graph.type_of(name) or "FLOAT", graph.shape_of(name)
            result = tensor(f"{name}_output", kind, shape)
            add(name, "CONSTANT", node=None, inputs=[], outputs=[result])
        return tensors[f"{name}_output"]

    for item in graph.graph.input:
        if item.name not in graph.initializers:
            made = known(item.name)
            made._is_input = True
            network._inputs.append(made)
    for node in graph.nodes:
        weights = node.op_type in ("Conv", "BatchNormalization", "Clip", "Reshape", "Slice")
        inputs = []
        for position, name in enumerate(node.input):
            if name in graph.initializers:
                if not weights and not (position == 2 and node.op_type.endswith("eLinear")):
                    inputs.append(constant(name))
            elif name:
                inputs.append(known(name))
        kind = LAYER_OF[node.op_type]
        if kind == "CAST" and "CAST" not in trt.enums["LayerType"].__members__:
            kind = "IDENTITY"
        outputs = [known(name) for name in node.output if name]
        add(node.name, kind, node=node, inputs=inputs, outputs=outputs)
    for item in graph.graph.output:
        made = known(item.name)
        made._is_output = True
        network._outputs.append(made)
