"""Runs a TensorRT engine: uint8 faces in, logits out; see `Backend` for the contract.

Two sets of buffers take turns. While the GPU computes one chunk of a call, the CPU fills the other
set and its copy to the GPU runs on a stream of its own::

    CPU      fill 0 | fill 1        | fill 0 ...
    copy            | in 0   | in 1          | ...
    compute                  | 0 (and out)   | 1 (and out) ...

A call that fits into one chunk has nothing to overlap. On a GPU that shares the CPU's memory
nothing is copied at all: the GPU reads and writes the page-locked arrays themselves.

Calls of several threads take their turns. Everything is given back when the backend is closed,
forgotten or the interpreter ends, in the reverse order of its making.

Shapes: N faces in a call, n faces in a chunk, S model input size, C classes.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import numpy as np

from edge_arm.runtime.backend import BackendInfo, Float32Array, StagedAnswer, check_input
from edge_arm.runtime.cuda_device import CudaDevice, DeviceBuffer, HostArray, open_cuda
from edge_arm.runtime.engine_record import EngineRecord
from edge_arm.runtime.errors import InferenceError, UsageError
from edge_arm.runtime.preprocess import Uint8Array
from edge_arm.runtime.tensorrt_engine import (
    LoadedEngine,
    load_engine,
    profile_for,
    read_plan,
    rebuild_command,
    require_same_device,
)
from edge_arm.runtime.tensorrt_library import TensorRT, load_tensorrt

NUM_SLOTS = 2
Memory = TypeVar("Memory", HostArray, DeviceBuffer)


@dataclass
class _Slot:
    """One set of buffers.

    Attributes:
        faces: (max, S, S, 3) uint8, page-locked.
        logits: (max, C) float32, page-locked.
        faces_address: where the engine reads.
        logits_address: where the engine writes.
        filled: mark behind the copy in.
        done: mark behind the logits.
        graphs: by number of faces.
    """

    faces: HostArray
    logits: HostArray
    faces_address: int
    logits_address: int
    filled: Any
    done: Any
    graphs: dict[int, Any] = field(default_factory=dict)


class _Resources:
    """All that must be given back, however the backend ends.

    Attributes:
        device: the GPU.
        stack: streams, marks and memory; freed in the reverse order.
        loaded: the engine; goes before the memory that it works on.
        slots: sets of buffers; their graphs go before the engine.
        copy_stream: for copies to the GPU.
        compute_stream: for all else.
    """

    def __init__(self, device: CudaDevice) -> None:
        self.device = device
        self.stack = ExitStack()
        self.loaded: LoadedEngine | None = None
        self.slots: list[_Slot] = []
        self.copy_stream: Any = None
        self.compute_stream: Any = None

    def mark(self, made: Any) -> Any:
        """Register a stream or an event."""
        self.stack.callback(self.device.drop, made)
        return made

    def memory(self, made: Memory) -> Memory:
        """Register memory."""
        self.stack.callback(self.device.free, made)
        return made

    def close(self) -> None:
        """Free everything; what cannot be freed does not keep the rest."""
        try:
            with self.device.current(), self.stack:
                self.copy_stream = self.compute_stream = None
                # No name here may hold a slot: pycuda destroys an event with its last reference.
                while self.slots:
                    graphs = self.slots.pop().graphs
                    while graphs:
                        self.device.drop(graphs.popitem()[1])
                if self.loaded is not None:
                    self.loaded.forget()
        finally:
            self.device.close()


class TensorRTBackend:
    """One engine on one GPU."""

    def __init__(
        self, plan_path: Path, record: EngineRecord, *, cuda: str = "pycuda", graphs: bool = False
    ) -> None:
        """Load an engine.

        Args:
            plan_path: the plan.
            record: beside it.
            cuda: one of `CUDA_LIBRARIES`.
            graphs: record a CUDA graph for each number of faces and replay it; saves the CPU some
                tens of microseconds a call. Only with cuda-python.

        Raises:
            BackendUnavailableError: if TensorRT, the CUDA library or a GPU is not here.
            EngineError: if the plan is not the record's, belongs to another GPU or TensorRT, or
                does not load.
            InferenceError: if the GPU is out of memory.
            UsageError: for graphs with a library that has none.
        """
        plan = read_plan(plan_path, record)
        tensorrt = load_tensorrt()
        device = open_cuda(cuda)
        self._lock = threading.Lock()
        self._resources = resources = _Resources(device)
        self._finalizer = weakref.finalize(self, resources.close)
        try:
            command = rebuild_command(record, plan_path)
            require_same_device(record, device.facts, tensorrt.version, command=command)
            if graphs and not device.has_graphs:
                raise UsageError(
                    f"got CUDA graphs with {device.library}, expected cuda-python, because "
                    f"{device.library} has none; choose --cuda cuda-python or leave them out"
                )
            self._graphs = graphs
            self._tensorrt: TensorRT = tensorrt
            with device.current():
                loaded = load_engine(tensorrt, plan, record, command=command)
                resources.loaded = loaded
                _allocate(resources, loaded)
        except BaseException:
            self._finalizer()
            raise
        self._profile = 0
        self._info = BackendInfo(
            name=f"tensorrt/{device.facts.name}",
            version=tensorrt.version,
            model_sha256=record.plan_sha256,
            size_bytes=record.plan_bytes,
            input_size=loaded.input_size,
            num_classes=loaded.num_classes,
            file=plan_path.name,
        )

    @property
    def info(self) -> BackendInfo:
        """What runs, for reports."""
        return self._info

    def infer(self, images_nhwc: Uint8Array) -> Float32Array:
        """Logits (N, C) of faces (N, S, S, 3); see `Backend.infer`.

        More faces than the engine's largest batch go in several chunks, fewer than its smallest are
        filled up with copies of the last one, whose answers are dropped.
        """
        check_input(images_nhwc, self._info.input_size)
        with self._ready():
            return self._infer_chunks(images_nhwc)

    def infer_in_stages(self, images_nhwc: Uint8Array) -> StagedAnswer:
        """Logits and where the time went; see `StagedBackend.infer_in_stages`.

        On a GPU that shares the CPU's memory the copies are the CPU's own, into and out of it.
        """
        check_input(images_nhwc, self._info.input_size)
        with self._ready():
            return self._infer_staged(images_nhwc)

    def __enter__(self) -> TensorRTBackend:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._lock:
            self._finalizer()

    @contextmanager
    def _ready(self) -> Iterator[None]:
        """One caller's turn, with the context current."""
        with self._lock:
            if not self._finalizer.alive:
                raise InferenceError(
                    f"{self._info.name} was closed, expected an open backend; "
                    "call infer inside its 'with' block"
                )
            self._tensorrt.log.forget()
            with self._resources.device.current():
                yield

    def _infer_staged(self, images_nhwc: Uint8Array) -> StagedAnswer:
        device, loaded = self._resources.device, self._resources.loaded
        assert loaded is not None
        num_faces, slot = len(images_nhwc), self._resources.slots[0]
        self._choose_profile(loaded, num_faces)
        batch = loaded.profiles[self._profile]
        if num_faces > batch.max:
            raise InferenceError(
                f"got {num_faces} faces to time in stages, expected at most {batch.max}, which the "
                "engine takes at once; time a smaller batch"
            )
        try:
            start = time.perf_counter()
            faces = self._filled(slot, images_nhwc, at_least=batch.min)
            if not device.facts.integrated:
                device.copy_in(slot.faces_address, faces, self._resources.copy_stream)
                device.synchronize(self._resources.copy_stream)
            copied_in = time.perf_counter()
            self._compute(loaded, slot, len(faces))
            device.synchronize(self._resources.compute_stream)
            computed = time.perf_counter()
            if not device.facts.integrated:
                self._queue_copy_out(slot, len(faces))
                device.synchronize(self._resources.compute_stream)
            logits = slot.logits.array[:num_faces].copy()
            copied_out = time.perf_counter()
        except BaseException:
            self._wait_for_all()
            raise
        return StagedAnswer(logits, copied_in - start, computed - copied_in, copied_out - computed)

    def _infer_chunks(self, images_nhwc: Uint8Array) -> Float32Array:
        loaded = self._resources.loaded
        assert loaded is not None
        num_faces = len(images_nhwc)
        self._choose_profile(loaded, num_faces)
        batch = loaded.profiles[self._profile]
        result = np.empty((num_faces, loaded.num_classes), np.float32)
        running: list[tuple[_Slot, int, int]] = []  # slot, first row, rows
        slots = self._resources.slots
        try:
            for number, start in enumerate(range(0, num_faces, batch.max)):
                if len(running) == len(slots):
                    self._collect(running.pop(0), result)
                slot = slots[number % len(slots)]
                chunk = images_nhwc[start : start + batch.max]
                self._enqueue(loaded, slot, chunk, at_least=batch.min)
                running.append((slot, start, len(chunk)))
            while running:
                self._collect(running.pop(0), result)
        except BaseException:
            self._wait_for_all()
            raise
        return result

    def _wait_for_all(self) -> None:
        """The next call must not meet work of this one that still reads or writes the buffers."""
        self._resources.device.synchronize(self._resources.copy_stream)
        self._resources.device.synchronize(self._resources.compute_stream)

    def _choose_profile(self, loaded: LoadedEngine, num_faces: int) -> None:
        wanted = profile_for(loaded.profiles, num_faces)
        if wanted != self._profile:
            device = self._resources.device
            stream = device.handle_of(self._resources.compute_stream)
            if not loaded.execution_context.set_optimization_profile_async(wanted, stream):
                raise InferenceError(
                    f"TensorRT did not change to optimization profile {wanted} "
                    f"({self._tensorrt.log.why()}), expected it to; use a smaller batch"
                )
            device.synchronize(self._resources.compute_stream)
            self._profile = wanted

    def _collect(self, running: tuple[_Slot, int, int], result: Float32Array) -> None:
        slot, start, rows = running
        self._resources.device.wait_for(slot.done)
        result[start : start + rows] = slot.logits.array[:rows]

    def _enqueue(
        self, loaded: LoadedEngine, slot: _Slot, chunk: Uint8Array, *, at_least: int
    ) -> None:
        device = self._resources.device
        faces = self._filled(slot, chunk, at_least=at_least)
        if not device.facts.integrated:
            device.copy_in(slot.faces_address, faces, self._resources.copy_stream)
            device.record(slot.filled, self._resources.copy_stream)
            device.stream_waits(self._resources.compute_stream, slot.filled)
        self._compute(loaded, slot, len(faces))
        if not device.facts.integrated:
            self._queue_copy_out(slot, len(faces))
        device.record(slot.done, self._resources.compute_stream)

    def _filled(self, slot: _Slot, chunk: Uint8Array, *, at_least: int) -> Uint8Array:
        """The part of the slot's memory that holds the faces, filled up to the smallest batch."""
        faces: Uint8Array = slot.faces.array[: max(len(chunk), at_least)]
        faces[: len(chunk)] = chunk
        faces[len(chunk) :] = chunk[-1]
        return faces

    def _queue_copy_out(self, slot: _Slot, rows: int) -> None:
        self._resources.device.copy_out(
            slot.logits.array[:rows], slot.logits_address, self._resources.compute_stream
        )

    def _compute(self, loaded: LoadedEngine, slot: _Slot, rows: int) -> None:
        device = self._resources.device
        if rows in slot.graphs:
            device.launch(slot.graphs[rows], self._resources.compute_stream)
            return
        execution_context = loaded.execution_context
        size = loaded.input_size
        ready = (
            execution_context.set_input_shape(loaded.input_name, (rows, size, size, 3))
            and execution_context.set_tensor_address(loaded.input_name, slot.faces_address)
            and execution_context.set_tensor_address(loaded.output_name, slot.logits_address)
        )
        if not ready:
            raise InferenceError(
                f"TensorRT does not take a batch of {rows} ({self._tensorrt.log.why()}), expected "
                f"{loaded.profiles[self._profile].min} to {loaded.profiles[self._profile].max}; "
                "build the engine with another --batch"
            )
        # The first run with a shape sets TensorRT up for it, which a graph cannot hold.
        self._execute(loaded, rows)
        if self._graphs:
            slot.graphs[rows] = self._recorded(loaded, rows)

    def _recorded(self, loaded: LoadedEngine, rows: int) -> Any:
        device, stream = self._resources.device, self._resources.compute_stream
        device.begin_capture(stream)
        try:
            self._execute(loaded, rows)
        except BaseException:
            with suppress(InferenceError):  # the stream must leave the recording either way
                device.drop(device.end_capture(stream))
            raise
        return device.end_capture(stream)

    def _execute(self, loaded: LoadedEngine, rows: int) -> None:
        stream = self._resources.device.handle_of(self._resources.compute_stream)
        if not loaded.execution_context.execute_async_v3(stream):
            raise InferenceError(
                f"TensorRT failed on a batch of {rows} ({self._tensorrt.log.why()}), expected "
                "logits; try a smaller --batch-size, or build the engine again"
            )


def _allocate(resources: _Resources, loaded: LoadedEngine) -> None:
    """Make streams and buffers once, for the largest batch of the engine."""
    device, size = resources.device, loaded.input_size
    largest = max(batch.max for batch in loaded.profiles)
    mapped = device.facts.integrated
    resources.copy_stream = resources.mark(device.stream())
    resources.compute_stream = resources.mark(device.stream())
    for _ in range(NUM_SLOTS):
        faces = resources.memory(
            device.host_array((largest, size, size, 3), np.uint8, mapped=mapped)
        )
        logits = resources.memory(
            device.host_array((largest, loaded.num_classes), np.float32, mapped=mapped)
        )
        resources.slots.append(
            _Slot(
                faces=faces,
                logits=logits,
                faces_address=_gpu_address(resources, faces),
                logits_address=_gpu_address(resources, logits),
                filled=resources.mark(device.event()),
                done=resources.mark(device.event()),
            )
        )


def _gpu_address(resources: _Resources, host: HostArray) -> int:
    """Where the GPU has the array: in the same place if it can reach that, else in a buffer."""
    if host.device_address is not None:
        return host.device_address
    return resources.memory(resources.device.device_buffer(host.array.nbytes)).address
