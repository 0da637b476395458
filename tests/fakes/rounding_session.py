"""ONNX Runtime on the CPU, with FP16 quantizers that round as TensorRT's do.

ONNX Runtime truncates FP16 values in QuantizeLinear, and its optimizer brings that back where it
was mended: see `edge_arm.calibration.typed_reference`, whose copy of the graph is used here.
"""

from __future__ import annotations

from typing import Any

import onnx
import onnxruntime

from edge_arm.calibration.typed_reference import with_float32_quantizers


def rounding_session(content: bytes) -> Any:
    """A session over an ONNX file; without FP16 scales it is the file as it is."""
    model = onnx.load_from_string(content)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    if any(item.data_type == onnx.TensorProto.FLOAT16 for item in model.graph.initializer):
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        content = with_float32_quantizers(model).SerializeToString()
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
