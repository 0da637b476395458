"""Which models of a bundle a Triton server gets, and why the others are left out.

1. A precision that has an engine for the server's GPU is served by the engine.
2. Without one, FP32 and FP16 are served by ONNX Runtime on the GPU.
3. INT8 without an engine needs TensorRT inside ONNX Runtime: ONNX Runtime's own CUDA provider
   computes Q/DQ in float, so "INT8" would be a name for slow FP32.
4. The CPU gets the INT8 model with unsigned activations, and with `cpu_only` FP32 as well. FP16 has
   no kernels on a CPU.

There is no ensemble for the softmax: a temperature moves no answer, and a client that wants
probabilities divides C numbers itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from edge_arm.export.triton_config import BackEnd, Device, ServedModel
from edge_arm.export.triton_engines import ServedEngine, engines_to_serve
from edge_arm.runtime.detection.framing import FaceFraming
from edge_arm.runtime.detection.stored_framing import stored_framings
from edge_arm.runtime.errors import BundleError, UsageError
from edge_arm.runtime.manifest import CPU_VARIANT, MAIN_VARIANT, Artifact, Bundle, Precision
from edge_arm.runtime.temperature import usable_temperatures
from edge_arm.runtime.triton_contract import ServedContract

NO_ENGINES = "none"
# Of the fields in Triton's definition: a server does not start with a number that does not fit.
_LARGEST_INT32 = 2**31 - 1
_LARGEST_UINT64 = 2**64 - 1
_MAKE_INT8 = "'edge-arm calibrate --data NAME' makes it"


@dataclass(frozen=True)
class ServeConfig:
    """What the user chooses about a model repository.

    Attributes:
        max_batch: faces in one batch at most; an engine's profile may allow fewer.
        delay_us: how long a request may wait for others, in microseconds.
        instances: of each model on each device.
        cpu_only: the server has no GPU.
        accelerate: FP32 and FP16 are handed to TensorRT as well, see rule 3.
        engines: folder in the bundle's `engines`; None for the only one, "none" for no engine.

    Raises:
        UsageError: if a number is out of range or the choices contradict each other.
    """

    max_batch: int = 32
    delay_us: int = 1000
    instances: int = 1
    cpu_only: bool = False
    accelerate: bool = False
    engines: str | None = None

    def __post_init__(self) -> None:
        for option, value, least, most in (
            ("--max-batch", self.max_batch, 1, _LARGEST_INT32),
            ("--delay-us", self.delay_us, 0, _LARGEST_UINT64),
            ("--instances", self.instances, 1, _LARGEST_INT32),
        ):
            if not least <= value <= most:
                raise UsageError(f"got {option} {value}, expected {least} to {most}; change it")
        if self.cpu_only and (self.accelerate or self.engines not in (None, NO_ENGINES)):
            raise UsageError(
                "got --cpu with --accelerate or --engines, expected one or the other: TensorRT "
                "runs on GPUs alone; leave --cpu out, or the other option"
            )


@dataclass(frozen=True)
class ServedModels:
    """What goes into a model repository.

    Attributes:
        models: each with a name of its own.
        left_out: a sentence for each that does not go in, or serves less than was asked for.
    """

    models: tuple[ServedModel, ...]
    left_out: tuple[str, ...]


def served_models(bundle: Bundle, config: ServeConfig) -> ServedModels:
    """Choose the models of a bundle by the numbered rules; every hash is checked on the way.

    Args:
        bundle: to serve.
        config: what was asked for.

    Raises:
        BundleError: if a file changed, or nothing of the bundle can be served.
        EngineError: see `engines_to_serve`.
        UsageError: if engines lie there for several devices and none is named.
    """
    temperatures, _ = usable_temperatures(bundle)
    choice = _Choice(bundle, config, temperatures, stored_framings(bundle))
    found: list[ServedModel] = []
    left_out: list[str] = []
    engines: dict[str, ServedEngine] = {}
    if not config.cpu_only and config.engines != NO_ENGINES:
        engines = engines_to_serve(bundle, config.engines)
    for name, engine in engines.items():
        found.append(choice.of_engine(name, engine))
        if engine.record.batch.max < config.max_batch:
            left_out.append(
                f"{name} takes {engine.record.batch.max} faces in a batch, not "
                f"{config.max_batch}: its engine was built for no more"
            )
    for item in choice.of_onnx(set(engines)):
        if isinstance(item, str):
            left_out.append(item)
        else:
            found.append(item)
    if not found:
        raise BundleError(
            f"the bundle {str(bundle.path)!r} has no model to serve ({'; '.join(left_out)}), "
            "expected at least one; export it again with 'edge-arm export'"
        )
    return ServedModels(tuple(found), tuple(left_out))


@dataclass(frozen=True)
class _Choice:
    bundle: Bundle
    config: ServeConfig
    temperatures: dict[Precision, float]
    framings: tuple[FaceFraming, ...]

    def of_engine(self, name: str, engine: ServedEngine) -> ServedModel:
        record = engine.record
        largest = min(self.config.max_batch, record.batch.max)
        return ServedModel(
            name=name,
            source=engine.plan,
            back_end=BackEnd.TENSORRT,
            device=Device.GPU,
            contract=self._contract(record.precision, record.plan_sha256),
            max_batch=largest,
            preferred_batches=tuple(sorted({min(record.batch.opt, largest), largest})),
            delay_us=self.config.delay_us,
            instances=self.config.instances,
            accelerated=False,
            dla_core=record.dla_core,
            facts={
                "edge_arm.gpu": record.device.gpu,
                "edge_arm.compute_capability": record.device.compute_capability,
                "edge_arm.tensorrt": record.device.tensorrt,
                "edge_arm.onnx_sha256": record.onnx_sha256,
            },
        )

    def of_onnx(self, taken: set[str]) -> Iterator[ServedModel | str]:
        """Models, and sentences about those that are left out."""
        for precision in self.bundle.manifest.precisions():
            name = f"fer_{precision.value}"
            if self.config.cpu_only and precision is Precision.FP32:  # rule 4
                yield self._of_artifact(f"{name}_cpu", precision, MAIN_VARIANT, Device.CPU)
            elif self.config.cpu_only and precision is Precision.FP16:
                yield f"{name} is left out: CPUs have no FP16 kernels"
            elif not self.config.cpu_only and name not in taken:  # rule 1
                yield self._of_artifact(name, precision, MAIN_VARIANT, Device.GPU)
        name = f"fer_{Precision.INT8.value}_cpu"
        if self._has(Precision.INT8, CPU_VARIANT):
            yield self._of_artifact(name, Precision.INT8, CPU_VARIANT, Device.CPU)
        else:
            yield f"{name} is left out: the bundle has no INT8 model for CPUs, {_MAKE_INT8}"

    def _of_artifact(
        self, name: str, precision: Precision, variant: str, device: Device
    ) -> ServedModel:
        path, artifact = self.bundle.model(precision, variant)
        on_gpu = device is Device.GPU
        return ServedModel(
            name=name,
            source=path,
            back_end=BackEnd.ONNX_RUNTIME,
            device=device,
            contract=self._contract(precision, artifact.sha256),
            max_batch=self.config.max_batch,
            preferred_batches=(),
            delay_us=self.config.delay_us,
            instances=self.config.instances,
            accelerated=on_gpu and (self.config.accelerate or precision is Precision.INT8),
            dla_core=None,
            facts={},
        )

    def _contract(self, precision: Precision, sha256: str) -> ServedContract:
        manifest = self.bundle.manifest
        return ServedContract(
            labels=manifest.labels,
            preprocess=manifest.preprocess,
            precision=precision,
            model_sha256=sha256,
            # The CPU's INT8 model has the ranges of the main one, and shares its temperature.
            temperature=self.temperatures.get(precision),
            framings=self.framings,
        )

    def _has(self, precision: Precision, variant: str) -> bool:
        return any(_is(item, precision, variant) for item in self.bundle.manifest.artifacts)


def _is(artifact: Artifact, precision: Precision, variant: str) -> bool:
    return artifact.precision is precision and artifact.variant == variant
