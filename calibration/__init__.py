"""From an FP32 ONNX file and real images to an INT8 ONNX file with Q/DQ."""
