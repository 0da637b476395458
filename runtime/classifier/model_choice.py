"""Which model of a bundle answers on this machine, and why; said in one sentence.

1. What the user names is run, exactly that or an error. The rest of these rules chooses what they
   left open, and the choice is always said: never a silent change of precision.
2. An engine that was built for this very GPU and TensorRT runs before anything on the CPU: somebody
   built it here, on purpose. Of several, the one that answered fastest when it was built.
3. Otherwise ONNX Runtime on the CPU. INT8 for CPUs runs where it is faster than FP32 here, which is
   measured once (`cpu_choice`); a bundle has it only if its owner calibrated it.
4. A GPU that stays idle is said, with what would put it to work.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from edge_arm.runtime.classifier.cpu_choice import int8_or_fp32
from edge_arm.runtime.classifier.threads import inference_threads
from edge_arm.runtime.classifier.wanted_model import WantedModel
from edge_arm.runtime.engine_choice import (
    FoundEngine,
    all_engines,
    build_command,
    engines_here,
    find_engine,
)
from edge_arm.runtime.errors import BackendUnavailableError
from edge_arm.runtime.manifest import CPU_VARIANT, MAIN_VARIANT, Bundle, Precision
from edge_arm.runtime.model_spec import (
    ONNXRUNTIME,
    OPENVINO,
    TENSORRT,
    ModelSpec,
    Place,
)
from edge_arm.runtime.this_device import ThisDevice, this_device

CPU_BATCH = 8
"""On a CPU larger batches are hardly faster and take more memory (docs/log.md)."""
GPU_BATCH = 32

_GPU_NODES = ("dev/nvidia0", "dev/nvhost-gpu", "dev/nvhost-ctrl-gpu", "dev/nvgpu", "dev/dxg")
"""Device files of NVIDIA's drivers: desktop, Jetson of JetPack 5 and 6, WSL."""


@dataclass(frozen=True)
class ModelChoice:
    """The model that answers.

    Attributes:
        spec: which, and what runs it.
        reason: why this one.
        notes: what else its user should know, a sentence each.
        max_batch: faces in one call that suit it.
    """

    spec: ModelSpec
    reason: str
    notes: tuple[str, ...] = ()
    max_batch: int = CPU_BATCH

    @property
    def sentence(self) -> str:
        """In one line: model, what runs it, and why."""
        threads = self.spec.place.threads
        shown = "" if threads is None else f", {threads} thread{'' if threads == 1 else 's'}"
        return f"{self.spec.name}{shown}: {self.reason}"


def choose_model(bundle: Bundle, wanted: WantedModel, *, root: Path = Path("/")) -> ModelChoice:
    """Choose what the user left open.

    Args:
        bundle: whose models.
        wanted: what they named.
        root: where the file system begins; another one only in tests.

    Raises:
        UsageError: if fewer than one thread was named.
        BundleError: if the bundle lacks what was named.
        EngineError: if an engine was named that is not there, or is older than its model.
        BackendUnavailableError: if what was named is not on this machine.
    """
    if wanted.named_backend == TENSORRT:
        return _of_engines(wanted, _engines(bundle, wanted, _device(wanted)))
    notes: tuple[str, ...] = ()
    if wanted.named_backend is None:
        engines, notes = _engines_if_any(bundle, wanted, root)
        if engines:
            return _of_engines(wanted, engines)
    if not wanted.place.on_cpu:
        return _on_gpu_provider(bundle, wanted)
    return _on_cpu(bundle, wanted, notes, root)


def _of_engines(wanted: WantedModel, engines: dict[Precision, FoundEngine]) -> ModelChoice:
    """Rule 2, over engines of which there is at least one."""
    precision = min(engines, key=lambda item: _recorded_ms(engines[item]))
    reason = "an engine for this GPU and TensorRT"
    if wanted.precision is not None:
        reason = "named"
    elif len(engines) > 1:
        others = ", ".join(item.name for item in engines if item is not precision)
        reason += f", faster than {others} when it was built"
    spec = ModelSpec(Place(TENSORRT, cuda=wanted.cuda, dla_core=wanted.dla_core), precision)
    notes = () if wanted.threads is None else (f"--threads {wanted.threads} is not used on a GPU.",)
    return ModelChoice(spec, reason, notes, max_batch=engines[precision].record.batch.max)


def _recorded_ms(engine: FoundEngine) -> float:
    """Of one face, in a call of the size that the engine was made for."""
    return engine.record.acceptance["latency_ms"] / engine.record.batch.opt


