"""The CUDA seam on a real GPU, by whichever library is installed; skipped where there is none."""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Iterator

import numpy as np
import pytest

from edge_arm.runtime.cuda_device import CUDA_LIBRARIES, CudaDevice, open_cuda
from edge_arm.runtime.errors import InferenceError

pytestmark = pytest.mark.gpu
MODULES = {"pycuda": "pycuda", "cuda-python": "cuda"}
RUNS = 10_000
TOLERATED_BYTES = 8 << 20
"""Of device memory that the driver may keep for itself after its first uses."""


@pytest.fixture(params=CUDA_LIBRARIES)
def device(request: pytest.FixtureRequest) -> Iterator[CudaDevice]:
    if importlib.util.find_spec(MODULES[request.param]) is None:
        pytest.skip(f"{request.param} is not installed")
    made = open_cuda(request.param)
    yield made
    made.close()


def round_trip(device: CudaDevice, values: np.ndarray) -> np.ndarray:
    """Copy to the GPU on one stream and back on another that waits for it."""
    there = device.host_array(values.shape, values.dtype, mapped=False)
    back = device.host_array(values.shape, values.dtype, mapped=False)
    buffer = device.device_buffer(values.nbytes)
    first, second, mark = device.stream(), device.stream(), device.event()
    there.array[:] = values
    device.copy_in(buffer.address, there.array, first)
    device.record(mark, first)
    device.stream_waits(second, mark)
    device.copy_out(back.array, buffer.address, second)
    device.synchronize(second)
    result = back.array.copy()
    for item in (there, back, buffer):
        device.free(item)
    for made in (mark, second, first):
        device.drop(made)
    return result


def test_what_goes_in_comes_out(device: CudaDevice) -> None:
    values = np.random.default_rng(0).integers(0, 256, (32, 224, 224, 3), np.uint8)
    with device.current():
        np.testing.assert_array_equal(round_trip(device, values), values)


def test_the_device_says_what_it_is(device: CudaDevice) -> None:
    assert device.facts.name
    assert device.facts.compute_capability >= (5, 0)
    with device.current():
        free, total = device.memory()
    assert 0 < free <= total == device.facts.memory_bytes


def test_every_thread_may_use_it(device: CudaDevice) -> None:
    answers = {}

    def work(number: int) -> None:
        values = np.full(1000, number, np.int32)
        with device.current():
            answers[number] = round_trip(device, values)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(8):
        np.testing.assert_array_equal(answers[number], np.full(1000, number, np.int32))


def test_torch_works_beside_it(device: CudaDevice) -> None:
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("this torch has no CUDA")
    tensor = torch.arange(1000, device="cuda")
    with device.current():
        round_trip(device, np.arange(10))
        doubled = tensor * 2
    assert int((tensor + doubled).sum()) == 3 * 999 * 1000 // 2


def test_many_runs_leave_no_memory_behind(device: CudaDevice) -> None:
    values = np.zeros(4096, np.uint8)
    with device.current():
        round_trip(device, values)
        before, _ = device.memory()
        for _ in range(RUNS):
            round_trip(device, values)
        after, _ = device.memory()
    assert before - after < TOLERATED_BYTES


def test_more_memory_than_there_is_is_refused_with_figures(device: CudaDevice) -> None:
    with (
        device.current(),
        pytest.raises(InferenceError, match=r"allocating \d+ bytes of GPU memory failed: out of m"),
    ):
        device.device_buffer(1 << 50)


def test_mapped_memory_is_seen_by_the_gpu(device: CudaDevice) -> None:
    with device.current():
        mapped = device.host_array((1000,), np.int32, mapped=True)
        back = device.host_array((1000,), np.int32, mapped=False)
        mapped.array[:] = np.arange(1000)
        assert mapped.device_address is not None
        stream = device.stream()
        device.copy_out(back.array, mapped.device_address, stream)
        device.synchronize(stream)
        np.testing.assert_array_equal(back.array, np.arange(1000))
        device.drop(stream)
        device.free(back)
        device.free(mapped)
