"""Short ways to write small ONNX graphs for the lint's tests, by hand and by tensor name."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper

Tensor = tuple[str, int, list[int | str | None] | None]
"""Name, element type, shape."""

SYMMETRIC = {"scale": np.array(0.1, np.float32), "zero": np.array(0, np.int8)}
"""The constants of a `pair` with its default names."""


def node(operator: str, inputs: str, outputs: str, **attributes: object) -> onnx.NodeProto:
    """A node from space-separated tensor names ("-" leaves one out), named after its first."""
    names = ["" if name == "-" else name for name in inputs.split()]
    results = outputs.split()
    return helper.make_node(operator, names, results, f"/{results[0]}", **attributes)


def model(
    nodes: list[onnx.NodeProto],
    inputs: list[Tensor],
    outputs: list[Tensor],
    constants: dict[str, np.ndarray] | None = None,
    opset: int = 17,
) -> onnx.ModelProto:
    """A whole model, unchecked: some tests want a wrong one."""
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(*item) for item in inputs],
        [helper.make_tensor_value_info(*item) for item in outputs],
        [numpy_helper.from_array(value, name) for name, value in (constants or {}).items()],
    )
    opsets = [helper.make_opsetid("", opset)]
    if any(item.domain for item in nodes):
        opsets.append(helper.make_opsetid("com.microsoft", 1))
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


def weight(outside: int, inside: int, kernel: int = 1) -> np.ndarray:
    """(outside, inside, kernel, kernel) float32, all different."""
    count = outside * inside * kernel * kernel
    return np.linspace(-1, 1, count, dtype=np.float32).reshape(outside, inside, kernel, kernel)


def pair(name: str, scale: str = "scale", zero: str = "zero", **axis: int) -> list[onnx.NodeProto]:
    """Q and DQ: "x" becomes "x_real"."""
    return [
        node("QuantizeLinear", f"{name} {scale} {zero}", f"{name}_steps", **axis),
        node("DequantizeLinear", f"{name}_steps {scale} {zero}", f"{name}_real", **axis),
    ]
