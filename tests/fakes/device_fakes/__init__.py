"""TensorRT, pycuda and cuda-python as their records say they are, for a machine without them."""
