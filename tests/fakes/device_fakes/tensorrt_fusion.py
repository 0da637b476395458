"""Which layers an engine has and what each runs in, from a network and the builder's options.

Much simpler than TensorRT: a convolution takes the Add and the Relu behind it, Q/DQ around it
disappears into it, and the precision is the one that flags, types, Q/DQ or a calibration cache
allow. What matters to code that reads the report is there: composed names, reformats, and layers
that are not what was asked for.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from device_fakes.tensorrt_plan import PlannedLayer

WORDS = {
    "CONVOLUTION": "CaskConvolution",
    "MATRIX_MULTIPLY": "gemm",
    "ELEMENTWISE": "PointWiseV2",
    "ACTIVATION": "PointWiseV2",
    "CAST": "Reformat",
    "IDENTITY": "Reformat",
    "SHUFFLE": "Shuffle",
    "POOLING": "CaskPooling",
    "REDUCE": "Reduce",
    "QUANTIZE": "Reformat",
    "DEQUANTIZE": "Reformat",
}
HEAVY = ("CONVOLUTION", "MATRIX_MULTIPLY", "POOLING", "ELEMENTWISE", "ACTIVATION", "SCALE")


@dataclass(frozen=True)
class Options:
    """What decides the precision.

    Attributes:
        typed: the network does.
        fp16: FP16 kernels are allowed.
        int8: INT8 kernels are allowed.
        obey: constraints of layers are heeded.
        scales: tensors with a range in a calibration cache.
        dla: layers that a DLA runs, by name.
        refused: nodes for which no INT8 kernel is quick enough on this GPU.
    """

    typed: bool
    fp16: bool
    int8: bool
    obey: bool
    scales: frozenset[str]
    dla: frozenset[str]
    refused: frozenset[str]


def planned_layers(network: Any, options: Options) -> list[dict[str, Any]]:
    """The layers of the engine."""
    users: dict[str, list[Any]] = {}
    makers: dict[str, Any] = {}
    for layer in network._layers:
        for tensor in layer._inputs:
            users.setdefault(tensor._name, []).append(layer)
        for tensor in layer._outputs:
            makers[tensor._name] = layer
    taken: set[int] = set()
    found: list[PlannedLayer] = []
    on_dla = [layer for layer in network._layers if layer._name in options.dla]
    if on_dla:
        found.append(_foreign(on_dla))
        taken |= {id(layer) for layer in on_dla}
    for layer in network._layers:
        if id(layer) in taken or layer._kind in ("CONSTANT", "QUANTIZE", "DEQUANTIZE"):
            continue
        chain = _chain(layer, users, taken)
        taken |= {id(item) for item in chain}
        found.append(_planned(chain, makers, users, options=options))
    return [asdict(layer) for layer in _with_reformats(found)]


def _chain(layer: Any, users: dict[str, list[Any]], taken: set[int]) -> list[Any]:
    chain = [layer]
    wanted = ["ELEMENTWISE", "ACTIVATION"] if layer._kind == "CONVOLUTION" else []
    for kind in wanted:
        after = users.get(chain[-1]._outputs[0]._name, [])
        if len(after) == 1 and after[0]._kind == kind and id(after[0]) not in taken:
            chain.append(after[0])
    return chain


def _planned(
    chain: list[Any], makers: dict[str, Any], users: dict[str, list[Any]], *, options: Options
) -> PlannedLayer:
    head, tail = chain[0], chain[-1]
    names = [layer._name for layer in chain]
    data = [tensor for tensor in head._inputs if not _is_constant(tensor, makers)]
    source = data[0] if data else head._outputs[0]
    maker = makers.get(source._name)
    quantized = maker is not None and maker._kind == "DEQUANTIZE"
    tensor = maker._inputs[0] if quantized else source
    precision = _precision(head, source, quantized=quantized, options=options)
    result = tail._outputs[0]
    after = users.get(result._name, [])
    lowered = precision in ("INT8", "HALF") and tail._kind in HEAVY
    written = result._type
    if lowered and precision == "INT8":
        to_int8 = bool(after) and all(layer._kind == "QUANTIZE" for layer in after)
        implicit = result._name in options.scales
        written = "INT8" if to_int8 or implicit else ("HALF" if options.fp16 else result._type)
    elif lowered and not options.typed:
        written = "HALF"
    return PlannedLayer(
        name=" + ".join(names),
        nodes=names,
        kind=WORDS.get(head._kind, head._kind.title()),
        reads=[[tensor._name, precision, list(tensor._shape or ())]],
        writes=[[result._name, written, list(result._shape or ())]],
    )


def _precision(head: Any, source: Any, *, quantized: bool, options: Options) -> str:
    own = str(source._type)
    if head._name in options.refused or source._type not in ("FLOAT", "HALF"):
        quantized = False
    if quantized:
        return "INT8"
    if options.typed or own not in ("FLOAT", "HALF") or head._kind not in HEAVY:
        return own
    if options.obey and head._precision is not None:
        return str(head._precision)
    implicit = options.int8 and source._name in options.scales and head._kind in HEAVY[:3]
    if implicit and head._name not in options.refused:
        return "INT8"
    return "HALF" if options.fp16 else own


def _is_constant(tensor: Any, makers: dict[str, Any]) -> bool:
    """Whether it comes from constants alone, through Q/DQ."""
    maker = makers.get(tensor._name)
    if maker is None:
        return False
    if maker._kind in ("QUANTIZE", "DEQUANTIZE"):
        return _is_constant(maker._inputs[0], makers)
    return bool(maker._kind == "CONSTANT")


def _foreign(on_dla: list[Any]) -> PlannedLayer:
    names = [layer._name for layer in on_dla]
    source, result = on_dla[0]._inputs[0], on_dla[-1]._outputs[0]
    return PlannedLayer(
        name=f"{{ForeignNode[{names[0]}...{names[-1]}]}}",
        nodes=names,
        kind="DLA",
        reads=[[source._name, "", list(source._shape or ())]],
        writes=[[result._name, "", list(result._shape or ())]],
    )


def _with_reformats(layers: Iterable[PlannedLayer]) -> list[PlannedLayer]:
    """Add a layer wherever one reads a tensor in another type than it was written in."""
    written: dict[str, str] = {}
    found: list[PlannedLayer] = []
    for layer in layers:
        for name, kind, shape in layer.reads:
            if kind and written.get(name, kind) not in (kind, ""):
                title = f"Reformatting CopyNode for Input Tensor 0 to {layer.name}"
                copy = PlannedLayer(
                    title, [], "Reformat", [[name, written[name], shape]], [[name, kind, shape]]
                )
                found.append(copy)
        found.append(layer)
        written |= {name: kind for name, kind, _ in layer.writes}
    return found
