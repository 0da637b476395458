"""How large the numbers inside the network get, measured on pictures.

FP16 holds values up to 65504. A tensor that comes near it on the pictures at hand may pass it on
others, and then the logits are infinite or NaN; so the nodes around it stay in FP32.

Shapes: N pictures, S model input size.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edge_arm.runtime.preprocess import Uint8Array

FP16_MAX = 65504.0
HEADROOM = 4.0
"""A tensor may reach a quarter of the range: other faces in other light go further than these."""

_BATCH_SIZE = 4  # every activation of a batch is in memory at once


def activation_absmax(
    model: onnx.ModelProto,
    images_nhwc: Uint8Array,
    progress: Callable[[int], None] | None = None,
) -> dict[str, float]:
    """Largest absolute value of every node's output over some pictures.

    The pictures go through in small batches and only the maxima are kept.

    Args:
        model: in float32.
        images_nhwc: (N, S, S, 3) uint8.
        progress: called with the number of pictures done.

    Returns:
        By tensor name, in the order of computation; infinite or NaN if the tensor ever was.
    """
    import onnxruntime

    names = [name for node in model.graph.node for name in node.output]
    observed = onnx.ModelProto()
    observed.CopyFrom(model)
    del observed.graph.output[:]
    observed.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names
    )
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        observed.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    absmax = dict.fromkeys(names, 0.0)
    (image_input,) = session.get_inputs()
    for start in range(0, len(images_nhwc), _BATCH_SIZE):
        batch = images_nhwc[start : start + _BATCH_SIZE]
        for name, value in zip(names, session.run(names, {image_input.name: batch}), strict=True):
            absmax[name] = float(np.maximum(absmax[name], np.abs(value).max()))
        if progress is not None:
            progress(len(batch))
    return absmax


def nodes_beyond_fp16(model: onnx.ModelProto, absmax: dict[str, float]) -> dict[str, str]:
    """The nodes that must stay in FP32, each with the reason.

    A node is one of them if a tensor that it reads or writes goes beyond FP16's range with
    headroom, or if one of its constants goes beyond the range itself (a constant is exactly what
    it is, it needs no headroom).

    Args:
        model: in float32.
        absmax: as measured by `activation_absmax`.

    Returns:
        Reason by node name.
    """
    limit = FP16_MAX / HEADROOM
    constants = {
        item.name: float(np.abs(numpy_helper.to_array(item)).max(initial=0.0))
        for item in model.graph.initializer
    }
    reasons = {}
    for node in model.graph.node:
        for tensor in (*node.input, *node.output):
            # Written this way round so that NaN counts as beyond.
            if tensor in absmax and not absmax[tensor] <= limit:
                reasons[node.name] = (
                    f"{tensor!r} reaches {absmax[tensor]:.6g} on the pictures checked, "
                    f"the limit is {limit:.6g} (a quarter of FP16's range)"
                )
            elif tensor in constants and not constants[tensor] <= FP16_MAX:
                reasons[node.name] = (
                    f"the constant {tensor!r} reaches {constants[tensor]:.6g}, FP16 ends at 65504"
                )
    return reasons
