"""The driver's calls about streams, events, copies and graphs."""

from __future__ import annotations

import threading

import numpy as np

from device_fakes.cuda_errors import CudaError
from device_fakes.cuda_memory import UNWRITTEN, Bytes, Span
from device_fakes.cuda_work import LEGACY, Capture, Event, Graph, Stream
from device_fakes.gpu import Gpu

NON_BLOCKING = 1
"""CU_STREAM_NON_BLOCKING."""


def create_stream(gpu: Gpu, flags: int) -> int:
    """cuStreamCreate."""
    with gpu.call("cuStreamCreate"):
        assert gpu.current is not None
        stream = Stream(0, gpu.current.handle, blocking=not flags & NON_BLOCKING)
        stream.handle = gpu.new_handle(stream)
        gpu.schedule.streams[stream.handle] = stream
        return stream.handle


def stream_of(gpu: Gpu, handle: int) -> Stream:
    """The stream of a handle."""
    if handle == LEGACY:
        return gpu.schedule.streams[LEGACY]
    return gpu.object_of(handle, Stream, "stream")


def destroy_stream(gpu: Gpu, handle: int) -> None:
    """cuStreamDestroy; CUDA lets what is queued run to its end."""
    with gpu.call("cuStreamDestroy"):
        stream = stream_of(gpu, handle)
        gpu.schedule.drain(stream)
        del gpu.objects[handle], gpu.schedule.streams[handle]


def synchronize_stream(gpu: Gpu, handle: int) -> None:
    """cuStreamSynchronize."""
    with gpu.call("cuStreamSynchronize"):
        gpu.schedule.drain(stream_of(gpu, handle))
        gpu.require_unbroken()


def is_stream_done(gpu: Gpu, handle: int) -> bool:
    """cuStreamQuery."""
    with gpu.call("cuStreamQuery"):
        stream = stream_of(gpu, handle)
        done = not stream.queue
        gpu.schedule.step(stream)
        gpu.require_unbroken()
        return done


def create_event(gpu: Gpu, flags: int) -> int:
    """cuEventCreate."""
    del flags  # they change how one waits, not for what
    with gpu.call("cuEventCreate"):
        assert gpu.current is not None
        event = Event(0, gpu.current.handle)
        event.handle = gpu.new_handle(event)
        return event.handle


def destroy_event(gpu: Gpu, handle: int) -> None:
    """cuEventDestroy."""
    with gpu.call("cuEventDestroy"):
        gpu.object_of(handle, Event, "event")
        del gpu.objects[handle]


def record_event(gpu: Gpu, event: int, stream: int) -> None:
    """cuEventRecord."""
    with gpu.call("cuEventRecord", in_capture=True):
        gpu.schedule.record(gpu.object_of(event, Event, "event"), stream_of(gpu, stream))


def wait_for_event(gpu: Gpu, stream: int, event: int) -> None:
    """cuStreamWaitEvent."""
    with gpu.call("cuStreamWaitEvent", in_capture=True):
        gpu.schedule.wait(stream_of(gpu, stream), gpu.object_of(event, Event, "event"))


def synchronize_event(gpu: Gpu, handle: int) -> None:
    """cuEventSynchronize; an event that was never recorded is no reason to wait."""
    with gpu.call("cuEventSynchronize"):
        event = gpu.object_of(handle, Event, "event")
        if event.operation is not None:
            gpu.schedule.finish(event.operation)
        gpu.require_unbroken()


def is_event_done(gpu: Gpu, handle: int) -> bool:
    """cuEventQuery."""
    with gpu.call("cuEventQuery"):
        mark = gpu.object_of(handle, Event, "event").operation
        if mark is None or mark.done:
            return True
        gpu.schedule.step(gpu.schedule.streams[mark.stream])
        gpu.require_unbroken()
        return False


