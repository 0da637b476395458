"""A machine that is not there: its GPU, its driver, its TensorRT and its CUDA modules.

with installed(FakeMachine(tensorrt="10.3.0", gpu="Orin")) as machine:
    ...                           # import tensorrt, pycuda.driver, cuda.bindings.driver
assert machine.faults == []       # what was done wrong, in words
assert machine.leaks() == []      # what was not given back
"""

from __future__ import annotations

import gc
import importlib.abc
import importlib.machinery
import sys
import types
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from device_fakes.cuda_python_front import cuda_driver_module
from device_fakes.gpu import Gpu
from device_fakes.pycuda_front import pycuda_driver_module
from device_fakes.tensorrt_module import tensorrt_module

DRIVERS = ("present", "missing", "old", "no device")
"""Missing: libcuda.so.1 is not there. Old: older than the CUDA that TensorRT was built with."""

ROOTS = ("tensorrt", "pycuda", "cuda")


def _no_noise(build_number: int) -> float:
    del build_number
    return 0.0


@dataclass(eq=False)
class FakeMachine:
    """What the machine is and how it is to behave.

    Attributes:
        tensorrt: version, None if it is not installed.
        gpu: its name.
        compute_capability: of it.
        integrated: GPU and CPU share the memory, as on a Jetson.
        memory_bytes: of the device.
        cuda: modules that are installed, of "pycuda" and "cuda-python".
        num_dla_cores: of the device.
        driver: one of `DRIVERS`.
        driver_version: its CUDA, 12060 for 12.6.
        engine_noise: for a build's number (from 1) what is added to all float outputs of its
            engine: one number, or one for each class.
        engine_latency_ms: for a build's number how long a run of its engine takes at least.
        slow_in_int8: nodes that TensorRT does not run in INT8 on this GPU.
    """

    tensorrt: str | None = "10.3.0"
    gpu: str = "Orin"
    compute_capability: tuple[int, int] = (8, 7)
    integrated: bool = True
    memory_bytes: int = 8 << 30
    cuda: Collection[str] = ("pycuda", "cuda-python")
    num_dla_cores: int = 0
    driver: str = "present"
    driver_version: int = 12060
    engine_noise: Callable[[int], Any] = _no_noise
    engine_latency_ms: Callable[[int], float] = _no_noise
    slow_in_int8: Collection[str] = ()
    modules: dict[str, types.ModuleType] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.driver not in DRIVERS:
            raise ValueError(f"got driver {self.driver!r}, expected one of {', '.join(DRIVERS)}")
        unknown = set(self.cuda) - {"pycuda", "cuda-python"}
        if unknown:
            raise ValueError(f"got CUDA modules {sorted(unknown)}, expected pycuda, cuda-python")
        self.device = Gpu(
            self.gpu,
            self.compute_capability,
            self.integrated,
            self.memory_bytes,
            self.driver_version,
            self.driver in ("present", "old"),
        )

    @property
    def faults(self) -> list[str]:
        """What the users of the driver and of TensorRT did wrong, in words."""
        return self.device.faults

    @property
    def calls(self) -> Counter[str]:
        """How often each call of the driver was made, by its C name; also execute_async_v3."""
        return self.device.calls

    @property
    def cuda_error(self) -> int:
        """What the CUDA runtime inside TensorRT says when it starts; 0 if all is well."""
        return {"present": 0, "missing": 35, "old": 35, "no device": 100}[self.driver]

    def leaks(self) -> list[str]:
        """What is still there after everything was dropped, in words."""
        gc.collect()
        found = list(self.device.resources())
        if self.device.primary.uses:
            found.append(f"the primary context, retained {self.device.primary.uses} times")
        return found

    def fail_next(self, call: str, *, skip: int = 0) -> None:
        """Let a call fail the next time, or after some that succeed.

        Args:
            call: a driver's call by its C name ("cuMemAlloc", "cuMemHostAlloc": out of memory;
                "cuStreamCreate", "cuMemcpyHtoDAsync" ...: invalid argument), or a step of TensorRT:
                "parse", "build", "deserialize", "create_execution_context", "execute".
            skip: calls that succeed first.
        """
        self.device.failures.setdefault(call, []).append(skip)


@contextmanager
def installed(machine: FakeMachine) -> Iterator[FakeMachine]:
    """Put a machine's modules where `import` finds them, and take them away again.

    The modules are made when they are imported, as real ones would be, so that a missing driver
    shows itself there.

    Args:
        machine: to install; its modules are the same each time.
    """
    saved = {name: module for name, module in sys.modules.items() if _is_ours(name)}
    for name in saved:
        del sys.modules[name]
    finder = _Finder(machine)
    sys.meta_path.insert(0, finder)
    try:
        yield machine
    finally:
        sys.meta_path.remove(finder)
        for name in [name for name in sys.modules if _is_ours(name)]:
            del sys.modules[name]
        sys.modules.update(saved)


def _is_ours(name: str) -> bool:
    return name.split(".")[0] in ROOTS


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds the modules of a machine, and nothing else under the same names."""

    def __init__(self, machine: FakeMachine) -> None:
        self.machine = machine
        self.makers = _makers(machine)

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,
        target: types.ModuleType | None = None,
    ) -> importlib.machinery.ModuleSpec | None:
        if not _is_ours(fullname):
            return None
        if fullname not in self.makers:
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)
        is_package = any(name.startswith(f"{fullname}.") for name in self.makers)
        return importlib.machinery.ModuleSpec(fullname, self, is_package=is_package)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        known = self.machine.modules
        if spec.name not in known:
            known[spec.name] = self.makers[spec.name]()
        return known[spec.name]

    def exec_module(self, module: types.ModuleType) -> None:
        """It was filled when it was made."""


def _makers(machine: FakeMachine) -> dict[str, Callable[[], types.ModuleType]]:
    gpu, found = machine.device, {}
    if machine.tensorrt is not None:
        version = machine.tensorrt
        found["tensorrt"] = lambda: tensorrt_module(version, gpu, machine)
    if "pycuda" in machine.cuda:

        def pycuda_driver() -> types.ModuleType:
            if machine.driver == "missing":
                text = "libcuda.so.1: cannot open shared object file: No such file or directory"
                raise ImportError(text)
            return pycuda_driver_module(gpu)

        found["pycuda"] = lambda: types.ModuleType("pycuda")
        found["pycuda.driver"] = pycuda_driver
    if "cuda-python" in machine.cuda:
        present = machine.driver != "missing"
        found["cuda"] = lambda: types.ModuleType("cuda")
        found["cuda.bindings"] = lambda: types.ModuleType("cuda.bindings")
        found["cuda.bindings.driver"] = lambda: cuda_driver_module(gpu, driver_present=present)
    return found
