"""What an Orin's DLA runs, from the limits in NvInfer.h and NVIDIA's table of operators."""

from __future__ import annotations

from typing import Any

import onnx

KERNEL_MAX, STRIDE_MAX, WINDOW_MAX = 32, 8, 8
RUNS = ("ACTIVATION", "CONCATENATION", "CONVOLUTION", "ELEMENTWISE", "POOLING", "SCALE", "SOFTMAX")


def runs_on_dla(layer: Any) -> bool:
    """Whether a layer may be given to a DLA.

    None of a network with a dynamic batch is, even if its profile has one size: NvInfer.h allows
    it, users of 8.5 saw it refused (NVIDIA/TensorRT issue 4413), and the fake takes the worse case.
    """
    if any(-1 in (tensor._shape or ()) for tensor in layer._network._inputs):
        return False
    if layer._kind == "SHUFFLE":
        return bool(layer._node.op_type in ("Reshape", "Transpose"))
    if layer._kind not in RUNS:
        return False
    if layer._kind == "CONVOLUTION":
        return _within(layer._node, kernel=KERNEL_MAX, stride=STRIDE_MAX)
    if layer._kind == "POOLING":
        return _within(layer._node, kernel=WINDOW_MAX, stride=2 * STRIDE_MAX)
    if layer._kind == "ELEMENTWISE":
        return bool(layer._node.op_type in ("Add", "Mul", "Sub"))
    return True


def _within(node: onnx.NodeProto, *, kernel: int, stride: int) -> bool:
    values = {item.name: list(item.ints) for item in node.attribute}
    return all(side <= kernel for side in values.get("kernel_shape", [])) and all(
        step <= stride for step in values.get("strides", [])
    )
