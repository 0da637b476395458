"""Classes and enums made from TensorRT's record: no name, argument or setter that is not in it.

A behaviour is an ordinary class that knows all versions. `recorded_class` takes from it only what
the record of one version has, wraps each method so that it takes the recorded arguments and warns
where the record says so, and leaves the rest out: what is not there raises AttributeError as it
does on the device. What is recorded and has no behaviour raises NotImplementedError when used.

The texts of the exceptions are those of pybind11, seen with TensorRT-RTX 1.7.1.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

MODULE = "tensorrt.tensorrt"
Record = dict[str, Any]


class RecordedEnum:
    """A value of an enum, as pybind11 makes them: no arithmetic, equal only to its own kind."""

    _values: dict[str, RecordedEnum]
    name: str
    value: int

    def __new__(cls, value: int) -> RecordedEnum:
        for item in cls._values.values():
            if item.value == value:
                return item
        raise ValueError(f"{value} is no value of {cls.__name__}")

    def __int__(self) -> int:
        return self.value

    __index__ = __int__

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.value == self.value

    def __hash__(self) -> int:
        return self.value

    def __repr__(self) -> str:
        return f"<{type(self).__name__}.{self.name}: {self.value}>"

    def __str__(self) -> str:
        return f"{type(self).__name__}.{self.name}"


def recorded_enum(name: str, record: Record, extra: dict[str, Any]) -> type[RecordedEnum]:
    """Make an enum.

    Args:
        name: of it; what is before a dot is the class that it is in.
        record: of it.
        extra: attributes beside its values, of those that are recorded.
    """
    short = name.rsplit(".", 1)[-1]
    kept = {key: value for key, value in extra.items() if key in record["members"]}
    made = type(short, (RecordedEnum,), {"__module__": MODULE, **kept})
    made._values = {}
    for member, known in record["members"].items():
        if known["kind"] == "value":
            value = object.__new__(made)
            value.name, value.value = member, known["int"]
            made._values[member] = value
            setattr(made, member, value)
    made.__members__ = dict(made._values)
    return made


def recorded_class(name: str, record: Record, *, behaviour: type, base: type, trt: Any) -> type:
    """Make a class.

    Args:
        name: of it.
        record: of it.
        behaviour: class to take the implementations from, and all names with one underscore.
        base: class it is derived from, `object` if the record has none.
        trt: the module's state, given to the instances as `_trt`.
    """
    members: dict[str, Any] = {
        key: value
        for key, value in vars(behaviour).items()
        if key.startswith("_") and (not key.startswith("__") or key in record["members"])
    }
    members |= {"__module__": MODULE, "__doc__": behaviour.__doc__, "_trt": trt, "_recorded": name}
    settable = {"__class__"}
    for member, known in record["members"].items():
        kind, own = known["kind"], vars(behaviour).get(member)
        if kind == "init":
            members["__init__"] = _constructor(name, known, own)
        elif kind == "method" and member not in ("__del__", "__buffer__"):
            members[member] = _method(name, member, known, own)
        elif kind in ("property", "readonly", "writeonly") and not known.get("static"):
            members[member] = _property(name, member, known, own)
            if kind != "readonly":
                settable.add(member)
    if "__init__" not in record["members"]:
        members["__init__"] = _no_constructor
    members["_settable"] = settable | getattr(base, "_settable", set())
    members["__setattr__"] = _guarded_setattr
    made = type(name, (base,), members)
    for value in ("__hash__",):
        if value not in members:
            setattr(made, value, object.__hash__)
    return made


def bind(name: str, record: Record, given: tuple[Any, ...], named: Record) -> Record:
    """Match a call with what is recorded, also with each overload.

    Returns:
        Arguments by name; unnamed ones as "0", "1" ...

    Raises:
        TypeError: if there is no such way to call it.
    """
    for form in record.get("overloads") or [record]:
        arguments = list(form.get("args") or [])
        unnamed = form.get("positional") or 0
        if not arguments and unnamed:
            if len(given) == unnamed and not named:
                return {str(number): value for number, value in enumerate(given)}
            continue
        required = [item for item in arguments if item not in form.get("defaults", {})]
        values = dict(zip(arguments, given, strict=False))
        fits = len(given) <= len(arguments) and not set(named) & set(values)
        values |= named
        if fits and set(values) <= set(arguments) and set(required) <= set(values):
            return values
    wanted = record.get("overloads") or [record]
    forms = "\n".join(
        f"    {number}. {name}({', '.join(form.get('args') or [])})"
        for number, form in enumerate(wanted, 1)
    )
    raise TypeError(
        f"{name}(): incompatible function arguments. The following argument types are supported:\n"
        f"{forms}\n\nInvoked with: {given}; kwargs: {named}"
    )


def wrong_type(name: str, value: object) -> TypeError:
    """What pybind11 raises for an argument of the wrong type."""
    return TypeError(
        f"{name}(): incompatible function arguments. Invoked with: {type(value).__name__} {value!r}"
    )


def _constructor(name: str, record: Record, own: Callable[..., None] | None) -> Any:
    def construct(self: Any, *given: Any, **named: Any) -> None:
        values = bind(f"{MODULE}.{name}", record, given, named)
        object.__setattr__(self, "_constructed", True)
        if own is not None:
            own(self, **values)

    return construct


def _no_constructor(self: Any, *given: Any, **named: Any) -> None:
    raise TypeError(f"{MODULE}.{type(self).__name__}: No constructor defined!")


def _guarded_setattr(self: Any, name: str, value: Any) -> None:
    inherited = type(self).__dict__.get("_recorded") is None  # a subclass written in Python
    if name.startswith("_") or name in self._settable or inherited:
        object.__setattr__(self, name, value)
    elif isinstance(getattr(type(self), name, None), property):
        raise AttributeError(f"property of {type(self).__name__!r} object has no setter")
    else:
        raise AttributeError(f"{MODULE}.{type(self).__name__!r} object has no attribute {name!r}")


def _method(name: str, member: str, record: Record, own: Callable[..., Any] | None) -> Any:
    def method(self: Any, *given: Any, **named: Any) -> Any:
        values = bind(f"{name}.{member}", record, given, named)
        _require_constructed(self)
        _warn(record.get("deprecated"), verbatim=bool(record.get("python")))
        if own is None:
            if member == "__enter__":
                return self
            if member == "__exit__":
                return None
            raise NotImplementedError(f"device_fakes has no {name}.{member} yet")
        if any(key.isdigit() for key in values):
            return own(self, *values.values())
        return own(self, **values)

    method.__name__ = member
    return method


def _property(name: str, member: str, record: Record, own: Any) -> property:
    def get(self: Any) -> Any:
        _require_constructed(self)
        _warn(record.get("deprecated"))
        if isinstance(own, property):
            assert own.fget is not None
            return own.fget(self)
        if own is None or callable(own):
            raise NotImplementedError(f"device_fakes has no {name}.{member} yet")
        return self.__dict__.get(f"_value_{member}", own)  # a plain default in the behaviour

    def put(self: Any, value: Any) -> None:
        _require_constructed(self)
        _warn(record.get("deprecated_set"))
        if isinstance(own, property):
            assert own.fset is not None, f"the behaviour of {name}.{member} has no setter"
            own.fset(self, value)
        elif own is None:
            raise NotImplementedError(f"device_fakes has no {name}.{member} yet")
        else:
            object.__setattr__(self, f"_value_{member}", value)

    return property(
        None if record["kind"] == "writeonly" else get,
        None if record["kind"] == "readonly" else put,
    )


def _require_constructed(self: Any) -> None:
    if not self.__dict__.get("_constructed"):
        raise TypeError(
            f"{MODULE}.{self._recorded}.__init__() must be called when overriding __init__"
        )


def _warn(text: str | None, *, verbatim: bool = False) -> None:
    if text:
        message = text if verbatim else f"Use {text} instead."
        warnings.warn(message, DeprecationWarning, stacklevel=3)
