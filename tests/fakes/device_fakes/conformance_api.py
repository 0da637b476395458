"""The records as the check asks them: what is X.Y, how is it called, what comes back.

A type is a `Kind`: what is known about the value of an expression. `PLAIN` is Python's own and
needs no check; `UNKNOWN` is somebody else's class.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from device_fakes.records import (
    Record,
    cuda_python_record,
    pycuda_record,
    tensorrt_record,
)


@dataclass(frozen=True)
class Kind:
    """What is known about a value.

    Attributes:
        sort: "module", "class", "instance", "enum" (the class), "value" (of an enum), "function",
            "many" (a list of `inner`), "pair" (number and `inner`), "pinned" (an array of
            pycuda), "capabilities", "tensorrt" (runtime's TensorRT), "known" (a bool), "any",
            "plain" or "unknown".
        name: of the class, enum or function; for "any" what it is, in words.
        inner: of the items of "many"; of what a "function" returns.
        forms: ways to call a "function".
        truth: of "known".
    """

    sort: str
    name: str = ""
    inner: Kind | None = None
    forms: tuple[Form, ...] = ()
    truth: bool = False


@dataclass(frozen=True)
class Form:
    """One way to call a function.

    Attributes:
        names: of its arguments; None for one that takes no keyword.
        required: how many must be given.
    """

    names: tuple[str | None, ...]
    required: int


PLAIN = Kind("plain")
UNKNOWN = Kind("unknown")


def instance(name: str) -> Kind:
    """An object of a recorded class."""
    return Kind("instance", name)


def many(inner: Kind) -> Kind:
    """A list, tuple or iterator."""
    return Kind("many", inner=inner)


def unresolved(what: str) -> Kind:
    """Something of the library whose class the tables do not tell."""
    return Kind("any", what)


class NotInRecord(Exception):  # noqa: N818  # it is a finding, not a failure
    """What was touched is not there, in words."""


TENSORRT_RESULTS: dict[str, str] = {
    "Builder.create_network": "INetworkDefinition",
    "Builder.create_builder_config": "IBuilderConfig",
    "Builder.create_optimization_profile": "IOptimizationProfile",
    "Builder.build_serialized_network": "IHostMemory",
    "Builder.num_DLA_cores": "",
    "INetworkDefinition.get_input": "ITensor",
    "INetworkDefinition.get_output": "ITensor",
    "INetworkDefinition.get_layer": "ILayer",
    "INetworkDefinition.name": "",
    "INetworkDefinition.num_inputs": "",
    "INetworkDefinition.num_outputs": "",
    "INetworkDefinition.num_layers": "",
    "ILayer.get_input": "ITensor",
    "ILayer.get_output": "ITensor",
    "ILayer.name": "",
    "ILayer.metadata": "",
    "ILayer.type": "LayerType",
    "ILayer.precision": "DataType",
    "ITensor.name": "",
    "ITensor.shape": "Dims",
    "ITensor.dtype": "DataType",
    "OnnxParser.parse": "",
    "OnnxParser.num_errors": "",
    "OnnxParser.get_error": "ParserError",
    "ParserError.code": "ErrorCode",
    "ParserError.desc": "",
    "ParserError.node": "",
    "ParserError.node_name": "",
    "ParserError.node_operator": "",
    "IBuilderConfig.create_timing_cache": "ITimingCache",
    "IBuilderConfig.get_timing_cache": "ITimingCache",
    "IBuilderConfig.set_timing_cache": "",
    "IBuilderConfig.add_optimization_profile": "",
    "IBuilderConfig.can_run_on_DLA": "",
    "ITimingCache.serialize": "IHostMemory",
    "IHostMemory.nbytes": "",
    "Runtime.deserialize_cuda_engine": "ICudaEngine",
    "Runtime.num_DLA_cores": "",
    "ICudaEngine.create_execution_context": "IExecutionContext",
    "ICudaEngine.create_engine_inspector": "EngineInspector",
    "ICudaEngine.device_memory_size": "",
    "ICudaEngine.device_memory_size_v2": "",
    "ICudaEngine.num_io_tensors": "",
    "ICudaEngine.num_layers": "",
    "ICudaEngine.num_optimization_profiles": "",
    "ICudaEngine.get_tensor_name": "",
    "ICudaEngine.get_tensor_mode": "TensorIOMode",
    "ICudaEngine.get_tensor_dtype": "DataType",
    "ICudaEngine.get_tensor_shape": "Dims",
    "ICudaEngine.get_tensor_profile_shape": "*Dims",
    "IExecutionContext.set_input_shape": "",
    "IExecutionContext.set_tensor_address": "",
    "IExecutionContext.set_optimization_profile_async": "",
    "IExecutionContext.execute_async_v3": "",
    "IExecutionContext.get_tensor_shape": "Dims",
    "IExecutionContext.infer_shapes": "",
    "IExecutionContext.active_optimization_profile": "",
    "EngineInspector.get_engine_information": "",
    "EngineInspector.get_layer_information": "",
    "DataType.itemsize": "",
}
"""What a call returns and a property holds; "" is Python's own, "*X" a list of X."""

PYCUDA_RESULTS: dict[str, str] = {
    "Device.retain_primary_context": "Context",
    "Device.name": "",
    "Device.compute_capability": "",
    "Device.total_memory": "",
    "Device.get_attribute": "",
    "Device.count": "",
    "Context.get_current": "Context",
    "Context.get_device": "Device",
    "Stream.handle": "",
    "Event.record": "Event",
    "Event.synchronize": "Event",
    "mem_alloc": "DeviceAllocation",
    "pagelocked_empty": "pinned",
    "pagelocked_zeros": "pinned",
    "mem_get_info": "",
    "get_driver_version": "",
    "PagelockedHostAllocation.get_device_pointer": "",
}
"""The same for pycuda; "pinned" is an array whose base is a PagelockedHostAllocation."""

OF_EVERY_MODULE = ("__doc__", "__name__")
NO_VALUE = ("__class__", "__doc__")


class Api:
    """One library in one version.

    Attributes:
        title: for messages.
    """

    def __init__(self, title: str, record: Record, results: dict[str, str]) -> None:
        self.title = title
        self._record = record
        self._results = results

    def attribute(self, of: Kind, name: str) -> Kind:
        """What `of.name` is.

        Raises:
            NotInRecord: if it is not there, or the class of `of` is not known.
        """
        if of.sort == "any":
            raise NotInRecord(
                f"{name!r} is touched on {of.name}, whose class cannot be told; name the variable "
                "as in device_fakes.conformance.NAMES, or add what returns it to the tables of "
                "device_fakes.conformance_api"
            )
        if of.sort == "module":
            return self._in_module(name)
        if of.sort in ("class", "instance"):
            return self._in_class(of, name)
        if of.sort == "enum":
            if name not in self._entry(of.name)["members"]:
                raise NotInRecord(f"{of.name} has no value {name!r}")
            return PLAIN if name in NO_VALUE else Kind("value", of.name)
        if of.sort == "value":
            if name not in ("name", "value") and name not in self._entry(of.name)["members"]:
                raise NotInRecord(f"a value of {of.name} has no {name!r}")
            return PLAIN
        return self._special(of, name)

    def _special(self, of: Kind, name: str) -> Kind:
        if of.sort == "pinned":
            if name == "base":
                return instance("PagelockedHostAllocation")
            if not hasattr(np.ndarray, name):
                raise NotInRecord(f"an array has no {name!r}")
        return PLAIN if of.sort in ("plain", "known", "pinned") else UNKNOWN

    def require_settable(self, of: Kind, name: str) -> None:
        """An attribute that is assigned to.

        Raises:
            NotInRecord: if there is none, or it cannot be set.
        """
        if of.sort in ("module", "class", "enum", "value"):
            raise NotInRecord(f"{of.name or 'the module'}.{name} is not ours to set")
        if of.sort == "any":
            self.attribute(of, name)
        if of.sort == "instance":
            member = self._member(of.name, name)
            if member is None or member["kind"] not in ("property", "writeonly"):
                what = "no" if member is None else f"a {member['kind']}, not a settable"
                raise NotInRecord(f"{of.name} has {what} {name!r}")

    def require_call(self, function: Kind, positional: int, keywords: set[str]) -> Kind:
        """The result of a call.

        Raises:
            NotInRecord: if it cannot be called with these arguments.
        """
        for form in function.forms:
            behind = set(form.names[positional:])
            if (
                positional <= len(form.names)
                and keywords <= behind
                and positional + len(keywords) >= form.required
                and not (set(form.names[positional : form.required]) - keywords)
            ):
                return function.inner or UNKNOWN
        wanted = " or ".join(
            f"({', '.join(name or '_' for name in form.names)})" for form in function.forms
        )
        given = ", ".join([*["_"] * positional, *(f"{name}=" for name in sorted(keywords))])
        raise NotInRecord(f"{function.name} takes {wanted or 'no call'}, is called with ({given})")

    def require_special(self, of: Kind, method: str) -> None:
        """A built-in that needs a method, such as `len`.

        Raises:
            NotInRecord: if the class has none.
        """
        if of.sort == "instance" and self._member(of.name, method) is None:
            raise NotInRecord(f"{of.name} has no {method}")

    def override_forms(self, base: Kind, name: str) -> tuple[Form, ...]:
        """How the library calls a method that a subclass of ours overrides.

        Raises:
            NotInRecord: if it calls none of this name.
        """
        member = self._member(base.name, name)
        if member is None or member["kind"] not in ("method", "init"):
            raise NotInRecord(f"{base.name} calls no method {name!r} of a subclass")
        return forms_of(member)

    def _entry(self, name: str) -> Record:
        entry: Record = self._record[name]
        return entry

    def _in_module(self, name: str) -> Kind:
        if name in OF_EVERY_MODULE:
            return PLAIN
        if name not in self._record or "." in name:
            raise NotInRecord(f"{self.title} has no {name!r}")
        entry = self._record[name]
        if entry["kind"] == "enum":
            return Kind("enum", name)
        if entry["kind"] == "class":
            init = entry["members"].get("__init__")
            forms = forms_of(init) if init else ()
            return Kind("class", name, instance(name), forms)
        if entry["kind"] == "function":
            return Kind("function", name, self._result(name), forms_of(entry))
        if entry["kind"] == "attr" and "." in entry.get("value", ""):
            return Kind("value", entry["value"].split(".")[0])
        return PLAIN

    def _in_class(self, of: Kind, name: str) -> Kind:
        nested = f"{of.name}.{name}"
        if nested in self._record and self._record[nested]["kind"] == "enum":
            return Kind("enum", nested)
        member = self._member(of.name, name)
        if member is None:
            raise NotInRecord(f"{of.name} has no {name!r}")
        if member["kind"] == "value":
            return Kind("value", f"{of.name}.Severity")
        if member["kind"] in ("method", "init"):
            return Kind("function", nested, self._result(nested), forms_of(member))
        if member["kind"] == "writeonly":
            raise NotInRecord(f"{nested} can only be set")
        if "value" in member:
            return Kind("enum", member["value"])
        return self._result(nested)

    def _member(self, of: str, name: str) -> Record | None:
        members = self._entry(of)["members"]
        if name in members:
            found: Record = members[name]
            return found
        for base in self._entry(of).get("bases", []):
            if base in self._record and (found_in_base := self._member(base, name)) is not None:
                return found_in_base
        return None

    def _result(self, name: str) -> Kind:
        told = self._results.get(name)
        if told is None:
            return unresolved(f"what {name} gives")
        if told.startswith("*"):
            return many(self.named(told[1:]))
        return self.named(told)

    def named(self, name: str) -> Kind:
        """A class or enum by its name."""
        if not name:
            return PLAIN
        if name == "pinned":
            return Kind("pinned")
        if name not in self._record:  # what gives it is not there either
            return UNKNOWN
        return Kind("value", name) if self._record[name]["kind"] == "enum" else instance(name)


def forms_of(record: Record) -> tuple[Form, ...]:
    """Ways to call what a record describes."""
    found = []
    for form in record.get("overloads") or [record]:
        names: list[str | None] = list(form.get("args") or [])
        unnamed = form.get("positional") or 0
        if not names and unnamed:
            names = [None] * unnamed
        required = form.get("required")
        if required is None:
            required = len(names) - len(form.get("defaults", {}))
        found.append(Form(tuple(names), required))
    return tuple(found)


def tensorrt_api(version: str) -> Api:
    """TensorRT's record of one version."""
    return Api(f"TensorRT {version}", tensorrt_record(version), TENSORRT_RESULTS)


def pycuda_api() -> Api:
    """pycuda's record in the same form."""
    record = pycuda_record()
    found: Record = {
        name: {"kind": "function", "members": {}, **signature}
        for name, signature in record["functions"].items()
    }
    for name, known in record["classes"].items():
        members: Record = {
            method: {"kind": "method", **signature}
            for method, signature in {**known["methods"], **known["static"]}.items()
        }
        members |= {prop: {"kind": "readonly"} for prop in known["properties"]}
        if "init" in known:
            members["__init__"] = {"kind": "init", **known["init"]}
        found[name] = {"kind": "class", "members": members}
    for alias, name in record["aliases"].items():
        found[alias] = found[name]
    found |= _enums(record["enums"])
    found |= {name: {"kind": "attr", "members": {}} for name in record["exceptions"]}
    return Api("pycuda.driver", found, PYCUDA_RESULTS)


def cuda_python_api() -> Api:
    """cuda-python's record in the same form."""
    record = cuda_python_record()
    found: Record = {
        name: {"kind": "function", "members": {}, "args": arguments, "required": len(arguments)}
        for name, arguments in record["functions"].items()
    }
    found |= _enums(record["enums"])
    found |= {name: {"kind": "attr", "members": {}} for name in record["constants"]}
    for name, methods in record["handles"].items():
        members: Record = {method: {"kind": "method", "args": []} for method in methods}
        members["__init__"] = {"kind": "init", "args": ["init_value"], "required": 0}
        found[name] = {"kind": "class", "members": members}
    return Api("cuda.bindings.driver", found, {name: "" for name in record["functions"]})


def _enums(values: dict[str, dict[str, Any]]) -> Record:
    return {
        name: {"kind": "enum", "members": {value: {"kind": "value"} for value in known}}
        for name, known in values.items()
    }
