"""NVIDIA Model Optimizer, as its documentation quantizes an ONNX file for TensorRT.

Always symmetric int8, weights per channel. Its data provider runs the model at batch 1 where the
batch is free, which is also what keeps its entropy ranges from depending on the batch size.
"""

from __future__ import annotations

from modelopt.onnx.quantization import quantize as modelopt_quantize
from peers.task import Task


def quantize(task: Task, method: str) -> None:
    """Quantize.

    Args:
        task: what to do.
        method: "max" or "entropy".
    """
    modelopt_quantize(
        str(task.float32),
        quantize_mode="int8",
        calibration_data={task.input_name: task.all_faces()},
        calibration_method=method,
        calibration_eps=["cpu"],
        nodes_to_exclude=task.nodes_in_float(),
        output_path=str(task.out),
        # Its default turns the rest into FP16, which would be another comparison.
        high_precision_dtype="fp32",
        log_level="ERROR",
    )
