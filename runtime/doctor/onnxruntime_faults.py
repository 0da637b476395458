"""What is wrong with ONNX Runtime and its providers, and the command that mends it.

`onnxruntime` and `onnxruntime-gpu` are two packages with one module in it: whichever was unpacked
last is what runs, and removing one breaks the other.
"""

from __future__ import annotations

import re

from edge_arm.runtime.doctor.fixes import Fault, cuda_major, gpu_fault
from edge_arm.runtime.doctor.inventory import Inventory

RTX_PACKAGE = "onnxruntime-ep-nv-tensorrt-rtx-cu13"
RTX_CUDA = 13
RTX_OLDEST_GPU = (8, 0)
"""Ampere, by the plugin's own description; it decides itself which of the newer ones it takes."""

_APT_BY_LIBRARY = (
    (r"lib(cublas|cublasLt|cudart|nvrtc)\.so\.12|libcufft\.so\.11", "cuda-libraries-12-9"),
    (r"lib(cublas|cublasLt|cudart|nvrtc)\.so\.13|libcufft\.so\.12", "cuda-libraries-13-0"),
    (r"libcurand\.so\.10", "cuda-libraries-12-9"),
    (r"libcudnn\w*\.so\.9", "cudnn9-cuda-12"),
    (r"libnv(infer|onnx)\w*\.so\.8", "libnvinfer-plugin8 libnvonnxparsers8"),
    (r"libnv(infer|onnx)\w*\.so\.10", "libnvinfer-plugin10 libnvonnxparsers10"),
)
"""Packages of NVIDIA's apt repository by the library that is missing."""


def two_of_one(seen: Inventory) -> Fault | None:
    """Both packages at once."""
    if not seen.has("onnxruntime", "onnxruntime-gpu"):
        return None
    return Fault(
        "onnxruntime and onnxruntime-gpu are both installed and overwrite each other's files",
        "pip uninstall -y onnxruntime && pip install --force-reinstall --no-deps onnxruntime-gpu",
    )


def cpu_fault(seen: Inventory) -> Fault | None:
    """Why ONNX Runtime cannot be used at all; None if it can."""
    found = seen.findings.onnxruntime
    if found.works:
        return None
    if not found.installed:
        return Fault("ONNX Runtime is not installed", "pip install 'edge-arm[onnxruntime]'")
    both = two_of_one(seen)
    if both is not None:
        return both
    package = "onnxruntime-gpu" if seen.has("onnxruntime-gpu") else "onnxruntime"
    return Fault(
        f"ONNX Runtime does not load: {found.error}",
        f"pip install --force-reinstall --no-deps {package}",
    )


def provider_fault(seen: Inventory, provider: str, loading_error: str) -> Fault | None:
    """Why a GPU provider of ONNX Runtime cannot be used; None if it can.

    Args:
        seen: what is here.
        provider: "CUDAExecutionProvider" or "TensorrtExecutionProvider".
        loading_error: why its library does not load.
    """
    fault = cpu_fault(seen) or gpu_fault(seen)
    if fault is not None:
        return fault
    if provider not in seen.findings.onnxruntime.providers:
        if seen.machine.architecture != "x86_64":
            return Fault(
                "this ONNX Runtime has the CPU only, and pip has no other one for this "
                "architecture; use TensorRT engines"
            )
        if seen.has("onnxruntime"):
            command = "pip uninstall -y onnxruntime && pip install onnxruntime-gpu"
        else:
            command = "pip install --force-reinstall --no-deps onnxruntime-gpu"
        return Fault("this ONNX Runtime has no such provider", command)
    if loading_error:
        return Fault(loading_error, _apt_command(loading_error))
    return None


def rtx_fault(seen: Inventory) -> Fault | None:
    """Why TensorRT-RTX cannot be used as a plugin of ONNX Runtime; None if it can."""
    machine, found = seen.machine, seen.findings
    if machine.is_jetson or machine.architecture != "x86_64":
        return Fault("TensorRT-RTX is for desktops with x86-64; use TensorRT engines")
    fault = cpu_fault(seen) if found.onnxruntime.installed else None
    fault = fault or gpu_fault(seen)
    if fault is not None:
        return fault
    if found.gpu.compute_capability < RTX_OLDEST_GPU:
        return Fault("TensorRT-RTX needs an RTX card, Ampere or newer; use TensorRT engines")
    if cuda_major(seen) < RTX_CUDA:
        return Fault(
            f"the driver runs CUDA {found.gpu.cuda}, TensorRT-RTX needs {RTX_CUDA}",
            "sudo ubuntu-drivers install" if "Ubuntu" in machine.system else "",
        )
    if not found.rtx.installed or not found.onnxruntime.installed:
        # The extra asks for `onnxruntime`, which must not come beside `onnxruntime-gpu`.
        beside_gpu = seen.has("onnxruntime-gpu")
        package = RTX_PACKAGE if beside_gpu else "'edge-arm[rtx]'"
        return Fault("the TensorRT-RTX plugin is not installed", f"pip install {package}")
    if found.rtx.error:
        return Fault(found.rtx.error, f"pip install --upgrade {RTX_PACKAGE}")
    return None


def _apt_command(loading_error: str) -> str:
    for pattern, packages in _APT_BY_LIBRARY:
        if re.search(pattern, loading_error):
            return f"sudo apt install {packages}"
    return ""
