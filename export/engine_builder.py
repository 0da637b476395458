"""One build: a parsed network and options to the bytes of a plan.

Everything that TensorRT refuses comes back from here as one error with the reason from its log; it
returns None and says no more.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_arm.export.engine_calibrator import cache_for_version, set_implicit_ranges
from edge_arm.export.engine_network import (
    Convolution,
    ParsedNetwork,
    layers,
    network_from_onnx,
    node_of_layer,
    require_precision,
)
from edge_arm.export.engine_timing_cache import TimingCacheFile, attach_timing_cache, timings_of
from edge_arm.export.engine_variant import VariantChoice
from edge_arm.runtime.engine_record import BatchRange
from edge_arm.runtime.errors import EngineError
from edge_arm.runtime.interrupt import interrupt_kept
from edge_arm.runtime.manifest import Precision
from edge_arm.runtime.tensorrt_library import TensorRT, not_started

INPUT_STAGE = "/input/"
"""Nodes from the pixels to the first convolution are named so."""

JETSON_DLA = "a Jetson AGX Orin and Orin NX have two, an Orin Nano and a Thor none"


@dataclass(frozen=True)
class BuildInput:
    """What one build is made from.

    Attributes:
        precision: that was asked for.
        choice: file and way.
        model: bytes of the ONNX file.
        calibration_cache: of the bundle; empty where the choice needs none.
        batch: the optimization profile.
        workspace_bytes: limit of the workspace pool; None for TensorRT's own.
        builder_level: optimization level; None for TensorRT's own.
        float_nodes: nodes that flags must not lower, with the reason; the input stage never is.
    """

    precision: Precision
    choice: VariantChoice
    model: bytes
    calibration_cache: bytes
    batch: BatchRange
    workspace_bytes: int | None
    builder_level: int | None
    float_nodes: dict[str, str]


@dataclass(frozen=True)
class BuiltPlan:
    """What came out of one build.

    Attributes:
        plan: the serialized engine.
        convolutions: of the network that the parser made.
        flags: builder flags by name, "-" before one that was cleared.
        dla_fallback: layers that a DLA cannot run and the GPU does.
        timings: the timing cache afterwards; empty if there is none.
        timings_path: where it belongs.
    """

    plan: bytes
    convolutions: tuple[Convolution, ...]
    flags: tuple[str, ...]
    dla_fallback: tuple[str, ...]
    timings: bytes
    timings_path: Path


def plan_from_onnx(
    tensorrt: TensorRT, source: BuildInput, timing: TimingCacheFile, *, fresh: bool = False
) -> BuiltPlan:
    """Build once.

    Args:
        tensorrt: that builds; the CUDA context of its device must be current.
        source: what from.
        timing: kernel timings of earlier builds.
        fresh: do not use them.

    Raises:
        BackendUnavailableError: if TensorRT does not start with this driver.
        EngineError: if TensorRT refuses the model, the options or the build, with its reason.
        StorageError: if the timing cache cannot be read.
    """
    trt = tensorrt.module
    tensorrt.log.forget()
    try:
        builder = trt.Builder(tensorrt.logger)
    except TypeError as error:  # what the binding makes of a builder that was not made
        raise not_started(tensorrt) from error
    builder_config = builder.create_builder_config()
    if source.choice.dla_core is not None:
        _require_dla_core(builder.num_DLA_cores, source.choice.dla_core)
    parsed = network_from_onnx(tensorrt, builder, source.model, choice=source.choice)
    require_precision(parsed, source.precision, choice=source.choice, version=tensorrt.version)
    if source.choice.dla_core is not None:
        _fix_batch(parsed, source.batch)
    flags = _set_options(tensorrt, builder_config, source)
    if source.choice.fp16_flag:
        _keep_in_float(tensorrt, parsed.network, source.float_nodes)
    profile = _add_profile(tensorrt, builder, builder_config, parsed=parsed, batch=source.batch)
    calibrator = None
    if source.choice.calibration_cache:
        cache = cache_for_version(source.calibration_cache, tensorrt.capabilities.cache_version)
        calibrator = set_implicit_ranges(tensorrt, builder_config, profile, cache=cache)
    fallback = (
        tuple(
            str(layer.name)
            for layer in layers(parsed.network)
            if layer.type != trt.LayerType.CONSTANT and not builder_config.can_run_on_DLA(layer)
        )
        if source.choice.dla_core is not None
        else ()
    )
    timings_path = attach_timing_cache(tensorrt, builder_config, timing, fresh=fresh)
    with interrupt_kept("TensorRT returns"):
        plan = builder.build_serialized_network(parsed.network, builder_config)
    del calibrator  # TensorRT asked it for the last time
    if plan is None:
        raise EngineError(
            f"TensorRT {tensorrt.version} could not build {source.choice.artifact.file!r} "
            f"({tensorrt.log.why()}), expected an engine; {_advice(tensorrt.log.why())}"
        )
    return BuiltPlan(
        plan=bytes(plan),
        convolutions=parsed.convolutions,
        flags=flags,
        dla_fallback=fallback,
        timings=timings_of(builder_config),
        timings_path=timings_path,
    )


def _set_options(tensorrt: TensorRT, builder_config: Any, source: BuildInput) -> tuple[str, ...]:
    trt, choice = tensorrt.module, source.choice
    flags = []
    if tensorrt.capabilities.precision_flags:
        if choice.fp16_flag:
            builder_config.set_flag(trt.BuilderFlag.FP16)
            flags.append("FP16")
        if choice.int8_flag:
            builder_config.set_flag(trt.BuilderFlag.INT8)
            flags.append("INT8")
        if choice.fp16_flag or choice.int8_flag:
            builder_config.set_flag(trt.BuilderFlag.PREFER_PRECISION_CONSTRAINTS)
            flags.append("PREFER_PRECISION_CONSTRAINTS")
    if not choice.tf32:
        builder_config.clear_flag(trt.BuilderFlag.TF32)
        flags.append("-TF32")
    if choice.dla_core is not None:
        builder_config.default_device_type = trt.DeviceType.DLA
        builder_config.DLA_core = choice.dla_core
        builder_config.set_flag(trt.BuilderFlag.GPU_FALLBACK)
        flags.append("GPU_FALLBACK")
    # Without it the inspector tells the names of the layers and not their types.
    builder_config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    if source.workspace_bytes is not None:
        builder_config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, source.workspace_bytes)
    if source.builder_level is not None:
        builder_config.builder_optimization_level = source.builder_level
    return tuple(flags)


def _keep_in_float(tensorrt: TensorRT, network: Any, nodes: dict[str, str]) -> None:
    # With weak typing a flag lets TensorRT lower whatever it likes, also the pixels minus their
    # mean, for which FP16 is too coarse. Only arithmetic takes a constraint: a Cast or a Transpose
    # has the type of what it moves.
    trt, capabilities = tensorrt.module, tensorrt.capabilities
    if capabilities.precision_flags and not capabilities.builds_typed:
        arithmetic = (
            trt.LayerType.CONVOLUTION,
            trt.LayerType.ELEMENTWISE,
            trt.LayerType.MATRIX_MULTIPLY,
            trt.LayerType.REDUCE,
        )
        for layer in layers(network):
            name = str(layer.name)
            kept = name.startswith(INPUT_STAGE) or node_of_layer(name, nodes) is not None
            if kept and layer.type in arithmetic:
                layer.precision = trt.DataType.FLOAT
                layer.set_output_type(0, trt.DataType.FLOAT)


def _fix_batch(parsed: ParsedNetwork, batch: BatchRange) -> None:
    # NvInfer.h allows a DLA a dynamic batch whose profile has one size, but users of 8.5 saw every
    # layer of such a network go to the GPU, and those of the same network with fixed shapes to the
    # DLA (NVIDIA/TensorRT issue 4413). All other shapes follow from the input's.
    parsed.network.get_input(0).shape = (batch.opt, *parsed.input_shape[1:])


def _add_profile(
    tensorrt: TensorRT,
    builder: Any,
    builder_config: Any,
    *,
    parsed: ParsedNetwork,
    batch: BatchRange,
) -> Any:
    profile = builder.create_optimization_profile()
    face = parsed.input_shape[1:]
    profile.set_shape(parsed.input_name, (batch.min, *face), (batch.opt, *face), (batch.max, *face))
    if builder_config.add_optimization_profile(profile) < 0:
        raise EngineError(
            f"TensorRT {tensorrt.version} does not take the batch sizes "
            f"{batch.min},{batch.opt},{batch.max} ({tensorrt.log.why()}); choose others with "
            "--batch MIN,OPT,MAX"
        )
    return profile


def _require_dla_core(num_cores: int, core: int) -> None:
    if num_cores == 0:
        raise EngineError(
            f"got --dla {core}, but this device has no DLA core ({JETSON_DLA}); leave --dla out "
            "to build for the GPU"
        )
    if core >= num_cores:
        raise EngineError(
            f"got --dla {core}, expected 0 to {num_cores - 1}: this device has {num_cores} DLA "
            "cores; choose one of them"
        )


def _advice(reason: str) -> str:
    low = reason.lower()
    if "memory" in low:
        return "lower --workspace, take a smaller --batch, or end other programs"
    if "could not find any implementation" in low:
        return (
            "a larger --workspace allows more kernels; if the layer is INT8, this GPU may have no "
            "INT8 kernel for it (those up to compute capability 7.5 lack some): use --precision "
            "fp16"
        )
    return "run it again with 'edge-arm --debug build ...' for all that TensorRT says"
