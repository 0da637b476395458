"""Networks, layers and tensors: what the parser fills and the builder reads."""

from __future__ import annotations

from typing import Any


class Network:
    """INetworkDefinition."""

    _flags: int
    _inputs: list[Any]
    _outputs: list[Any]
    _layers: list[Any]
    _model: bytes | None
    _builder: Any

    def _has(self, name: str) -> bool:
        flags = self._trt.enums["NetworkDefinitionCreationFlag"].__members__
        return name in flags and bool(self._flags >> int(flags[name]) & 1)

    def _is_typed(self) -> bool:
        return self._trt.number >= (11, 0) or self._has("STRONGLY_TYPED")

    def _is_implicit_batch(self) -> bool:
        return self._trt.number < (10, 0) and not self._has("EXPLICIT_BATCH")

    @property
    def num_inputs(self) -> int:
        return len(self._inputs)

    @property
    def num_outputs(self) -> int:
        return len(self._outputs)

    @property
    def num_layers(self) -> int:
        return len(self._layers)

    @property
    def has_implicit_batch_dimension(self) -> bool:
        return self._is_implicit_batch()

    @property
    def builder(self) -> Any:
        return self._builder

    @property
    def flags(self) -> int:
        return self._flags

    def get_flag(self, flag: Any) -> bool:
        return bool(self._flags >> int(flag) & 1)

    name = "Unnamed Network 0"

    def get_input(self, index: int) -> Any:
        return self._item("getInput", self._inputs, index, "getNbInputs()")

    def get_output(self, index: int) -> Any:
        return self._item("getOutput", self._outputs, index, "getNbOutputs()")

    def get_layer(self, index: int) -> Any:
        return self._item("getLayer", self._layers, index, "getNbLayers()")

    def _item(self, call: str, items: list[Any], index: int, number: str) -> Any:
        if 0 <= index < len(items):
            return items[index]
        self._trt.parameter_check(
            f"INetworkDefinition::{call}", f"(0) <= (index) && (index) < ({number})"
        )
        return None

    def __getitem__(self, index: int) -> Any:
        return self._layers[index]

    def __len__(self) -> int:
        return len(self._layers)


class Layer:
    """ILayer."""

    _name: str
    _kind: str
    _node: Any
    _inputs: list[Any]
    _outputs: list[Any]
    _network: Any
    _metadata: str
    _precision: str | None = None
    _output_types: dict[int, str]

    name = property(lambda self: self._name, lambda self, value: setattr(self, "_name", value))
    metadata = property(
        lambda self: self._metadata, lambda self, value: setattr(self, "_metadata", value)
    )
    type = property(lambda self: self._trt.enums["LayerType"].__members__[self._kind])
    num_inputs = property(lambda self: len(self._inputs))
    num_outputs = property(lambda self: len(self._outputs))
    precision_is_set = property(lambda self: self._precision is not None)

    def get_input(self, index: int) -> Any:
        return self._inputs[index] if 0 <= index < len(self._inputs) else None

    def get_output(self, index: int) -> Any:
        return self._outputs[index] if 0 <= index < len(self._outputs) else None

    @property
    def precision(self) -> Any:
        return self._trt.enums["DataType"].__members__[self._precision or "FLOAT"]

    @precision.setter
    def precision(self, value: Any) -> None:
        if self._may_be_constrained("setPrecision"):
            self._precision = _name_of_type(self, value)

    def reset_precision(self) -> None:
        self._precision = None

    def set_output_type(self, index: int, dtype: Any) -> None:
        if self._may_be_constrained("setOutputType"):
            self._output_types[index] = _name_of_type(self, dtype)

    def output_type_is_set(self, index: int) -> bool:
        return index in self._output_types

    def reset_output_type(self, index: int) -> None:
        self._output_types.pop(index, None)

    def get_output_type(self, index: int) -> Any:
        types = self._trt.enums["DataType"].__members__
        return types[self._output_types.get(index, self._outputs[index]._type)]

    def _may_be_constrained(self, call: str) -> bool:
        if not self._network._is_typed():
            return True
        self._trt.error(
            f"ILayer::{call}: Error Code 3: API Usage Error (Parameter check failed, condition: "
            "!mNetwork->usingStronglyTyped(). INetworkLayer::" + call + " is not supported for "
            "strongly typed networks.)"
        )
        self._network._violated = True
        return False


class Tensor:
    """ITensor."""

    _name: str
    _type: str
    _shape: tuple[int, ...] | None
    _is_input: bool = False
    _is_output: bool = False

    name = property(lambda self: self._name, lambda self, value: setattr(self, "_name", value))
    is_network_input = property(lambda self: self._is_input)
    is_network_output = property(lambda self: self._is_output)
    is_shape_tensor = property(lambda self: False)
    is_execution_tensor = property(lambda self: True)

    @property
    def dtype(self) -> Any:
        return self._trt.enums["DataType"].__members__[self._type]

    @dtype.setter
    def dtype(self, value: Any) -> None:
        self._type = _name_of_type(self, value)

    @property
    def shape(self) -> Any:
        return self._trt.dims(self._shape)

    @shape.setter
    def shape(self, value: Any) -> None:
        self._shape = tuple(value)


def _name_of_type(owner: Any, value: Any) -> str:
    kind = owner._trt.enums["DataType"]
    if not isinstance(value, kind):
        raise TypeError(f"incompatible function arguments: {value!r} is no DataType")
    return str(value.name)


NETWORK_BEHAVIOURS: dict[str, type] = {
    "INetworkDefinition": Network,
    "ILayer": Layer,
    "ITensor": Tensor,
}
