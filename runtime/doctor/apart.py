"""Looks at drivers and packages, each in a process of its own, all at once.

1. Whatever goes wrong in a foreign library (a crash, a hang, text on stdout, an exit) stays there
   and comes back as a finding.
2. Which ones: everything that loads a library that is not Python's own. Packages that are only
   large (torch, Model Optimizer) are looked up by name and not imported at all.
3. A process sees the same modules as this one: the same `sys.path`, the same environment.
"""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, TypeVar

from edge_arm.runtime.doctor.modules import (
    ModuleFinding,
    OnnxRuntimeFinding,
    look_at_module,
    look_at_onnxruntime,
    look_at_openvino,
    look_at_rtx,
    reason_of,
)
from edge_arm.runtime.gpu_driver import GpuFinding, look_at_gpu
from edge_arm.runtime.tensorrt_probe import TensorRTFinding, look_at_tensorrt

TIMEOUT_S = 20.0
"""A sound library answers in one or two seconds, also on a Jetson that was just started."""

_CODE = (
    "import sys; sys.path[:] = sys.argv[2:]; "
    "from edge_arm.runtime.doctor.apart import answer; answer(sys.argv[1])"
)
_MARK = "edge-arm found: "

Finding = TypeVar("Finding", GpuFinding, TensorRTFinding, ModuleFinding, OnnxRuntimeFinding)


def _tensorrt() -> TensorRTFinding:
    return look_at_tensorrt(gpu=look_at_gpu().answers)


LOOKS: dict[str, Callable[[], Any]] = {
    "gpu": look_at_gpu,
    "tensorrt": _tensorrt,
    "pycuda": partial(look_at_module, "pycuda.driver"),
    "cuda-python": partial(look_at_module, "cuda.bindings.driver"),
    "onnxruntime": look_at_onnxruntime,
    "rtx": look_at_rtx,
    "opencv": partial(look_at_module, "cv2"),
    "openvino": look_at_openvino,
}
"""What can be looked at, by name."""


@dataclass(frozen=True)
class Findings:
    """All that was looked at.

    Attributes:
        gpu: the driver and its first GPU.
        tensorrt: NVIDIA's, with a GPU.
        pycuda: a library that calls CUDA.
        cuda_python: the other one.
        onnxruntime: with its providers.
        rtx: TensorRT-RTX as a plugin of it.
        opencv: as `cv2`.
        openvino: for INT8 on CPUs.
    """

    gpu: GpuFinding
    tensorrt: TensorRTFinding
    pycuda: ModuleFinding
    cuda_python: ModuleFinding
    onnxruntime: OnnxRuntimeFinding
    rtx: ModuleFinding
    opencv: ModuleFinding
    openvino: ModuleFinding


def look_around(timeout_s: float = TIMEOUT_S) -> Findings:
    """Look at everything; never raises.

    Args:
        timeout_s: after which a look is given up.
    """
    with ThreadPoolExecutor(len(LOOKS)) as pool:
        gpu = pool.submit(look_apart, "gpu", GpuFinding, timeout_s=timeout_s)
        tensorrt = pool.submit(look_apart, "tensorrt", TensorRTFinding, timeout_s=timeout_s)
        onnxruntime = pool.submit(
            look_apart, "onnxruntime", OnnxRuntimeFinding, timeout_s=timeout_s
        )
        modules = {
            name: pool.submit(look_apart, name, ModuleFinding, timeout_s=timeout_s)
            for name in ("pycuda", "cuda-python", "rtx", "opencv", "openvino")
        }
    return Findings(
        gpu=gpu.result(),
        tensorrt=tensorrt.result(),
        pycuda=modules["pycuda"].result(),
        cuda_python=modules["cuda-python"].result(),
        onnxruntime=onnxruntime.result(),
        rtx=modules["rtx"].result(),
        opencv=modules["opencv"].result(),
        openvino=modules["openvino"].result(),
    )


def look_apart(name: str, kind: type[Finding], *, timeout_s: float = TIMEOUT_S) -> Finding:
    """One look in a process of its own.

    Args:
        name: a key of `LOOKS`.
        kind: what it finds.
        timeout_s: after which it is given up.

    Returns:
        What was found; if the process died or hung, a finding whose error says so.
    """
    command = [sys.executable, "-c", _CODE, name, *sys.path]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return kind(error=f"it did not answer within {timeout_s:g} s")
    except OSError as error:
        return kind(error=f"no process could be started to look at it ({error.strerror})")
    for line in done.stdout.decode("utf-8", "replace").splitlines():
        if line.startswith(_MARK):
            return kind(**ast.literal_eval(line.removeprefix(_MARK)))
    return kind(error=_death(done))


def answer(name: str) -> None:
    """What the process apart does: look, and print what was found as one line.

    Args:
        name: a key of `LOOKS`.
    """
    # A library may print to the process's stdout, past Python: it gets stderr in its place.
    own_stdout = os.dup(1)
    os.dup2(2, 1)
    try:
        found = asdict(LOOKS[name]())
    except BaseException as error:  # whatever it is, it is the finding
        found = {"error": reason_of(error)}
    os.write(own_stdout, f"\n{_MARK}{found!r}\n".encode())
    # Libraries that crash when they are unloaded have answered by now.
    os._exit(0)


def _death(done: subprocess.CompletedProcess[bytes]) -> str:
    if done.returncode < 0:
        try:
            name = signal.Signals(-done.returncode).name
        except ValueError:
            name = f"signal {-done.returncode}"
        return f"it crashed when it was loaded ({name})"
    lines = done.stderr.decode("utf-8", "replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
    return f"it ended the process that loaded it ({last})"
