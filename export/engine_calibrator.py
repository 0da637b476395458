"""INT8 ranges for a DLA: the bundle's calibration cache, handed to TensorRT as it asks for it.

A DLA takes implicit quantization only, and TensorRT takes implicit ranges only from a calibrator.
This one owns no pictures: everything comes from `calibration.cache`, which `edge-arm calibrate`
wrote from the very ranges of the Q/DQ model, so that GPU and DLA are quantized alike.
"""

from __future__ import annotations

import re
import warnings
from typing import Any

from edge_arm.runtime.errors import EngineError
from edge_arm.runtime.tensorrt_library import TensorRT

_HEADER = re.compile(rb"TRT-\d+-EntropyCalibration2\r?\n")


def cache_for_version(content: bytes, cache_version: int) -> bytes:
    """A calibration cache with the header that the running TensorRT accepts.

    TensorRT ignores a cache that another version wrote and calibrates anew, which here would mean
    without any pictures. The lines behind the header, tensor and scale, are the same in all.

    Args:
        content: of `calibration.cache`.
        cache_version: see `TensorRTCapabilities.cache_version`.

    Raises:
        EngineError: if it does not begin as a calibration cache does, or names no tensor.
    """
    header = _HEADER.match(content)
    if header is None or b":" not in content[header.end() :]:
        raise EngineError(
            f"the calibration cache begins with {content[:40]!r}, expected the line "
            "'TRT-<version>-EntropyCalibration2' and then a tensor and its scale in each line; "
            "make it again with 'edge-arm calibrate --data NAME'"
        )
    return b"TRT-%d-EntropyCalibration2\n" % cache_version + content[header.end() :]


def tensors_with_ranges(content: bytes) -> frozenset[str]:
    """Names of the tensors that a calibration cache has a range for."""
    lines = content.decode("utf-8", errors="replace").splitlines()[1:]
    return frozenset(line.rsplit(":", 1)[0].strip() for line in lines if ":" in line)


def set_implicit_ranges(
    tensorrt: TensorRT, builder_config: Any, profile: Any, *, cache: bytes
) -> Any:
    """Make a build take its INT8 ranges from a cache.

    Args:
        tensorrt: that builds; one with calibrators.
        builder_config: IBuilderConfig of the build, with the INT8 flag.
        profile: IOptimizationProfile, needed because the batch is dynamic in the file.
        cache: with this TensorRT's header.

    Returns:
        The calibrator; keep it until the build is done.

    Raises:
        EngineError: if this TensorRT has no calibrators.
    """
    if not tensorrt.capabilities.calibrators:
        raise EngineError(
            f"TensorRT {tensorrt.version} takes no calibration cache, expected one up to 10; "
            "build for the GPU, where the INT8 file carries its ranges"
        )
    base: Any = tensorrt.module.IInt8EntropyCalibrator2

    class CacheOnlyCalibrator(base):  # type: ignore[misc]  # a class of an untyped module
        """Answers every question with the cache; TensorRT prints what is raised here, no more."""

        def __init__(self) -> None:
            super().__init__()

        def get_batch_size(self) -> int:
            return 1

        def get_batch(self, names: list[str]) -> None:
            del names  # there are no pictures: None ends the calibration

        def read_calibration_cache(self) -> bytes:
            return cache

        def write_calibration_cache(self, content: Any) -> None:
            del content  # what TensorRT would write is what it was given

    calibrator = CacheOnlyCalibrator()
    with warnings.catch_warnings():
        # Implicit quantization is deprecated from 10.1 on, and the only one that a DLA knows.
        warnings.simplefilter("ignore", DeprecationWarning)
        builder_config.int8_calibrator = calibrator
        builder_config.set_calibration_profile(profile)
    return calibrator
