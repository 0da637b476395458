"""Where an engine is built: TensorRT, the GPU, and the state of both, put together once."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from edge_arm.export.engine_preflight import FreeMemory
from edge_arm.runtime.cuda_device import CudaDevice, open_cuda
from edge_arm.runtime.engine_record import EngineDevice
from edge_arm.runtime.machine import Machine, machine_facts
from edge_arm.runtime.tensorrt_library import TensorRT, load_tensorrt


@dataclass(frozen=True)
class BuildMachine:
    """What builds.

    Attributes:
        tensorrt: its version and module.
        cuda: the GPU, open.
        device: what an engine will be bound to.
        free: memory before the build.
    """

    tensorrt: TensorRT
    cuda: CudaDevice
    device: EngineDevice
    free: FreeMemory


@contextmanager
def build_machine(cuda: str) -> Iterator[BuildMachine]:
    """Open TensorRT and the GPU for a build.

    Args:
        cuda: library that calls CUDA, see `runtime.cuda_device`.

    Yields:
        The machine, with the GPU's context current in this thread.

    Raises:
        BackendUnavailableError: if TensorRT, the CUDA library, a driver or a GPU is not here.
    """
    tensorrt = load_tensorrt()
    gpu = open_cuda(cuda)
    try:
        with gpu.current():
            facts = machine_facts()
            free_device_bytes, _ = gpu.memory()
            yield BuildMachine(
                tensorrt=tensorrt,
                cuda=gpu,
                device=_engine_device(tensorrt, gpu, facts),
                free=FreeMemory(
                    shared=gpu.facts.integrated,
                    # Some containers hide /proc/meminfo; CUDA's figure then stands for it.
                    host_bytes=facts.memory_available_bytes
                    if facts.memory_total_bytes
                    else free_device_bytes,
                    swap_bytes=facts.swap_free_bytes,
                    device_bytes=free_device_bytes,
                ),
            )
    except BaseException as error:
        _forget_locals(error)
        raise
    finally:
        gpu.close()


def _forget_locals(error: BaseException) -> None:
    # The frames of a traceback hold TensorRT's engines and builders, which must go before the
    # context that they live in does.
    chain: BaseException | None = error
    while chain is not None:
        traceback.clear_frames(chain.__traceback__)
        chain = chain.__context__


def _engine_device(tensorrt: TensorRT, gpu: CudaDevice, facts: Machine) -> EngineDevice:
    return EngineDevice(
        gpu=gpu.facts.name,
        compute_capability=gpu.facts.compute_capability_text,
        tensorrt=tensorrt.version,
        cuda=gpu.facts.cuda,
        driver=facts.driver,
        jetpack=facts.jetpack,
        power_mode=facts.power_mode,
        clocks=facts.clocks,
    )
