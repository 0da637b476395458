"""Runtime and ICudaEngine: a plan becomes an engine, or None and a line in the log."""

from __future__ import annotations

import itertools
from typing import Any

import onnx

from device_fakes.cuda_memory import WrongAddressError
from device_fakes.tensorrt_builder import num_dla_cores, require_driver, require_started
from device_fakes.tensorrt_context import ExecutionContext
from device_fakes.tensorrt_import import TYPE_OF
from device_fakes.tensorrt_inspector import Inspector
from device_fakes.tensorrt_logger import host_memory
from device_fakes.tensorrt_plan import BrokenPlanError, Plan, bytes_of, plan_of

_numbers = itertools.count(1)


class Runtime:
    """trt.Runtime."""

    def __init__(self, logger: Any) -> None:
        trt = self._trt
        if not isinstance(logger, trt.module.ILogger):
            raise TypeError(f"Runtime(): incompatible constructor arguments: {logger!r}")
        require_started(logger)
        trt.use_logger(logger)
        require_driver(trt)
        self._logger = logger

    DLA_core = -1
    max_threads = 1
    engine_host_code_allowed = False
    logger = property(lambda self: self._logger)

    @property
    def num_DLA_cores(self) -> int:  # noqa: N802  # its name in TensorRT
        return num_dla_cores(self._trt)

    def deserialize_cuda_engine(
        self, serialized_engine: Any = None, stream_reader: Any = None
    ) -> Any:
        trt = self._trt
        if stream_reader is not None:
            raise NotImplementedError("device_fakes reads engines from bytes only")
        content = bytes(memoryview(serialized_engine))
        where = "IRuntime::deserializeCudaEngine"
        try:
            plan = plan_of(content)
        except BrokenPlanError as error:
            trt.error(f"{where}: Error Code 1: Serialization ({error})")
            return None
        if not _fits(trt, plan, self.DLA_core, where):
            return None
        if trt.gpu.is_to_fail("deserialize"):
            trt.error(f"{where}: Error Code 1: Cuda Runtime (unspecified launch failure)")
            return None
        weights = device_memory(trt, len(plan.model))
        if weights is None:
            trt.error(
                f"{where}: Error Code 2: OutOfMemory (Requested size was {len(plan.model)} bytes.)"
            )
            return None
        engine = trt.make("ICudaEngine", runtime=self, plan=plan, weights=weights, contexts=[])
        engine._start()
        return engine


def device_memory(trt: Any, nbytes: int) -> Any:
    """Memory that TensorRT takes for itself, or None if there is not enough."""
    return trt.gpu.memory.allocate(max(nbytes, 1), 0, owner="tensorrt")


def give_back(trt: Any, allocation: Any) -> None:
    """The memory of an engine or a context; it may have gone with the CUDA context."""
    if allocation is not None and not allocation.freed:
        try:
            trt.gpu.memory.free(allocation.address, allocation.kind)
        except WrongAddressError as error:
            trt.gpu.faults.append(str(error))


def _fits(trt: Any, plan: Plan, core: int, where: str) -> bool:
    if plan.tensorrt != trt.version:
        trt.error(
            f"{where}: Error Code 1: Serialization (The engine plan file is not compatible with "
            f"this version of TensorRT, expecting library version {trt.version} got "
            f"{plan.tensorrt}, please rebuild.)"
        )
        return False
    own = trt.gpu.compute_capability
    if tuple(plan.compute_capability) != own:
        was = ".".join(map(str, plan.compute_capability))
        trt.error(
            f"{where}: Error Code 6: API Usage Error (The engine plan file is generated on an "
            f"incompatible device, expecting compute {own[0]}.{own[1]} got compute {was}, please "
            "rebuild.)"
        )
        return False
    if plan.gpu != trt.gpu.name:
        trt.log(
            "WARNING",
            "Using an engine plan file across different models of devices is not recommended and "
            "is likely to affect performance or even cause errors.",
        )
    if plan.dla_core >= 0 and (num_dla_cores(trt) == 0 or core >= num_dla_cores(trt)):
        trt.error(f"{where}: Error Code 3: API Usage Error (this engine needs a DLA core)")
        return False
    return True


