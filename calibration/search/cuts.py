"""Cuts a graph in two, so that what is the same in two candidates is computed once.

Two graphs of one model compute the same up to the first node of the model that is written
differently in them. That node is found by comparing the graphs, not by knowing what the builder of
the graphs did: whatever it changes (pairs, weights, biases), the parts that are shared are equal.

Positions count the nodes of the FP32 model, whose tensors keep their names in every graph built
from it. A cut before position p passes on the tensors that are made before p and read from p on.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from hashlib import sha256
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from edge_arm.calibration.graph import producers
from edge_arm.runtime.errors import CalibrationError


class Cuts:
    """The places where a model can be cut, and what each passes on for a face."""

    def __init__(self, model: onnx.ModelProto) -> None:
        """Look at a model.

        Args:
            model: the FP32 graph; its shapes but for the batch are fixed.

        Raises:
            CalibrationError: if a tensor's shape cannot be told.
        """
        self.input = model.graph.input[0].name
        self.output = model.graph.output[0].name
        self._nodes = list(model.graph.node)
        inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
        self._infos = {
            item.name: item
            for item in (*inferred.graph.value_info, *model.graph.input, *model.graph.output)
        }
        for node in self._nodes:
            for name in node.output:
                if name not in self._infos or not self._shape(name):
                    raise CalibrationError(
                        f"tensor {name!r} of node {node.name!r} has no fixed shape, expected one "
                        "for all but the batch; export the model again with 'edge-arm export'"
                    )

    def tensors(self, position: int) -> tuple[str, ...]:
        """Names of the tensors that a cut before this position passes on."""
        made = [self.input, *(name for node in self._nodes[:position] for name in node.output)]
        read = {name for node in self._nodes[position:] for name in node.input}
        return tuple(name for name in made if name in read or name == self.output)

    def face_bytes(self, position: int) -> int:
        """Bytes of those tensors for one face."""
        return sum(self.tensor_bytes(name) for name in self.tensors(position))

    def tensor_bytes(self, name: str) -> int:
        """Bytes of a tensor for one face."""
        kind = self._infos[name].type.tensor_type.elem_type
        return self.tensor_elements(name) * (1 if kind == TensorProto.UINT8 else 4)

    def tensor_elements(self, name: str) -> int:
        """Values in a tensor for one face."""
        return int(np.prod(self._shape(name)))

    def cheap_position(self, position: int, limit_bytes: int) -> int:
        """The last cut at or before a position that passes on at most so much for a face.

        A cut further up costs the nodes in between once more and changes no result. Position 0
        passes on the face itself.
        """
        return next((at for at in range(position, 0, -1) if self.face_bytes(at) <= limit_bytes), 0)

    def part(
        self, graph: onnx.ModelProto, inputs: Collection[str], outputs: Iterable[str]
    ) -> onnx.ModelProto:
        """The part of a graph between some tensors of the model and others.

        Args:
            graph: built from the model; it is not changed.
            inputs: tensors that are given.
            outputs: tensors that are wanted, none of them given.

        Raises:
            CalibrationError: if something is needed that is neither given nor made in between.
        """
        made_by = producers(graph)
        stored = {item.name: item for item in graph.graph.initializer}
        wanted = list(outputs)
        found: set[int] = set()
        constants: set[str] = set()
        read: set[str] = set()
        stack = list(wanted)
        while stack:
            name = stack.pop()
            if not name or name in constants or name in read:
                continue
            if name in inputs:
                read.add(name)
            elif name in stored:
                constants.add(name)
            elif name in made_by:
                if made_by[name] not in found:
                    found.add(made_by[name])
                    stack.extend(graph.graph.node[made_by[name]].input)
            else:
                raise CalibrationError(
                    f"a candidate reads the tensor {name!r} behind a cut that passes on "
                    f"{', '.join(map(repr, inputs))}, expected a graph with the tensors of the "
                    "FP32 model; report this"
                )
        return helper.make_model(
            helper.make_graph(
                [graph.graph.node[at] for at in sorted(found)],
                "part",
                [self._infos[name] for name in sorted(read)],
                [self._infos[name] for name in wanted],
                [stored[name] for name in sorted(constants)],
            ),
            opset_imports=graph.opset_import,
            ir_version=graph.ir_version,
        )

    def written(self, graph: onnx.ModelProto) -> list[str]:
        """How a graph writes each node of the model, as hashes in the model's order.

        Two graphs with the same first p hashes compute the same before position p.

        Raises:
            CalibrationError: if the graph lacks a tensor of the model.
        """
        made_by = producers(graph)
        nodes = graph.graph.node
        own = {self.input, *(name for node in self._nodes for name in node.output)}
        stored = {item.name: item for item in graph.graph.initializer}

        def node_digest(node: onnx.NodeProto) -> Any:
            digest = sha256(f"{node.domain} {node.op_type}".encode())
            for attribute in sorted(node.attribute, key=lambda item: str(item.name)):
                digest.update(attribute.SerializeToString(deterministic=True))
            for name in node.input:
                if name in own or not name:
                    digest.update(f"tensor {name}".encode())
                elif name in stored:
                    item = stored[name]
                    digest.update(f"{item.data_type} {list(item.dims)}".encode())
                    digest.update(item.raw_data or item.SerializeToString(deterministic=True))
                else:
                    digest.update(node_digest(nodes[made_by[name]]).digest())
            return digest

        found = []
        for node in self._nodes:
            if node.output[0] not in made_by:
                raise CalibrationError(
                    f"a candidate has no tensor {node.output[0]!r} of node {node.name!r}, expected "
                    "a graph with the tensors of the FP32 model; report this"
                )
            found.append(str(node_digest(nodes[made_by[node.output[0]]]).hexdigest()))
        return found

    def _shape(self, name: str) -> tuple[int, ...]:
        # Of one face: the first dimension is the batch. Empty if it cannot be told.
        dimensions = self._infos[name].type.tensor_type.shape.dim[1:]
        fixed = all(item.HasField("dim_value") for item in dimensions)
        return tuple(int(item.dim_value) for item in dimensions) if fixed else ()


def shared_nodes(first: list[str], second: list[str]) -> int:
    """How many nodes from the start two graphs write alike; see `Cuts.written`."""
    return next(
        (at for at, pair in enumerate(zip(first, second, strict=True)) if pair[0] != pair[1]),
        len(first),
    )
