"""What surrounds edge-arm: this Python and its packages, the CUDA toolkit, cards, containers.

Only files and metadata are read; nothing is imported and nothing is started but `nvcc --version`.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

PACKAGES = (
    "numpy",
    "opencv-python",
    "opencv-python-headless",
    "opencv-contrib-python",
    "opencv-contrib-python-headless",
    "torch",
    "safetensors",
    "onnx",
    "nvidia-modelopt",
    "onnxruntime",
    "onnxruntime-gpu",
    "onnxruntime-ep-nv-tensorrt-rtx-cu13",
    "openvino",
    "pycuda",
    "cuda-python",
    "cuda-bindings",
    "tensorrt",
    *(f"tensorrt-{cuda}{part}" for cuda in ("cu12", "cu13") for part in ("", "-bindings", "-libs")),
)
"""Distributions whose version says something here."""

_NVIDIA, _DISPLAY = "0x10de", "0x03"
_NVCC_TIMEOUT_S = 5.0


@dataclass(frozen=True)
class PythonEnvironment:
    """The Python that runs.

    Attributes:
        version: such as "3.10".
        prefix: folder of the environment.
        is_venv: it is a virtual environment.
        on_system_python: the Python below it is the system's own.
        packages: version of each of `PACKAGES` that is installed.
        system_tensorrt: Pythons of the system ("3.10") that have a TensorRT in dist-packages,
            where apt puts it.
    """

    version: str
    prefix: str
    is_venv: bool
    on_system_python: bool
    packages: dict[str, str]
    system_tensorrt: tuple[str, ...]


@dataclass(frozen=True)
class Surroundings:
    """What the machine has.

    Attributes:
        toolkit: folder of the CUDA toolkit that has a compiler, such as "/usr/local/cuda"; empty
            without one.
        toolkit_version: of it.
        nvidia_card: a display controller of NVIDIA is on the PCI bus (a Jetson's GPU is not).
        container: this is a container.
        hidden: CUDA_VISIBLE_DEVICES hides every GPU.
        no_rights: the GPU of a Jetson is there, and this user may not open it.
        tensorrt_libraries: of the system, without which its Python module is of no use.
    """

    toolkit: str
    toolkit_version: str
    nvidia_card: bool
    container: bool
    hidden: bool
    no_rights: bool
    tensorrt_libraries: bool


def python_environment(root: Path = Path("/")) -> PythonEnvironment:
    """This Python.

    Args:
        root: where the file system begins; another one only in tests.
    """
    found = sorted((root / "usr/lib").glob("python3*/dist-packages/tensorrt/__init__.py"))
    return PythonEnvironment(
        version=f"{sys.version_info.major}.{sys.version_info.minor}",
        prefix=sys.prefix,
        is_venv=sys.prefix != sys.base_prefix,
        on_system_python=sys.base_prefix == "/usr",
        packages={name: version for name in PACKAGES if (version := installed_version(name))},
        system_tensorrt=tuple(path.parts[-4].removeprefix("python") for path in found),
    )


def installed_version(name: str) -> str:
    """Version of a distribution; empty if it is not installed."""
    try:
        return str(importlib.metadata.version(name) or "")
    except (importlib.metadata.PackageNotFoundError, OSError, KeyError, TypeError, ValueError):
        return ""  # the others: metadata that an interrupted installation left half


def surroundings(root: Path = Path("/")) -> Surroundings:
    """What the machine has.

    Args:
        root: where the file system begins; another one only in tests.
    """
    toolkit = _toolkit(root)
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    nvmap = root / "dev/nvmap"
    return Surroundings(
        toolkit=str(toolkit) if toolkit else "",
        toolkit_version=_toolkit_version(toolkit) if toolkit else "",
        nvidia_card=any(map(_is_nvidia_card, (root / "sys/bus/pci/devices").glob("*"))),
        container=any((root / name).exists() for name in (".dockerenv", "run/.containerenv")),
        hidden=visible is not None and visible.strip() in ("", "-1"),
        no_rights=nvmap.exists() and not os.access(nvmap, os.R_OK | os.W_OK),
        tensorrt_libraries=any((root / "usr/lib").glob("*-linux-gnu/libnvinfer.so.*")),
    )


def _toolkit(root: Path) -> Path | None:
    """The folder above the `bin` of nvcc; pycuda's build finds the toolkit by it too."""
    found = shutil.which("nvcc") if root == Path("/") else None
    places = [Path(found).resolve()] if found else []
    for nvcc in (*places, root / "usr/local/cuda/bin/nvcc"):
        if nvcc.exists() and (nvcc.parent.parent / "include/cuda.h").exists():
            return nvcc.parent.parent
    return None


def _toolkit_version(toolkit: Path) -> str:
    try:
        content = json.loads((toolkit / "version.json").read_text(encoding="utf-8"))
        return str(content["cuda"]["version"])
    except (OSError, ValueError, KeyError, TypeError):
        return _nvcc_version(toolkit / "bin/nvcc")


def _nvcc_version(nvcc: Path) -> str:
    try:
        done = subprocess.run(
            [nvcc, "--version"],
            capture_output=True,
            text=True,
            timeout=_NVCC_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return ""
    match = re.search(r"release (\d+\.\d+)", done.stdout)
    return match[1] if match else ""


def _is_nvidia_card(device: Path) -> bool:
    try:
        vendor = (device / "vendor").read_text(encoding="utf-8").strip()
        kind = (device / "class").read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return False
    return vendor == _NVIDIA and kind.startswith(_DISPLAY)
