"""OnnxParser and its errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import DecodeError

from device_fakes.tensorrt_import import Graph, Importer, Refusal, fill_network

IMPLICIT_BATCH = (
    "Assertion failed: !_importer_ctx.network()->hasImplicitBatchDimension() && This version of "
    "the ONNX parser only supports TensorRT INetworkDefinitions with an explicit batch dimension. "
    "Please ensure the network was created using the EXPLICIT_BATCH NetworkDefinitionCreationFlag."
)


class Parser:
    """OnnxParser."""

    def __init__(self, network: Any, logger: Any) -> None:
        trt = self._trt
        if not isinstance(network, trt.module.INetworkDefinition):
            raise TypeError(f"OnnxParser(): incompatible constructor arguments: {network!r}")
        if not isinstance(logger, trt.module.ILogger):
            raise TypeError(f"OnnxParser(): incompatible constructor arguments: {logger!r}")
        trt.use_logger(logger)
        self._network, self._logger = network, logger
        self._errors: list[Any] = []
        self._used = False

    flags = 0
    num_errors = property(lambda self: len(self._errors))

    def parse(self, model: Any, path: str | None = None) -> bool:
        del path
        trt = self._trt
        if self._used:
            return self._refuse(Refusal("INTERNAL_ERROR", -1, "A model was previously parsed!"))
        self._used = True
        if trt.gpu.is_to_fail("parse"):
            return self._refuse(Refusal("INTERNAL_ERROR", -1, "an internal error"))
        try:
            proto = onnx.load_model_from_string(bytes(model))
        except DecodeError:
            proto = onnx.ModelProto()
        if not proto.HasField("graph"):
            text = "Failed to parse ONNX model."
            return self._refuse(Refusal("MODEL_DESERIALIZE_FAILED", -1, text))
        if self._network._is_implicit_batch():
            return self._refuse(Refusal("INTERNAL_ERROR", -1, IMPLICIT_BATCH))
        graph = Graph(proto)
        if graph.opset > (newest := Importer(trt.number).newest_opset or 24):
            trt.log("WARNING", f"the model has opset {graph.opset}, the parser knows {newest}")
        for refusal in Importer(trt.number).refusals(graph):
            return self._refuse(refusal)
        fill_network(trt, self._network, graph)
        self._network._model = bytes(model)
        return True

    def parse_from_file(self, model: str) -> bool:
        return self.parse(Path(model).read_bytes())

    def get_error(self, index: int) -> Any:
        return self._errors[index] if 0 <= index < len(self._errors) else None

    def clear_errors(self) -> None:
        self._errors.clear()

    def get_flag(self, flag: Any) -> bool:
        return bool(self.flags >> int(flag) & 1)

    def set_flag(self, flag: Any) -> None:
        self.flags = self.flags | 1 << int(flag)

    def clear_flag(self, flag: Any) -> None:
        self.flags = self.flags & ~(1 << int(flag))

    def _refuse(self, refusal: Refusal) -> bool:
        trt = self._trt
        error = trt.make("ParserError", refusal=refusal)
        self._errors.append(error)
        if refusal.node >= 0:
            where = f"While parsing node number {refusal.node} [{refusal.operator}]:"
            trt.error(f"ModelImporter.cpp:140: {where}")
            trt.error(f"ModelImporter.cpp:142: --- Begin node ---\nNode name: {refusal.name}")
            trt.error("ModelImporter.cpp:143: --- End node ---")
        trt.error(f"ModelImporter.cpp:151: ERROR: {refusal.text}")
        return False


class Error:
    """ParserError: everything about it is a method."""

    _refusal: Refusal

    def code(self) -> Any:
        return self._trt.enums["ErrorCode"].__members__[self._code_name()]

    def _code_name(self) -> str:
        known = self._trt.enums["ErrorCode"].__members__
        return self._refusal.code if self._refusal.code in known else "UNSUPPORTED_NODE"

    def desc(self) -> str:
        return self._refusal.text

    def file(self) -> str:
        return "ModelImporter.cpp"

    def line(self) -> int:
        return 489

    def func(self) -> str:
        return "parseNode"

    def node(self) -> int:
        return self._refusal.node

    def node_name(self) -> str:
        return self._refusal.name

    def node_operator(self) -> str:
        return self._refusal.operator

    def local_function_stack(self) -> list[str]:
        return []

    def local_function_stack_size(self) -> int:
        return 0

    def __repr__(self) -> str:
        return f"In node {self.node()} (parseNode): {self._refusal.code}: {self.desc()}"

    __str__ = __repr__


PARSER_BEHAVIOURS: dict[str, type] = {"OnnxParser": Parser, "ParserError": Error}
