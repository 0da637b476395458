"""What `--backend`, `--provider` and `--cuda` mean: a bundle's models on what was asked for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from edge_arm.runtime.errors import UsageError

if TYPE_CHECKING:
    from edge_arm.runtime.backend import Backend
    from edge_arm.runtime.manifest import Bundle, Precision


class BackendName(str, Enum):
    """What can run the models of a bundle."""

    ONNXRUNTIME = "onnxruntime"
    TENSORRT = "tensorrt"


class CudaName(str, Enum):
    """What makes the calls of CUDA, by the names of `runtime.cuda_device.CUDA_LIBRARIES`."""

    PYCUDA = "pycuda"
    CUDA_PYTHON = "cuda-python"


class PrecisionName(str, Enum):
    """The precisions, by the names of `runtime.manifest.Precision`."""

    FP32 = "fp32"
    FP16 = "fp16"
    INT8 = "int8"


@dataclass(frozen=True)
class BackendChoice:
    """What runs the models.

    Attributes:
        backend: ONNX Runtime, or the engines of this device.
        provider: of ONNX Runtime.
        cuda: library that an engine is run with.
        dla_core: that engines were built for; None for the GPU.
        only: these precisions beside FP32; all that there are if empty.

    Raises:
        UsageError: for a DLA core with another backend.
    """

    backend: BackendName = BackendName.ONNXRUNTIME
    provider: str = "cpu"
    cuda: CudaName = CudaName.PYCUDA
    dla_core: int | None = None
    only: tuple[PrecisionName, ...] = ()

    def __post_init__(self) -> None:
        if self.dla_core is not None and self.backend is not BackendName.TENSORRT:
            raise UsageError(
                f"got --dla {self.dla_core} with --backend {self.backend.value}, expected "
                "--backend tensorrt: only engines run on a DLA; add it or leave --dla out"
            )

    def takes(self, precision: Precision) -> bool:
        """Whether a precision is to be opened."""
        wanted = {name.value for name in self.only}
        return not wanted or precision.value in {*wanted, PrecisionName.FP32.value}

    @property
    def runs_the_file_itself(self) -> bool:
        """Whether the ONNX file is computed as it stands, not what a GPU's builder makes of it."""
        return self.backend is BackendName.ONNXRUNTIME and self.provider == "cpu"


@contextmanager
def opened_backends(bundle: Bundle, choice: BackendChoice) -> Iterator[dict[Precision, Backend]]:
    """The models of a bundle, ready to run; closed when the block ends.

    Args:
        bundle: whose models.
        choice: what runs them.

    Yields:
        The models by precision, highest first: every precision of the bundle on ONNX Runtime, every
        one that has an engine for this very device on TensorRT.

    Raises:
        BackendError: if one cannot be run here; nothing else is run in its place.
    """
    from edge_arm.runtime.manifest import Precision
    from edge_arm.runtime.onnxruntime_backend import OnnxRuntimeBackend

    with ExitStack() as stack:
        if choice.backend is BackendName.TENSORRT:
            yield _engines(stack, bundle, choice)
        else:
            for name in choice.only:  # one that was named and is not there is an error
                bundle.model(Precision(name.value))
            yield {
                precision: stack.enter_context(
                    OnnxRuntimeBackend(bundle.model(precision)[0], provider=choice.provider)
                )
                for precision in bundle.manifest.precisions()
                if choice.takes(precision)
            }


def _engines(stack: ExitStack, bundle: Bundle, choice: BackendChoice) -> dict[Precision, Backend]:
    from edge_arm.runtime.cuda_device import open_cuda
    from edge_arm.runtime.engine_choice import engines_here, find_engine
    from edge_arm.runtime.manifest import Precision
    from edge_arm.runtime.tensorrt_backend import TensorRTBackend
    from edge_arm.runtime.tensorrt_library import load_tensorrt

    tensorrt = load_tensorrt()
    device = open_cuda(choice.cuda.value)
    stack.callback(device.close)
    gpu, version, core = device.facts.name, tensorrt.version, choice.dla_core
    for name in choice.only:  # one that was named and is not there is an error
        find_engine(bundle, Precision(name.value), gpu=gpu, tensorrt=version, dla_core=core)
    found = engines_here(bundle, gpu=gpu, tensorrt=version, dla_core=core)
    return {
        precision: stack.enter_context(
            TensorRTBackend(engine.plan, engine.record, cuda=choice.cuda.value)
        )
        for precision, engine in found.items()
        if choice.takes(precision)
    }
