"""ONNX Runtime's own static quantization, in the symmetric form that TensorRT takes.

The graph goes through its preparation (shape inference and fusion) first, as its documentation
asks for. Faces are decoded one after the other; what its calibrators keep of them is theirs.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process
from peers.task import Task

METHODS = {
    "minmax": CalibrationMethod.MinMax,
    "entropy": CalibrationMethod.Entropy,
    "percentile": CalibrationMethod.Percentile,
}


class _Faces(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, task: Task) -> None:
        self._faces = task.face_by_face()
        self._name = task.input_name

    def get_next(self) -> dict[str, np.ndarray] | None:
        face = next(self._faces, None)
        return None if face is None else {self._name: face}


def quantize(task: Task, method: str) -> None:
    """Quantize.

    Args:
        task: what to do.
        method: a key of `METHODS`.
    """
    with tempfile.TemporaryDirectory(prefix="onnxruntime-", dir=task.out.parent) as folder:
        prepared = Path(folder) / "prepared.onnx"
        quant_pre_process(str(task.float32), str(prepared))
        quantize_static(
            str(prepared),
            str(task.out),
            _Faces(task),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=METHODS[method],
            nodes_to_exclude=task.nodes_in_float(),
            extra_options={"ActivationSymmetric": True, "WeightSymmetric": True},
        )
