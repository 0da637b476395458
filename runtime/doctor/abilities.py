"""What of edge-arm works here: each ability with its reason, and the command that would give it.

An ability is a chain of requirements; the first that is not met is the reason and its command the
fix, because what lies behind it cannot be judged before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edge_arm.runtime.doctor.fixes import (
    Fault,
    cuda_calls_fault,
    gpu_fault,
    tensorrt_fault,
)
from edge_arm.runtime.doctor.inventory import Inventory
from edge_arm.runtime.doctor.onnxruntime_faults import cpu_fault, provider_fault, rtx_fault
from edge_arm.runtime.tensorrt_versions import capabilities_of

Check = Callable[[Inventory], Fault | None]

_NO_INT8 = ((5, 0), (5, 2), (5, 3), (6, 0), (6, 2))
"""Compute capabilities without fast INT8 arithmetic: Maxwell, and Pascal's P100 and TX2."""


@dataclass(frozen=True)
class Ability:
    """One thing that edge-arm does.

    Attributes:
        name: of it.
        works: here and now.
        because: what it runs on, or what it lacks.
        fix: the command that would change that; empty if it works or no command helps.
    """

    name: str
    works: bool
    because: str
    fix: str = ""


def abilities_of(seen: Inventory) -> tuple[Ability, ...]:
    """All of them, the workstation's first.

    Args:
        seen: what is here.
    """
    found = seen.findings
    onnxruntime = f"ONNX Runtime {found.onnxruntime.version}"
    gpu = found.gpu.name
    return (
        _ability(seen, "train", _packages("torch"), (_needs("torch", "safetensors"), _opencv)),
        _ability(
            seen,
            "export, FP16 too",
            _packages("torch", "onnx", "nvidia-modelopt"),
            (_needs("torch", "safetensors", "onnx", "nvidia-modelopt"), cpu_fault),
        ),
        _ability(
            seen,
            "calibrate INT8",
            _packages("onnx"),
            (_needs("onnx"), cpu_fault, _opencv),
        ),
        _ability(seen, "check an ONNX file for TensorRT", _packages("onnx"), (_needs("onnx"),)),
        _ability(seen, "measure, ONNX Runtime on CPU", onnxruntime, (cpu_fault, _opencv)),
        _ability(
            seen,
            "measure, OpenVINO on CPU",
            f"OpenVINO {found.openvino.version}",
            (_openvino, _opencv),
        ),
        _ability(
            seen, "measure, ONNX Runtime on CUDA", f"{onnxruntime} on {gpu}", (_cuda, _opencv)
        ),
        _ability(
            seen,
            "measure, ONNX Runtime on TensorRT",
            f"{onnxruntime} on {gpu}",
            (_tensorrt_provider, _opencv),
        ),
        _ability(
            seen,
            "measure, TensorRT-RTX (FP32, FP16)",
            f"TensorRT-RTX in {onnxruntime} on {gpu}",
            (rtx_fault, _opencv),
        ),
        *_engines(seen),
    )


def _engines(seen: Inventory) -> tuple[Ability, ...]:
    chain: tuple[Check, ...] = (gpu_fault, tensorrt_fault, cuda_calls_fault)
    return (
        _ability(seen, "build + run engines, FP16", _engine_words, chain),
        _ability(seen, "build + run engines, INT8", _int8_words, (*chain, _int8)),
        _ability(seen, "build + run engines, DLA", _dla_words, (_jetson, *chain, _dla)),
    )


def _ability(
    seen: Inventory,
    name: str,
    because: str | Callable[[Inventory], str],
    checks: Sequence[Check],
) -> Ability:
    for check in checks:
        fault = check(seen)
        if fault is not None:
            return Ability(name, False, fault.what, fault.fix)
    return Ability(name, True, because if isinstance(because, str) else because(seen))


# --- what an ability runs on, in words


def _packages(*names: str) -> Callable[[Inventory], str]:
    def words(seen: Inventory) -> str:
        return ", ".join(f"{name} {seen.python.packages[name]}" for name in names)

    return words


def _engine_words(seen: Inventory) -> str:
    found = seen.findings
    calls = "pycuda" if found.pycuda.works else "--cuda cuda-python"
    return f"TensorRT {found.tensorrt.version} on {found.gpu.name}, with {calls}"


def _int8_words(seen: Inventory) -> str:
    typed = capabilities_of(seen.findings.tensorrt.version).builds_typed
    return "strongly typed, from the typed INT8 file" if typed else "by flags, from the Q/DQ file"


def _dla_words(seen: Inventory) -> str:
    cores = seen.findings.tensorrt.dla_cores
    return f"{cores} {'core' if cores == 1 else 'cores'}, FP16, and INT8 from calibration.cache"


# --- requirements


def _needs(*packages: str) -> Check:
    """Packages of the workstation."""

    def check(seen: Inventory) -> Fault | None:
        if seen.has(*packages):
            return None
        what = f"{seen.lacking(*packages)} not installed"
        if seen.machine.is_jetson:
            return Fault(f"{what}; a workstation does this, copy build/bundle from it")
        # [workstation] brings onnxruntime-gpu on x86-64, which must not come beside the other one.
        replaces = seen.has("onnxruntime") and seen.machine.architecture == "x86_64"
        remove = "pip uninstall -y onnxruntime && " if replaces else ""
        return Fault(what, f"{remove}pip install 'edge-arm[workstation]'")

    return check


def _openvino(seen: Inventory) -> Fault | None:
    found = seen.findings.openvino
    if found.works:
        return None
    if not found.installed:
        return Fault("OpenVINO is not installed", "pip install 'edge-arm[openvino]'")
    return Fault(found.error, "pip install --force-reinstall --no-deps openvino")


def _opencv(seen: Inventory) -> Fault | None:
    found = seen.findings.opencv
    if found.works:
        return None
    what = f"OpenCV does not load: {found.error}" if found.installed else "OpenCV is not installed"
    return Fault(what, "pip install --force-reinstall 'opencv-python-headless>=4.8,<5'")


def _cuda(seen: Inventory) -> Fault | None:
    return provider_fault(seen, "CUDAExecutionProvider", seen.findings.onnxruntime.cuda_error)


def _tensorrt_provider(seen: Inventory) -> Fault | None:
    return provider_fault(
        seen, "TensorrtExecutionProvider", seen.findings.onnxruntime.tensorrt_error
    )


def _int8(seen: Inventory) -> Fault | None:
    gpu = seen.findings.gpu
    if gpu.compute_capability in _NO_INT8:
        return Fault(f"{gpu.name} has no fast INT8 arithmetic; use FP16")
    return None


def _jetson(seen: Inventory) -> Fault | None:
    if seen.machine.is_jetson:
        return None
    return Fault("only a Jetson AGX Orin or Orin NX has DLA cores")


def _dla(seen: Inventory) -> Fault | None:
    version = seen.findings.tensorrt.version
    if not capabilities_of(version).dla:
        return Fault(f"TensorRT {version} has no DLA; JetPack 6 has it (TensorRT 8.6 and 10.3)")
    if seen.findings.tensorrt.dla_cores == 0:
        return Fault("this module has no DLA core; AGX Orin and Orin NX have")
    return None
