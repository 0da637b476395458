"""Builder: everything that TensorRT checks before it builds, and the plan."""

from __future__ import annotations

import json
import sys
from typing import Any

from device_fakes.tensorrt_config import CONFIG_BEHAVIOURS
from device_fakes.tensorrt_dla import runs_on_dla
from device_fakes.tensorrt_fusion import Options, planned_layers
from device_fakes.tensorrt_logger import host_memory
from device_fakes.tensorrt_plan import Plan, bytes_of

LAST_WITH_DLA = (10, 7)


class RefusedError(Exception):
    """A build ends: None is returned and this is in the log."""


class Builder:
    """trt.Builder."""

    def __init__(self, logger: Any) -> None:
        trt = self._trt
        if not isinstance(logger, trt.module.ILogger):
            raise TypeError(f"Builder(): incompatible constructor arguments: {logger!r}")
        require_started(logger)
        trt.use_logger(logger)
        require_driver(trt)
        self._logger = logger

    max_threads = 1
    max_DLA_batch_size = 4096  # noqa: N815  # its name in TensorRT
    platform_has_fast_fp16 = True
    platform_has_fast_int8 = True
    platform_has_tf32 = True
    logger = property(lambda self: self._logger)

    @property
    def num_DLA_cores(self) -> int:  # noqa: N802  # its name in TensorRT
        return num_dla_cores(self._trt)

    def create_network(self, flags: int = 0) -> Any:
        if isinstance(flags, float):
            raise TypeError("create_network(): incompatible function arguments")
        return self._trt.make(
            "INetworkDefinition",
            flags=int(flags),
            inputs=[],
            outputs=[],
            layers=[],
            model=None,
            builder=self,
            violated=False,
        )

    def create_builder_config(self) -> Any:
        trt = self._trt
        tf32 = 1 << int(trt.enums["BuilderFlag"].TF32)  # on from the start
        return trt.make("IBuilderConfig", flag_bits=tf32, profiles=[], limits={})

    def create_optimization_profile(self) -> Any:
        return self._trt.make("IOptimizationProfile", shapes={})

    def is_network_supported(self, network: Any, config: Any) -> bool:
        try:
            checked(self._trt, network, config)
        except RefusedError:
            return False
        return True

    def build_serialized_network(self, network: Any, config: Any, kernel_text: bool = False) -> Any:
        del kernel_text
        trt = self._trt
        if not isinstance(network, trt.module.INetworkDefinition):
            raise TypeError(f"build_serialized_network(): incompatible arguments: {network!r}")
        if not isinstance(config, trt.module.IBuilderConfig):
            raise TypeError(f"build_serialized_network(): incompatible arguments: {config!r}")
        try:
            return host_memory(trt, bytes_of(_plan(trt, network, config)))
        except RefusedError as refused:
            trt.error(f"IBuilder::buildSerializedNetwork: {refused}")
            return None

    def reset(self) -> None:
        """Nothing is kept."""


def require_started(logger: Any) -> None:
    """A logger whose class forgot `super().__init__()`.

    Raises:
        TypeError: in the words of pybind11.
    """
    if not logger.__dict__.get("_constructed"):
        raise TypeError(
            "tensorrt.tensorrt.ILogger.__init__() must be called when overriding __init__"
        )


def require_driver(trt: Any) -> None:
    """Builder and Runtime need a driver.

    Raises:
        TypeError: pybind11's, when the C++ factory returns nothing.
    """
    number = trt.settings.cuda_error
    if number:
        trt.error(
            f"CUDA initialization failure with error: {number}. Please check your CUDA "
            "installation: http://docs.nvidia.com/cuda/cuda-installation-guide-linux/index.html"
        )
        raise TypeError("pybind11::init(): factory function returned nullptr")


def num_dla_cores(trt: Any) -> int:
    """DLA cores that this version can use on this device."""
    return int(trt.settings.num_dla_cores) if trt.number <= LAST_WITH_DLA else 0


