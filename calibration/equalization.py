"""Channels of a tensor brought to like ranges before they share one int8 scale.

TensorRT gives an activation one scale for all channels, so a channel that stays far below the
largest one gets few of the 127 steps. ReLU, MaxPool and Add let a positive factor per channel
through: relu(x / t) = relu(x) / t. So a channel can be divided by t where it is made (the rows of
a Conv's weight and its bias) and multiplied by t where it is read (the columns of the next Conv's
weight), and the model computes what it did, up to float32 rounding (M. Nagel et al., Data-Free
Quantization Through Weight Equalization and Bias Correction, ICCV 2019). Tensors that meet in an
Add, as in the blocks of a ResNet stage, share their factors.

Shapes: K channels of a stream.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from edge_arm.calibration.graph import initializer_names
from edge_arm.runtime.errors import CalibrationError

STRENGTH = 0.75
"""Exponent of a channel's share of the tensor's range. 1 would give all channels the same range,
at the cost of weights whose columns differ by as much; measured in docs/measurements.md."""
LEAST_SHARE = 0.01
"""Channels below this share of the range are treated as if they had it: dead ones would make
columns of huge weights out of nothing."""

_THROUGH = frozenset({"Relu", "MaxPool", "Add"})

Factors = Mapping[str, npt.NDArray[np.float32]]
"""(K,) float32, each in (0, 1], by the name of a stream."""


@dataclass(frozen=True)
class Stream:
    """Tensors whose channels share one factor.

    Attributes:
        tensors: all of them, in graph order; the first is the stream's name.
        producers: positions of the Convs that make them.
        consumers: positions of the Convs that read them.
    """

    tensors: tuple[str, ...]
    producers: tuple[int, ...]
    consumers: tuple[int, ...]

    @property
    def name(self) -> str:
        """Of the first tensor."""
        return self.tensors[0]


def streams(model: onnx.ModelProto) -> tuple[Stream, ...]:
    """Every group of tensors that can be scaled by channel without a change of the answers.

    A group is left out if anything else touches it: a graph input or output, an operator that
    mixes channels, a weight that is no stored constant or is used twice.

    Args:
        model: the FP32 graph.
    """
    nodes = model.graph.node
    stored = initializer_names(model)
    root: dict[str, str] = {}

    def find(name: str) -> str:
        while root.setdefault(name, name) != name:
            name = root[name]
        return name

    for node in nodes:
        if node.op_type in _THROUGH:
            names = [*node.input, *node.output]
            for name in names[1:]:
                root[find(name)] = find(names[0])
    spoiled = {find(item.name) for item in (*model.graph.input, *model.graph.output)}
    spoiled |= {find(name) for name in root if name in stored}
    uses: dict[str, int] = {}
    for node in nodes:
        for name in node.input:
            uses[name] = uses.get(name, 0) + 1
    makers: dict[str, list[int]] = {}
    readers: dict[str, list[int]] = {}
    for position, node in enumerate(nodes):
        if node.op_type in _THROUGH:
            continue
        plain = (
            node.op_type == "Conv"
            and all(name in stored and uses[name] == 1 for name in node.input[1:])
            and not any(item.name == "group" and item.i != 1 for item in node.attribute)
        )
        if plain:
            readers.setdefault(find(node.input[0]), []).append(position)
            makers.setdefault(find(node.output[0]), []).append(position)
        else:
            spoiled |= {find(name) for name in (*node.input, *node.output)}
    members: dict[str, list[str]] = {}
    for node in nodes:
        for name in node.output:
            members.setdefault(find(name), []).append(name)
    return tuple(
        Stream(tuple(members[key]), tuple(makers[key]), tuple(readers[key]))
        for key in members
        if key not in spoiled and key in makers and key in readers
    )


def channel_factors(
    found: Iterable[Stream], channel_amax: Mapping[str, npt.NDArray[np.float32]]
) -> dict[str, npt.NDArray[np.float32]]:
    """The factor of each channel of each stream.

    t = max(share, LEAST_SHARE) ^ STRENGTH, where share is the channel's part of its tensor's
    largest |x|, the largest over the tensors of the stream. So no factor is above 1 and no
    tensor's range grows.

    Args:
        found: the streams.
        channel_amax: largest |x| of each channel, (K,), of some tensors of each stream; a stream
            without any gets no factor.
    """
    factors = {}
    for stream in found:
        seen = [channel_amax[name] for name in stream.tensors if name in channel_amax]
        shares = [amax / amax.max() for amax in seen if amax.max() > 0]
        if shares:
            share = np.maximum(np.max(shares, axis=0).astype(np.float64), LEAST_SHARE)
            factors[stream.name] = (share**STRENGTH).astype(np.float32)
    return factors


def equalized(model: onnx.ModelProto, factors: Factors) -> onnx.ModelProto:
    """The same model with its channels scaled.

    Args:
        model: the FP32 graph; it is not changed.
        factors: of its streams, by name.

    Returns:
        A new graph that differs in weights and biases of Convs alone.

    Raises:
        CalibrationError: if a factor belongs to no stream of this model or has another length.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    by_name = {stream.name: stream for stream in streams(model)}
    values = {item.name: item for item in result.graph.initializer}
    arrays: dict[str, npt.NDArray[np.float64]] = {}

    def array(name: str) -> npt.NDArray[np.float64]:
        if name not in arrays:
            arrays[name] = numpy_helper.to_array(values[name]).astype(np.float64)
        return arrays[name]

    for name, factor in factors.items():
        if name not in by_name:
            raise CalibrationError(
                f"the calibration scales channels of {name!r}, which this FP32 model cannot; "
                "expected the model that was calibrated: calibrate again with 'edge-arm calibrate'"
            )
        stream, t = by_name[name], factor.astype(np.float64)
        for position in stream.producers:
            weight, *bias = model.graph.node[position].input[1:]
            _require_length(name, t, array(weight).shape[0])
            arrays[weight] = array(weight) / t.reshape(-1, *[1] * (array(weight).ndim - 1))
            for item in bias:
                arrays[item] = array(item) / t
        for position in stream.consumers:
            weight = model.graph.node[position].input[1]
            _require_length(name, t, array(weight).shape[1])
            arrays[weight] = array(weight) * t.reshape(1, -1, *[1] * (array(weight).ndim - 2))
    for name, value in arrays.items():
        values[name].CopyFrom(numpy_helper.from_array(value.astype(np.float32), name))
    return result


def _require_length(name: str, factor: npt.NDArray[np.float64], channels: int) -> None:
    if len(factor) != channels:
        raise CalibrationError(
            f"the calibration has {len(factor)} factors for the channels of {name!r}, expected "
            f"{channels}, as this FP32 model has; calibrate again with 'edge-arm calibrate'"
        )
