"""What is searched: a model, the plan of its INT8 form, and whatever builds that form.

How ranges are chosen and weights rounded is the builder's business, so that the search need not
change when they do.

Shapes: N faces in a batch, S model input size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import onnx

from edge_arm.calibration.placement import QuantPlan
from edge_arm.runtime.preprocess import Uint8Array

QuantizedBuilder = Callable[[QuantPlan], onnx.ModelProto]
"""Builds the INT8 graph for the full plan or any part of it. Tensors and nodes of the FP32 model
keep their names, and with an empty plan the graph computes what the FP32 model does."""

FaceBatches = Callable[[int], Iterator[Uint8Array]]
"""The faces from the start, in batches (N, S, S, 3) of at most the size that is asked for."""


@dataclass(frozen=True)
class Subject:
    """A model and its INT8 form.

    Attributes:
        model: the FP32 graph.
        plan: the full one.
        build: the INT8 graph of a part of the plan.
    """

    model: onnx.ModelProto
    plan: QuantPlan
    build: QuantizedBuilder
