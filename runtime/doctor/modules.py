"""Does a package work: is there one, and what does it say when it is imported?

Foreign modules run whatever they like when they are imported, so all of this belongs into a
process of its own, see `apart`.
"""

from __future__ import annotations

import ctypes
import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_arm.runtime.errors import BackendUnavailableError


@dataclass(frozen=True)
class ModuleFinding:
    """A module.

    Attributes:
        installed: there is one of that name.
        version: as it says itself; empty if it does not.
        error: why it cannot be used; empty if it can.
    """

    installed: bool = True
    version: str = ""
    error: str = ""

    @property
    def works(self) -> bool:
        """Whether it is there and can be used."""
        return self.installed and not self.error


@dataclass(frozen=True)
class OnnxRuntimeFinding:
    """ONNX Runtime.

    Attributes:
        installed: there is a module of that name.
        version: as it says itself.
        providers: that it was built with; they need not start.
        cuda_error: why the library of its CUDA provider does not load; empty if it does, or if
            there is none.
        tensorrt_error: the same of its TensorRT provider.
        error: why it cannot be imported.
    """

    installed: bool = True
    version: str = ""
    providers: tuple[str, ...] = ()
    cuda_error: str = ""
    tensorrt_error: str = ""
    error: str = ""

    @property
    def works(self) -> bool:
        """Whether it is there and can be imported."""
        return self.installed and not self.error


def look_at_module(name: str) -> ModuleFinding:
    """Import a module.

    Args:
        name: dotted.
    """
    return _tried(name)[0]


def look_at_onnxruntime() -> OnnxRuntimeFinding:
    """Import ONNX Runtime and load the libraries of its GPU providers, without a session.

    A provider that is listed was compiled in, no more: what it links to (CUDA, cuDNN, TensorRT)
    is found out by the loader, as it would be when a session is made.
    """
    found, module = _tried("onnxruntime")
    if not found.works:
        return OnnxRuntimeFinding(installed=found.installed, error=found.error)
    try:
        providers = tuple(module.get_available_providers())
    except Exception as error:  # an empty namespace, left by a removal that went half-way
        return OnnxRuntimeFinding(version=found.version, error=reason_of(error))
    folder = Path(str(module.__file__)).parent / "capi"
    return OnnxRuntimeFinding(
        version=found.version,
        providers=providers,
        cuda_error=_loading_error(folder / "libonnxruntime_providers_cuda.so"),
        tensorrt_error=_loading_error(folder / "libonnxruntime_providers_tensorrt.so"),
    )


def look_at_rtx() -> ModuleFinding:
    """Register the TensorRT-RTX plugin with ONNX Runtime and ask for its devices."""
    plugin, _ = _tried("onnxruntime_ep_nv_tensorrt_rtx")
    runtime_found, runtime = _tried("onnxruntime")
    if not plugin.works or not runtime_found.works:
        return plugin  # what is wrong with ONNX Runtime is a finding of its own
    from edge_arm.runtime.rtx_plugin import rtx_devices

    try:
        rtx_devices(runtime)
    except BackendUnavailableError as error:
        return ModuleFinding(version=plugin.version, error=reason_of(error))
    return plugin


def look_at_openvino() -> ModuleFinding:
    """Import OpenVINO as the backend does, which tells nobody about it."""
    from edge_arm.runtime.openvino_backend import load_openvino

    try:
        module = load_openvino()
    except BackendUnavailableError as error:
        cause = error.__cause__ or error
        if isinstance(cause, ModuleNotFoundError) and cause.name == "openvino":
            return ModuleFinding(installed=False)
        return ModuleFinding(error=reason_of(cause))
    except BaseException as error:  # some call sys.exit
        return ModuleFinding(error=reason_of(error))
    return ModuleFinding(version=str(module.get_version()).split("-")[0])


def reason_of(error: BaseException) -> str:
    """An exception in one line."""
    text = " ".join(str(error).split())
    return text or type(error).__name__


def _tried(name: str) -> tuple[ModuleFinding, Any]:
    """What a module says when it is imported, and the module if it works."""
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name in _parents(name):
            return ModuleFinding(installed=False), None
        return ModuleFinding(error=reason_of(error)), None
    except BaseException as error:  # some call sys.exit
        return ModuleFinding(error=reason_of(error)), None
    return ModuleFinding(version=str(getattr(module, "__version__", ""))), module


def _parents(name: str) -> set[str]:
    """The dotted name and every package that it lies in."""
    parts = name.split(".")
    return {".".join(parts[: length + 1]) for length in range(len(parts))}


def _loading_error(library: Path) -> str:
    if not library.exists():
        return ""
    try:
        ctypes.CDLL(str(library))
    except OSError as error:
        return reason_of(error)
    return ""
