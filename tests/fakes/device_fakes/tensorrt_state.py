"""What the classes of one fake TensorRT share: its version, its GPU, its log, its shapes."""

from __future__ import annotations

import types
from dataclasses import dataclass, field
from typing import Any

from device_fakes.gpu import Gpu


@dataclass(eq=False)
class TensorRTState:
    """One module's state.

    Attributes:
        version: such as "10.3.0".
        gpu: that engines run on.
        settings: a FakeMachine.
        module: itself.
        enums: by name.
        first_logger: the one that the process keeps.
        builds: how many engines were built.
    """

    version: str
    gpu: Gpu
    settings: Any
    module: types.ModuleType
    enums: dict[str, Any] = field(default_factory=dict)
    first_logger: Any = None
    builds: int = 0

    @property
    def number(self) -> tuple[int, int]:
        """Major and minor."""
        major, minor = self.version.split(".")[:2]
        return int(major), int(minor)

    def make(self, kind: str, /, **state: Any) -> Any:
        """An object of a class that has no constructor in Python."""
        made = object.__new__(getattr(self.module, kind))
        object.__setattr__(made, "_constructed", True)
        for key, value in state.items():
            object.__setattr__(made, f"_{key}", value)
        return made

    def use_logger(self, logger: Any) -> None:
        """Take a logger: TensorRT keeps the first of a process and warns about another one."""
        if self.first_logger is None:
            self.first_logger = logger
        elif logger is not self.first_logger:
            self.log(
                "WARNING",
                "The logger passed into createInferBuilder differs from one already provided for "
                "an existing builder, runtime, or refitter. Uses of the global logger, returned by "
                "nvinfer1::getLogger(), will return the existing value.",
            )

    def log(self, severity: str, message: str) -> None:
        """Say something."""
        if self.first_logger is not None:
            self.first_logger.log(self.enums["ILogger.Severity"].__members__[severity], message)

    def error(self, message: str) -> None:
        """Say what went wrong; the caller then returns None or False."""
        self.log("ERROR", message)

    def parameter_check(self, where: str, condition: str, more: str = "") -> None:
        """The form of the errors about wrong use."""
        text = f"{condition}.{' ' if more else ''}{more}"
        self.error(
            f"{where}: Error Code 3: API Usage Error (Parameter check failed, condition: {text})"
        )

    def dims(self, shape: Any) -> Any:
        """A Dims of this module."""
        return self.module.Dims(shape)


def dims_class() -> type:
    """`tensorrt.Dims`: a shape that compares with tuples; rank -1 says that there is none."""

    class Dims:
        MAX_DIMS = 8

        def __init__(self, shape: Any = ()) -> None:
            self._rank = -1 if shape is None else len(shape)
            self._sides = [int(side) for side in (shape or ())]
            if len(self._sides) > self.MAX_DIMS:
                raise ValueError("Dims has at most 8 dimensions")

        def __len__(self) -> int:
            # Python takes no negative length: pybind11 turns the rank -1 into this error.
            if self._rank < 0:
                raise ValueError("__len__() should return >= 0")
            return self._rank

        def __getitem__(self, index: Any) -> Any:
            return tuple(self._sides[index]) if isinstance(index, slice) else self._sides[index]

        def __setitem__(self, index: int, side: int) -> None:
            self._sides[index] = side

        def __eq__(self, other: object) -> bool:
            if isinstance(other, Dims):
                return other._sides == self._sides and other._rank == self._rank
            if isinstance(other, tuple | list):
                return list(other) == self._sides
            return NotImplemented

        __hash__ = None

        def __repr__(self) -> str:
            inner = ", ".join(map(str, self._sides))
            return f"({inner},)" if len(self._sides) == 1 else f"({inner})"

    Dims.__module__ = "tensorrt.tensorrt"
    Dims.__qualname__ = "Dims"
    return Dims


def shape_of(value: Any) -> tuple[int, ...]:
    """A tuple, list or Dims that was given as a shape.

    Raises:
        TypeError: if it is none.
    """
    if isinstance(value, str | bytes | int) or not hasattr(value, "__iter__"):
        raise TypeError(f"incompatible function arguments: {value!r} is no shape")
    sides = tuple(value)
    if any(isinstance(side, float) for side in sides):
        raise TypeError(f"incompatible function arguments: {value!r} is no shape")
    return tuple(int(side) for side in sides)