def checked(trt: Any, network: Any, config: Any) -> Options:
    """Refuse what cannot be built.

    Raises:
        RefusedError: with TensorRT's words.
    """
    if network._model is None or not network._outputs:
        raise RefusedError("Error Code 4: API Usage Error (Network must have at least one output)")
    typed = network._is_typed()
    _require_flags(network, config, typed)
    _require_profiles(network, config)
    quantized = any(layer._kind == "QUANTIZE" for layer in network._layers)
    quantized |= any(layer._kind == "DEQUANTIZE" for layer in network._layers)
    if quantized and not typed and not config._has("INT8"):
        raise RefusedError(
            "Error Code 4: API Usage Error (Network validation: Int8 precision has been set for a "
            "layer or layer output, but int8 is not configured in the builder)"
        )
    scales: frozenset[str] = frozenset()
    if config._has("INT8") and not quantized:
        scales = _calibrated(trt, network, config)
    return Options(
        typed=typed,
        fp16=config._has("FP16"),
        int8=config._has("INT8"),
        obey=any(config._has(f"{word}_PRECISION_CONSTRAINTS") for word in ("OBEY", "PREFER")),
        scales=scales,
        dla=_on_dla(trt, network, config),
        refused=frozenset(trt.settings.slow_in_int8),
    )


def _require_flags(network: Any, config: Any, typed: bool) -> None:
    if not typed:
        return
    for name, constant in (("FP16", "kFP16"), ("INT8", "kINT8"), ("BF16", "kBF16")):
        if config._has(name):
            raise RefusedError(
                "Error Code 3: API Usage Error (Parameter check failed, condition: "
                f"!config.getFlag(BuilderFlag::{constant}))"
            )
    if network._violated:
        raise RefusedError(
            "Error Code 3: API Usage Error (layer precisions were set in a strongly typed network)"
        )


def _require_profiles(network: Any, config: Any) -> None:
    dynamic = [tensor for tensor in network._inputs if -1 in (tensor._shape or ())]
    if dynamic and not config._profiles:
        raise RefusedError(
            "Error Code 4: API Usage Error (Network has dynamic or shape inputs, but no "
            "optimization profile has been defined.)"
        )
    for number, profile in enumerate(config._profiles):
        for tensor in dynamic:
            if tensor._name not in profile._shapes:
                raise RefusedError(
                    f"Error Code 4: API Usage Error ({tensor._name}: dynamic input is missing "
                    f"dimensions in profile {number}.)"
                )
        for name, shapes in profile._shapes.items():
            own = next((item._shape for item in network._inputs if item._name == name), None)
            if own is None:
                raise RefusedError(
                    f"Error Code 4: API Usage Error ({name} is no input of the network)"
                )
            for shape in shapes:
                fits = len(shape) == len(own) and all(
                    a in (-1, b) for a, b in zip(own, shape, strict=True)
                )
                if not fits:
                    raise RefusedError(
                        f"Error Code 4: API Usage Error ({name}: profile {number} does not match "
                        f"network definition (got {shape}, expected {own}))"
                    )


def _calibrated(trt: Any, network: Any, config: Any) -> frozenset[str]:
    """Tensors with a range, from the calibrator's cache.

    Without a calibrator TensorRT warns and builds without INT8. With one that has no cache it would
    calibrate; the calibrators here have no pictures, so that the build ends.
    """
    calibrator = config.__dict__.get("_calibrator")
    if calibrator is None:
        trt.log(
            "WARNING",
            "Calibrator is not being used. Users must provide dynamic range for all tensors that "
            "are not Int32 or Bool.",
        )
        return frozenset()
    dynamic = any(-1 in (tensor._shape or ()) for tensor in network._inputs)
    if dynamic and config.__dict__.get("_calibration_profile") is None:
        raise RefusedError(
            "Error Code 4: API Usage Error (Calibration profile is not defined for a network with "
            "dynamic shapes)"
        )
    cache = _asked(calibrator.read_calibration_cache)
    header = f"TRT-{_stamp(trt.version)}-EntropyCalibration2\n".encode()
    if cache is not None and bytes(cache).startswith(header):
        lines = bytes(cache)[len(header) :].decode().splitlines()
        scales = frozenset(line.rsplit(":", 1)[0] for line in lines if ":" in line)
        if scales:
            return scales
    names = [tensor._name for tensor in network._inputs]
    _asked(calibrator.get_batch_size)
    if not _asked(lambda: calibrator.get_batch(names)):
        raise RefusedError(
            "Error Code 2: Internal Error (Calibration failure occurred with no scaling factors "
            "detected. This could be due to no int8 calibrator or insufficient custom scales for "
            "network layers.)"
        )
    raise NotImplementedError("device_fakes calibrates from a cache only")


