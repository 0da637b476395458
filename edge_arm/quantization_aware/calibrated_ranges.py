"""The ranges to start with: the largest activation of some training faces.

Model Optimizer's maximum, and not its entropy or mean squared error: on ResNet-18 + ARM nothing
clipped was nearest to FP32 (docs/measurements.md), and what a tighter range would gain is learned.

Shapes: B batch, S input size.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from edge_arm.quantization_aware.network import QuantizedNetwork, centred
from edge_arm.runtime.errors import CalibrationError
from edge_arm.runtime.preprocess import PreprocessSpec
from edge_arm.training.decoded_faces import DecodedFaces

_BATCH = 32


def calibrated_ranges(
    network: QuantizedNetwork,
    faces: DecodedFaces,
    spec: PreprocessSpec,
    *,
    num_faces: int,
    progress: Callable[[int], None],
) -> dict[str, float]:
    """Largest |x| of each tensor that is going to be rounded.

    Args:
        network: whose ranges are not set yet; its weights are rounded.
        faces: training faces; those used are spread evenly over them.
        spec: the input.
        num_faces: how many to use; all where there are fewer.
        progress: called with the number of faces done since the last call.

    Returns:
        Range by ONNX tensor, each greater than 0.

    Raises:
        CalibrationError: if a tensor is 0 everywhere, or NaN or infinite.
    """
    device = next(network.parameters()).device
    chosen = np.linspace(0, len(faces) - 1, min(num_faces, len(faces))).round().astype(np.int64)
    for quantizer in network.quantizers.values():
        quantizer.enable_calib()
    with torch.inference_mode():
        for start in range(0, len(chosen), _BATCH):
            images, _ = faces.batch(chosen[start : start + _BATCH], device)
            network(centred(images, spec))
            progress(len(images))
    found = {}
    for tensor, quantizer in network.quantizers.items():
        quantizer.load_calib_amax()
        amax = float(quantizer.amax)
        if not (np.isfinite(amax) and amax > 0):
            raise CalibrationError(
                f"the largest value of tensor {tensor!r} is {amax} on the calibration faces, "
                "expected a number greater than 0; a part of the model is dead or broken: train "
                "it again"
            )
        found[tensor] = amax
    return found
