"""Machines as the doctor sees them: inventories to change one thing in, for its tests."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from edge_arm.runtime.doctor.apart import Findings
from edge_arm.runtime.doctor.environment import PythonEnvironment, Surroundings
from edge_arm.runtime.doctor.inventory import Inventory
from edge_arm.runtime.doctor.modules import ModuleFinding, OnnxRuntimeFinding
from edge_arm.runtime.gpu_driver import GpuFinding
from edge_arm.runtime.machine import Machine
from edge_arm.runtime.tensorrt_probe import TensorRTFinding

GIB = 1 << 30
ABSENT = ModuleFinding(installed=False)
NO_LIBRARY = "libcuda.so.1: cannot open shared object file: No such file or directory"
ORIN = GpuFinding(True, "12.6", 1, "Orin", (8, 7), 7_990_161_408, True)
ADA = GpuFinding(True, "13.0", 1, "NVIDIA GeForce RTX 4090", (8, 9), 25_757_220_864)

JETSON = Inventory(
    machine=Machine(
        python="3.10.12",
        executable="/home/user/.venv/bin/python",
        system="Ubuntu 22.04.5 LTS",
        kernel="5.15.148-tegra",
        architecture="aarch64",
        board="NVIDIA Jetson Orin NX Engineering Reference Developer Kit",
        l4t="36.4.3",
        jetpack="6.2",
        memory_total_bytes=16 * GIB,
        memory_available_bytes=12 * GIB,
        swap_total_bytes=8 * GIB,
        swap_free_bytes=8 * GIB,
        power_mode="MAXN (mode 0)",
        clocks={"gpu": "306 MHz of at most 918 MHz"},
        driver="540.4.0",
    ),
    python=PythonEnvironment(
        version="3.10",
        prefix="/home/user/.venv",
        is_venv=True,
        on_system_python=True,
        packages={"numpy": "1.26.4", "pycuda": "2026.1"},
        system_tensorrt=("3.10",),
    ),
    surroundings=Surroundings("/usr/local/cuda", "12.6.68", False, False, False, False, True),
    findings=Findings(
        gpu=ORIN,
        tensorrt=TensorRTFinding(version="10.3.0", dla_cores=2),
        pycuda=ModuleFinding(),
        cuda_python=ABSENT,
        onnxruntime=OnnxRuntimeFinding(installed=False),
        rtx=ABSENT,
        opencv=ModuleFinding(version="4.11.0"),
        openvino=ABSENT,
    ),
)
"""JetPack 6.2 with all that engines need."""

DESKTOP = Inventory(
    machine=replace(
        JETSON.machine,
        python="3.12.3",
        system="Ubuntu 24.04.2 LTS",
        kernel="6.11.0-26-generic",
        architecture="x86_64",
        board="",
        l4t="",
        jetpack="",
        power_mode="",
        clocks={},
        driver="580.65.06",
    ),
    python=PythonEnvironment(
        version="3.12",
        prefix="/home/user/.venv",
        is_venv=True,
        on_system_python=True,
        packages={
            "numpy": "2.4.6",
            "torch": "2.13.0",
            "safetensors": "0.8.0",
            "onnx": "1.21.0",
            "nvidia-modelopt": "0.47.0",
            "onnxruntime-gpu": "1.24.4",
            "onnxruntime-ep-nv-tensorrt-rtx-cu13": "0.5.0",
            "openvino": "2026.4.1",
            "tensorrt": "10.13.3.9",
            "pycuda": "2026.1",
        },
        system_tensorrt=(),
    ),
    surroundings=Surroundings("/usr/local/cuda", "13.0", True, False, False, False, False),
    findings=Findings(
        gpu=ADA,
        tensorrt=TensorRTFinding(version="10.13.3.9"),
        pycuda=ModuleFinding(),
        cuda_python=ABSENT,
        onnxruntime=OnnxRuntimeFinding(
            version="1.24.4",
            providers=(
                "TensorrtExecutionProvider",
                "CUDAExecutionProvider",
                "CPUExecutionProvider",
            ),
        ),
        rtx=ModuleFinding(version="0.5.0"),
        opencv=ModuleFinding(version="4.11.0"),
        openvino=ModuleFinding(version="2026.4.1"),
    ),
)
"""A workstation with an RTX card on which everything but a DLA works."""


def with_findings(seen: Inventory, **changes: Any) -> Inventory:
    """Other drivers or libraries."""
    return replace(seen, findings=replace(seen.findings, **changes))


def with_machine(seen: Inventory, **changes: Any) -> Inventory:
    """Another system."""
    return replace(seen, machine=replace(seen.machine, **changes))


def with_python(seen: Inventory, **changes: Any) -> Inventory:
    """Another environment."""
    return replace(seen, python=replace(seen.python, **changes))


def with_surroundings(seen: Inventory, **changes: Any) -> Inventory:
    """Other cards, toolkits, containers."""
    return replace(seen, surroundings=replace(seen.surroundings, **changes))


def without_packages(seen: Inventory, *names: str, **added: str) -> Inventory:
    """Some distributions less, some more ("_" stands for "-")."""
    kept = {name: text for name, text in seen.python.packages.items() if name not in names}
    return with_python(
        seen, packages=kept | {name.replace("_", "-"): text for name, text in added.items()}
    )
