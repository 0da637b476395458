"""Which ONNX file an engine is built from, how, and why.

What each TensorRT does with a file's types differs: up to 10.11 the network is weakly typed here
and flags allow FP16 and INT8; from 10.12 it is strongly typed, so that only the file decides. DLA
cores know implicit quantization only, which means an FP32 file and a calibration cache.
"""

from __future__ import annotations

from dataclasses import dataclass

from edge_arm.export.engine_config import BuildConfig
from edge_arm.runtime.errors import BundleError, EngineError
from edge_arm.runtime.manifest import Artifact, Manifest, Precision
from edge_arm.runtime.tensorrt_versions import TensorRTCapabilities

MAIN = "main"
TYPED = "typed"
CALIBRATION_CACHE = "calibration.cache"


@dataclass(frozen=True)
class VariantChoice:
    """How one engine is built.

    Attributes:
        artifact: the ONNX file.
        typed: as a strongly typed network.
        fp16_flag: TensorRT may choose FP16 kernels.
        int8_flag: TensorRT may choose INT8 kernels.
        tf32: TensorRT may round FP32 to TF32 in convolutions.
        calibration_cache: INT8 ranges come from the bundle's `calibration.cache`.
        dla_core: default device of the layers; None for the GPU.
        reason: why, in words for the user.
    """

    artifact: Artifact
    typed: bool
    fp16_flag: bool
    int8_flag: bool
    tf32: bool
    calibration_cache: bool
    dla_core: int | None
    reason: str


def choose_variant(
    manifest: Manifest, config: BuildConfig, capabilities: TensorRTCapabilities
) -> VariantChoice:
    """Choose the file and the way to build it.

    Args:
        manifest: of the bundle.
        config: what was asked for.
        capabilities: of the TensorRT that builds.

    Raises:
        BundleError: if the bundle lacks the file, with the command that makes it.
        EngineError: if this TensorRT cannot use a DLA.
    """
    if config.dla_core is not None:
        return _on_dla(manifest, config.dla_core, config.precision, capabilities)
    typed = capabilities.builds_typed
    artifact, reason = _file(manifest, config.precision, typed)
    lower = config.precision is not Precision.FP32
    return VariantChoice(
        artifact=artifact,
        typed=typed,
        fp16_flag=lower and not typed,
        int8_flag=config.precision is Precision.INT8 and not typed,
        tf32=lower,
        calibration_cache=False,
        dla_core=None,
        reason=f"{reason}; {_typing(config.precision, capabilities)}",
    )


def _typing(precision: Precision, capabilities: TensorRTCapabilities) -> str:
    version = ".".join(map(str, capabilities.version))
    if precision is Precision.FP32:
        return "TF32 is off, because drops are measured against this engine"
    if capabilities.builds_typed:
        return f"TensorRT {version} builds strongly typed: the file alone decides the precision"
    flags = "INT8 and FP16" if precision is Precision.INT8 else "FP16"
    return f"TensorRT {version} builds weakly typed: flags allow {flags}"


def _file(manifest: Manifest, precision: Precision, typed: bool) -> tuple[Artifact, str]:
    if precision is Precision.FP32:
        return manifest.artifact(precision), "the FP32 file"
    if precision is Precision.FP16:
        return manifest.artifact(precision), (
            "the FP16 file: what was measured is what is built, and its pixel normalisation "
            "stays in FP32"
        )
    if not typed:
        return manifest.artifact(precision), "the INT8 file with FP32 scales"
    for artifact in manifest.artifacts:
        if artifact.precision is precision and artifact.variant == TYPED:
            return artifact, "the typed INT8 file: its float layers are FP16"
    return manifest.artifact(precision), (
        "the INT8 file with FP32 scales, because the bundle has no typed one: its float layers "
        "stay in FP32 and are slower; 'edge-arm calibrate' of this version adds the typed one"
    )


def _on_dla(
    manifest: Manifest, core: int, precision: Precision, capabilities: TensorRTCapabilities
) -> VariantChoice:
    version = ".".join(map(str, capabilities.version))
    if not capabilities.dla:
        raise EngineError(
            f"got --dla {core} with TensorRT {version}, expected one that runs on a DLA: 8.6 "
            "(JetPack 6.0) or 10.3 (JetPack 6.1 and 6.2), on a Jetson AGX Orin or Orin NX; "
            "leave --dla out to build for the GPU"
        )
    int8 = precision is Precision.INT8
    if int8 and CALIBRATION_CACHE not in manifest.files:
        raise BundleError(
            f"the bundle has no {CALIBRATION_CACHE!r}, expected one, because a DLA takes its INT8 "
            "ranges from it; make it with 'edge-arm calibrate --data NAME'"
        )
    ranges = f", and INT8 ranges from {CALIBRATION_CACHE}" if int8 else ""
    return VariantChoice(
        artifact=manifest.artifact(Precision.FP32),
        typed=False,
        fp16_flag=True,
        int8_flag=int8,
        tf32=True,
        calibration_cache=int8,
        dla_core=core,
        reason=f"the FP32 file, because a DLA knows no Q/DQ and no types of a file; flags allow "
        f"{'INT8 and FP16' if int8 else 'FP16'}{ranges}; what the DLA cannot do runs on the GPU",
    )
