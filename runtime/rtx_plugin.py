"""TensorRT-RTX as a plugin of ONNX Runtime: an ordinary wheel with all its libraries.

A plugin is no provider that ONNX Runtime knows by name: its library is registered once in a
process, then its devices are chosen for a session (ONNX Runtime 1.24 and newer).

Read from the packages: onnxruntime-ep-nv-tensorrt-rtx-cu13 0.5.0, ONNX Runtime 1.24.4. Registering
was tried on a machine without a driver, where it fails as told below; no session was run.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edge_arm.runtime.errors import BackendUnavailableError

PROVIDER = "NvTensorRTRTXExecutionProvider"
INT8_NOTE = (
    "TensorRT-RTX's support matrix lists INT8 for weights only, and this is a model with INT8 "
    "activations: use fp16 with this provider, in 'measure' with --precision fp16"
)
_INSTALL = "run: pip install 'edge-arm[rtx]'"


def rtx_devices(runtime: Any) -> list[Any]:
    """The RTX GPUs that a session can be put on, the plugin registered if it was not.

    Args:
        runtime: the module onnxruntime.

    Raises:
        BackendUnavailableError: if ONNX Runtime is too old, the plugin is not installed, its
            library does not load (no driver), or it accepts no GPU.
    """
    if not hasattr(runtime, "register_execution_provider_library"):
        raise BackendUnavailableError(
            f"got ONNX Runtime {runtime.__version__}, expected 1.24 or newer, because TensorRT-RTX "
            f"is a plugin; {_INSTALL}"
        )
    devices = _devices(runtime)
    if not devices:
        _register(runtime)
        devices = _devices(runtime)
    if not devices:
        raise BackendUnavailableError(
            "TensorRT-RTX accepts no GPU of this machine, expected an NVIDIA RTX card (Ampere or "
            "newer) with a driver for CUDA 13; choose --provider cuda or cpu"
        )
    return devices


def carries_quantization(path: Path) -> bool:
    """Whether an ONNX file has QuantizeLinear nodes; asked only to explain a failure."""
    return b"QuantizeLinear" in path.read_bytes()


def _devices(runtime: Any) -> list[Any]:
    return [device for device in runtime.get_ep_devices() if device.ep_name == PROVIDER]


def _register(runtime: Any) -> None:
    try:
        import onnxruntime_ep_nv_tensorrt_rtx as plugin
    except (ImportError, OSError) as error:
        raise BackendUnavailableError(
            f"the TensorRT-RTX plugin cannot be imported ({error}), expected the package "
            f"onnxruntime-ep-nv-tensorrt-rtx-cu13; {_INSTALL}"
        ) from error
    try:
        runtime.register_execution_provider_library(PROVIDER, plugin.get_library_path())
    except Exception as error:  # ONNX Runtime's exceptions share no public base class
        reason = " ".join(str(error).split())
        missing = "libcuda" in reason
        raise BackendUnavailableError(
            f"the TensorRT-RTX plugin does not load ({reason}), expected "
            + (
                "an NVIDIA driver with CUDA 13; install one, or choose --provider cpu"
                if missing
                else f"a plugin that fits ONNX Runtime {runtime.__version__}; {_INSTALL}"
            )
        ) from error
