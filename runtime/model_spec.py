"""One model on one backend, by names that can be handed to another process."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edge_arm.runtime.backend import Backend
from edge_arm.runtime.errors import UsageError
from edge_arm.runtime.manifest import CPU_VARIANT, MAIN_VARIANT, Bundle, Precision
from edge_arm.runtime.this_device import this_device

ONNXRUNTIME, TENSORRT, OPENVINO = "onnxruntime", "tensorrt", "openvino"
_SHOWN = {ONNXRUNTIME: "ONNX Runtime", TENSORRT: "TensorRT", OPENVINO: "OpenVINO"}


@dataclass(frozen=True)
class Place:
    """What runs models.

    Attributes:
        backend: onnxruntime, tensorrt or openvino.
        provider: of ONNX Runtime.
        cuda: library that runs engines.
        dla_core: that engines were built for; None for the GPU.
        threads: of a CPU; all cores when None.

    Raises:
        UsageError: for a backend of another name.
    """

    backend: str
    provider: str = "cpu"
    cuda: str = "pycuda"
    dla_core: int | None = None
    threads: int | None = None

    def __post_init__(self) -> None:
        if self.backend not in _SHOWN:
            raise UsageError(
                f"got the backend {self.backend!r}, expected one of {', '.join(_SHOWN)}; "
                "choose with --backend"
            )

    @property
    def on_cpu(self) -> bool:
        """Whether the CPU computes."""
        return self.backend == OPENVINO or (self.backend, self.provider) == (ONNXRUNTIME, "cpu")

    @property
    def shown(self) -> str:
        """For people: "ONNX Runtime", "ONNX Runtime (cuda)", "TensorRT (DLA 0)"."""
        detail = ""
        if self.backend == ONNXRUNTIME and self.provider != "cpu":
            detail = f" ({self.provider})"
        if self.dla_core is not None:
            detail = f" (DLA {self.dla_core})"
        return _SHOWN[self.backend] + detail


@dataclass(frozen=True)
class ModelSpec:
    """A model of a bundle and what runs it.

    Attributes:
        place: what runs it.
        precision: of it.
        variant: of it; an engine is always of the main one.
    """

    place: Place
    precision: Precision
    variant: str = MAIN_VARIANT

    @property
    def name(self) -> str:
        """For people: "ONNX Runtime INT8 for CPUs"."""
        variant = {MAIN_VARIANT: "", CPU_VARIANT: " for CPUs"}.get(
            self.variant, f" ({self.variant})"
        )
        return f"{self.place.shown} {self.precision.name}{variant}"


def spec_to_text(spec: ModelSpec) -> str:
    """One line that `spec_from_text` reads."""
    return json.dumps({**asdict(spec), "precision": spec.precision.value})


def spec_from_text(text: str) -> ModelSpec:
    """Read what `spec_to_text` wrote."""
    value: dict[str, Any] = json.loads(text)
    return ModelSpec(Place(**value["place"]), Precision(value["precision"]), value["variant"])


def open_model(bundle: Bundle, spec: ModelSpec) -> Backend:
    """Load a model; the caller closes it.

    Args:
        bundle: with the model.
        spec: which, and on what.

    Raises:
        BundleError: if the bundle has no such model, or its bytes changed.
        EngineError: if there is no engine for this device.
        BackendError: if it cannot be run here; nothing else is run in its place.
    """
    if spec.place.backend == TENSORRT:
        return _open_engine(bundle, spec)
    path, _ = bundle.model(spec.precision, spec.variant)
    return open_file(path, spec.place)


def open_file(path: Path, place: Place) -> Backend:
    """Load an ONNX file whose hash was checked; the caller closes it.

    Args:
        path: the file.
        place: what runs it; not TensorRT, which runs engines.

    Raises:
        BackendError: if it cannot be run here.
    """
    assert place.backend != TENSORRT, "an engine is no ONNX file"
    if place.backend == OPENVINO:
        from edge_arm.runtime.openvino_backend import OpenVinoBackend

        return OpenVinoBackend(path, place.threads)
    from edge_arm.runtime.onnxruntime_backend import OnnxRuntimeBackend

    return OnnxRuntimeBackend(path, provider=place.provider, threads=place.threads)


def import_library(place: Place) -> None:
    """Import what a place needs, so that its time is told apart from loading a model.

    Args:
        place: what will run models.

    Raises:
        BackendUnavailableError: if it is not here.
    """
    if place.backend == TENSORRT:
        from edge_arm.runtime.tensorrt_library import load_tensorrt

        load_tensorrt()
    elif place.backend == OPENVINO:
        from edge_arm.runtime.openvino_backend import load_openvino

        load_openvino()
    else:
        from edge_arm.runtime.onnxruntime_backend import load_onnxruntime

        load_onnxruntime()


def engines_of_this_device(bundle: Bundle, place: Place) -> dict[Precision, int]:
    """The precisions that have an engine for this very GPU and TensorRT, with its largest batch.

    Args:
        bundle: with the engines.
        place: what runs them.

    Raises:
        BackendUnavailableError: if TensorRT, the CUDA library or a GPU is not here.
        EngineError: if there is none.
    """
    from edge_arm.runtime.engine_choice import engines_here

    with this_device(place.cuda) as here:
        found = engines_here(bundle, gpu=here.gpu, tensorrt=here.tensorrt, dla_core=place.dla_core)
    return {precision: engine.record.batch.max for precision, engine in found.items()}


def _open_engine(bundle: Bundle, spec: ModelSpec) -> Backend:
    from edge_arm.runtime.engine_choice import find_engine
    from edge_arm.runtime.tensorrt_backend import TensorRTBackend

    place = spec.place
    with this_device(place.cuda) as here:
        found = find_engine(
            bundle,
            spec.precision,
            gpu=here.gpu,
            tensorrt=here.tensorrt,
            dla_core=place.dla_core,
        )
        return TensorRTBackend(found.plan, found.record, cuda=place.cuda)
