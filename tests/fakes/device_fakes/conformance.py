"""Every name of TensorRT, pycuda and cuda-python that the source touches, against the records.

What a reader of the checked files has to know:

1. **Which files**: every file of the package that imports `tensorrt`, or anything from
   `runtime/tensorrt_library.py`, is checked for all five recorded versions; every file that
   imports `pycuda` or `cuda.bindings` is checked against that record.
2. **What is a TensorRT object**: what a known call returns (`builder.create_network(...)` is an
   INetworkDefinition, `network.get_layer(0).get_output(0)` an ITensor; the table is
   TENSORRT_RESULTS), and a parameter or field that is annotated `Any`, or a variable that gets the
   result of a function of ours that is annotated so, if it has one of the NAMES below. In these
   files such a name means that class and nothing else. `tensorrt.module` of a `TensorRT`, or a
   parameter `trt: Any`, is the module.
3. **What is refused**: an attribute, method, argument, enum value that a version does not have and
   that is not behind a guard that is false for that version; and an attribute of an `Any` whose
   class cannot be told, so that nothing escapes.
4. **What is a guard**: a field of `TensorRTCapabilities`, as `capabilities.FIELD` or
   `tensorrt.capabilities.FIELD`, in an `if`, `elif`, `else`, conditional expression, `and`, `or`,
   `not`, or an `if` that ends in `return` or `raise` before the code. Anything else in a condition
   may be true or false. A private function (`_name`) at the top level of a file is guarded by the
   guards around the places in this file that name it.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from device_fakes.conformance_api import Api, cuda_python_api, pycuda_api, tensorrt_api
from device_fakes.conformance_values import CallSite, Language, Package, Values
from device_fakes.conformance_walk import Walk
from device_fakes.records import ALL_VERSIONS

NAMES = {
    "trt": "module",
    "builder": "Builder",
    "builder_config": "IBuilderConfig",
    "network": "INetworkDefinition",
    "parser": "OnnxParser",
    "error": "ParserError",
    "profile": "IOptimizationProfile",
    "layer": "ILayer",
    "tensor": "ITensor",
    "timing_cache": "ITimingCache",
    "cache": "ITimingCache",
    "calibrator": "IInt8EntropyCalibrator2",
    "host_memory": "IHostMemory",
    "runtime": "Runtime",
    "engine": "ICudaEngine",
    "context": "IExecutionContext",
    "execution_context": "IExecutionContext",
    "inspector": "EngineInspector",
    "logger": "ILogger",
    "severity": "ILogger.Severity",
}
PYCUDA_NAMES = {
    "driver": "module",
    "context": "Context",
    "device": "Device",
    "stream": "Stream",
    "event": "Event",
    "owner": "DeviceAllocation",
}
CUDA_PYTHON_NAMES = {"driver": "module", "status": "CUresult", "function": ""}
"""A function that is handed over is checked where it is handed over, with what follows it."""

LIBRARIES = {
    "tensorrt": Language(NAMES, frozenset({"tensorrt"})),
    "pycuda": Language(PYCUDA_NAMES, frozenset({"pycuda.driver"}), int_enums=True),
    "cuda-python": Language(
        CUDA_PYTHON_NAMES,
        frozenset({"cuda.bindings.driver"}),
        hands_over=True,
        int_enums=True,
    ),
}
FOLDERS = ("runtime", "export", "calibration", "edge_arm")


@dataclass(frozen=True)
class Source:
    """One file that touches a library.

    Attributes:
        path: of it.
        text: its content.
        library: one of `LIBRARIES`.
    """

    path: Path
    text: str
    library: str


@dataclass(frozen=True)
class Conformance:
    """What came out for one file and one version.

    Attributes:
        findings: what does not conform.
        attributes: nodes of the tree that touch a name of the library.
        calls: where one is called.
    """

    findings: tuple[str, ...]
    attributes: tuple[ast.Attribute, ...]
    calls: tuple[CallSite, ...]


def sources(repository: Path) -> list[Source]:
    """All files of the package that touch one of the libraries, found by what is in them."""
    found = []
    for folder in FOLDERS:
        for path in sorted((repository / folder).rglob("*.py")):
            text = path.read_text(encoding="utf-8")
            found += [Source(path, text, library) for library in _libraries(ast.parse(text))]
    return found


def package_of(repository: Path) -> Package:
    """What is annotated `Any` anywhere in the package."""
    fields, functions = set(), {}
    for folder in FOLDERS:
        for path in sorted((repository / folder).rglob("*.py")):
            for item in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(item, ast.ClassDef):
                    fields |= {
                        part.target.id
                        for part in item.body
                        if isinstance(part, ast.AnnAssign)
                        and isinstance(part.target, ast.Name)
                        and ast.unparse(part.annotation) == "Any"
                    }
                elif isinstance(item, ast.FunctionDef) and item.returns is not None:
                    functions[item.name] = ast.unparse(item.returns)
    return Package(frozenset(fields), functions)


def versions_of(library: str) -> tuple[str, ...]:
    """The recorded versions of a library; for the CUDA modules there is one record."""
    return ALL_VERSIONS if library == "tensorrt" else ("",)


def check(tree: ast.Module, library: str, version: str, *, package: Package) -> Conformance:
    """Hold a file against the record of one version.

    Args:
        tree: of the file.
        library: one of `LIBRARIES`.
        version: of TensorRT; empty for the others.
        package: that the file is part of.
    """
    capabilities = None
    if library == "tensorrt":
        from edge_arm.runtime.tensorrt_versions import capabilities_of

        capabilities = capabilities_of(version)
    values = Values(_api(library, version), LIBRARIES[library], capabilities, package)
    Walk(values).file(tree)
    return Conformance(tuple(values.findings), tuple(values.attributes), tuple(values.calls))


@cache
def _api(library: str, version: str) -> Api:
    if library == "tensorrt":
        return tensorrt_api(version)
    return pycuda_api() if library == "pycuda" else cuda_python_api()


def _libraries(tree: ast.Module) -> list[str]:
    found = set()
    for item in ast.walk(tree):
        names = []
        if isinstance(item, ast.Import):
            names = [alias.name for alias in item.names]
        elif isinstance(item, ast.ImportFrom):
            names = [item.module or "", *(f"{item.module}.{alias.name}" for alias in item.names)]
        for name in names:
            if name == "tensorrt" or name.endswith("runtime.tensorrt_library"):
                found.add("tensorrt")
            if name.split(".")[0] == "pycuda":
                found.add("pycuda")
            if name.startswith("cuda.bindings"):
                found.add("cuda-python")
    return sorted(found)
