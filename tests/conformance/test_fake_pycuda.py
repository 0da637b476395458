"""What is pycuda's own, and what a machine lacks, show themselves as with the real libraries."""

from __future__ import annotations

import gc
import importlib
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from device_fakes import FakeMachine, installed


@pytest.fixture
def pycuda() -> Iterator[Any]:
    with installed(FakeMachine(tensorrt=None)) as machine:
        import pycuda.driver as driver

        driver.init()
        yield machine, driver, driver.Device(0).retain_primary_context()


def test_pycuda_keeps_what_is_dropped_where_its_context_is_not_current(pycuda: Any) -> None:
    machine, driver, context = pycuda
    context.push()
    box = [driver.mem_alloc(4)]
    driver.Context.pop()
    with pytest.warns(UserWarning, match="device_allocation in out-of-thread context"):
        thread = threading.Thread(target=box.clear)
        thread.start()
        thread.join()
    assert "dropped in a thread where its context is not current" in machine.faults[0]
    assert machine.leaks()[0].startswith("device buffer of 4 bytes")


def test_pycuda_frees_what_is_dropped_in_the_thread_of_its_context(pycuda: Any) -> None:
    machine, driver, context = pycuda
    context.push()
    buffer, array = driver.mem_alloc(4), driver.pagelocked_empty(3, np.float32)
    driver.Context.pop()
    del buffer, array
    gc.collect()
    context.detach()
    assert (machine.faults, machine.leaks()) == ([], [])


def test_pycuda_leaves_a_released_primary_context_on_the_native_stack(pycuda: Any) -> None:
    machine, driver, context = pycuda
    context.push()
    driver.Context.pop()
    assert machine.device.stack == []
    context.detach()  # its source pushes the context and counts on a pop that does not come
    assert len(machine.device.stack) == 1
    with pytest.raises(driver.LogicError, match="context is destroyed"):
        driver.mem_get_info()


def test_pycuda_raises_what_pycuda_raises(pycuda: Any) -> None:
    machine, driver, context = pycuda
    with pytest.raises(driver.LogicError, match="cuMemAlloc failed: invalid device context"):
        driver.mem_alloc(1)
    with pytest.raises(driver.LogicError, match="no currently active context"):
        driver.Stream()
    with pytest.raises(driver.LogicError, match="context::pop failed: invalid device context"):
        driver.Context.pop()
    context.push()
    with pytest.raises(driver.MemoryError, match="cuMemAlloc failed: out of memory"):
        driver.mem_alloc(1 << 50)
    with pytest.raises(TypeError, match="did not match the C"):
        driver.mem_alloc(1, 2)
    with pytest.raises(AttributeError):
        driver.Graph  # noqa: B018  # it has none
    buffer = driver.mem_alloc(1)
    buffer.free()
    with pytest.raises(driver.LogicError, match="invalid resource handle"):
        buffer.free()
    assert "double free" in machine.faults[-1]


def test_an_array_of_pycuda_is_the_memory_of_its_base(pycuda: Any) -> None:
    _, driver, context = pycuda
    context.push()
    array = driver.pagelocked_empty((2, 3), np.float32, mem_flags=driver.host_alloc_flags.DEVICEMAP)
    assert (array.shape, array.dtype) == ((2, 3), np.float32)
    assert isinstance(array.base, driver.PagelockedHostAllocation)
    assert array.base.get_device_pointer() != array.ctypes.data
    driver.Context.pop()


@pytest.mark.parametrize("driver_state", ["missing", "no device"])
def test_a_machine_without_a_gpu_says_so_as_the_libraries_do(driver_state: str) -> None:
    with installed(FakeMachine(driver=driver_state)):
        from cuda.bindings import driver

        if driver_state == "missing":
            with pytest.raises(ImportError, match="libcuda.so.1"):
                importlib.import_module("pycuda.driver")
            with pytest.raises(RuntimeError, match="Failed to dlopen"):
                driver.cuInit(0)
        else:
            import pycuda.driver as pycuda_driver

            assert driver.cuInit(0) == (driver.CUresult.CUDA_ERROR_NO_DEVICE,)
            with pytest.raises(pycuda_driver.RuntimeError, match="no CUDA-capable device"):
                pycuda_driver.init()


def test_modules_that_are_not_installed_cannot_be_imported() -> None:
    with installed(FakeMachine(tensorrt=None, cuda=())):
        for name in ("tensorrt", "pycuda", "pycuda.driver", "cuda.bindings"):
            with pytest.raises(ModuleNotFoundError, match=name.split(".")[0]):
                importlib.import_module(name)