def _device(wanted: WantedModel) -> ThisDevice:
    with this_device(wanted.cuda) as here:
        return here


def _engines(
    bundle: Bundle, wanted: WantedModel, device: ThisDevice
) -> dict[Precision, FoundEngine]:
    """Engines for this device, of the precision that was named or of all."""
    here = {"gpu": device.gpu, "tensorrt": device.tensorrt}
    core = wanted.dla_core
    if wanted.precision is None:
        return engines_here(bundle, **here, dla_core=core)
    return {wanted.precision: find_engine(bundle, wanted.precision, **here, dla_core=core)}


def _engines_if_any(
    bundle: Bundle, wanted: WantedModel, root: Path
) -> tuple[dict[Precision, FoundEngine], tuple[str, ...]]:
    """Engines to take unasked, and why a GPU stays idle if there are none (rule 4)."""
    if not any((root / node).exists() for node in _GPU_NODES):
        return {}, ()
    build = build_command(bundle, wanted.precision or Precision.INT8, None)
    records = all_engines(bundle.path)
    if not records:
        return {}, (f"The GPU stays idle: the bundle has no engine; run '{build}'.",)
    try:
        device = _device(wanted)
    except BackendUnavailableError as error:
        return {}, (f"The GPU stays idle: {error}.",)
    if any(
        (item.device.gpu, item.device.tensorrt) == (device.gpu, device.tensorrt)
        and item.dla_core is None
        and wanted.precision in (None, item.precision)
        for item in records
    ):
        # One that is older than its model is an error, not passed over: it was meant to run here.
        return _engines(bundle, wanted, device), ()
    idle = (
        f"The GPU stays idle: no engine of the bundle is for {device.gpu} with TensorRT "
        f"{device.tensorrt}; run '{build}'."
    )
    return {}, (idle,)


def _on_gpu_provider(bundle: Bundle, wanted: WantedModel) -> ModelChoice:
    """ONNX Runtime on a GPU; of the precisions, the lowest that its provider computes as such."""
    if wanted.precision is not None or wanted.variant is not None:
        precision, reason = wanted.precision or Precision.INT8, "named"
    else:
        # CUDA's provider computes Q/DQ pairs in float, and TensorRT-RTX's takes none.
        order = [Precision.FP16, Precision.FP32]
        if wanted.provider == "tensorrt":
            order.insert(0, Precision.INT8)
        precision = next(item for item in order if item in bundle.manifest.precisions())
        reason = f"the lowest precision of the bundle that {wanted.provider} computes as such"
    bundle.manifest.artifact(precision)
    return ModelChoice(ModelSpec(wanted.place, precision), reason, max_batch=GPU_BATCH)


def _on_cpu(bundle: Bundle, wanted: WantedModel, notes: tuple[str, ...], root: Path) -> ModelChoice:
    """Rule 3."""
    place = replace(wanted.place, threads=inference_threads(wanted.threads, root=root))
    precision = Precision.INT8 if wanted.variant is not None else wanted.precision
    variant = wanted.variant or MAIN_VARIANT
    has_cpu = any(item.variant == CPU_VARIANT for item in bundle.manifest.artifacts)
    if precision is not None:
        reason = "named"
        if precision is Precision.INT8 and wanted.variant is None and place.backend == ONNXRUNTIME:
            if has_cpu:
                variant = CPU_VARIANT
            else:
                notes += (
                    "The bundle has no INT8 model for CPUs, and the one for TensorRT is slow in "
                    "ONNX Runtime; make it with 'edge-arm calibrate --data NAME'.",
                )
    elif place.backend == OPENVINO:
        has_int8 = Precision.INT8 in bundle.manifest.precisions()
        precision = Precision.INT8 if has_int8 else Precision.FP32
        reason = "OpenVINO runs INT8 as it is" if has_int8 else "the bundle has no INT8"
    elif has_cpu:
        assert place.threads is not None, "they were just counted"
        verdict = int8_or_fp32(bundle, place.threads)
        reason, notes = verdict.reason, (*notes, *verdict.doubts)
        precision = Precision.INT8 if verdict.int8 else Precision.FP32
        variant = CPU_VARIANT if verdict.int8 else MAIN_VARIANT
    else:
        precision = Precision.FP32
        reason = "the bundle has no INT8 model for CPUs, 'edge-arm calibrate' makes it"
    bundle.manifest.artifact(precision, variant)
    return ModelChoice(ModelSpec(place, precision, variant), reason, notes)