def _stamp(version: str) -> str:
    # NV_TENSORRT_VERSION: 8601 for 8.6.1, 100300 for 10.3.0.
    major, minor, patch = map(int, version.split("."))
    return str(
        major * 1000 + minor * 100 + patch if major < 10 else (major * 100 + minor) * 100 + patch
    )


def _asked(question: Any) -> Any:
    try:
        return question()
    except Exception as error:  # what Python raises inside is printed, no more
        print(f"[ERROR] Exception caught in a calibrator: {error}", file=sys.stderr)
        return None


def _on_dla(trt: Any, network: Any, config: Any) -> frozenset[str]:
    if config.default_device_type.name != "DLA":
        return frozenset()
    cores = num_dla_cores(trt)
    if not cores:
        raise RefusedError("Error Code 3: API Usage Error (DLA is not supported on this device)")
    if config.DLA_core >= cores:
        raise RefusedError(
            f"Error Code 3: API Usage Error (DLA core {config.DLA_core} is not available)"
        )
    if not config._has("FP16") and not config._has("INT8"):
        raise RefusedError(
            "Error Code 9: Internal Error (Default DLA is enabled but no layer can run on it: DLA "
            "supports FP16 and INT8 precision only)"
        )
    for profile in config._profiles:
        if any(len(set(shapes)) != 1 for shapes in profile._shapes.values()):
            raise RefusedError(
                "Error Code 9: Internal Error (DLA does not support dynamic shapes: min, opt and "
                "max of a profile must be the same)"
            )
    working = [layer for layer in network._layers if layer._kind != "CONSTANT"]
    runs = [layer._name for layer in working if runs_on_dla(layer)]
    if len(runs) < len(working) and not config._has("GPU_FALLBACK"):
        first = next(layer for layer in working if not runs_on_dla(layer))
        raise RefusedError(
            f"Error Code 4: Internal Error (Internal error: layer {first._name} is not supported "
            "on DLA and GPU fallback is not enabled)"
        )
    return frozenset(runs)


def _plan(trt: Any, network: Any, config: Any) -> Plan:
    settings = trt.settings
    options = checked(trt, network, config)
    if trt.gpu.is_to_fail("build"):
        name = network._layers[-1]._name
        raise RefusedError(
            f"Error Code 10: Internal Error (Could not find any implementation for node {name}.)"
        )
    largest = max((_elements(profile) for profile in config._profiles), default=1)
    needed = 16 * largest + 2 * len(network._model)
    if needed > trt.gpu.memory.free_bytes:
        raise RefusedError(f"Error Code 2: OutOfMemory (Requested size was {needed} bytes.)")
    trt.builds += 1
    cache = config.__dict__.get("_cache")
    layers = planned_layers(network, options)
    if cache is not None:
        cache._entries |= {layer["name"]: 0.1 for layer in layers}
    noise = settings.engine_noise(trt.builds)
    json.dumps(noise)  # a float, or one for each class
    return Plan(
        tensorrt=trt.version,
        gpu=trt.gpu.name,
        compute_capability=list(trt.gpu.compute_capability),
        build_number=trt.builds,
        noise=noise,
        latency_ms=float(settings.engine_latency_ms(trt.builds)),
        verbosity=config.profiling_verbosity.name,
        profiles=[
            {name: [list(shape) for shape in shapes] for name, shapes in profile._shapes.items()}
            for profile in config._profiles
        ]
        or [{}],
        layers=layers,
        device_memory_bytes=16 * largest,
        dla_core=config.DLA_core if options.dla else -1,
        model=network._model,
    )


def _elements(profile: Any) -> int:
    total = 0
    for shapes in profile._shapes.values():
        count = 1
        for side in shapes[2]:
            count *= side
        total += count
    return total


BUILDER_BEHAVIOURS: dict[str, type] = {"Builder": Builder, **CONFIG_BEHAVIOURS}