class Engine:
    """ICudaEngine."""

    _plan: Plan
    _weights: Any
    _runtime: Any
    _contexts: list[Any]

    def _start(self) -> None:
        trt = self._trt
        graph = onnx.load_model_from_string(self._plan.model).graph
        weights = {item.name for item in graph.initializer}
        inputs = [item for item in graph.input if item.name not in weights]
        self._io = {
            item.name: (mode, TYPE_OF[item.type.tensor_type.elem_type], _sides(item))
            for mode, items in (("INPUT", inputs), ("OUTPUT", graph.output))
            for item in items
        }
        self._number = next(_numbers)
        trt.gpu.dependents[self._number] = "an engine"

    def __del__(self) -> None:
        trt = self._trt
        if trt.gpu.dependents.pop(self.__dict__.get("_number", 0), None):
            give_back(trt, self._weights)

    num_io_tensors = property(lambda self: len(self._io))
    num_layers = property(lambda self: len(self._plan.layers))
    num_optimization_profiles = property(lambda self: len(self._plan.profiles))
    device_memory_size = property(lambda self: self._plan.device_memory_bytes)
    device_memory_size_v2 = property(lambda self: self._plan.device_memory_bytes)
    streamable_weights_size = 0
    num_aux_streams = 0
    refittable = False
    has_implicit_batch_dimension = False
    name = "Unnamed Network 0"

    @property
    def profiling_verbosity(self) -> Any:
        kind = self._trt.enums["ProfilingVerbosity"]
        return kind.__members__[self._plan.verbosity]

    def get_device_memory_size_for_profile(self, profile_index: int) -> int:
        return self._plan.device_memory_bytes

    def get_device_memory_size_for_profile_v2(self, profile_index: int) -> int:
        return self._plan.device_memory_bytes

    def __getitem__(self, index: int) -> str:
        names = list(self._io)
        if not isinstance(index, int):
            raise TypeError("__getitem__(): incompatible function arguments")
        if not -len(names) <= index < len(names):
            raise IndexError
        return names[index]

    def __len__(self) -> int:
        return len(self._io)

    def get_tensor_name(self, index: int) -> Any:
        names = list(self._io)
        if 0 <= index < len(names):
            return names[index]
        self._trt.parameter_check("ICudaEngine::getIOTensorName", "index < nbIOTensors")
        return None

    def _known(self, name: str, call: str) -> bool:
        if not isinstance(name, str):
            raise TypeError(f"{call}(): incompatible function arguments: {name!r}")
        if name in self._io:
            return True
        self._trt.error(
            f"ICudaEngine::{call}: Error Code 3: Internal Error (Given invalid tensor name: "
            f"{name}. Get valid tensor names with getIOTensorName())"
        )
        return False

    def get_tensor_shape(self, name: str) -> Any:
        known = self._known(name, "getTensorShape")
        return self._trt.dims(self._io[name][2] if known else None)

    def get_tensor_dtype(self, name: str) -> Any:
        kinds = self._trt.enums["DataType"].__members__
        return kinds[self._io[name][1] if self._known(name, "getTensorDataType") else "FLOAT"]

    def get_tensor_mode(self, name: str) -> Any:
        modes = self._trt.enums["TensorIOMode"].__members__
        return modes[self._io[name][0] if self._known(name, "getTensorIOMode") else "NONE"]

    def get_tensor_location(self, name: str) -> Any:
        self._known(name, "getTensorLocation")
        return self._trt.enums["TensorLocation"].__members__["DEVICE"]

    def get_tensor_format(self, name: str, profile_index: int = 0) -> Any:
        self._known(name, "getTensorFormat")
        return self._trt.enums["TensorFormat"].__members__["LINEAR"]

    def get_tensor_format_desc(self, name: str, profile_index: int = 0) -> str:
        return "Row major linear" if self._known(name, "getTensorFormatDesc") else ""

    def get_tensor_bytes_per_component(self, name: str, profile_index: int = 0) -> int:
        if not self._known(name, "getTensorBytesPerComponent"):
            return -1
        return int(self.get_tensor_dtype(name).itemsize)

    def get_tensor_vectorized_dim(self, name: str, profile_index: int = 0) -> int:
        self._known(name, "getTensorVectorizedDim")
        return -1

    def is_shape_inference_io(self, name: str) -> bool:
        self._known(name, "isShapeInferenceIO")
        return False

    def get_tensor_profile_shape(self, name: str, profile_index: int) -> list[Any]:
        trt = self._trt
        if not self._known(name, "getProfileShape"):
            return [trt.dims(None)] * 3
        if not 0 <= profile_index < len(self._plan.profiles):
            trt.parameter_check("ICudaEngine::getProfileShape", "profileIndex < nbProfiles")
            return [trt.dims(None)] * 3
        shapes = self._plan.profiles[profile_index].get(name) or [self._io[name][2]] * 3
        return [trt.dims(shape) for shape in shapes]

    def create_engine_inspector(self) -> Any:
        return self._trt.make("EngineInspector", engine=self)

    def create_execution_context(self, strategy: Any = None) -> Any:
        trt = self._trt
        where = "ICudaEngine::createExecutionContext"
        if trt.gpu.is_to_fail("create_execution_context"):
            trt.error(f"{where}: Error Code 1: Cuda Runtime (unspecified launch failure)")
            return None
        size = self._plan.device_memory_bytes
        scratch = device_memory(trt, size)
        if scratch is None:
            trt.error(f"{where}: Error Code 2: OutOfMemory (Requested size was {size} bytes.)")
            return None
        context = trt.make("IExecutionContext", engine=self, scratch=scratch)
        context._start()
        return context

    def serialize(self) -> Any:
        return host_memory(self._trt, bytes_of(self._plan))


def _sides(item: onnx.ValueInfoProto) -> list[int]:
    return [
        side.dim_value if side.HasField("dim_value") else -1
        for side in item.type.tensor_type.shape.dim
    ]


ENGINE_BEHAVIOURS: dict[str, type] = {
    "Runtime": Runtime,
    "ICudaEngine": Engine,
    "IExecutionContext": ExecutionContext,
    "EngineInspector": Inspector,
}
