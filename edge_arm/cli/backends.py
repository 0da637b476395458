"""What `--backend` and the options beside it mean: a bundle's models on what was asked for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from edge_arm.runtime.backend import Backend
    from edge_arm.runtime.manifest import Bundle, Precision
    from edge_arm.runtime.model_spec import Place
    from edge_arm.runtime.predictions import ModelToRun


class BackendName(str, Enum):
    """What can run the models of a bundle."""

    ONNXRUNTIME = "onnxruntime"
    TENSORRT = "tensorrt"
    OPENVINO = "openvino"


class CudaName(str, Enum):
    """What makes the calls of CUDA, by the names of `runtime.cuda_device.CUDA_LIBRARIES`."""

    PYCUDA = "pycuda"
    CUDA_PYTHON = "cuda-python"


class PrecisionName(str, Enum):
    """The precisions, by the names of `runtime.manifest.Precision`."""

    FP32 = "fp32"
    FP16 = "fp16"
    INT8 = "int8"


class VariantName(str, Enum):
    """The INT8 models that run as files, by their `Artifact.variant`."""

    MAIN = "main"
    CPU = "cpu"


ProviderOption = Annotated[str, typer.Option(help="ONNX Runtime's: cpu, cuda, tensorrt, rtx.")]
CudaOption = Annotated[CudaName, typer.Option(help="Library that runs TensorRT engines.")]
DlaOption = Annotated[
    int | None, typer.Option(min=0, metavar="CORE", help="Engines of this DLA core.")
]
PrecisionsOption = Annotated[
    list[PrecisionName] | None,
    typer.Option(help="Only this one beside FP32; may be given again. All if absent."),
]


@dataclass(frozen=True)
class BackendChoice:
    """What runs the models.

    Attributes:
        backend: ONNX Runtime, OpenVINO, or the engines of this device.
        provider: of ONNX Runtime.
        cuda: library that an engine is run with.
        dla_core: that engines were built for; None for the GPU.
        only: these precisions beside FP32; all that there are if empty.
        variants: these INT8 models; if empty, the one that TensorRT builds from, and the one for
            CPUs beside it where a CPU runs it.

    Raises:
        UsageError: for what does not go together.
    """

    backend: BackendName = BackendName.ONNXRUNTIME
    provider: str = "cpu"
    cuda: CudaName = CudaName.PYCUDA
    dla_core: int | None = None
    only: tuple[PrecisionName, ...] = ()
    variants: tuple[VariantName, ...] = ()

    def __post_init__(self) -> None:
        from edge_arm.runtime.classifier.wanted_model import refuse_contradictions
        from edge_arm.runtime.manifest import Precision

        refuse_contradictions(
            self.place,
            precisions=tuple(Precision(name.value) for name in self.only),
            variants=tuple(name.value for name in self.variants),
        )

    @property
    def place(self) -> Place:
        """The same in the runtime's words."""
        from edge_arm.runtime.model_spec import Place

        return Place(self.backend.value, self.provider, self.cuda.value, self.dla_core)

    def takes(self, precision: Precision) -> bool:
        """Whether the main model of a precision is to be opened."""
        if self.backend is BackendName.OPENVINO and precision.value == PrecisionName.FP16.value:
            return False
        if precision.value == PrecisionName.INT8.value and VariantName.MAIN not in (
            self.variants or (VariantName.MAIN,)
        ):
            return False
        return self._wants(precision)

    def takes_cpu_variant(self, bundle: Bundle) -> bool:
        """Whether the INT8 model for CPUs is to be opened.

        Args:
            bundle: whose; one that was calibrated by an older edge-arm has none.
        """
        from edge_arm.runtime.manifest import CPU_VARIANT, Precision

        if self.variants:
            return VariantName.CPU in self.variants
        there = any(item.variant == CPU_VARIANT for item in bundle.manifest.artifacts)
        return there and self.runs_the_file_itself and self._wants(Precision.INT8)

    def left_out(self, bundle: Bundle) -> tuple[str, ...]:
        """What the bundle has and this backend cannot tell anything about, a sentence each."""
        from edge_arm.runtime.manifest import Precision
        from edge_arm.runtime.openvino_backend import FP16_NOTE

        if (
            self.backend is BackendName.OPENVINO
            and not self.only
            and Precision.FP16 in bundle.manifest.precisions()
        ):
            return (f"FP16: {FP16_NOTE}.",)
        return ()

    @property
    def runs_the_file_itself(self) -> bool:
        """Whether the ONNX file is computed as it stands, not what a GPU's builder makes of it."""
        return self.place.on_cpu

    def _wants(self, precision: Precision) -> bool:
        wanted = {name.value for name in self.only}
        return not wanted or precision.value in {*wanted, PrecisionName.FP32.value}


@contextmanager
def opened_backends(bundle: Bundle, choice: BackendChoice) -> Iterator[dict[Precision, Backend]]:
    """The models of a bundle, ready to run; closed when the block ends.

    Args:
        bundle: whose models.
        choice: what runs them.

    Yields:
        The main models by precision, highest first: every precision of the bundle where files run,
        every one that has an engine for this very device on TensorRT.

    Raises:
        BackendError: if one cannot be run here; nothing else is run in its place.
    """
    from edge_arm.runtime.manifest import Precision
    from edge_arm.runtime.model_spec import ModelSpec, open_model

    with ExitStack() as stack:
        if choice.backend is BackendName.TENSORRT:
            yield _engines(stack, bundle, choice)
        else:
            for name in choice.only:  # one that was named and is not there is an error
                bundle.model(Precision(name.value))
            yield {
                precision: stack.enter_context(
                    open_model(bundle, ModelSpec(choice.place, precision))
                )
                for precision in bundle.manifest.precisions()
                if choice.takes(precision)
            }


@contextmanager
def opened_variants(bundle: Bundle, choice: BackendChoice) -> Iterator[list[ModelToRun]]:
    """What runs beside the main models: INT8 for CPUs; closed when the block ends.

    Args:
        bundle: whose models.
        choice: what runs them.

    Raises:
        BundleError: if one was named that the bundle does not have.
        BackendError: if it cannot be run here.
    """
    from edge_arm.runtime.manifest import CPU_VARIANT, Precision
    from edge_arm.runtime.model_spec import ModelSpec, open_model
    from edge_arm.runtime.predictions import ModelToRun

    if not choice.takes_cpu_variant(bundle):
        yield []
        return
    with open_model(bundle, ModelSpec(choice.place, Precision.INT8, CPU_VARIANT)) as backend:
        yield [ModelToRun(Precision.INT8, backend, CPU_VARIANT)]


def _engines(stack: ExitStack, bundle: Bundle, choice: BackendChoice) -> dict[Precision, Backend]:
    from edge_arm.runtime.engine_choice import engines_here, find_engine
    from edge_arm.runtime.manifest import Precision
    from edge_arm.runtime.tensorrt_backend import TensorRTBackend
    from edge_arm.runtime.this_device import this_device

    here = stack.enter_context(this_device(choice.cuda.value))
    gpu, tensorrt, core = here.gpu, here.tensorrt, choice.dla_core
    for name in choice.only:  # one that was named and is not there is an error
        find_engine(bundle, Precision(name.value), gpu=gpu, tensorrt=tensorrt, dla_core=core)
    found = engines_here(bundle, gpu=gpu, tensorrt=tensorrt, dla_core=core)
    return {
        precision: stack.enter_context(
            TensorRTBackend(engine.plan, engine.record, cuda=choice.cuda.value)
        )
        for precision, engine in found.items()
        if choice.takes(precision)
    }
