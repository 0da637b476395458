"""The FP32 model as INT8 takes it: channels equalized, weights rounded for what they will meet.

Everything stays an ordinary FP32 graph with the names of the bundle's model: weights that are
quantized lie on their int8 grid already, so whoever writes Q/DQ finds the same steps by rounding
to nearest. A layer that a smaller plan leaves in float gets its unrounded weight back.

Shapes: O output channels, K weights of a row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from edge_arm.calibration.adaptive_rounding import adaptive_steps
from edge_arm.calibration.equalization import Factors
from edge_arm.calibration.moments import Moments, input_moments
from edge_arm.calibration.placement import QuantPlan
from edge_arm.calibration.qdq import channel_scales, rounded_weight
from edge_arm.runtime.faces import FaceIndex
from edge_arm.runtime.preprocess import PreprocessSpec

MOMENT_FACES = 64
"""Faces that weights are rounded on. Four times as many gave the same error of the logits."""


class Rounding(Enum):
    """How weights become int8."""

    NEAREST = "nearest"
    ADAPTIVE = "adaptive"


@dataclass(frozen=True, eq=False)
class PreparedModel:
    """A model with what was learned about its weights.

    Attributes:
        float32: the equalized graph; it answers as the bundle's FP32 model does.
        factors: of its channels, see equalization.py; empty without equalization.
        weights: on their int8 grid, by name; (O, ...) float32.
        biases: that make up for the mean error of rounded weights and inputs, by name; (O,)
            float32.
    """

    float32: onnx.ModelProto
    factors: Factors
    weights: Mapping[str, npt.NDArray[np.float32]]
    biases: Mapping[str, npt.NDArray[np.float32]]

    def for_plan(self, plan: QuantPlan) -> onnx.ModelProto:
        """The graph to write Q/DQ into.

        Args:
            plan: all of the plan that the weights were rounded for, or a part of it.
        """
        result = onnx.ModelProto()
        result.CopyFrom(self.float32)
        values: dict[str, npt.NDArray[np.float32]] = {}
        for edge in plan.weights:
            weight, *bias = result.graph.node[edge.node].input[1:]
            if weight in self.weights:
                values[weight] = self.weights[weight]
                values |= {name: self.biases[name] for name in bias if name in self.biases}
        for item in result.graph.initializer:
            if item.name in values:
                item.CopyFrom(numpy_helper.from_array(values[item.name], item.name))
        return result


def with_adaptive_rounding(
    prepared: PreparedModel,
    plan: QuantPlan,
    amax: Mapping[str, float],
    *,
    faces: FaceIndex,
    spec: PreprocessSpec,
    progress: Callable[[int], None] | None = None,
) -> PreparedModel:
    """Round the weights on what their layers read, and correct the biases.

    A bias takes up the mean error of its output: b' = b + W E[x] - W' E[x'], with W' and x' the
    rounded weight and input.

    Args:
        prepared: without rounded weights.
        plan: what is quantized.
        amax: range of each quantized activation.
        faces: calibration faces; `MOMENT_FACES` of them are run.
        spec: the model's input.
        progress: called with the number of faces done since the last call.

    Raises:
        ImageError: for a face that cannot be read.
        CalibrationError: if a weight or the moments are not finite.
    """
    model = prepared.float32
    nodes = model.graph.node
    convs = [edge.node for edge in plan.weights if nodes[edge.node].op_type == "Conv"]
    ranges = {at: amax[nodes[at].input[0]] for at in convs if nodes[at].input[0] in amax}
    chosen = np.linspace(0, len(faces) - 1, min(len(faces), MOMENT_FACES)).round()
    seen = input_moments(model, ranges, faces.subset(chosen.astype(np.int64)), spec, progress)
    stored = {item.name: item for item in model.graph.initializer}
    weights, biases = {}, {}
    for position, moments in seen.items():
        name, *bias = nodes[position].input[1:]
        weight = numpy_helper.to_array(stored[name])
        weights[name] = _rounded(weight, name, moments)
        for item in bias:
            old = numpy_helper.to_array(stored[item]).astype(np.float64)
            exact = weight.reshape(len(weight), -1).astype(np.float64) @ moments.mean
            rounded = weights[name].reshape(len(weight), -1).astype(np.float64)
            biases[item] = (old + exact - rounded @ moments.rounded_mean).astype(np.float32)
    return PreparedModel(model, prepared.factors, weights, biases)


def num_moment_faces(num_images: int) -> int:
    """How many faces `with_adaptive_rounding` runs."""
    return min(num_images, MOMENT_FACES)


def _rounded(
    weight: npt.NDArray[np.float32], name: str, moments: Moments
) -> npt.NDArray[np.float32]:
    if moments.covariance is None:
        return rounded_weight(weight, name)[1]
    scale = channel_scales(weight, name)
    steps = adaptive_steps(weight.reshape(len(weight), -1), moments.covariance, scale)
    per_channel = scale.reshape(-1, *[1] * (weight.ndim - 1))
    return (steps.reshape(weight.shape) * per_channel).astype(np.float32)
