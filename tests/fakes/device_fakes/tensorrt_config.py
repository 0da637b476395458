"""IBuilderConfig, IOptimizationProfile and ITimingCache."""

from __future__ import annotations

import json
from typing import Any

from device_fakes.tensorrt_dla import runs_on_dla
from device_fakes.tensorrt_logger import host_memory
from device_fakes.tensorrt_state import shape_of

CACHE_MAGIC = b"fake timing cache "


class Config:
    """IBuilderConfig."""

    _flag_bits: int
    _profiles: list[Any]
    _limits: dict[str, int]

    avg_timing_iterations = 1
    max_aux_streams = 0
    max_num_tactics = -1
    plugins_to_serialize = ()
    profile_stream = 0
    DLA_core = -1
    num_optimization_profiles = property(lambda self: len(self._profiles))

    def _has(self, name: str) -> bool:
        flags = self._trt.enums["BuilderFlag"].__members__
        return name in flags and bool(self._flag_bits >> int(flags[name]) & 1)

    def _flag(self, flag: Any, call: str) -> int:
        if not isinstance(flag, self._trt.enums["BuilderFlag"]):
            raise TypeError(f"{call}(): incompatible function arguments: {flag!r}")
        return 1 << int(flag)

    def set_flag(self, flag: Any) -> None:
        self._flag_bits |= self._flag(flag, "set_flag")

    def clear_flag(self, flag: Any) -> None:
        self._flag_bits &= ~self._flag(flag, "clear_flag")

    def get_flag(self, flag: Any) -> bool:
        return bool(self._flag_bits & self._flag(flag, "get_flag"))

    @property
    def flags(self) -> int:
        return self._flag_bits

    @flags.setter
    def flags(self, value: int) -> None:
        self._flag_bits = int(value)

    @property
    def builder_optimization_level(self) -> int:
        return int(self.__dict__.get("_level", 3))

    @builder_optimization_level.setter
    def builder_optimization_level(self, value: int) -> None:
        if isinstance(value, float):
            raise TypeError("builder_optimization_level: incompatible function arguments")
        self._level = min(int(value), 5)  # more is clipped without a word

    @property
    def profiling_verbosity(self) -> Any:
        kind = self._trt.enums["ProfilingVerbosity"]
        return kind.__members__[self.__dict__.get("_verbosity", "LAYER_NAMES_ONLY")]

    @profiling_verbosity.setter
    def profiling_verbosity(self, value: Any) -> None:
        if not isinstance(value, self._trt.enums["ProfilingVerbosity"]):
            raise TypeError(f"profiling_verbosity: incompatible function arguments: {value!r}")
        self._verbosity = value.name

    @property
    def default_device_type(self) -> Any:
        kind = self._trt.enums["DeviceType"]
        return kind.__members__[self.__dict__.get("_device", "GPU")]

    @default_device_type.setter
    def default_device_type(self, value: Any) -> None:
        if not isinstance(value, self._trt.enums["DeviceType"]):
            raise TypeError(f"default_device_type: incompatible function arguments: {value!r}")
        self._device = value.name

    def can_run_on_DLA(self, layer: Any) -> bool:  # noqa: N802  # its name in TensorRT
        return runs_on_dla(layer)

    def set_memory_pool_limit(self, pool: Any, pool_size: int) -> None:
        kind = self._trt.enums["MemoryPoolType"]
        if not isinstance(pool, kind) or isinstance(pool_size, float) or pool_size < 0:
            raise TypeError(
                f"set_memory_pool_limit(): incompatible function arguments: {pool_size}"
            )
        self._limits[pool.name] = int(pool_size)

    def get_memory_pool_limit(self, pool: Any) -> int:
        return self._limits.get(pool.name, int(self._trt.gpu.memory_bytes))

    def add_optimization_profile(self, profile: Any) -> int:
        trt = self._trt
        if not isinstance(profile, trt.module.IOptimizationProfile):
            raise TypeError(f"add_optimization_profile(): incompatible arguments: {profile!r}")
        if not profile._is_valid():
            trt.error("Invalid optimization profiles for input tensors")
            return -1
        self._profiles.append(profile)
        return len(self._profiles) - 1

    def create_timing_cache(self, serialized_timing_cache: Any) -> Any:
        trt = self._trt
        content = bytes(serialized_timing_cache)
        if not content:
            return trt.make("ITimingCache", source=_stamp(trt), entries={})
        try:
            if not content.startswith(CACHE_MAGIC):
                raise ValueError
            value = json.loads(content[len(CACHE_MAGIC) :])
            source, entries = value["source"], value["entries"]
        except (ValueError, KeyError):
            # Seen with TensorRT-RTX 1.7.1: no error, but an empty cache.
            trt.log("WARNING", "The timing cache will not be used!")
            trt.log(
                "WARNING", "Failed to deserialize timing cache. Returning an empty timing cache."
            )
            return trt.make("ITimingCache", source=_stamp(trt), entries={})
        return trt.make("ITimingCache", source=source, entries=entries)

    def set_timing_cache(self, cache: Any, ignore_mismatch: bool) -> bool:
        trt = self._trt
        if not isinstance(cache, trt.module.ITimingCache) or not isinstance(ignore_mismatch, bool):
            raise TypeError("set_timing_cache(): incompatible function arguments")
        if cache._source != _stamp(trt) and not ignore_mismatch:
            trt.error(
                "Error Code 3: API Usage Error (the timing cache was created by another TensorRT "
                "or on another device)"
            )
            return False
        self._cache = cache
        return True

    def get_timing_cache(self) -> Any:
        return self.__dict__.get("_cache")

    @property
    def int8_calibrator(self) -> Any:
        return self.__dict__.get("_calibrator")

    @int8_calibrator.setter
    def int8_calibrator(self, value: Any) -> None:
        kind = self._trt.module.IInt8Calibrator
        if value is not None and not isinstance(value, kind):
            raise TypeError(f"int8_calibrator: incompatible function arguments: {value!r}")
        if value is not None and not value.__dict__.get("_constructed"):
            raise TypeError(
                f"tensorrt.tensorrt.{type(value).__mro__[1].__name__}.__init__() must be called "
                "when overriding __init__"
            )
        self._calibrator = value

    def set_calibration_profile(self, profile: Any) -> bool:
        self._calibration_profile = profile
        return bool(profile._is_valid())

    def get_calibration_profile(self) -> Any:
        return self.__dict__.get("_calibration_profile")


