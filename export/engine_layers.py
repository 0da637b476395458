"""What TensorRT made of the layers: precisions, reformats, and what is not as it was meant.

TensorRT chooses and fuses as it likes; INT8 that is slower than FP16 is nearly always an engine in
which much of the INT8 is not INT8. So the engine is asked, and each convolution that is not in the
precision it was meant for is listed with the likely reason.

The inspector's JSON has two dialects: up to 10 `"Format/Datatype": "... FP16 format"` in one text,
in 11 `"Format"` and `"DataType"` apart. Layers are plain names where the engine was built without
detailed verbosity.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from edge_arm.export.engine_network import Convolution, carries, node_of_layer
from edge_arm.runtime.errors import EngineError
from edge_arm.runtime.manifest import Precision

UNKNOWN = "unknown"
NO_INT8_KERNELS = (7, 5)
"""Compute capabilities up to this one lack some INT8 kernels."""

_TYPES = (  # the first that is found; UINT8 before INT8, because it contains it
    ("UINT8", r"uint8"),
    ("INT8", r"int8"),
    ("BF16", r"bf16|bfloat16"),
    ("FP16", r"fp16|half|float16"),
    ("FP8", r"fp8"),
    ("FP32", r"fp32|float"),
    ("INT64", r"int64"),
    ("INT32", r"int32"),
    ("BOOL", r"bool"),
)
_NO_RANGE = "its input has no range in the calibration cache"
_OPAQUE_KINDS = ("DLA", "Myelin")
_OPAQUE_NAME = "{ForeignNode["
_METADATA_NODE = re.compile(r"\[ONNX Layer: ([^\]]*)\]")


@dataclass(frozen=True)
class EngineLayer:
    """One layer of an engine.

    Attributes:
        name: as TensorRT composed it.
        nodes: ONNX nodes that it was made from, as far as it says.
        kind: its type; empty if it is not told.
        precision: of its first input, which is what its arithmetic runs in; "unknown" if untold, or
            if it stands for a whole part of the network, whose ends do not tell what is inside.
    """

    name: str
    nodes: tuple[str, ...]
    kind: str
    precision: str

    @property
    def is_reformat(self) -> bool:
        """Whether it only moves a tensor into another layout or type."""
        return self.kind.lower().startswith("reformat") or self.name.startswith("Reformatting")


@dataclass(frozen=True)
class LayerReport:
    """What an engine is made of.

    Attributes:
        detailed: the engine tells the types of its layers.
        num_layers: without reformats.
        num_reformats: layers that only change layout or type.
        shares: share of the layers by precision, reformats left out.
        names: of the layers by precision.
        not_as_meant: convolutions that do not run in the precision asked for: what they run in,
            and the likely reason.
        dla_fallback: layers that the GPU runs because the DLA cannot.
    """

    detailed: bool
    num_layers: int
    num_reformats: int
    shares: dict[str, float]
    names: dict[str, tuple[str, ...]]
    not_as_meant: dict[str, str]
    dla_fallback: tuple[str, ...]


@dataclass(frozen=True)
class LayerExpectation:
    """What the layers were meant to be.

    Attributes:
        precision: that was asked for.
        convolutions: of the network.
        float_nodes: nodes that the file keeps in a higher precision on purpose, with the reason.
        quantized_tensors: tensors with a range in the calibration cache; for implicit INT8.
        compute_capability: of the GPU.
        typed: the file decides every type.
        on_dla: whatever is not in `dla_fallback` runs on a DLA, which tells no types.
        dla_fallback: layers that a DLA cannot run.
    """

    precision: Precision
    convolutions: tuple[Convolution, ...]
    float_nodes: dict[str, str]
    quantized_tensors: frozenset[str]
    compute_capability: tuple[int, int]
    typed: bool
    on_dla: bool
    dla_fallback: tuple[str, ...]


def engine_layers(information: str) -> tuple[list[EngineLayer], bool]:
    """Read what an EngineInspector tells in JSON.

    Args:
        information: of the whole engine.

    Returns:
        The layers in their order, and whether types are told.

    Raises:
        EngineError: if it is not such JSON.
    """
    try:
        entries = json.loads(information)["Layers"]
        layers = [_layer(entry) for entry in entries]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise EngineError(
            f"TensorRT's inspector tells {information[:60]!r} ({type(error).__name__}: {error}), "
            "expected JSON with the layers of the engine; report this with your TensorRT version"
        ) from error
    return layers, any(layer.precision != UNKNOWN for layer in layers)


def layer_report(information: str, expected: LayerExpectation) -> LayerReport:
    """Compare an engine with what it was meant to be.

    Args:
        information: of an EngineInspector, in JSON.
        expected: what was meant.

    Raises:
        EngineError: if the information cannot be read.
    """
    layers, detailed = engine_layers(information)
    working = [layer for layer in layers if not layer.is_reformat]
    if expected.on_dla:
        expected = replace(expected, dla_fallback=_left_to_gpu(working, expected))
    count = Counter(layer.precision for layer in working)
    return LayerReport(
        detailed=detailed,
        num_layers=len(working),
        num_reformats=len(layers) - len(working),
        shares={name: number / len(working) for name, number in count.most_common()},
        names={
            name: tuple(layer.name for layer in working if layer.precision == name)
            for name, _ in count.most_common()
        },
        not_as_meant=_not_as_meant(working, expected) if detailed else {},
        dla_fallback=expected.dla_fallback,
    )


def require_lower_precision(report: LayerReport, precision: Precision) -> None:
    """Refuse an engine that has nothing of the precision that was asked for.

    A layer inside a DLA is one of which TensorRT tells no type, so with any untold layer nothing
    is proven and the acceptance run decides.

    Raises:
        EngineError: if no layer runs in it.
    """
    name = precision.name
    if precision is Precision.FP32 or not report.detailed or UNKNOWN in report.shares:
        return
    if not report.shares.get(name):
        have = ", ".join(f"{share:.0%} {kind}" for kind, share in report.shares.items())
        raise EngineError(
            f"asked for {precision.value}, but no layer of the engine runs in {name} (it has "
            f"{have}), expected most of them; this GPU may have no {name} kernels: build with "
            "another --precision"
        )


def _left_to_gpu(layers: list[EngineLayer], expected: LayerExpectation) -> tuple[str, ...]:
    # TensorRT foretells what a DLA cannot run; what the DLA's compiler refuses later, for want of
    # its own memory, goes to the GPU without a word and is then a layer with a name of its own.
    on_gpu = (
        convolution.name
        for convolution in expected.convolutions
        if any(
            "conv" in layer.kind.lower()
            and node_of_layer(convolution.name, layer.nodes) is not None
            for layer in layers
        )
    )
    return tuple(dict.fromkeys([*expected.dla_fallback, *on_gpu]))


def _not_as_meant(layers: list[EngineLayer], expected: LayerExpectation) -> dict[str, str]:
    if expected.precision is Precision.FP32:
        return {}
    wanted = expected.precision.name
    found = {}
    for convolution in expected.convolutions:
        name = convolution.name
        if node_of_layer(name, expected.float_nodes) is not None:
            continue
        if expected.on_dla and name not in expected.dla_fallback:
            if _lacks_range(convolution, expected):
                found[name] = f"FP16 on the DLA: {_NO_RANGE}"
            continue
        # More than one layer may name it: what prepares its weights or its input does too.
        made = [layer for layer in layers if node_of_layer(name, layer.nodes) is not None]
        if any(layer.precision == wanted for layer in made):
            continue
        layer = made[-1] if made else None
        runs_in = "not told" if layer is None else layer.precision
        found[name] = f"{runs_in}: {_reason(convolution, layer, expected)}"
    return found


def _reason(convolution: Convolution, layer: EngineLayer | None, expected: LayerExpectation) -> str:
    if layer is None:
        return "no layer of the engine names it; it may be fused under another name"
    if layer.precision == UNKNOWN:
        return f"TensorRT tells no types of {layer.name!r}"
    if _lacks_range(convolution, expected):
        return _NO_RANGE
    implicit = bool(expected.quantized_tensors)
    in_file = expected.typed or (expected.precision is Precision.INT8 and not implicit)
    if in_file and not carries(convolution, expected.precision):
        return "the file itself does not give it that precision"
    if expected.precision is Precision.INT8:
        if expected.compute_capability <= NO_INT8_KERNELS:
            return (
                f"this GPU (compute capability {_version(expected.compute_capability)}) lacks "
                f"some INT8 kernels, as all up to {_version(NO_INT8_KERNELS)}"
            )
        if odd := [number for number in convolution.channels if number % 4]:
            return f"it has {odd[0]} channels, and INT8 kernels work on multiples of 4 or 32"
    if len(layer.nodes) > 1:
        others = [node for node in layer.nodes if node != convolution.name]
        return f"fused with {', '.join(others[:3])}, for which TensorRT chose {layer.precision}"
    return f"TensorRT timed {layer.precision} as faster, or has no other kernel for this shape"


def _lacks_range(convolution: Convolution, expected: LayerExpectation) -> bool:
    ranges = expected.quantized_tensors
    return bool(ranges) and convolution.input not in ranges


def _layer(entry: str | dict[str, Any]) -> EngineLayer:
    if isinstance(entry, str):
        return EngineLayer(entry, _nodes(entry, ""), "", UNKNOWN)
    name = str(entry["Name"])
    kind = str(entry.get("LayerType", ""))
    inputs = entry.get("Inputs") or entry.get("Outputs") or []
    opaque = kind in _OPAQUE_KINDS or name.startswith(_OPAQUE_NAME)
    return EngineLayer(
        name=name,
        nodes=_nodes(name, str(entry.get("Metadata", ""))),
        kind=kind,
        precision=UNKNOWN if opaque else _precision(inputs),
    )


def _nodes(name: str, metadata: str) -> tuple[str, ...]:
    # From 9 on the metadata names the ONNX nodes; before, only the composed name has them:
    # "a + b", "PWN(a)", "a || b".
    from_metadata = _METADATA_NODE.findall(metadata)
    found: Iterable[str] = from_metadata or re.split(r" \+ | \|\| |[(),\s]+", name)
    return tuple(dict.fromkeys(item.strip() for item in found if item.strip()))


def _precision(tensors: list[dict[str, Any]]) -> str:
    if not tensors:
        return UNKNOWN
    first = tensors[0]
    text = str(first.get("DataType") or first.get("Datatype") or first.get("Format/Datatype") or "")
    return next((name for name, form in _TYPES if re.search(form, text.lower())), UNKNOWN)


def _version(pair: tuple[int, int]) -> str:
    return f"{pair[0]}.{pair[1]}"
