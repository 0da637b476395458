"""The simulated GPU finds each mistake that a real one may hide, and none where there is none."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from device_fakes import FakeMachine, installed
from device_fakes.bench import CudaBench as Bench

UNWRITTEN = 0xCD


@pytest.fixture
def bench() -> Iterator[Bench]:
    with installed(FakeMachine(tensorrt=None, memory_bytes=1 << 20)) as machine:
        yield Bench(machine)


def address(array: np.ndarray) -> int:
    return int(array.ctypes.data)


def only_fault(bench: Bench) -> str:
    (fault,) = bench.machine.faults
    return fault


def test_sound_work_is_done_and_leaves_nothing(bench: Bench) -> None:
    source, result = bench.pinned([1, 2, 3]), bench.pinned([0, 0, 0])
    buffer, stream = bench("cuMemAlloc", 3), bench("cuStreamCreate", 1)
    bench("cuMemcpyHtoDAsync", buffer, address(source), 3, stream)
    bench("cuMemcpyDtoHAsync", address(result), buffer, 3, stream)
    bench("cuStreamSynchronize", stream)
    assert result.tolist() == [1, 2, 3]
    bench("cuStreamDestroy", stream)
    bench("cuMemFree", buffer)
    bench("cuMemFreeHost", address(source))
    bench("cuMemFreeHost", address(result))
    bench.close()
    assert bench.machine.faults == []
    assert bench.machine.leaks() == []


def test_a_result_is_not_there_before_the_synchronisation(bench: Bench) -> None:
    source, result = bench.pinned([1, 2, 3]), bench.pinned([0, 0, 0])
    buffer, stream = bench("cuMemAlloc", 3), bench("cuStreamCreate", 1)
    bench("cuMemcpyHtoDAsync", buffer, address(source), 3, stream)
    bench("cuMemcpyDtoHAsync", address(result), buffer, 3, stream)
    assert result.tolist() == [UNWRITTEN] * 3


def test_fresh_memory_holds_nothing_useful(bench: Bench) -> None:
    result, buffer = bench.pinned([0, 0]), bench("cuMemAlloc", 2)
    bench("cuMemcpyDtoH", address(result), buffer, 2)
    assert result.tolist() == [UNWRITTEN] * 2


def test_a_copy_out_of_bounds_is_found(bench: Bench) -> None:
    source, buffer = bench.pinned([1, 2, 3]), bench("cuMemAlloc", 2)
    assert bench.status("cuMemcpyHtoD", buffer, address(source), 3) == "INVALID_VALUE"
    assert "3 bytes from byte 0 of a device buffer of 2 bytes" in only_fault(bench)


def test_a_copy_that_starts_inside_and_ends_outside_is_found(bench: Bench) -> None:
    source, buffer = bench.pinned([1, 2, 3]), bench("cuMemAlloc", 4)
    inside = bench.driver.CUdeviceptr(int(buffer) + 2)
    assert bench.status("cuMemcpyHtoD", inside, address(source), 3) == "INVALID_VALUE"
    assert "3 bytes from byte 2 of a device buffer of 4 bytes" in only_fault(bench)


def test_an_address_of_nothing_is_found(bench: Bench) -> None:
    source = bench.pinned([1])
    assert bench.status("cuMemcpyHtoD", 12345, address(source), 1) == "INVALID_VALUE"
    assert "nothing is there" in only_fault(bench)


def test_an_address_of_the_host_is_none_of_the_device(bench: Bench) -> None:
    mapped = bench.pinned([1], bench.driver.CU_MEMHOSTALLOC_DEVICEMAP)
    assert bench.status("cuMemcpyHtoD", address(mapped), address(mapped), 1) == "INVALID_VALUE"
    assert "it is in a pinned array" in only_fault(bench)


def test_an_address_of_the_device_is_none_of_the_host(bench: Bench) -> None:
    buffer = bench("cuMemAlloc", 1)
    assert bench.status("cuMemcpyHtoD", buffer, int(buffer), 1) == "INVALID_VALUE"
    assert "as a memory of the host: it is in a device buffer" in only_fault(bench)


def test_use_after_free_is_found(bench: Bench) -> None:
    source, buffer = bench.pinned([1]), bench("cuMemAlloc", 1)
    bench("cuMemFree", buffer)
    assert bench.status("cuMemcpyHtoD", buffer, address(source), 1) == "INVALID_VALUE"
    assert "use after free of a device buffer" in only_fault(bench)


@pytest.mark.parametrize(("allocate", "free"), [("cuMemAlloc", "cuMemFree")])
def test_a_double_free_is_found(bench: Bench, allocate: str, free: str) -> None:
    buffer = bench(allocate, 1)
    bench(free, buffer)
    assert bench.status(free, buffer) == "INVALID_VALUE"
    assert "double free of a device buffer" in only_fault(bench)


def test_a_pinned_array_freed_as_a_device_buffer_is_found(bench: Bench) -> None:
    array = bench.pinned([1])
    assert bench.status("cuMemFree", bench.driver.CUdeviceptr(address(array))) == "INVALID_VALUE"
    assert "free of" in only_fault(bench)


def test_memory_that_is_freed_under_queued_work_is_found(bench: Bench) -> None:
    source, buffer = bench.pinned([1]), bench("cuMemAlloc", 1)
    stream = bench("cuStreamCreate", 1)
    bench("cuMemcpyHtoDAsync", buffer, address(source), 1, stream)
    bench("cuMemFree", buffer)
    assert "was freed while cuMemcpyHtoDAsync is queued" in only_fault(bench)
    assert bench.status("cuStreamSynchronize", stream) == "ILLEGAL_ADDRESS"


def test_a_source_that_is_changed_under_a_queued_copy_is_found(bench: Bench) -> None:
    source, buffer = bench.pinned([1]), bench("cuMemAlloc", 1)
    stream = bench("cuStreamCreate", 1)
    bench("cuMemcpyHtoDAsync", buffer, address(source), 1, stream)
    source[0] = 2
    bench("cuStreamSynchronize", stream)
    assert "the host changed" in only_fault(bench)


def test_two_streams_without_an_order_are_found(bench: Bench) -> None:
    source, result = bench.pinned([1]), bench.pinned([0])
    buffer, first, second = bench("cuMemAlloc", 1), *(bench("cuStreamCreate", 1) for _ in "12")
    bench("cuMemcpyHtoDAsync", buffer, address(source), 1, first)
    bench("cuMemcpyDtoHAsync", address(result), buffer, 1, second)
    assert only_fault(bench).startswith("race: cuMemcpyDtoHAsync")


def test_a_buffer_that_is_filled_again_too_early_is_found(bench: Bench) -> None:
    source, result = bench.pinned([1, 2]), bench.pinned([0])
    buffer, event = bench("cuMemAlloc", 1), bench("cuEventCreate", 0)
    into, out = bench("cuStreamCreate", 1), bench("cuStreamCreate", 1)
    bench("cuMemcpyHtoDAsync", buffer, address(source), 1, into)
    bench("cuEventRecord", event, into)
    bench("cuStreamWaitEvent", out, event, 0)
    bench("cuMemcpyDtoHAsync", address(result), buffer, 1, out)
    assert bench.machine.faults == []
    # Ordered one way only: nothing keeps the next copy in from overtaking the copy out.
    bench("cuMemcpyHtoDAsync", buffer, address(source) + 1, 1, into)
    assert only_fault(bench).startswith("race: cuMemcpyHtoDAsync")


def test_an_order_through_two_events_is_an_order(bench: Bench) -> None:
    source, result = bench.pinned([7]), bench.pinned([0])
    buffer = bench("cuMemAlloc", 1)
    streams = [bench("cuStreamCreate", 1) for _ in range(3)]
    events = [bench("cuEventCreate", 0) for _ in range(2)]
    bench("cuMemcpyHtoDAsync", buffer, address(source), 1, streams[0])
    for event, before, after in zip(events, streams, streams[1:], strict=False):
        bench("cuEventRecord", event, before)
        bench("cuStreamWaitEvent", after, event, 0)
    bench("cuMemcpyDtoHAsync", address(result), buffer, 1, streams[2])
    bench("cuStreamSynchronize", streams[2])
    assert (result.tolist(), bench.machine.faults) == ([7], [])


def test_waiting_on_the_host_is_an_order(bench: Bench) -> None:
    source, result = bench.pinned([7]), bench.pinned([0])
    buffer, event = bench("cuMemAlloc", 1), bench("cuEventCreate", 0)
    first, second = bench("cuStreamCreate", 1), bench("cuStreamCreate", 1)
    bench("cuMemcpyHtoDAsync", buffer, address(source), 1, first)
    bench("cuEventRecord", event, first)
    bench("cuEventSynchronize", event)
    bench("cuMemcpyDtoHAsync", address(result), buffer, 1, second)
    bench("cuStreamSynchronize", second)
    assert (result.tolist(), bench.machine.faults) == ([7], [])


def test_who_asks_again_and_again_gets_on(bench: Bench) -> None:
    source, buffer = bench.pinned([1]), bench("cuMemAlloc", 1)
    stream = bench("cuStreamCreate", 1)
    bench("cuMemcpyHtoDAsync", buffer, address(source), 1, stream)
    assert bench.status("cuStreamQuery", stream) == "NOT_READY"
    assert bench.status("cuStreamQuery", stream) == "CUDA_SUCCESS"


def test_a_call_without_a_context_is_found(bench: Bench) -> None:
    bench("cuCtxPopCurrent")
    assert bench.status("cuMemAlloc", 1) == "INVALID_CONTEXT"
    assert only_fault(bench) == "cuMemAlloc without a current context"


def test_another_thread_has_no_context_until_it_pushes_one(bench: Bench) -> None:
    seen: list[str] = []

    def work() -> None:
        seen.append(bench.status("cuMemGetInfo"))
        bench("cuCtxPushCurrent", bench.context)
        seen.append(bench.status("cuMemGetInfo"))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == ["INVALID_CONTEXT", "CUDA_SUCCESS"]


def test_a_destroyed_stream_and_an_event_are_found(bench: Bench) -> None:
    stream, event = bench("cuStreamCreate", 1), bench("cuEventCreate", 0)
    bench("cuStreamDestroy", stream)
    bench("cuEventDestroy", event)
    assert bench.status("cuStreamSynchronize", stream) == "INVALID_HANDLE"
    assert bench.status("cuEventSynchronize", event) == "INVALID_HANDLE"
    assert [
        "is no stream" in bench.machine.faults[0],
        "is no event" in bench.machine.faults[1],
    ] == [
        True,
        True,
    ]


def test_a_context_that_goes_before_its_buffers_is_found(bench: Bench) -> None:
    bench("cuMemAlloc", 1)
    bench("cuStreamCreate", 1)
    bench.close()
    assert "the context was destroyed while there were: device buffer" in only_fault(bench)
    assert "a stream" in only_fault(bench)


def test_a_context_released_too_often_is_found(bench: Bench) -> None:
    bench.close()
    assert bench.status("cuDevicePrimaryCtxRelease", 0) == "INVALID_CONTEXT"
    assert "released more often than retained" in only_fault(bench)


def test_a_context_that_is_used_after_its_end_is_found(bench: Bench) -> None:
    bench("cuDevicePrimaryCtxRelease", 0)  # and it is still current here
    assert bench.status("cuMemAlloc", 1) == "CONTEXT_IS_DESTROYED"
    assert only_fault(bench) == "cuMemAlloc in a context that was destroyed"


def test_what_is_left_is_named(bench: Bench) -> None:
    bench("cuMemAlloc", 5)
    bench.pinned([1, 2])
    bench("cuStreamCreate", 1)
    bench("cuEventCreate", 0)
    left = bench.machine.leaks()
    assert [text.split(" at ")[0] for text in left] == [
        "device buffer of 5 bytes",
        "pinned array of 2 bytes",
        "a stream",
        "an event",
        "the primary context, retained 1 times",
    ]


def test_memory_ends(bench: Bench) -> None:
    free, total = bench("cuMemGetInfo")
    assert free == total == 1 << 20
    bench("cuMemAlloc", free - 10)
    assert bench.status("cuMemAlloc", 11) == "OUT_OF_MEMORY"
    # CPU and GPU share it on this machine.
    assert bench.status("cuMemHostAlloc", 11, 0) == "OUT_OF_MEMORY"


@pytest.mark.parametrize("skip", [0, 2])
def test_a_chosen_call_fails_once(bench: Bench, skip: int) -> None:
    bench.machine.fail_next("cuMemAlloc", skip=skip)
    statuses = [bench.status("cuMemAlloc", 1) for _ in range(4)]
    assert [place for place, status in enumerate(statuses) if status != "CUDA_SUCCESS"] == [skip]


def test_mapped_memory_is_one_memory_with_two_addresses(bench: Bench) -> None:
    array = bench.pinned([1, 2], bench.driver.CU_MEMHOSTALLOC_DEVICEMAP)
    mapped = bench("cuMemHostGetDevicePointer", address(array), 0)
    assert int(mapped) != address(array)
    bench("cuMemsetD8", mapped, 9, 1)
    assert array.tolist() == [9, 2]
    plain = bench.pinned([1])
    assert bench.status("cuMemHostGetDevicePointer", address(plain), 0) == "INVALID_VALUE"


def captured(bench: Bench, stream: Any) -> Any:
    graph = bench("cuStreamEndCapture", stream)
    ready = bench("cuGraphInstantiate", graph, 0)
    bench("cuGraphDestroy", graph)
    return ready


def begin(bench: Bench, stream: Any) -> None:
    mode = bench.driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_GLOBAL
    bench("cuStreamBeginCapture", stream, mode)


def test_a_graph_replays_what_was_captured(bench: Bench) -> None:
    source, result = bench.pinned([1]), bench.pinned([0])
    buffer, stream = bench("cuMemAlloc", 1), bench("cuStreamCreate", 1)
    begin(bench, stream)
    bench("cuMemcpyHtoDAsync", buffer, address(source), 1, stream)
    bench("cuMemcpyDtoHAsync", address(result), buffer, 1, stream)
    graph = captured(bench, stream)
    assert result.tolist() == [0]  # nothing ran
    for value in (5, 6):
        source[0] = value
        bench("cuGraphLaunch", graph, stream)
        assert result.tolist() == [UNWRITTEN]
        bench("cuStreamSynchronize", stream)
        assert result.tolist() == [value]
    bench("cuGraphExecDestroy", graph)
    assert bench.machine.faults == []


def test_a_graph_of_freed_memory_is_found(bench: Bench) -> None:
    source, buffer = bench.pinned([1]), bench("cuMemAlloc", 1)
    stream = bench("cuStreamCreate", 1)
    begin(bench, stream)
    bench("cuMemcpyHtoDAsync", buffer, address(source), 1, stream)
    graph = captured(bench, stream)
    bench("cuMemFree", buffer)
    bench("cuGraphLaunch", graph, stream)
    assert bench.status("cuStreamSynchronize", stream) == "ILLEGAL_ADDRESS"
    assert "use after free" in only_fault(bench)


@pytest.mark.parametrize("call", [("cuStreamSynchronize",), ("cuMemAlloc", 1)])
def test_a_call_that_may_not_be_captured_spoils_the_capture(bench: Bench, call: Any) -> None:
    stream = bench("cuStreamCreate", 1)
    begin(bench, stream)
    arguments = call[1:] or (stream,)
    assert bench.status(call[0], *arguments) == "STREAM_CAPTURE_UNSUPPORTED"
    assert bench.status("cuStreamEndCapture", stream) == "STREAM_CAPTURE_INVALIDATED"


def test_work_of_another_stream_must_come_back_into_the_capture(bench: Bench) -> None:
    source, buffer = bench.pinned([1]), bench("cuMemAlloc", 1)
    event, first, second = bench("cuEventCreate", 0), *(bench("cuStreamCreate", 1) for _ in "12")
    begin(bench, first)
    bench("cuEventRecord", event, first)
    bench("cuStreamWaitEvent", second, event, 0)
    bench("cuMemcpyHtoDAsync", buffer, address(source), 1, second)
    assert bench.status("cuStreamEndCapture", first) == "STREAM_CAPTURE_UNJOINED"
