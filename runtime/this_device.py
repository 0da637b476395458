"""The GPU and the TensorRT of this machine, by which a bundle's engines are told apart."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class ThisDevice:
    """What an engine has to be built for, to run here.

    Attributes:
        gpu: name of the first GPU, such as "Orin".
        tensorrt: version of the library, such as "10.3.0".
    """

    gpu: str
    tensorrt: str


@contextmanager
def this_device(cuda: str) -> Iterator[ThisDevice]:
    """The device, opened for the length of the block: engines are then loaded on it at once.

    Args:
        cuda: library that makes the calls, one of `CUDA_LIBRARIES`.

    Raises:
        BackendUnavailableError: if TensorRT, the CUDA library or a GPU is not here.
    """
    from edge_arm.runtime.cuda_device import open_cuda
    from edge_arm.runtime.tensorrt_library import load_tensorrt

    version = load_tensorrt().version
    with closing(open_cuda(cuda)) as device:
        yield ThisDevice(device.facts.name, version)
