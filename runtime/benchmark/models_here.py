"""Which models of a bundle can be timed on this machine, and why others cannot.

What the user named is used or is an error. Where nothing was named, all that is here is used, and
what a user would miss is said in a note.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from edge_arm.runtime.classifier.wanted_model import refuse_contradictions
from edge_arm.runtime.engine_choice import all_engines, build_command
from edge_arm.runtime.errors import BackendError, BackendUnavailableError, EngineError
from edge_arm.runtime.manifest import CPU_VARIANT, MAIN_VARIANT, Bundle, Precision
from edge_arm.runtime.model_spec import (
    ONNXRUNTIME,
    OPENVINO,
    TENSORRT,
    ModelSpec,
    Place,
    engines_of_this_device,
    import_library,
)
from edge_arm.runtime.openvino_backend import FP16_NOTE


@dataclass(frozen=True)
class WantedModels:
    """What to time; what is empty is everything.

    Attributes:
        backends: onnxruntime, tensorrt, openvino.
        provider: of ONNX Runtime; one that is not the CPU's means that backend alone.
        cuda: library that runs engines.
        dla_core: engines of this core; means TensorRT alone.
        threads: of a CPU.
        precisions: beside FP32, which is what the others are compared with.
        variants: of the INT8 model: main, cpu.
    """

    backends: tuple[str, ...] = ()
    provider: str = "cpu"
    cuda: str = "pycuda"
    dla_core: int | None = None
    threads: int | None = None
    precisions: tuple[Precision, ...] = ()
    variants: tuple[str, ...] = ()

    @property
    def named_backends(self) -> tuple[str, ...]:
        """Those that were named, or are meant by another word."""
        if self.backends:
            return tuple(dict.fromkeys(self.backends))
        if self.dla_core is not None:
            return (TENSORRT,)
        return () if self.provider == "cpu" else (ONNXRUNTIME,)

    def wants(self, precision: Precision) -> bool:
        """Whether a precision is to be timed."""
        return not self.precisions or precision in (Precision.FP32, *self.precisions)

    def wants_engine(self, precision: Precision) -> bool:
        """Whether an engine of a precision is to be timed; it is of the main model."""
        other = precision is Precision.INT8 and MAIN_VARIANT not in (
            self.variants or (MAIN_VARIANT,)
        )
        return self.wants(precision) and not other


@dataclass(frozen=True)
class ModelsHere:
    """What can be timed.

    Attributes:
        specs: the models, in the order of a table.
        largest_batch: of the engines among them; None without any.
        left_out: what is not among them and why, a sentence each.
    """

    specs: tuple[ModelSpec, ...]
    largest_batch: int | None
    left_out: tuple[str, ...]


def models_here(bundle: Bundle, wanted: WantedModels) -> ModelsHere:
    """The models of a bundle that this machine can run.

    Args:
        bundle: whose models.
        wanted: which of them.

    Raises:
        UsageError: for words that do not go together.
        BundleError: if a precision or variant that was named is not in the bundle.
        BackendError: if a backend that was named is not here, or nothing is.
    """
    for precision in wanted.precisions:
        bundle.manifest.artifact(precision)
    for variant in wanted.variants:
        bundle.manifest.artifact(Precision.INT8, variant)
    named = wanted.named_backends
    if not named:
        _refuse_contradictions(wanted, Place(ONNXRUNTIME))
    specs: list[ModelSpec] = []
    left_out: list[str] = []
    largest: list[int] = []
    for backend in named or (TENSORRT, ONNXRUNTIME, OPENVINO):
        # What no backend that was named can use goes to each of them, to be refused.
        goes_here = backend == ONNXRUNTIME or ONNXRUNTIME not in named
        provider = wanted.provider if goes_here else "cpu"
        core = wanted.dla_core if backend == TENSORRT or backend in named else None
        place = Place(backend, provider, wanted.cuda, core)
        if named:
            _refuse_contradictions(wanted, place)
        if place.on_cpu:
            place = replace(place, threads=wanted.threads)
        try:
            import_library(place)
            if backend == TENSORRT:
                engines = engines_of_this_device(bundle, place)
                specs += [ModelSpec(place, item) for item in engines if wanted.wants_engine(item)]
                largest += [size for item, size in engines.items() if wanted.wants_engine(item)]
                left_out += _missing_engines(bundle, place, wanted, set(engines))
            else:
                specs += _files(bundle, place, wanted)
        except BackendError as error:
            if named:
                raise
            if _would_be_missed(error, bundle, backend):
                left_out.append(f"{place.shown}: {error}.")
        if backend == OPENVINO and _has(specs, OPENVINO) and _has_fp16(bundle, wanted):
            left_out.append(f"{place.shown} FP16: {FP16_NOTE}.")
    if not specs:
        raise BackendUnavailableError(
            "neither ONNX Runtime, OpenVINO nor TensorRT with an engine of this bundle is here, "
            "expected one to time; run: pip install 'edge-arm[onnxruntime]', or see what "
            "'edge-arm doctor' says"
        )
    return ModelsHere(tuple(specs), max(largest, default=None), tuple(left_out))


def _refuse_contradictions(wanted: WantedModels, place: Place) -> None:
    refuse_contradictions(place, precisions=wanted.precisions, variants=wanted.variants)


def _missing_engines(
    bundle: Bundle, place: Place, wanted: WantedModels, there: set[Precision]
) -> list[str]:
    """Precisions that the bundle has as a file and not as an engine, a sentence each.

    Raises:
        EngineError: if one was named, and TensorRT too.
    """
    found = []
    for precision in bundle.manifest.precisions():
        if precision in there or not wanted.wants_engine(precision):
            continue
        reason = (
            f"the bundle has no {precision.value} engine for this device, expected one to time; "
            f"run '{build_command(bundle, precision, place.dla_core)}'"
        )
        if precision in wanted.precisions and TENSORRT in wanted.named_backends:
            raise EngineError(reason)
        found.append(f"{place.shown} {precision.name}: {reason}.")
    return found


def _files(bundle: Bundle, place: Place, wanted: WantedModels) -> Iterator[ModelSpec]:
    """The ONNX files of the bundle that a backend runs."""
    has_cpu = any(item.variant == CPU_VARIANT for item in bundle.manifest.artifacts)
    for precision in bundle.manifest.precisions():
        if not wanted.wants(precision):
            continue
        if precision is Precision.FP16 and place.backend == OPENVINO:
            continue
        variants = wanted.variants or (MAIN_VARIANT, CPU_VARIANT)
        if precision is not Precision.INT8 or MAIN_VARIANT in variants:
            yield ModelSpec(place, precision)
        if precision is Precision.INT8 and has_cpu and CPU_VARIANT in variants and place.on_cpu:
            yield ModelSpec(place, precision, CPU_VARIANT)


def _has(specs: list[ModelSpec], backend: str) -> bool:
    return any(spec.place.backend == backend for spec in specs)


def _has_fp16(bundle: Bundle, wanted: WantedModels) -> bool:
    return Precision.FP16 in bundle.manifest.precisions() and wanted.wants(Precision.FP16)


def _would_be_missed(error: BackendError, bundle: Bundle, backend: str) -> bool:
    """Whether a user would ask where a backend is that they did not name."""
    if backend == TENSORRT and isinstance(error, BackendUnavailableError):
        return bool(all_engines(bundle.path))
    # TensorRT without an engine is worth its command; OpenVINO is only taken where it is.
    return backend != OPENVINO
