"""First and second moments of what the layers read, for rounding their weights.

Each face runs alone through the FP32 model; of each layer's input some patches are drawn, seeded
by the face, rounded to int8 as the finished graph will round them, and counted into E[x] and
E[x x']. Images are not kept, so memory does not grow with their number.

Shapes: S model input size, C channels, H x W of a layer's input, K = C x kernel height x width,
P patches of a face.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx
from numpy.lib.stride_tricks import sliding_window_view
from onnx import helper, numpy_helper

from edge_arm.calibration.exposure import exposed_model
from edge_arm.calibration.observe import num_cores, session_of
from edge_arm.calibration.ranges import QMAX
from edge_arm.runtime.backend import Float32Array
from edge_arm.runtime.batches import face_batches
from edge_arm.runtime.faces import FaceIndex
from edge_arm.runtime.preprocess import PreprocessSpec

PATCHES_PER_FACE = 256
"""More changed nothing that could be measured; layer3 and layer4 have fewer."""
LARGEST_COVARIANCE = 1152
"""Wider rows (2304 in layer3, 4608 in layer4) keep nearest rounding: their error hardly reaches the
logits, and inverting their moments would take ten times as long as all others together."""
LEAST_PATCHES = 4
"""Per weight of a row. With fewer the moments miss directions that other faces have, and rounding
would push its errors there."""
_FACES_AT_ONCE = 4


@dataclass(frozen=True, eq=False)
class Moments:
    """Of the input patches of one Conv.

    Attributes:
        mean: (K,) float64 of the patches.
        rounded_mean: (K,) float64 of the patches after int8 rounding.
        covariance: (K, K) float64 of the rounded patches; None for rows that are too wide, or too
            wide for the number of patches.
    """

    mean: npt.NDArray[np.float64]
    rounded_mean: npt.NDArray[np.float64]
    covariance: npt.NDArray[np.float64] | None


def input_moments(
    model: onnx.ModelProto,
    amax: Mapping[int, float],
    faces: FaceIndex,
    spec: PreprocessSpec,
    progress: Callable[[int], None] | None = None,
) -> dict[int, Moments]:
    """Run faces and take the moments of the inputs of some Convs.

    Args:
        model: the FP32 graph.
        amax: range of the input of each Conv, by its position in the graph.
        faces: to run; their order decides nothing but the last bit.
        spec: the model's input.
        progress: called with the number of faces done since the last call.

    Returns:
        The moments by position.

    Raises:
        ImageError: for a face that cannot be read.
        BackendError: if ONNX Runtime cannot run the model.
    """
    layers = {position: _Layer(model, position, amax[position]) for position in amax}
    names = list(dict.fromkeys(layer.source for layer in layers.values()))
    session = session_of(exposed_model(model, names), threads=num_cores())
    source = model.graph.input[0].name
    for batch in face_batches(faces, spec, _FACES_AT_ONCE):
        for offset, image_hwc in enumerate(batch.images_nhwc):
            values = session.run(names, {source: image_hwc[np.newaxis]})
            seen = dict(zip(names, values, strict=True))
            for layer in layers.values():
                layer.collect(seen[layer.source], batch.start + offset)
        for layer in layers.values():
            layer.count()
        if progress is not None:
            progress(len(batch.images_nhwc))
    return {position: layer.moments() for position, layer in layers.items()}


class _Layer:
    """Sums of the patches of one Conv so far."""

    def __init__(self, model: onnx.ModelProto, position: int, amax: float) -> None:
        node = model.graph.node[position]
        attributes = {item.name: helper.get_attribute_value(item) for item in node.attribute}
        stored = {item.name: item for item in model.graph.initializer}
        weight = numpy_helper.to_array(stored[node.input[1]])
        self.source = node.input[0]
        self._kernel: tuple[int, int] = weight.shape[2:]
        self._strides = tuple(attributes.get("strides", (1, 1)))
        top, left, bottom, right = attributes.get("pads", (0, 0, 0, 0))
        self._pads = ((0, 0), (top, bottom), (left, right))
        self._scale = np.float32(amax / QMAX)
        self._position = position
        width = int(np.prod(weight.shape[1:]))
        self._patches: list[Float32Array] = []
        self._sum = np.zeros(width)
        self._rounded_sum = np.zeros(width)
        self._products = np.zeros((width, width)) if width <= LARGEST_COVARIANCE else None
        self._number = 0

    def collect(self, x: Float32Array, face: int) -> None:
        """Draw patches of a face's (1, C, H, W) input."""
        padded = np.pad(x[0], self._pads)
        windows = sliding_window_view(padded, self._kernel, axis=(1, 2))
        windows = windows[:, :: self._strides[0], :: self._strides[1]]
        _, height, width = windows.shape[:3]
        generator = np.random.default_rng([self._position, face])
        chosen = generator.permutation(height * width)[:PATCHES_PER_FACE]
        patches = windows[:, chosen // width, chosen % width]  # (C, P, kernel height, width)
        self._patches.append(patches.transpose(1, 0, 2, 3).reshape(len(chosen), -1))

    def count(self) -> None:
        """Add what was drawn to the sums."""
        patches = np.concatenate(self._patches)
        self._patches.clear()
        rounded = np.clip(np.rint(patches / self._scale), -QMAX - 1, QMAX) * self._scale
        self._sum += patches.sum(axis=0, dtype=np.float64)
        self._rounded_sum += rounded.sum(axis=0, dtype=np.float64)
        if self._products is not None:
            self._products += rounded.T @ rounded
        self._number += len(patches)

    def moments(self) -> Moments:
        """Of everything that was counted."""
        mean, rounded = self._sum / self._number, self._rounded_sum / self._number
        covariance = None
        if self._products is not None and self._number >= LEAST_PATCHES * len(mean):
            covariance = self._products / self._number - np.outer(rounded, rounded)
        return Moments(mean, rounded, covariance)
