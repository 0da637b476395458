"""EngineInspector: the layers of an engine in the JSON of each generation.

Up to 10 a tensor has one text, "Format/Datatype"; in 11 it has "Format" and "DataType". What a
layer reads and writes is told only by an engine that was built with detailed verbosity.
"""

from __future__ import annotations

import json
from typing import Any

FORMATS = {
    "FLOAT": "Row major linear FP32",
    "HALF": "Channel major FP16 format where channel % 8 == 0",
    "INT8": "Thirty-two wide channel vectorized row major Int8 format",
    "INT32": "Row major linear INT32",
    "INT64": "Row major linear Int64",
    "UINT8": "Row major linear UInt8 format",
    "BOOL": "Row major linear Bool",
    "": "N/A",
}
LAYOUTS = {"HALF": "Channel major, channel % 8 == 0", "INT8": "Thirty-two wide channel vectorized"}
TYPES = {
    "FLOAT": "FP32",
    "HALF": "FP16",
    "INT8": "Int8",
    "INT32": "Int32",
    "INT64": "Int64",
    "UINT8": "UInt8",
    "BOOL": "Bool",
    "": "N/A",
}


class Inspector:
    """EngineInspector."""

    _engine: Any

    @property
    def execution_context(self) -> Any:
        return self.__dict__.get("_context")

    @execution_context.setter
    def execution_context(self, value: Any) -> None:
        self._context = value

    def get_engine_information(self, format: Any) -> str:  # noqa: A002
        layers = [self._layer(item) for item in self._engine._plan.layers]
        if self._is_oneline(format):
            return "\n".join(item if isinstance(item, str) else item["Name"] for item in layers)
        return json.dumps({"Layers": layers, **self._ends()})

    def get_layer_information(self, layer_index: int, format: Any) -> str:  # noqa: A002
        layers = self._engine._plan.layers
        if not 0 <= layer_index < len(layers):
            self._trt.parameter_check(
                "EngineInspector::getLayerInformation", "layerIndex < nbLayers"
            )
            return ""
        item = self._layer(layers[layer_index])
        return json.dumps(item) if not self._is_oneline(format) else str(item)

    def _is_oneline(self, format: Any) -> bool:  # noqa: A002
        kind = self._trt.enums["LayerInformationFormat"]
        if not isinstance(format, kind):
            raise TypeError(
                f"get_engine_information(): incompatible function arguments: {format!r}"
            )
        return bool(format.name == "ONELINE")

    def _ends(self) -> dict[str, Any]:
        engine, trt = self._engine, self._trt
        if trt.number < (11, 0):
            return {"Bindings": list(engine._io)}
        ends = [
            {
                "Name": name,
                "IOMode": mode.title(),
                "DataType": TYPES[kind],
                "Dimensions": shape,
                "Location": "Device",
                "IsShapeInferenceIO": False,
                "ProfileInfo": [],
            }
            for name, (mode, kind, shape) in engine._io.items()
        ]
        return {"I/O Tensors": ends}

    def _layer(self, item: dict[str, Any]) -> Any:
        verbosity = self._engine._plan.verbosity
        if verbosity == "NONE":
            return ""
        if verbosity != "DETAILED":
            return item["name"]
        trt = self._trt
        metadata = "\x1e".join(f"[ONNX Layer: {node}]" for node in item["nodes"])
        return {
            "Name": item["name"],
            "LayerType": item["kind"],
            "Inputs": [self._tensor(*tensor) for tensor in item["reads"]],
            "Outputs": [self._tensor(*tensor) for tensor in item["writes"]],
            "TacticValue": "0x0",
            "StreamId": 0,
            "Metadata": metadata if trt.number >= (9, 0) else "",
        }

    def _tensor(self, name: str, kind: str, shape: list[int]) -> dict[str, Any]:
        told: dict[str, Any] = {"Name": name, "Location": "Device", "Dimensions": shape}
        if self._trt.number < (11, 0):
            return told | {"Format/Datatype": FORMATS[kind]}
        return told | {"Format": LAYOUTS.get(kind, "Row major linear"), "DataType": TYPES[kind]}