def milliseconds_between(gpu: Gpu, start: int, end: int) -> float:
    """cuEventElapsedTime; the simulated time is the clock when each mark ran."""
    with gpu.call("cuEventElapsedTime"):
        marks = [gpu.object_of(handle, Event, "event").operation for handle in (start, end)]
        if any(mark is None for mark in marks):
            raise CudaError("CUDA_ERROR_INVALID_HANDLE")
        times = [mark.finished_s for mark in marks if mark is not None and mark.done]
        if len(times) < 2:
            raise CudaError("CUDA_ERROR_NOT_READY")
        return (times[1] - times[0]) * 1e3


def copy_to_device(gpu: Gpu, to: int, source: int, nbytes: int, *, stream: int | None) -> None:
    """cuMemcpyHtoDAsync, and cuMemcpyHtoD if there is no stream."""
    name = "cuMemcpyHtoD" if stream is None else "cuMemcpyHtoDAsync"
    with gpu.call(name, in_capture=stream is not None):
        target = gpu.span(to, nbytes, writes=True, host=False)
        _copy(gpu, target, gpu.span(source, nbytes, writes=False, host=True), stream, name)


def copy_to_host(gpu: Gpu, to: int, source: int, nbytes: int, *, stream: int | None) -> None:
    """cuMemcpyDtoHAsync, and cuMemcpyDtoH if there is no stream."""
    name = "cuMemcpyDtoH" if stream is None else "cuMemcpyDtoHAsync"
    with gpu.call(name, in_capture=stream is not None):
        target = gpu.span(to, nbytes, writes=True, host=True)
        _copy(gpu, target, gpu.span(source, nbytes, writes=False, host=False), stream, name)


def copy_on_device(gpu: Gpu, to: int, source: int, nbytes: int, *, stream: int | None) -> None:
    """cuMemcpyDtoDAsync, and cuMemcpyDtoD if there is no stream."""
    name = "cuMemcpyDtoD" if stream is None else "cuMemcpyDtoDAsync"
    with gpu.call(name, in_capture=stream is not None):
        target = gpu.span(to, nbytes, writes=True, host=False)
        _copy(gpu, target, gpu.span(source, nbytes, writes=False, host=False), stream, name)


def fill(gpu: Gpu, to: int, value: int, nbytes: int, *, stream: int | None) -> None:
    """cuMemsetD8Async, and cuMemsetD8 if there is no stream."""
    name = "cuMemsetD8" if stream is None else "cuMemsetD8Async"
    with gpu.call(name, in_capture=stream is not None):
        target = gpu.span(to, nbytes, writes=True, host=False)

        def run() -> None:
            content = gpu.reachable(target, name)
            if content is not None:
                content[:] = value

        queue = stream_of(gpu, stream or LEGACY)
        operation = gpu.schedule.enqueue(queue, name, run, (target,))
        if stream is None:
            gpu.schedule.finish(operation)


def watched(gpu: Gpu, source: Span) -> Bytes | None:
    """What a pinned array holds when work is queued; nobody may change it before that runs."""
    item = source.allocation
    if item is None or item.kind != "pinned array" or item.freed:
        return None
    return gpu.memory.view(source).copy()


def complain_if_changed(gpu: Gpu, source: Span, before: Bytes | None, *, name: str) -> None:
    """Compare with `watched` when the work runs."""
    item = source.allocation
    if item is None or item.freed or before is None:
        return
    if not np.array_equal(gpu.memory.view(source), before):
        gpu.faults.append(f"the host changed {item} while {name} was queued")


def empty_until_done(gpu: Gpu, target: Span) -> None:
    """Take away what the host could read too early."""
    host = target.allocation is None or target.allocation.kind == "pinned array"
    if host and not gpu.schedule.is_read(target):
        gpu.memory.view(target)[:] = UNWRITTEN


def _copy(gpu: Gpu, target: Span, source: Span, stream: int | None, name: str) -> None:
    # From ordinary memory of the host CUDA takes the bytes before it returns.
    taken = gpu.memory.view(source).copy() if source.allocation is None else None
    queue = stream_of(gpu, LEGACY if stream is None else stream)
    before = None if queue.capture else watched(gpu, source)

    def run() -> None:
        content = taken if taken is not None else gpu.reachable(source, name)
        place = gpu.reachable(target, name)
        if content is not None and place is not None:
            complain_if_changed(gpu, source, before, name=name)
            place[:] = content

    spans = (target,) if source.allocation is None else (target, source)
    operation = gpu.schedule.enqueue(queue, name, run, spans)
    if queue.capture:
        return
    empty_until_done(gpu, target)
    if stream is None or target.allocation is None:
        gpu.schedule.finish(operation)  # to ordinary memory of the host it also waits
        gpu.require_unbroken()