class Profile:
    """IOptimizationProfile."""

    _shapes: dict[str, list[tuple[int, ...]]]

    def set_shape(self, input: str, min: Any, opt: Any, max: Any) -> None:  # noqa: A002
        if not isinstance(input, str):
            raise TypeError(f"set_shape(): incompatible function arguments: {input!r}")
        shapes = [shape_of(item) for item in (min, opt, max)]
        # 11 says nothing here (seen with TensorRT-RTX 1.7.1), and refuses the profile later on.
        if self._trt.number < (11, 0) and not _in_order(shapes):
            raise RuntimeError("Shape provided for max is inconsistent with other shapes.")
        self._shapes[input] = shapes

    def get_shape(self, input: str) -> list[Any]:  # noqa: A002
        trt = self._trt
        if input not in self._shapes:
            trt.error(f"Cannot get dimensions for input: {input}.")
            return []
        return [trt.dims(shape) for shape in self._shapes[input]]

    def __bool__(self) -> bool:
        return True

    def _is_valid(self) -> bool:
        return bool(self._shapes) and all(_in_order(shapes) for shapes in self._shapes.values())


class TimingCache:
    """ITimingCache."""

    _source: str
    _entries: dict[str, float]

    def serialize(self) -> Any:
        value = {"source": self._source, "entries": self._entries}
        return host_memory(self._trt, CACHE_MAGIC + json.dumps(value).encode())

    def combine(self, input_cache: Any, ignore_mismatch: bool) -> bool:
        if input_cache._source != self._source and not ignore_mismatch:
            return False
        self._entries |= input_cache._entries
        return True

    def reset(self) -> bool:
        self._entries.clear()
        return True


def _stamp(trt: Any) -> str:
    return f"TensorRT {trt.version} on {trt.gpu.name}"


def _in_order(shapes: list[tuple[int, ...]]) -> bool:
    low, best, high = shapes
    same_rank = len(low) == len(best) == len(high)
    return same_rank and all(0 < a <= b <= c for a, b, c in zip(low, best, high, strict=True))


CONFIG_BEHAVIOURS: dict[str, type] = {
    "IBuilderConfig": Config,
    "IOptimizationProfile": Profile,
    "ITimingCache": TimingCache,
}
