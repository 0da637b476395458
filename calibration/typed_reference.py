"""Answers of the typed INT8 model on a CPU, as the ONNX standard and TensorRT compute them.

ONNX Runtime's CPU provider takes the typed file, and computes another function: its QuantizeLinear
truncates FP16 values instead of rounding them to the nearest step (microsoft/onnxruntime issues
18576 and 22741; seen in 1.24). So the checks run a copy in which QuantizeLinear divides in float32,
by a scale of the same value, as a GPU does. Everything else keeps its FP16 type, which ONNX Runtime
computes in float32 between FP16 roundings.

Shapes: N faces, S model input size, C classes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edge_arm.runtime.backend import Float32Array
from edge_arm.runtime.errors import BackendError
from edge_arm.runtime.preprocess import Uint8Array


class TypedReference:
    """A session over the copy."""

    def __init__(self, typed: onnx.ModelProto) -> None:
        """Load a typed model.

        Raises:
            BackendError: if ONNX Runtime cannot.
        """
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        # Its optimizer moves pairs through a MaxPool, back into FP16, where they truncate again.
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        try:
            self._session: Any = onnxruntime.InferenceSession(
                with_float32_quantizers(typed).SerializeToString(),
                options,
                providers=["CPUExecutionProvider"],
            )
        except Exception as error:  # ONNX Runtime's exceptions share no public base class
            raise BackendError(
                f"ONNX Runtime cannot load the typed model ({str(error).strip().splitlines()[0]}), "
                "expected one that it can check; install the versions of constraints.txt"
            ) from error
        self._input = typed.graph.input[0].name

    def infer(self, images_nhwc: Uint8Array) -> Float32Array:
        """Logits (N, C) of faces (N, S, S, 3)."""
        (logits,) = self._session.run(None, {self._input: images_nhwc})
        return np.asarray(logits, np.float32)


def with_float32_quantizers(typed: onnx.ModelProto) -> onnx.ModelProto:
    """The same function with every QuantizeLinear in float32.

    Args:
        typed: with FP16 scales; it is not changed.
    """
    result = onnx.ModelProto()
    result.CopyFrom(typed)
    graph = result.graph
    scales = {item.name: item for item in graph.initializer}
    nodes = []
    for node in graph.node:
        if node.op_type == "QuantizeLinear":
            scale = scales[node.input[1]]
            if scale.data_type == TensorProto.FLOAT16:
                wide = f"{node.output[0]}_in_float32"
                nodes.append(
                    helper.make_node("Cast", [node.input[0]], [wide], to=TensorProto.FLOAT)
                )
                values = numpy_helper.to_array(scale).astype(np.float32)
                graph.initializer.append(numpy_helper.from_array(values, f"{wide}_scale"))
                node.input[0], node.input[1] = wide, f"{wide}_scale"
        nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
    return result
