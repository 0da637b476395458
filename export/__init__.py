"""From a checkpoint to ONNX files, and from ONNX files to TensorRT engines."""
