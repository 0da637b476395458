"""What is wrong with the GPU, TensorRT and the calls of CUDA, and the one command that mends it.

Where no command of this machine helps (no GPU in it, no DLA in the module), the command is empty
and the reason says what to do instead. The names of packages are JetPack 6's and those of NVIDIA's
wheels in November 2026; no command of a Jetson was run on one by us.
"""

from __future__ import annotations

from dataclasses import dataclass

from edge_arm.runtime.doctor.inventory import Inventory

OLDEST_CUDA = 12
"""What wheels of TensorRT there are begin with CUDA 12."""


@dataclass(frozen=True)
class Fault:
    """Something that has to be put right.

    Attributes:
        what: it is, in words.
        fix: the command; empty if there is none.
    """

    what: str
    fix: str = ""


def gpu_fault(seen: Inventory) -> Fault | None:
    """Why no GPU answers; None if one does."""
    gpu, around = seen.findings.gpu, seen.surroundings
    if gpu.answers:
        return None
    if around.hidden:
        return Fault("CUDA_VISIBLE_DEVICES hides the GPU", "unset CUDA_VISIBLE_DEVICES")
    has_card = seen.machine.is_jetson or around.nvidia_card or bool(seen.machine.driver)
    if not has_card and not gpu.library:
        return Fault("no NVIDIA GPU is in this machine")
    if around.container:
        flags = "--runtime nvidia" if seen.machine.is_jetson else "--gpus all"
        return Fault(
            "the container was started without the GPU", f"docker run {flags} --rm -it IMAGE"
        )
    if not gpu.library:
        return Fault("a GPU is here, its driver's libcuda.so.1 is not", _driver_command(seen))
    if around.no_rights:
        return Fault(
            "this user may not open the GPU (log in again after the command)",
            'sudo usermod -aG video,render "$USER"',
        )
    return Fault(f"the driver does not start: {gpu.error}", "sudo reboot")


def _driver_command(seen: Inventory) -> str:
    if seen.machine.is_jetson:
        return "sudo apt install --reinstall nvidia-l4t-cuda"
    if "Ubuntu" in seen.machine.system:
        return "sudo ubuntu-drivers install"
    if "Debian" in seen.machine.system:
        return "sudo apt install nvidia-driver"
    return ""


def tensorrt_fault(seen: Inventory) -> Fault | None:
    """Why TensorRT cannot be used, given a GPU; None if it can."""
    found = seen.findings.tensorrt
    if found.installed and not found.error:
        return None
    if not found.installed:
        return _hidden_tensorrt(seen) or _absent_tensorrt(seen)
    if "8.6 or newer" in found.error:
        text = found.error.partition(",")[0].removeprefix("got ")
        if seen.machine.is_jetson:
            return Fault(
                f"{text} is older than 8.6; this needs JetPack 6, which has to be flashed; "
                "until then give the ONNX files to trtexec"
            )
        return Fault(f"{text} is older than 8.6", f"pip install --upgrade {_wheel(seen)}")
    return _broken_tensorrt(seen, found.error)


def _hidden_tensorrt(seen: Inventory) -> Fault | None:
    python, versions = seen.python, seen.python.system_tensorrt
    if not versions:
        return None
    # Debian's /usr/lib/python3/dist-packages serves whichever Python is the system's.
    fits = python.version in versions or "3" in versions
    version = python.version if fits else versions[-1]
    folder = python.prefix if python.is_venv and python.on_system_python and fits else ".venv-trt"
    command = f"/usr/bin/python{version} -m venv --system-site-packages {folder}"
    if fits:
        return Fault(
            "TensorRT belongs to the system's Python, and this environment does not see it"
            + ("" if folder == python.prefix else " (install edge-arm into the new one)"),
            command,
        )
    return Fault(
        f"the system's TensorRT is for Python {version}, this is {python.version} (install "
        "edge-arm into the new environment)",
        command,
    )


def _absent_tensorrt(seen: Inventory) -> Fault:
    if seen.machine.is_jetson:
        package = "python3-libnvinfer" if seen.surroundings.tensorrt_libraries else "nvidia-jetpack"
        return Fault("TensorRT's Python module is not installed", f"sudo apt install {package}")
    if cuda_major(seen) < OLDEST_CUDA:
        return _old_driver(seen)
    return Fault("TensorRT is not installed", f"pip install {_wheel(seen)}")


def _broken_tensorrt(seen: Inventory, error: str) -> Fault:
    wheels = [name for name in seen.python.packages if name.startswith("tensorrt")]
    starts = "CUDA initialization failure" not in error
    what = f"TensorRT does not {'load' if starts else 'start'}: {error}"
    if seen.machine.is_jetson:
        # Those of JetPack are known to pip too, but only as `tensorrt`.
        foreign = [name for name in wheels if name != "tensorrt"]
        if foreign:
            return Fault(
                f"{what} (pip's TensorRT hides JetPack's)",
                f"pip uninstall -y {' '.join(['tensorrt', *foreign])}",
            )
        return Fault(what, "sudo apt install --reinstall tensorrt python3-libnvinfer")
    if cuda_major(seen) < OLDEST_CUDA:
        return _old_driver(seen)
    wheel = _wheel(seen)
    remove = f"pip uninstall -y {' '.join(wheels)} && " if wheels else ""
    return Fault(what, f"{remove}pip install {wheel}")


def _old_driver(seen: Inventory) -> Fault:
    return Fault(
        f"the driver runs CUDA {seen.findings.gpu.cuda or 'of no version'}, TensorRT needs "
        f"{OLDEST_CUDA} or newer",
        _driver_command(seen),
    )


def _wheel(seen: Inventory) -> str:
    """NVIDIA's wheel for the CUDA of the driver: the plain name is the newest CUDA's."""
    return "tensorrt-cu12" if cuda_major(seen) == OLDEST_CUDA else "tensorrt"


def cuda_major(seen: Inventory) -> int:
    """Major version of the driver's CUDA; 0 without a driver."""
    major = seen.findings.gpu.cuda.partition(".")[0]
    return int(major) if major.isdigit() else 0


def cuda_calls_fault(seen: Inventory) -> Fault | None:
    """Why neither pycuda nor cuda-python can call CUDA; None if one can."""
    pycuda, cuda_python = seen.findings.pycuda, seen.findings.cuda_python
    if pycuda.works or cuda_python.works:
        return None
    toolkit = seen.surroundings.toolkit
    compiled = (
        f"PATH={toolkit}/bin:$PATH CPATH={toolkit}/include LIBRARY_PATH={toolkit}/lib64 pip install"
    )
    if pycuda.installed:
        what = f"pycuda does not load: {pycuda.error}"
        if toolkit:
            again = "--force-reinstall --no-deps --no-cache-dir pycuda"
            return Fault(what, f"{compiled} {again}")
        return Fault(f"{what} (and no nvcc is here to compile it again)", _cuda_python(seen))
    if cuda_python.installed:
        what = f"cuda-python does not load: {cuda_python.error}"
        return Fault(what, f"{_cuda_python(seen)} --force-reinstall")
    if toolkit:
        return Fault("pycuda is not installed", f"{compiled} 'edge-arm[tensorrt]'")
    return Fault(
        "pycuda is not installed, and no nvcc is here to compile it; cuda-python needs none "
        "(then choose --cuda cuda-python)",
        _cuda_python(seen),
    )


def _cuda_python(seen: Inventory) -> str:
    if cuda_major(seen) == OLDEST_CUDA:
        return "pip install 'cuda-python>=12.6,<13'"
    return "pip install 'edge-arm[cuda-python]'"
