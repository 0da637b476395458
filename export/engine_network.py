"""ONNX to a TensorRT network, and what precision that network carries.

TensorRT builds an FP32 engine from an FP32 file without a word, whatever was wanted. So after the
parser is done the network itself is asked which convolutions are FP16 or quantized; the name of
the file and the manifest are no proof.

Shapes: N faces, S model input size.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from edge_arm.export.engine_variant import VariantChoice
from edge_arm.runtime.errors import EngineError
from edge_arm.runtime.manifest import Precision
from edge_arm.runtime.tensorrt_library import TensorRT

SHOWN_ERRORS = 3


@dataclass(frozen=True)
class ParsedNetwork:
    """A network and what was read off it.

    Attributes:
        network: TensorRT's INetworkDefinition.
        parser: its OnnxParser, which owns the weights until the engine is built.
        input_name: of the faces.
        input_shape: (-1, S, S, 3).
        convolutions: every convolution.
    """

    network: Any
    parser: Any
    input_name: str
    input_shape: tuple[int, ...]
    convolutions: tuple[Convolution, ...]


@dataclass(frozen=True)
class Convolution:
    """One convolution of the network.

    Attributes:
        name: of its ONNX node.
        input: name of its input tensor.
        half: the network says that its result is FP16.
        quantized: its input comes from a DequantizeLinear.
        channels: in and out.
    """

    name: str
    input: str
    half: bool
    quantized: bool
    channels: tuple[int, int]


def network_from_onnx(
    tensorrt: TensorRT, builder: Any, model: bytes, *, choice: VariantChoice
) -> ParsedNetwork:
    """Parse a model.

    Args:
        tensorrt: that builds.
        builder: a Builder of it.
        model: bytes of the ONNX file.
        choice: how it is built.

    Raises:
        EngineError: if the parser refuses it, naming the nodes, or the network is not from uint8
            faces to logits.
    """
    trt, capabilities = tensorrt.module, tensorrt.capabilities
    flags = 0
    if capabilities.explicit_batch_flag:
        flags |= 1 << int(trt.NetworkDefinitionCreationFlag.EXPLICIT_BATCH)
    if capabilities.strongly_typed_flag and choice.typed:
        flags |= 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    network = builder.create_network(flags)
    parser = trt.OnnxParser(network, tensorrt.logger)
    file = choice.artifact.file
    if not parser.parse(model):
        raise EngineError(
            f"TensorRT {tensorrt.version} does not take {file!r}: {_errors(tensorrt, parser)}; "
            "expected a model made by 'edge-arm export'; on the workstation "
            f"'edge-arm inspect {file} --tensorrt {_short(tensorrt)}' lists every node that it "
            "refuses"
        )
    shape = _input_shape(tensorrt, network, file)
    return ParsedNetwork(
        network=network,
        parser=parser,
        input_name=str(network.get_input(0).name),
        input_shape=shape,
        convolutions=tuple(_convolutions(tensorrt, network)),
    )


def require_precision(
    parsed: ParsedNetwork, precision: Precision, *, choice: VariantChoice, version: str
) -> None:
    """Refuse a strongly typed network that does not carry the precision that was asked for.

    Args:
        parsed: from the file.
        precision: that was asked for.
        choice: how it is built; with weak typing flags decide, and nothing is checked here.
        version: of the TensorRT.

    Raises:
        EngineError: if not one convolution has that precision.
    """
    if not choice.typed or precision is Precision.FP32:
        return
    if any(carries(convolution, precision) for convolution in parsed.convolutions):
        return
    wanted, command = (
        ("FP16 tensors", "edge-arm export --fp16")
        if precision is Precision.FP16
        else ("Q/DQ around its convolutions", "edge-arm calibrate --data NAME")
    )
    raise EngineError(
        f"asked for {precision.value}, but none of the {len(parsed.convolutions)} convolutions of "
        f"{choice.artifact.file!r} carries it and TensorRT {version} would build an FP32 engine "
        f"without a word; expected a file with {wanted}, make it with '{command}'"
    )


def carries(convolution: Convolution, precision: Precision) -> bool:
    """Whether the network itself gives a convolution this precision."""
    return convolution.half if precision is Precision.FP16 else convolution.quantized


def node_of_layer(name: str, nodes: Collection[str]) -> str | None:
    """The ONNX node that a layer was made from; the parser numbers the second of a name."""
    return next((item for item in (name, re.sub(r"_\d+$", "", name)) if item in nodes), None)


def layers(network: Any) -> Iterator[Any]:
    """Every layer of a network, in its order."""
    for index in range(network.num_layers):
        yield network.get_layer(index)


def _convolutions(tensorrt: TensorRT, network: Any) -> Iterator[Convolution]:
    trt = tensorrt.module
    dequantized = {
        layer.get_output(0).name
        for layer in layers(network)
        if layer.type == trt.LayerType.DEQUANTIZE
    }
    for layer in layers(network):
        if layer.type == trt.LayerType.CONVOLUTION:
            source, result = layer.get_input(0), layer.get_output(0)
            yield Convolution(
                name=str(layer.name),
                input=str(source.name),
                half=result.dtype == trt.DataType.HALF,
                quantized=source.name in dequantized,
                channels=(int(source.shape[1]), int(result.shape[1])),
            )


def _input_shape(tensorrt: TensorRT, network: Any, file: str) -> tuple[int, ...]:
    trt = tensorrt.module
    inputs = [network.get_input(index) for index in range(network.num_inputs)]
    outputs = [network.get_output(index) for index in range(network.num_outputs)]
    if (
        len(inputs) == len(outputs) == 1
        and inputs[0].dtype == trt.DataType.UINT8
        and outputs[0].dtype == trt.DataType.FLOAT
        and len(shape := tuple(int(side) for side in inputs[0].shape)) == 4
        and shape[1] == shape[2]
        and shape[3] == 3
    ):
        return shape
    raise EngineError(
        f"{file!r} takes {_tensors(inputs)} and gives {_tensors(outputs)}, expected uint8 "
        "(N, S, S, 3) to float32 (N, C); use a model made by 'edge-arm export'"
    )


def _tensors(tensors: list[Any]) -> str:
    return ", ".join(f"{tensor.dtype} {tuple(tensor.shape)}" for tensor in tensors) or "nothing"


def _errors(tensorrt: TensorRT, parser: Any) -> str:
    found = []
    for index in range(parser.num_errors):
        error = parser.get_error(index)
        found.append(f"{_place(tensorrt, error)}: {str(error.desc()).strip()}")
    if not found:
        return tensorrt.log.why()
    more = f" and {len(found) - SHOWN_ERRORS} more" if len(found) > SHOWN_ERRORS else ""
    return "; ".join(found[:SHOWN_ERRORS]) + more


def _place(tensorrt: TensorRT, error: Any) -> str:
    if tensorrt.capabilities.parser_node_names:
        name = str(error.node_name())
        return f"node {name!r} ({error.node_operator()})" if name else "the file"
    return f"node number {error.node()}"


def _short(tensorrt: TensorRT) -> str:
    return ".".join(map(str, tensorrt.capabilities.version))