def begin_capture(gpu: Gpu, handle: int, *, thread_local: bool) -> None:
    """cuStreamBeginCapture."""
    with gpu.call("cuStreamBeginCapture"):
        stream = stream_of(gpu, handle)
        if handle == LEGACY or stream.capture:
            raise CudaError("CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED")
        stream.capture = Capture(handle, threading.get_ident() if thread_local else None)


def end_capture(gpu: Gpu, handle: int) -> int:
    """cuStreamEndCapture: handle of a graph."""
    with gpu.call("cuStreamEndCapture", in_capture=True):
        stream = stream_of(gpu, handle)
        capture = stream.capture
        if capture is None or capture.origin != handle:
            raise CudaError("CUDA_ERROR_INVALID_VALUE")
        for other in gpu.schedule.streams.values():
            if other.capture is capture:
                other.capture = None
        if capture.broken:
            raise CudaError("CUDA_ERROR_STREAM_CAPTURE_INVALIDATED")
        if not all(capture.joined.values()):
            gpu.faults.append("a capture ended while another stream's work was not joined")
            raise CudaError("CUDA_ERROR_STREAM_CAPTURE_UNJOINED")
        return gpu.new_handle(Graph(capture.operations))


def is_capturing(gpu: Gpu, handle: int) -> bool:
    """cuStreamIsCapturing."""
    with gpu.call("cuStreamIsCapturing", in_capture=True):
        return stream_of(gpu, handle).capture is not None


def instantiate_graph(gpu: Gpu, handle: int) -> int:
    """cuGraphInstantiate."""
    with gpu.call("cuGraphInstantiate"):
        graph = gpu.object_of(handle, Graph, "graph")
        return gpu.new_handle(Graph(graph.operations, executable=True))


def launch_graph(gpu: Gpu, handle: int, stream: int) -> None:
    """cuGraphLaunch."""
    with gpu.call("cuGraphLaunch", in_capture=True):
        graph = _executable(gpu, handle)
        spans = [span for operation in graph.operations for span in operation.spans]
        only_read = [
            span
            for span in spans
            if not any(other.writes and span.conflicts(other) for other in spans)
        ]
        before = [(span, watched(gpu, span)) for span in only_read]

        def run() -> None:
            for span, content in before:
                complain_if_changed(gpu, span, content, name="cuGraphLaunch")
            for operation in graph.operations:
                operation.run()

        queue = stream_of(gpu, stream)
        gpu.schedule.enqueue(queue, "cuGraphLaunch", run, spans)
        for span in spans:
            if span.writes and (span.allocation is None or not span.allocation.freed):
                empty_until_done(gpu, span)


def upload_graph(gpu: Gpu, handle: int, stream: int) -> None:
    """cuGraphUpload: only makes the first launch quicker."""
    with gpu.call("cuGraphUpload"):
        _executable(gpu, handle)
        stream_of(gpu, stream)


def destroy_graph(gpu: Gpu, handle: int, *, executable: bool) -> None:
    """cuGraphExecDestroy and cuGraphDestroy."""
    with gpu.call("cuGraphExecDestroy" if executable else "cuGraphDestroy"):
        if executable:
            _executable(gpu, handle)
        else:
            gpu.object_of(handle, Graph, "graph")
        del gpu.objects[handle]


def _executable(gpu: Gpu, handle: int) -> Graph:
    graph = gpu.object_of(handle, Graph, "instantiated graph")
    if not graph.executable:
        gpu.faults.append(f"{handle:#x} is a graph that was not instantiated")
        raise CudaError("CUDA_ERROR_INVALID_HANDLE")
    return graph
