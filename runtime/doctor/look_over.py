"""A machine looked over for edge-arm: facts, what is wrong in itself, and what works.

It is a report, so nothing in here raises: what is broken is a finding with the command that mends
it. Rules for what works are in `doctor_abilities`, for what mends it in `doctor_fixes` and
`doctor_onnxruntime`.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any

from edge_arm import __version__
from edge_arm.runtime.doctor.abilities import Ability, abilities_of
from edge_arm.runtime.doctor.fixes import Fault
from edge_arm.runtime.doctor.inventory import Inventory
from edge_arm.runtime.doctor.onnxruntime_faults import two_of_one

SCHEMA_VERSION = 1
LITTLE_MEMORY_BYTES = 2 << 30
"""Where CPU and GPU share it: about 600 MiB of libraries, 512 of workspace, and the activations of
a batch of 32 (`export.engine_preflight` reckons in detail)."""

_NONE = "none"
_GIB = 1 << 30


@dataclass(frozen=True)
class Fact:
    """One line about the machine.

    Attributes:
        name: of it.
        value: for people; "none" if there is none.
    """

    name: str
    value: str


@dataclass(frozen=True)
class Diagnosis:
    """The report.

    Attributes:
        facts: about the machine.
        faults: what should be put right whatever is done with edge-arm.
        abilities: what works.
    """

    facts: tuple[Fact, ...]
    faults: tuple[Fault, ...]
    abilities: tuple[Ability, ...]


def diagnosis_of(seen: Inventory) -> Diagnosis:
    """Judge what is here.

    Args:
        seen: from `take_inventory`.
    """
    checks = (two_of_one, _opencv_5, _two_opencvs, _old_jetpack, _little_memory)
    faults = tuple(fault for check in checks if (fault := check(seen)) is not None)
    return Diagnosis(_facts(seen), faults, abilities_of(seen))


def diagnosis_to_json(diagnosis: Diagnosis) -> dict[str, Any]:
    """The report for programs."""
    return {
        "schema_version": SCHEMA_VERSION,
        "facts": {fact.name: fact.value for fact in diagnosis.facts},
        "faults": [asdict(fault) for fault in diagnosis.faults],
        "abilities": [asdict(ability) for ability in diagnosis.abilities],
    }


def _facts(seen: Inventory) -> tuple[Fact, ...]:
    machine, found = seen.machine, seen.findings
    pairs = (
        ("edge-arm", __version__),
        ("Python", f"{machine.python} ({machine.executable})"),
        ("system", f"{machine.system or 'unknown'}, {machine.kernel}, {machine.architecture}"),
        ("board", machine.board or _NONE),
        ("JetPack", _jetpack(seen)),
        ("power mode", machine.power_mode or _NONE),
        ("clocks", "; ".join(f"{name} {text}" for name, text in machine.clocks.items()) or _NONE),
        ("free memory", _memory(seen)),
        ("GPU", _gpu(seen)),
        ("driver", _driver(seen)),
        ("CUDA toolkit", _toolkit(seen)),
        ("TensorRT", _version_or_error(found.tensorrt.version, found.tensorrt.error)),
        ("DLA cores", str(found.tensorrt.dla_cores) if found.tensorrt.dla_cores else _NONE),
        ("pycuda", _library(seen, "pycuda", found.pycuda.installed, found.pycuda.error)),
        ("cuda-python", _library(seen, "cuda-python", *_cuda_python(seen))),
        ("ONNX Runtime", _onnxruntime(seen)),
        ("TensorRT-RTX plugin", _library(seen, *_rtx(seen))),
        ("OpenVINO", _library(seen, "openvino", *_openvino(seen))),
        ("OpenCV", _version_or_error(found.opencv.version, found.opencv.error)),
        ("numpy", seen.python.packages.get("numpy", _NONE)),
        ("torch", seen.python.packages.get("torch", _NONE)),
        ("Model Optimizer", seen.python.packages.get("nvidia-modelopt", _NONE)),
    )
    return tuple(Fact(name, value) for name, value in pairs)


def _jetpack(seen: Inventory) -> str:
    machine = seen.machine
    if not machine.is_jetson:
        return _NONE
    if not machine.l4t:
        return "unknown: this container does not show /etc/nv_tegra_release"
    return f"{machine.jetpack or 'unknown'} (L4T {machine.l4t})"


def _memory(seen: Inventory) -> str:
    machine = seen.machine
    if not machine.memory_total_bytes:
        return "unknown"
    text = (
        f"{machine.memory_available_bytes / _GIB:.1f} of "
        f"{machine.memory_total_bytes / _GIB:.1f} GiB"
    )
    if not machine.swap_total_bytes:
        return f"{text}, no swap"
    free, total = machine.swap_free_bytes / _GIB, machine.swap_total_bytes / _GIB
    return f"{text}, swap {free:.1f} of {total:.1f} GiB"


def _gpu(seen: Inventory) -> str:
    gpu = seen.findings.gpu
    if not gpu.answers:
        return _NONE
    major, minor = gpu.compute_capability
    text = f"{gpu.name}, compute capability {major}.{minor}, "
    text += "memory shared" if gpu.integrated else f"{gpu.memory_bytes / _GIB:.1f} GiB"
    return text if gpu.count == 1 else f"{text}; the first of {gpu.count}"


def _driver(seen: Inventory) -> str:
    gpu, version = seen.findings.gpu, seen.machine.driver
    if not gpu.library and not version:
        return _NONE
    cuda = f"CUDA {gpu.cuda}" if gpu.cuda else "CUDA unknown"
    text = f"{version or 'version unknown'}, {cuda}"
    return text if not gpu.error else f"{text}; {gpu.error}"


def _toolkit(seen: Inventory) -> str:
    around = seen.surroundings
    if not around.toolkit:
        return _NONE
    return f"{around.toolkit_version or 'version unknown'} ({around.toolkit})"


def _version_or_error(version: str, error: str) -> str:
    if error.startswith("No module named 'tensorrt'"):
        return _NONE
    if version and error:
        return f"{version}; {error}"
    return version or error or _NONE


def _library(seen: Inventory, package: str, installed: bool, error: str) -> str:
    if not installed:
        return _NONE
    version = seen.python.packages.get(package, "version unknown")
    return f"{version}; {error}" if error else version


def _cuda_python(seen: Inventory) -> tuple[bool, str]:
    return seen.findings.cuda_python.installed, seen.findings.cuda_python.error


def _openvino(seen: Inventory) -> tuple[bool, str]:
    return seen.findings.openvino.installed, seen.findings.openvino.error


def _rtx(seen: Inventory) -> tuple[str, bool, str]:
    found = seen.findings.rtx
    return "onnxruntime-ep-nv-tensorrt-rtx-cu13", found.installed, found.error


def _onnxruntime(seen: Inventory) -> str:
    found = seen.findings.onnxruntime
    names = [name for name in ("onnxruntime", "onnxruntime-gpu") if seen.has(name)]
    if not found.installed:
        return _NONE
    text = f"{found.version or 'version unknown'} ({' and '.join(names) or 'package unknown'})"
    if found.error:
        return f"{text}; {found.error}"
    providers = ", ".join(name.removesuffix("ExecutionProvider") for name in found.providers)
    return f"{text}: {providers}"


def _opencv_5(seen: Inventory) -> Fault | None:
    version = seen.findings.opencv.version
    major = re.match(r"\d+", version)
    if major is None or int(major[0]) < 5:
        return None
    return Fault(
        f"OpenCV {version} has no face cascades any more, 4.x has",
        "pip install --force-reinstall 'opencv-python-headless>=4.8,<5'",
    )


def _two_opencvs(seen: Inventory) -> Fault | None:
    names = [name for name in seen.python.packages if name.startswith("opencv-")]
    if len(names) < 2:
        return None
    return Fault(
        f"{' and '.join(names)} are installed together and overwrite each other's files",
        f"pip uninstall -y {' '.join(names)} && pip install 'opencv-python-headless>=4.8,<5'",
    )


def _old_jetpack(seen: Inventory) -> Fault | None:
    major = seen.machine.l4t.partition(".")[0]
    if not major or int(major) >= 36:
        return None
    return Fault(
        f"JetPack {seen.machine.jetpack} is older than 6, and its TensorRT than 8.6; flash a newer "
        "one, or give the bundle's ONNX files to trtexec"
    )


def _little_memory(seen: Inventory) -> Fault | None:
    available = seen.machine.memory_available_bytes
    if not seen.machine.is_jetson or not 0 < available < LITTLE_MEMORY_BYTES:
        return None
    return Fault(
        f"only {available / _GIB:.1f} GiB of memory is free, a build may be killed; the desktop "
        "takes about 1 GiB",
        "sudo systemctl isolate multi-user.target",
    )
