"""What FP16 can hold: which nodes of the typed INT8 model stay in FP32, and scales in FP16.

A strongly typed network runs exactly the types of its file, so a float layer that FP16 cannot
hold must say FP32 in the file. The rule is the FP16 export's, from ranges that were measured.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, numpy_helper

from edge_arm.calibration.graph import input_stage
from edge_arm.runtime.errors import CalibrationError

FP16_MAX = 65504.0
HEADROOM = 4.0
"""A tensor may reach a quarter of the range: other faces in other light go further than these."""

_INPUT_REASON = (
    "pixels minus mean, in FP32 as in the FP16 model: rounding the mean moves the logits"
)


def float_tensors(model: onnx.ModelProto) -> list[str]:
    """Names of the float32 tensors that nodes make, in graph order, without the output."""
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    floats = {
        item.name
        for item in inferred.graph.value_info
        if item.type.tensor_type.elem_type == TensorProto.FLOAT
    }
    return [name for node in model.graph.node for name in node.output if name in floats]


def nodes_in_float32(
    model: onnx.ModelProto, absmax: Mapping[str, float], *, known: Mapping[str, str]
) -> dict[str, str]:
    """The nodes of the typed model that stay in FP32, each with the reason.

    1. The input stage, everything before the first weighted operator.
    2. Nodes that the FP16 export has found to need it, on its own faces.
    3. Nodes with a tensor beyond a quarter of FP16's range, or a constant beyond the range itself.

    Args:
        model: the FP32 graph.
        absmax: largest |x| of its tensors on faces.
        known: reasons of the FP16 export, by node name; empty where there was none.
    """
    limit = FP16_MAX / HEADROOM
    constants = {
        item.name: float(np.abs(numpy_helper.to_array(item)).max(initial=0.0))
        for item in model.graph.initializer
        if item.data_type == TensorProto.FLOAT
    }
    first = input_stage(model)
    reasons: dict[str, str] = {}
    for position, node in enumerate(model.graph.node):
        if position in first:  # rule 1
            reasons[node.name] = _INPUT_REASON
        if node.name in known:  # rule 2
            reasons.setdefault(node.name, known[node.name])
        for tensor in (*node.input, *node.output):  # rule 3
            # Written this way round so that NaN counts as beyond.
            if tensor in absmax and not absmax[tensor] <= limit:
                reasons.setdefault(
                    node.name,
                    f"{tensor!r} reaches {absmax[tensor]:.6g} on the faces, the limit is "
                    f"{limit:.6g} (a quarter of FP16's range)",
                )
            elif tensor in constants and not constants[tensor] <= FP16_MAX:
                reasons.setdefault(
                    node.name,
                    f"the constant {tensor!r} reaches {constants[tensor]:.6g}, FP16 ends at 65504",
                )
    return reasons


def half_scale(scale: npt.NDArray[np.float64], tensor: str) -> npt.NDArray[np.float16]:
    """The smallest FP16 numbers that are not below the scales.

    Rounding up keeps the whole range: nothing is clipped that was not before, and steps get wider
    by 2^-10 at most. Below 6.1e-5 FP16 is coarser, but such a weight channel would lose as much
    in the FP16 model.

    Args:
        scale: any shape, float64, greater than 0.
        tensor: whose scales they are, for the message.

    Raises:
        CalibrationError: if a scale is beyond FP16.
    """
    if not (scale <= FP16_MAX).all():
        raise CalibrationError(
            f"tensor {tensor!r} has the scale {scale.max():.6g}, expected at most 65504 for FP16; "
            "the model's activations have diverged: train it again"
        )
    nearest = scale.astype(np.float16)
    with np.errstate(over="ignore"):  # of 65504, which never has to go up
        above = np.nextafter(nearest, np.float16(np.inf))
    rounded: npt.NDArray[np.float16] = np.where(nearest.astype(np.float64) < scale, above, nearest)
    return rounded
