"""Machines that are broken in one way each, and the command that each is given."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from seen_machines import (
    ABSENT,
    ADA,
    DESKTOP,
    JETSON,
    NO_LIBRARY,
    with_findings,
    with_machine,
    with_python,
    with_surroundings,
    without_packages,
)

from edge_arm.runtime.doctor.fixes import (
    Fault,
    cuda_calls_fault,
    gpu_fault,
    tensorrt_fault,
)
from edge_arm.runtime.doctor.inventory import Inventory
from edge_arm.runtime.doctor.modules import ModuleFinding
from edge_arm.runtime.doctor.onnxruntime_faults import cpu_fault, two_of_one
from edge_arm.runtime.gpu_driver import GpuFinding
from edge_arm.runtime.tensorrt_probe import TensorRTFinding


@dataclass(frozen=True)
class Case:
    """A machine, a part of the reason that it is told, and the whole command."""

    id: str
    seen: Inventory
    what: str
    fix: str


NO_DRIVER = GpuFinding(error=NO_LIBRARY)
NOTHING_SHOWN = GpuFinding(True, "12.6", error="the driver shows no GPU")
DESKTOP_WITHOUT_DRIVER = with_machine(with_findings(DESKTOP, gpu=NO_DRIVER), driver="")

GPU = (
    Case(
        "no card",
        with_surroundings(DESKTOP_WITHOUT_DRIVER, nvidia_card=False),
        "no NVIDIA GPU is in this machine",
        "",
    ),
    Case(
        "no driver on Ubuntu",
        DESKTOP_WITHOUT_DRIVER,
        "a GPU is here, its driver's libcuda.so.1 is not",
        "sudo ubuntu-drivers install",
    ),
    Case(
        "no driver on Debian",
        with_machine(DESKTOP_WITHOUT_DRIVER, system="Debian GNU/Linux 12 (bookworm)"),
        "a GPU is here",
        "sudo apt install nvidia-driver",
    ),
    Case(
        "no driver elsewhere",
        with_machine(DESKTOP_WITHOUT_DRIVER, system="Fedora Linux 42"),
        "a GPU is here",
        "",
    ),
    Case(
        "no driver on a Jetson",
        with_findings(JETSON, gpu=NO_DRIVER),
        "a GPU is here",
        "sudo apt install --reinstall nvidia-l4t-cuda",
    ),
    Case(
        "container on a Jetson",
        with_surroundings(with_findings(JETSON, gpu=NO_DRIVER), container=True),
        "the container was started without the GPU",
        "docker run --runtime nvidia --rm -it IMAGE",
    ),
    Case(
        "container on a desktop",
        with_surroundings(with_findings(DESKTOP, gpu=NO_DRIVER), container=True),
        "the container was started without the GPU",
        "docker run --gpus all --rm -it IMAGE",
    ),
    Case(
        "hidden by the environment",
        with_surroundings(with_findings(DESKTOP, gpu=NOTHING_SHOWN), hidden=True),
        "CUDA_VISIBLE_DEVICES hides the GPU",
        "unset CUDA_VISIBLE_DEVICES",
    ),
    Case(
        "not in the group",
        with_surroundings(with_findings(JETSON, gpu=NOTHING_SHOWN), no_rights=True),
        "this user may not open the GPU",
        'sudo usermod -aG video,render "$USER"',
    ),
    Case(
        "driver updated under a running system",
        with_findings(DESKTOP, gpu=GpuFinding(True, "13.0", error="cuInit answers 803 (x)")),
        "the driver does not start: cuInit answers 803 (x)",
        "sudo reboot",
    ),
)

NO_TENSORRT = TensorRTFinding(installed=False, error="No module named 'tensorrt'")
JETSON_WITHOUT = with_findings(JETSON, tensorrt=NO_TENSORRT)
BARE_JETSON = with_python(JETSON_WITHOUT, system_tensorrt=())
DESKTOP_WITHOUT = without_packages(with_findings(DESKTOP, tensorrt=NO_TENSORRT), "tensorrt")
LOST = TensorRTFinding(error="libnvinfer.so.10: cannot open shared object file")
TOO_NEW = TensorRTFinding(
    version="11.1.0", error="CUDA initialization failure with error: 35. Please check"
)
CUDA_12 = replace(ADA, cuda="12.8")

TENSORRT = (
    Case(
        "hidden from a venv",
        JETSON_WITHOUT,
        "TensorRT belongs to the system's Python, and this environment does not see it",
        "/usr/bin/python3.10 -m venv --system-site-packages /home/user/.venv",
    ),
    Case(
        "hidden from a Python of its own",
        with_python(JETSON_WITHOUT, on_system_python=False),
        "(install edge-arm into the new one)",
        "/usr/bin/python3.10 -m venv --system-site-packages .venv-trt",
    ),
    Case(
        "for another Python",
        with_python(JETSON_WITHOUT, version="3.12"),
        "the system's TensorRT is for Python 3.10, this is 3.12",
        "/usr/bin/python3.10 -m venv --system-site-packages .venv-trt",
    ),
    Case(
        "in Debian's folder for every Python",
        with_python(JETSON_WITHOUT, system_tensorrt=("3",)),
        "this environment does not see it",
        "/usr/bin/python3.10 -m venv --system-site-packages /home/user/.venv",
    ),
    Case(
        "JetPack's libraries without the module",
        BARE_JETSON,
        "TensorRT's Python module is not installed",
        "sudo apt install python3-libnvinfer",
    ),
    Case(
        "a Jetson without JetPack's packages",
        with_surroundings(BARE_JETSON, tensorrt_libraries=False),
        "TensorRT's Python module is not installed",
        "sudo apt install nvidia-jetpack",
    ),
    Case(
        "a desktop with CUDA 13",
        DESKTOP_WITHOUT,
        "TensorRT is not installed",
        "pip install tensorrt",
    ),
    Case(
        "a desktop with CUDA 12",
        with_findings(DESKTOP_WITHOUT, gpu=CUDA_12),
        "TensorRT is not installed",
        "pip install tensorrt-cu12",
    ),
    Case(
        "a desktop whose driver is too old for any wheel",
        with_findings(DESKTOP_WITHOUT, gpu=replace(ADA, cuda="11.4")),
        "the driver runs CUDA 11.4, TensorRT needs 12 or newer",
        "sudo ubuntu-drivers install",
    ),
    Case(
        "JetPack 5",
        with_findings(
            JETSON, tensorrt=TensorRTFinding(error="got TensorRT '8.5.2.2', expected 8.6 or newer")
        ),
        "TensorRT '8.5.2.2' is older than 8.6; this needs JetPack 6",
        "",
    ),
    Case(
        "an old wheel",
        with_findings(
            DESKTOP, tensorrt=TensorRTFinding(error="got TensorRT '8.5.2.2', expected 8.6 or newer")
        ),
        "TensorRT '8.5.2.2' is older than 8.6",
        "pip install --upgrade tensorrt",
    ),
    Case(
        "a library is lost on a Jetson",
        with_findings(JETSON, tensorrt=LOST),
        "TensorRT does not load: libnvinfer.so.10",
        "sudo apt install --reinstall tensorrt python3-libnvinfer",
    ),
    Case(
        "pip's TensorRT on a Jetson",
        without_packages(
            with_findings(JETSON, tensorrt=LOST), tensorrt="11.1.0.106", tensorrt_cu13="11.1.0.106"
        ),
        "pip's TensorRT hides JetPack's",
        "pip uninstall -y tensorrt tensorrt-cu13",
    ),
    Case(
        "a library is lost on a desktop",
        with_findings(DESKTOP, tensorrt=LOST),
        "TensorRT does not load: libnvinfer.so.10",
        "pip uninstall -y tensorrt && pip install tensorrt",
    ),
    Case(
        "a TensorRT for a newer CUDA than the driver's",
        with_findings(DESKTOP, gpu=CUDA_12, tensorrt=TOO_NEW),
        "TensorRT does not start: CUDA initialization failure with error: 35",
        "pip uninstall -y tensorrt && pip install tensorrt-cu12",
    ),
    Case(
        "a broken TensorRT and a driver too old for any",
        with_findings(DESKTOP, gpu=replace(ADA, cuda="11.4"), tensorrt=TOO_NEW),
        "TensorRT needs 12 or newer",
        "sudo ubuntu-drivers install",
    ),
)

COMPILED = (
    "PATH=/usr/local/cuda/bin:$PATH CPATH=/usr/local/cuda/include "
    "LIBRARY_PATH=/usr/local/cuda/lib64 pip install"
)
LOST_CURAND = ModuleFinding(error="libcurand.so.10: cannot open shared object file")
JETSON_WITHOUT_PYCUDA = with_findings(JETSON, pycuda=ABSENT)

CUDA = (
    Case(
        "nvcc is here",
        JETSON_WITHOUT_PYCUDA,
        "pycuda is not installed",
        f"{COMPILED} 'edge-arm[tensorrt]'",
    ),
    Case(
        "no nvcc with CUDA 12",
        with_surroundings(JETSON_WITHOUT_PYCUDA, toolkit=""),
        "no nvcc is here to compile it; cuda-python needs none (then choose --cuda cuda-python)",
        "pip install 'cuda-python>=12.6,<13'",
    ),
    Case(
        "no nvcc with CUDA 13",
        with_surroundings(with_findings(DESKTOP, pycuda=ABSENT), toolkit=""),
        "no nvcc is here to compile it",
        "pip install 'edge-arm[cuda-python]'",
    ),
    Case(
        "pycuda of another CUDA",
        with_findings(JETSON, pycuda=LOST_CURAND),
        "pycuda does not load: libcurand.so.10",
        f"{COMPILED} --force-reinstall --no-deps --no-cache-dir pycuda",
    ),
    Case(
        "pycuda of another CUDA, no nvcc",
        with_surroundings(with_findings(JETSON, pycuda=LOST_CURAND), toolkit=""),
        "no nvcc is here to compile it again",
        "pip install 'cuda-python>=12.6,<13'",
    ),
    Case(
        "a broken cuda-python",
        with_findings(DESKTOP, pycuda=ABSENT, cuda_python=ModuleFinding(error="no symbol x")),
        "cuda-python does not load: no symbol x",
        "pip install 'edge-arm[cuda-python]' --force-reinstall",
    ),
)


def _check(fault: Fault | None, case: Case) -> None:
    assert fault is not None
    assert case.what in fault.what
    assert fault.fix == case.fix


@pytest.mark.parametrize("case", GPU, ids=lambda case: case.id)
def test_a_gpu_that_does_not_answer(case: Case) -> None:
    _check(gpu_fault(case.seen), case)


@pytest.mark.parametrize("case", TENSORRT, ids=lambda case: case.id)
def test_a_tensorrt_that_cannot_be_used(case: Case) -> None:
    _check(tensorrt_fault(case.seen), case)


@pytest.mark.parametrize("case", CUDA, ids=lambda case: case.id)
def test_libraries_that_cannot_call_cuda(case: Case) -> None:
    _check(cuda_calls_fault(case.seen), case)


@pytest.mark.parametrize("seen", [JETSON, DESKTOP], ids=["Jetson", "desktop"])
def test_a_whole_machine_has_none_of_these_faults(seen: Inventory) -> None:
    assert gpu_fault(seen) is None
    assert tensorrt_fault(seen) is None
    assert cuda_calls_fault(seen) is None


def test_a_broken_onnxruntime_is_reinstalled_by_its_own_name() -> None:
    broken = replace(DESKTOP.findings.onnxruntime, error="no symbol x")
    fault = cpu_fault(with_findings(DESKTOP, onnxruntime=broken))
    assert fault == Fault(
        "ONNX Runtime does not load: no symbol x",
        "pip install --force-reinstall --no-deps onnxruntime-gpu",
    )


def test_two_packages_of_one_onnxruntime_are_the_fault_behind_a_broken_one() -> None:
    broken = replace(DESKTOP.findings.onnxruntime, error="no get_available_providers")
    seen = without_packages(with_findings(DESKTOP, onnxruntime=broken), onnxruntime="1.27.0")
    assert cpu_fault(seen) == two_of_one(seen)
    assert cpu_fault(seen) == Fault(
        "onnxruntime and onnxruntime-gpu are both installed and overwrite each other's files",
        "pip uninstall -y onnxruntime && pip install --force-reinstall --no-deps onnxruntime-gpu",
    )
