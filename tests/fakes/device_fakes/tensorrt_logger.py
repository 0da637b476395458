"""Loggers, host memory, and the calibrators that users derive from."""

from __future__ import annotations

import ctypes
from typing import Any


class ILogger:
    """Derived by users; `log` is called from inside TensorRT."""

    def __init__(self) -> None:
        """Nothing to set up."""

    def log(self, severity: Any, msg: str) -> None:
        raise RuntimeError('Tried to call pure virtual function "nvinfer1::ILogger::log"')


class Logger:
    """TensorRT's own logger, which prints to the process's stdout and not through Python."""

    _min = 2

    def __init__(self, min_severity: Any = None) -> None:
        if min_severity is not None:
            self._min = int(min_severity)

    def log(self, severity: Any, msg: str) -> None:
        """Nothing can be seen of it in Python."""

    @property
    def min_severity(self) -> Any:
        return self._trt.enums["ILogger.Severity"](self._min)

    @min_severity.setter
    def min_severity(self, value: Any) -> None:
        self._min = int(value)


class HostMemory:
    """Bytes owned by TensorRT: a buffer without a length, see `host_memory`."""

    _nbytes: int

    @property
    def nbytes(self) -> int:
        return self._nbytes

    @property
    def dtype(self) -> Any:
        return self._trt.enums["DataType"].INT8


OF_AN_ARRAY = {
    "__len__": "has no len()",
    "__getitem__": "is not subscriptable",
    "__iter__": "is not iterable",
}


def _lacks(what: str) -> Any:
    def refuse(self: Any, *given: Any) -> Any:
        raise TypeError(f"object of type {type(self).__name__!r} {what}")

    return refuse


def host_memory(trt: Any, content: bytes) -> Any:
    """An IHostMemory.

    A class written in Python exports no buffer before 3.12; an array of ctypes does, so each of
    them is one, without what an array could do and an IHostMemory cannot.
    """
    kind = trt.module.IHostMemory
    array = ctypes.c_uint8 * len(content)
    members = {name: _lacks(what) for name, what in OF_AN_ARRAY.items()}
    made = type("IHostMemory", (kind, array), {"__module__": kind.__module__, **members})
    memory = made.from_buffer_copy(content)
    memory._constructed, memory._nbytes = True, len(content)
    return memory


class Calibrator:
    """Derived by users."""

    def __init__(self) -> None:
        """Nothing to set up."""

    def get_batch_size(self) -> int:
        raise RuntimeError("Tried to call pure virtual function get_batch_size")

    def get_batch(self, names: list[str]) -> Any:
        raise RuntimeError("Tried to call pure virtual function get_batch")

    def read_calibration_cache(self) -> Any:
        raise RuntimeError("Tried to call pure virtual function read_calibration_cache")

    def write_calibration_cache(self, cache: Any) -> None:
        raise RuntimeError("Tried to call pure virtual function write_calibration_cache")

    def get_algorithm(self) -> Any:
        return self._trt.enums["CalibrationAlgoType"].ENTROPY_CALIBRATION_2


LOGGER_BEHAVIOURS: dict[str, type] = {
    "ILogger": ILogger,
    "Logger": Logger,
    "IHostMemory": HostMemory,
    "IInt8EntropyCalibrator2": Calibrator,
}
