"""Runs a part of a graph on the CPU, face by face, with exactly the arithmetic that the graph says.

ONNX Runtime may fuse QuantizeLinear, Conv and DequantizeLinear into integer operators, and move
pairs through others, which rounds elsewhere; and at its highest level it fuses Conv and Add. With
both off, a graph cut in two gives the same bits as the whole: what `sensitivity` rests on. It is
also faster than the signed integer operators are.

Each face runs alone, so no result depends on how the faces are cut into batches.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from edge_arm.runtime.backend import Float32Array
from edge_arm.runtime.errors import BackendError
from edge_arm.runtime.preprocess import Uint8Array

Tensors = dict[str, npt.NDArray[Any]]
"""Tensors of one face, by name, each with a batch axis of 1."""


class Session:
    """One graph in one ONNX Runtime session; its memory is given back with the object."""

    def __init__(self, model: onnx.ModelProto) -> None:
        """Load a graph.

        Args:
            model: with any inputs and outputs.

        Raises:
            BackendError: if ONNX Runtime cannot.
        """
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        options.add_session_config_entry("session.disable_quant_qdq", "1")
        try:
            self._session: Any = onnxruntime.InferenceSession(
                model.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # ONNX Runtime's exceptions share no public base class
            raise BackendError(
                f"ONNX Runtime cannot load a candidate ({str(error).strip().splitlines()[0]}), "
                "expected a graph that it can run; install the versions of constraints.txt"
            ) from error
        self._inputs = [item.name for item in model.graph.input]
        self._outputs = [item.name for item in model.graph.output]

    def run(self, tensors: Mapping[str, npt.NDArray[Any]]) -> Tensors:
        """The outputs for one face; what is no input of the graph is passed over."""
        values = self._session.run(self._outputs, {name: tensors[name] for name in self._inputs})
        return dict(zip(self._outputs, values, strict=True))

    def logits(self, images_nhwc: Uint8Array) -> Float32Array:
        """Logits (N, C) of faces (N, S, S, 3), of a graph from faces to logits."""
        (source,), (answer,) = self._inputs, self._outputs
        rows = [self.run({source: face[np.newaxis]})[answer] for face in images_nhwc]
        return np.concatenate(rows).astype(np.float32)
