"""IExecutionContext: shapes, addresses, and work queued in a stream of the simulated GPU."""

from __future__ import annotations

import hashlib
import itertools
import time
from functools import lru_cache
from typing import Any

import numpy as np
from rounding_session import rounding_session

from device_fakes.cuda_errors import CudaError
from device_fakes.cuda_memory import Span, WrongAddressError
from device_fakes.gpu_streams import complain_if_changed, empty_until_done, stream_of, watched
from device_fakes.tensorrt_state import shape_of

ALIGNMENT = 256
NUMPY = {
    "FLOAT": np.float32,
    "HALF": np.float16,
    "INT8": np.int8,
    "INT32": np.int32,
    "INT64": np.int64,
    "UINT8": np.uint8,
    "BOOL": np.bool_,
}
_numbers = itertools.count(1)


class ExecutionContext:
    """IExecutionContext."""

    _engine: Any
    _scratch: Any

    def _start(self) -> None:
        trt, engine = self._trt, self._engine
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._addresses: dict[str, int] = {}
        self._ready_for: Any = None
        self._number = next(_numbers)
        trt.gpu.dependents[-self._number] = "an execution context"
        # Before 10 a profile belonged to one context at a time.
        self._profile = 0 if trt.number >= (10, 0) or 0 not in engine._contexts else -1
        engine._contexts.append(self._profile)

    def __del__(self) -> None:
        trt = self._trt
        if trt.gpu.dependents.pop(-self.__dict__.get("_number", 0), None):
            waiting = trt.gpu.schedule.pending_on(self._scratch)
            if waiting:
                trt.gpu.faults.append("an execution context was destroyed while its work is queued")
            self._engine._contexts.remove(self._profile)
            if not self._scratch.freed:
                trt.gpu.memory.free(self._scratch.address, self._scratch.kind)

    debug_sync = False
    enqueue_emits_profile = True
    persistent_cache_limit = 0
    name = ""
    engine = property(lambda self: self._engine)
    active_optimization_profile = property(lambda self: self._profile)

    @property
    def all_binding_shapes_specified(self) -> bool:
        return not self._missing()

    def set_optimization_profile_async(self, profile_index: int, stream_handle: int) -> bool:
        trt = self._trt
        taken = self._engine._contexts
        if not 0 <= profile_index < len(self._engine._plan.profiles):
            trt.parameter_check(
                "IExecutionContext::setOptimizationProfileAsync",
                "profileIndex >= 0 && profileIndex < mEngine.getNbOptimizationProfiles()",
            )
            raise RuntimeError("Error in set optimization profile async.")
        if trt.number < (10, 0) and profile_index != self._profile and profile_index in taken:
            trt.error(
                f"IExecutionContext::setOptimizationProfileAsync: Profile {profile_index} has been "
                "chosen by another IExecutionContext. Use another profileIndex or destroy the "
                "IExecutionContext that use this profile."
            )
            raise RuntimeError("Error in set optimization profile async.")
        stream_of(trt.gpu, int(stream_handle))
        taken.remove(self._profile)
        taken.append(profile_index)
        if profile_index != self._profile:
            self._shapes.clear()
            self._ready_for = None
        self._profile = profile_index
        return True

    def set_input_shape(self, name: str, shape: Any) -> bool:
        trt, engine = self._trt, self._engine
        where = "IExecutionContext::setInputShape"
        given = shape_of(shape)
        if not engine._known(name, "setInputShape"):
            return False
        mode, _, own = engine._io[name]
        if mode != "INPUT":
            trt.parameter_check(where, "engine.isInput(name)")
            return False
        if len(given) != len(own) or any(a not in (-1, b) for a, b in zip(own, given, strict=True)):
            trt.parameter_check(
                where,
                "engineDims.d[i] == dims.d[i]",
                f"Static dimension mismatch while setting input shape for {name}. Set dimensions "
                f"are {list(given)}. Expected dimensions are {own}.",
            )
            return False
        if self._profile < 0:
            trt.parameter_check(
                where, "mOptimizationProfile >= 0", "no optimization profile is set"
            )
            return False
        limits = engine._plan.profiles[self._profile].get(name)
        for index, side in enumerate(given):
            if limits and not limits[0][index] <= side <= limits[2][index]:
                trt.parameter_check(
                    where,
                    "satisfyProfile(dims)",
                    f"Set dimension [{','.join(map(str, given))}] for tensor {name} does not "
                    f"satisfy any optimization profiles. Valid range for profile {self._profile}: "
                    f"{limits[0]}..{limits[2]}.",
                )
                return False
        self._shapes[name] = given
        return True

    def get_tensor_shape(self, name: str) -> Any:
        trt, engine = self._trt, self._engine
        if not engine._known(name, "getTensorShape"):
            return trt.dims(None)
        mode, _, own = engine._io[name]
        if name in self._shapes:
            return trt.dims(self._shapes[name])
        if mode == "INPUT" or self._missing():
            return trt.dims(own)
        return trt.dims(self._output_shape(own))

    def _output_shape(self, own: list[int]) -> list[int]:
        batch = next((shape[0] for shape in self._shapes.values()), 1)
        return [batch if side < 0 else side for side in own]

    def _missing(self) -> list[str]:
        return [
            name
            for name, (mode, _, own) in self._engine._io.items()
            if mode == "INPUT" and -1 in own and name not in self._shapes
        ]

    def infer_shapes(self) -> list[str]:
        return self._missing()

    def set_tensor_address(self, name: str, memory: int) -> bool:
        if isinstance(memory, float | str | bytes | None.__class__):
            raise TypeError(f"set_tensor_address(): incompatible function arguments: {memory!r}")
        if not self._engine._known(name, "setTensorAddress"):
            return False
        self._addresses[name] = int(memory)
        return True

    def get_tensor_address(self, name: str) -> int:
        self._engine._known(name, "getTensorAddress")
        return self._addresses.get(name, 0)

    def execute_async_v3(self, stream_handle: int) -> bool:
        trt = self._trt
        gpu = trt.gpu
        if isinstance(stream_handle, float | str | None.__class__):
            raise TypeError(
                f"execute_async_v3(): incompatible function arguments: {stream_handle!r}"
            )
        with gpu.lock:
            gpu.calls["execute_async_v3"] += 1
            where = "IExecutionContext::enqueueV3"
            try:
                stream = stream_of(gpu, int(stream_handle))
            except CudaError as error:
                trt.error(f"{where}: Error Code 1: Cuda Runtime ({error.text})")
                return False
            if gpu.is_to_fail("execute"):
                trt.error(f"{where}: Error Code 1: Cuda Runtime (unspecified launch failure)")
                return False
            if not self._is_complete(where):
                return False
            if int(stream_handle) == 0:
                trt.log(
                    "WARNING",
                    "Using default stream in enqueueV3() may lead to performance issues due to "
                    "additional calls to cudaStreamSynchronize() by TensorRT to ensure correct "
                    "synchronization.",
                )
            state = (self._profile, dict(self._shapes))
            if stream.capture and self._ready_for != state:
                # Work that a change of shape leaves for the next enqueue cannot be captured.
                stream.capture.broken = True
                trt.error(
                    f"{where}: Error Code 1: Cuda Runtime (operation not permitted when stream is "
                    "capturing)"
                )
                return False
            self._ready_for = state
            self._enqueue(stream)
        return True

    def _is_complete(self, where: str) -> bool:
        trt = self._trt
        if self._missing():
            trt.parameter_check(where, "allInputDimensionsSpecified(routine)")
            return False
        for name, (mode, _, _) in self._engine._io.items():
            address = self._addresses.get(name, 0)
            if not address:
                trt.parameter_check(
                    where,
                    "mContext.profileObliviousBindings.at(profileObliviousIndex)",
                    f"Neither address or allocator is set for {mode.lower()} tensor {name}. Call "
                    "setTensorAddress before enqueue/execute.",
                )
                return False
            if address % ALIGNMENT:
                trt.gpu.faults.append(f"the address of {name} is not aligned to {ALIGNMENT} bytes")
        return True

    def _enqueue(self, stream: Any) -> None:
        """Queue the run with the shapes and addresses of this moment."""
        gpu = self._trt.gpu
        plan, inputs, outputs = self._engine._plan, [], []
        spans = [Span(self._scratch, 0, max(self._scratch.nbytes, 1), writes=True)]
        for name, (mode, kind, own) in self._engine._io.items():
            known = self._shapes.get(name, own)
            shape = tuple(known) if mode == "INPUT" else tuple(self._output_shape(own))
            nbytes = int(np.prod(shape)) * np.dtype(NUMPY[kind]).itemsize
            try:
                span = gpu.memory.device_span(
                    self._addresses[name], nbytes, writes=mode == "OUTPUT"
                )
            except WrongAddressError as error:
                gpu.faults.append(f"{name}: {error}")
                gpu.broken = True
                return
            spans.append(span)
            before = watched(gpu, span) if mode == "INPUT" and not stream.capture else None
            item = (name, NUMPY[kind], shape, span, before)
            (inputs if mode == "INPUT" else outputs).append(item)

        def run() -> None:
            feeds = {}
            for name, kind, shape, span, before in inputs:
                content = gpu.reachable(span, f"engine reading {name}")
                if content is None:
                    return
                complain_if_changed(gpu, span, before, name="execute_async_v3")
                feeds[name] = content.view(kind).reshape(shape)
            time.sleep(plan.latency_ms / 1e3)
            results = session_of(plan.model).run([item[0] for item in outputs], feeds)
            for (name, kind, _, span, _), result in zip(outputs, results, strict=True):
                place = gpu.reachable(span, f"engine writing {name}")
                if place is not None:
                    noisy = result + np.asarray(plan.noise) if result.dtype.kind == "f" else result
                    flat = np.ascontiguousarray(noisy.astype(kind))
                    place[:] = flat.reshape(-1).view(np.uint8)

        gpu.schedule.enqueue(stream, "execute_async_v3", run, spans)
        if not stream.capture:
            for *_, span, _ in outputs:
                empty_until_done(gpu, span)


def session_of(model: bytes) -> Any:
    """What computes: ONNX Runtime on the CPU, with the very file that the engine was built from."""
    return _session(hashlib.sha256(model).digest(), _Model(model))


class _Model:
    """A file that is no part of the cache's key."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Model)

    def __hash__(self) -> int:
        return 0


@lru_cache(maxsize=8)
def _session(digest: bytes, model: _Model) -> Any:
    return rounding_session(model.content)
