"""The module `tensorrt` of one version, put together from the record and the behaviours."""

from __future__ import annotations

import types
from typing import Any

import numpy as np

from device_fakes.gpu import Gpu
from device_fakes.recorded import recorded_class, recorded_enum
from device_fakes.records import tensorrt_record
from device_fakes.tensorrt_builder import BUILDER_BEHAVIOURS
from device_fakes.tensorrt_engine import ENGINE_BEHAVIOURS
from device_fakes.tensorrt_logger import LOGGER_BEHAVIOURS
from device_fakes.tensorrt_network import NETWORK_BEHAVIOURS
from device_fakes.tensorrt_parser import PARSER_BEHAVIOURS
from device_fakes.tensorrt_state import TensorRTState, dims_class

ITEMSIZE = {"FLOAT": 4, "HALF": 2, "BF16": 2, "INT64": 8, "INT32": 4, "INT4": 0.5, "FP4": 0.5}
"""The other types have one byte."""

NUMPY = {
    "FLOAT": np.float32,
    "HALF": np.float16,
    "INT8": np.int8,
    "INT32": np.int32,
    "INT64": np.int64,
    "BOOL": np.bool_,
    "UINT8": np.uint8,
}


class _Nothing:
    """Behaviour of a class that does nothing here."""


def tensorrt_module(version: str, gpu: Gpu, settings: Any) -> types.ModuleType:
    """Make the module.

    Args:
        version: one of `ALL_VERSIONS`.
        gpu: that engines run on.
        settings: a FakeMachine, for what is to fail and how builds differ.
    """
    record = tensorrt_record(version)
    module = types.ModuleType("tensorrt")
    trt = TensorRTState(version, gpu, settings, module)
    module.__version__ = version
    for name, known in record.items():
        if known["kind"] == "enum":
            extra = {"itemsize": property(lambda value: ITEMSIZE.get(value.name, 1))}
            trt.enums[name] = recorded_enum(name, known, extra)
            if "." not in name:
                setattr(module, name, trt.enums[name])
    behaviours = {
        **LOGGER_BEHAVIOURS,
        **NETWORK_BEHAVIOURS,
        **PARSER_BEHAVIOURS,
        **BUILDER_BEHAVIOURS,
        **ENGINE_BEHAVIOURS,
    }
    for name, known in _bases_first(record):
        if name == "Dims":
            setattr(module, name, dims_class())
            continue
        bases = known.get("bases", [])
        base = getattr(module, bases[0]) if bases and hasattr(module, bases[0]) else object
        made = recorded_class(
            name, known, behaviour=behaviours.get(name, _Nothing), base=base, trt=trt
        )
        setattr(module, name, made)
    for owner in ("ILogger", "Logger"):
        kind = getattr(module, owner)
        kind.Severity = trt.enums["ILogger.Severity"]
        for member, value in kind.Severity.__members__.items():
            setattr(kind, member, value)
    for name, known in record.items():
        if known["kind"] == "attr" and "." in known["value"]:
            kind_name, value = known["value"].split(".")
            setattr(module, name, getattr(trt.enums[kind_name], value))
    module.nptype = _nptype(trt)
    module.volume = _volume
    return module


def _bases_first(record: dict[str, Any]) -> list[tuple[str, Any]]:
    classes = [(name, known) for name, known in record.items() if known["kind"] == "class"]
    return sorted(classes, key=lambda item: _depth(item[0], record))


def _depth(name: str, record: dict[str, Any]) -> int:
    bases = record[name].get("bases", []) if name in record else []
    return 1 + max((_depth(base, record) for base in bases), default=0)


def _nptype(trt: TensorRTState) -> Any:
    def nptype(trt_type: Any) -> Any:
        known = dict(NUMPY)
        if trt.number < (10, 0):
            del known["INT64"]
        if trt_type.name not in known:
            raise TypeError("Could not resolve TensorRT datatype to an equivalent numpy datatype.")
        return known[trt_type.name]

    return nptype


def _volume(iterable: Any) -> int:
    return int(np.prod(list(iterable), dtype=np.int64)) if len(iterable) else 1
