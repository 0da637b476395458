"""What a user named of a model and of what runs it; whatever they did not name is chosen."""

from __future__ import annotations

from dataclasses import dataclass

from edge_arm.runtime.errors import UsageError
from edge_arm.runtime.manifest import CPU_VARIANT, Precision
from edge_arm.runtime.model_spec import ONNXRUNTIME, OPENVINO, TENSORRT, Place


@dataclass(frozen=True)
class WantedModel:
    """The model that is to answer, by the words of the command line; None is "choose for me".

    Attributes:
        precision: of it.
        variant: of the INT8 model: "main" or "cpu".
        backend: onnxruntime, tensorrt or openvino.
        provider: of ONNX Runtime.
        cuda: library that runs TensorRT engines.
        dla_core: whose engine; None for the GPU's.
        threads: of the CPU.

    Raises:
        UsageError: for what does not go together.
    """

    precision: Precision | None = None
    variant: str | None = None
    backend: str | None = None
    provider: str | None = None
    cuda: str = "pycuda"
    dla_core: int | None = None
    threads: int | None = None

    def __post_init__(self) -> None:
        if self.provider is not None and self.named_backend != ONNXRUNTIME:
            raise _no_providers(self.provider, self.place.backend)
        if self.threads is not None and not self.place.on_cpu:
            raise UsageError(
                f"got --threads {self.threads} for {self.place.shown}, expected a CPU to run the "
                "model: a GPU has no threads to count; leave --threads out"
            )
        refuse_contradictions(
            self.place,
            precisions=() if self.precision is None else (self.precision,),
            variants=() if self.variant is None else (self.variant,),
        )

    @property
    def named_backend(self) -> str | None:
        """What is to run the model, said or implied; None if it is to be chosen."""
        if self.backend is not None:
            return self.backend
        if self.dla_core is not None:
            return TENSORRT
        return None if self.provider is None and self.variant is None else ONNXRUNTIME

    @property
    def place(self) -> Place:
        """What runs the model; ONNX Runtime on the CPU unless something else was named."""
        backend = self.named_backend or ONNXRUNTIME
        return Place(backend, self.provider or "cpu", self.cuda, self.dla_core, self.threads)


def refuse_contradictions(
    place: Place, *, precisions: tuple[Precision, ...], variants: tuple[str, ...]
) -> None:
    """Refuse words of the command line that do not go together.

    Args:
        place: what is to run models.
        precisions: that were named.
        variants: of the INT8 model that were named.

    Raises:
        UsageError: naming the two.
    """
    if place.provider != "cpu" and place.backend != ONNXRUNTIME:
        raise _no_providers(place.provider, place.backend)
    if place.dla_core is not None and place.backend != TENSORRT:
        raise UsageError(
            f"got --dla {place.dla_core} with --backend {place.backend}, expected "
            "--backend tensorrt: only engines run on a DLA; add it or leave --dla out"
        )
    if CPU_VARIANT in variants and not place.on_cpu:
        where = (
            f"--provider {place.provider}"
            if place.backend == ONNXRUNTIME
            else f"--backend {place.backend}"
        )
        raise UsageError(
            f"got --variant cpu with {where}, expected a CPU to run it: a GPU takes no "
            "unsigned activations; leave --variant out, or take --provider cpu or --backend "
            "openvino"
        )
    if variants and precisions and Precision.INT8 not in precisions:
        raise UsageError(
            f"got --variant {variants[0]} and no int8 among --precision, expected "
            "it there: only INT8 has variants; add --precision int8 or leave --variant out"
        )
    if place.backend == OPENVINO and Precision.FP16 in precisions:
        from edge_arm.runtime.openvino_backend import FP16_NOTE

        raise UsageError(
            f"got --precision fp16 with --backend openvino, expected int8: {FP16_NOTE}; leave "
            "fp16 out or take --backend onnxruntime"
        )


def _no_providers(provider: str, backend: str) -> UsageError:
    return UsageError(
        f"got --provider {provider} with --backend {backend}, expected --backend onnxruntime: only "
        "ONNX Runtime has providers; leave one of the two out"
    )
