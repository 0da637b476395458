"""TensorRT, pycuda and cuda-python as their records say they are, for a machine without them."""

from device_fakes.machine import FakeMachine, installed
from device_fakes.records import ALL_VERSIONS

__all__ = ["ALL_VERSIONS", "FakeMachine", "installed"]
