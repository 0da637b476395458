"""What a layer is, and the plan with some of its layers taken out of int8.

A layer is one weighted node (a Conv) with every quantized edge that TensorRT computes together with
it, and has the name of that node. Each edge of a plan belongs to exactly one layer:

1. An input of the weighted node itself, activation or weight, is its own.
2. A quantized input of another node, an Add's skip, belongs to the Conv that makes another input
   of that node: TensorRT fuses Conv + Add + Relu into that Conv, and the fused layer reads its skip
   in the precision it computes in.
3. Otherwise, before a MaxPool, the edge belongs to the first layer behind it: the pool only passes
   on what that layer reads, and a layer in float shall read what was not rounded.
4. With no layer behind it, the edge belongs to the last layer before it.

A skip from the pool (layer1.0) goes by rule 2, so with layer1.0.conv2 alone in float it still
reads what the pool has rounded for layer1.0.conv1: one tensor leaves the pool, in one precision.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

import onnx

from edge_arm.calibration.graph import WEIGHTED, Edge, producers
from edge_arm.calibration.placement import QuantPlan
from edge_arm.runtime.errors import CalibrationError, UsageError

_UNDER_TEST = "in float here, so that the other layers can be told from it"


@dataclass(frozen=True)
class Layer:
    """One layer of a plan.

    Attributes:
        name: of its weighted node.
        node: position of that node.
        edges: all that are quantized with it.
    """

    name: str
    node: int
    edges: tuple[Edge, ...]


def layers_of(plan: QuantPlan, model: onnx.ModelProto) -> tuple[Layer, ...]:
    """Cut a plan into layers.

    Args:
        plan: what is quantized.
        model: the FP32 graph of the plan.

    Returns:
        The layers in graph order; their edges are those of the plan, each once.

    Raises:
        CalibrationError: if a layer has no name of its own, or an edge belongs to none.
    """
    nodes = model.graph.node
    edges = (*plan.activations, *plan.weights)
    weighted = sorted({edge.node for edge in edges if nodes[edge.node].op_type in WEIGHTED})
    names = [nodes[position].name for position in weighted]
    for position, name in zip(weighted, names, strict=True):
        if not name or names.count(name) > 1:
            raise CalibrationError(
                f"quantized node {position} ({nodes[position].op_type}) has the name {name!r}, "
                "expected one of its own, because layers are chosen by name; export the model "
                "again with 'edge-arm export'"
            )
    owner = _Owners(model, weighted)
    owned: dict[int, list[Edge]] = {position: [] for position in weighted}
    for edge in edges:
        owned[owner.of(edge)].append(edge)
    return tuple(
        Layer(nodes[position].name, position, tuple(owned[position])) for position in weighted
    )


def plan_without(
    plan: QuantPlan, model: onnx.ModelProto, *, layers: Collection[str], reason: str
) -> QuantPlan:
    """The plan with some layers kept in float.

    Args:
        plan: what is quantized.
        model: the FP32 graph of the plan.
        layers: names of those to keep in float.
        reason: why, for the report.

    Raises:
        UsageError: if the plan has no layer of such a name.
    """
    found = layers_of(plan, model)
    known = [layer.name for layer in found]
    for name in layers:
        if name not in known:
            raise UsageError(
                f"got the layer {name!r}, expected one of {', '.join(map(repr, known))}; write a "
                "node name of the model"
            )
    gone = {edge for layer in found if layer.name in layers for edge in layer.edges}
    reasons = {**plan.float_nodes, **dict.fromkeys(layers, reason)}
    return replace(
        plan,
        activations=tuple(edge for edge in plan.activations if edge not in gone),
        weights=tuple(edge for edge in plan.weights if edge not in gone),
        float_nodes={
            node.name: reasons[node.name] for node in model.graph.node if node.name in reasons
        },
        kept_float=plan.kept_float | frozenset(layers),
    )


def plan_only(plan: QuantPlan, model: onnx.ModelProto, *, layers: Collection[str]) -> QuantPlan:
    """The plan with these layers alone in int8, to see what they cost.

    Args:
        plan: what is quantized.
        model: the FP32 graph of the plan.
        layers: names of those to quantize.

    Raises:
        UsageError: if the plan has no layer of such a name.
    """
    names = [layer.name for layer in layers_of(plan, model)]
    plan_without(plan, model, layers=layers, reason=_UNDER_TEST)  # refuses unknown names
    others = [name for name in names if name not in layers]
    return plan_without(plan, model, layers=others, reason=_UNDER_TEST)


class _Owners:
    """Finds the layer of an edge; the numbers are the rules of this file."""

    def __init__(self, model: onnx.ModelProto, weighted: Iterable[int]) -> None:
        self._nodes = model.graph.node
        self._made_by = producers(model)
        self._weighted = frozenset(weighted)

    def of(self, edge: Edge) -> int:
        if edge.node in self._weighted:  # rule 1
            return edge.node
        for found in (self._fused(edge), self._behind(edge), self._before(edge)):
            if found is not None:
                return found
        node = self._nodes[edge.node]
        raise CalibrationError(
            f"node {node.name!r} ({node.op_type}) has a quantized input and no quantized layer "
            "before or behind it, expected a plan with at least one; export the model again"
        )

    def _fused(self, edge: Edge) -> int | None:  # rule 2
        for position, name in enumerate(self._nodes[edge.node].input):
            made_by = self._made_by.get(name)
            if position != edge.input and made_by in self._weighted:
                return made_by
        return None

    def _behind(self, edge: Edge) -> int | None:  # rule 3
        reached = set(self._nodes[edge.node].output)
        # ONNX graphs are sorted: a node comes after all that feed it.
        for position in range(edge.node + 1, len(self._nodes)):
            node = self._nodes[position]
            if not reached.intersection(node.input):
                continue
            if position in self._weighted:
                return position
            if node.op_type not in WEIGHTED:
                reached.update(node.output)
        return None

    def _before(self, edge: Edge) -> int | None:  # rule 4
        wanted = {self._nodes[edge.node].input[edge.input]}
        for position in range(edge.node - 1, -1, -1):
            node = self._nodes[position]
            if not wanted.intersection(node.output):
                continue
            if position in self._weighted:
                return position
            wanted.update(node.input)
        return None
