"""Collects the nodes and weights of an ONNX graph under names that stay the same between exports.

A node is named by its place in the model ("/backbone/layer1.0/conv1") and its output tensor is
named after it, so that plans which name nodes or tensors (calibration, precision) survive a new
export of new weights.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from edge_arm.export.weights import Convolution


@dataclass(eq=False)
class GraphNodes:
    """Nodes in the order of computation, and their constants.

    Attributes:
        nodes: so far.
        initializers: so far.
    """

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    initializers: list[onnx.TensorProto] = field(default_factory=list)

    def node(
        self,
        operator: str,
        place: str,
        inputs: tuple[str, ...],
        **attributes: Any,
    ) -> str:
        """Append a node with one output.

        Args:
            operator: ONNX operator.
            place: in the model, such as "backbone/layer1.0/conv1".
            inputs: tensor names.
            attributes: of the operator.

        Returns:
            Name of the output tensor, which is the place.
        """
        self.nodes.append(
            helper.make_node(operator, list(inputs), [place], name=f"/{place}", **attributes)
        )
        return place

    def constant(self, name: str, value: npt.NDArray[np.float64] | npt.NDArray[np.int64]) -> str:
        """Add an initializer; floating point becomes float32, the only rounding of the export."""
        stored = value if value.dtype == np.int64 else value.astype(np.float32)
        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(stored), name))
        return name

    def convolution(
        self, place: str, source: str, convolution: Convolution, **geometry: int
    ) -> str:
        """Append a convolution with bias.

        `kernel_shape` is always written: it could be inferred from the weight, but not by readers
        that see the weight behind a DequantizeLinear.

        Args:
            place: in the model.
            source: input tensor.
            convolution: kernel and bias.
            geometry: `stride`, `padding` and `groups`, equal in both directions; 1, 0, 1 if absent.

        Returns:
            Name of the output tensor.
        """
        dotted = place.replace("/", ".")
        stride, padding = geometry.get("stride", 1), geometry.get("padding", 0)
        return self.node(
            "Conv",
            place,
            (
                source,
                self.constant(f"{dotted}.weight", convolution.weight),
                self.constant(f"{dotted}.bias", convolution.bias),
            ),
            kernel_shape=list(convolution.weight.shape[2:]),
            strides=[stride, stride],
            pads=[padding] * 4,
            dilations=[1, 1],
            group=geometry.get("groups", 1),
        )
