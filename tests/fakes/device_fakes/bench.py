"""Short ways to use a fake machine, for the tests of the fakes themselves."""

from __future__ import annotations

import ctypes
import json
from typing import Any

import numpy as np
import onnx
from tiny_bundle import SIZE, golden_faces, tiny_model

from device_fakes.machine import FakeMachine

FACE = (SIZE, SIZE, 3)


class CudaBench:
    """cuda-python on a machine with its primary context current, in calls that must succeed."""

    def __init__(self, machine: FakeMachine) -> None:
        from cuda.bindings import driver

        self.machine, self.driver = machine, driver
        driver.cuInit(0)
        self.context = self("cuDevicePrimaryCtxRetain", 0)
        self("cuCtxPushCurrent", self.context)

    def __call__(self, name: str, *arguments: Any) -> Any:
        status, *results = getattr(self.driver, name)(*arguments)
        assert status == self.driver.CUresult.CUDA_SUCCESS, (name, status)
        return results[0] if len(results) == 1 else results

    def status(self, name: str, *arguments: Any) -> str:
        found: str = getattr(self.driver, name)(*arguments)[0].name
        return found.removeprefix("CUDA_ERROR_")

    def pinned(self, values: list[int], flags: int = 0) -> np.ndarray:
        address = self("cuMemHostAlloc", len(values), flags)
        array = np.frombuffer((ctypes.c_uint8 * len(values)).from_address(address), np.uint8)
        array[:] = values
        return array

    def close(self) -> None:
        self("cuCtxPopCurrent")
        self("cuDevicePrimaryCtxRelease", 0)


class TensorRTBench:
    """One TensorRT with its log."""

    def __init__(self, machine: FakeMachine) -> None:
        import tensorrt as trt

        self.machine, self.trt = machine, trt
        self.messages: list[tuple[str, str]] = []
        messages = self.messages

        class Collecting(trt.ILogger):  # type: ignore[misc]
            def __init__(self) -> None:
                super().__init__()

            def log(self, severity: Any, message: str) -> None:
                messages.append((severity.name, message))

        self.logger = Collecting()
        self.builder = trt.Builder(self.logger)

    @property
    def last_error(self) -> str:
        return [text for severity, text in self.messages if severity == "ERROR"][-1]

    def network(self, model: onnx.ModelProto, *flags: str) -> Any:
        if self.machine.tensorrt == "8.6.1":
            flags = (*flags, "EXPLICIT_BATCH")
        kinds = self.trt.NetworkDefinitionCreationFlag.__members__
        network = self.builder.create_network(sum(1 << int(kinds[flag]) for flag in flags))
        self.parser = self.trt.OnnxParser(network, self.logger)
        self.parsed = self.parser.parse(model.SerializeToString())
        return network

    def config(self, *flags: str, batches: tuple[int, ...] = (1, 2, 4)) -> Any:
        config = self.builder.create_builder_config()
        for flag in flags:
            config.set_flag(getattr(self.trt.BuilderFlag, flag))
        profile = self.builder.create_optimization_profile()
        profile.set_shape("faces", *((batch, *FACE) for batch in batches))
        assert config.add_optimization_profile(profile) == 0
        config.profiling_verbosity = self.trt.ProfilingVerbosity.DETAILED
        return config

    def engine(self, plan: Any) -> Any:
        return self.trt.Runtime(self.logger).deserialize_cuda_engine(plan)

    def precisions(self, plan: Any) -> list[str]:
        """What each layer reads, from the inspector's report in this version's dialect."""
        inspector = self.engine(plan).create_engine_inspector()
        text = inspector.get_engine_information(self.trt.LayerInformationFormat.JSON)
        first = [layer["Inputs"][0] for layer in json.loads(text)["Layers"]]
        return [tensor.get("DataType") or tensor["Format/Datatype"] for tensor in first]

    def sound_plan(self) -> bytes:
        """An FP32 engine of the tiny model for batches of 1, 2 and 4."""
        plan = self.builder.build_serialized_network(self.network(tiny_model()), self.config())
        return bytes(plan)


class Running:
    """An engine on the device, ready for two faces."""

    def __init__(self, bench: TensorRTBench) -> None:
        import pycuda.driver as driver

        driver.init()
        self.driver = driver
        self.primary = driver.Device(0).retain_primary_context()
        self.primary.push()
        self.engine = bench.engine(bench.sound_plan())
        self.context = self.engine.create_execution_context()
        self.stream = driver.Stream()
        self.faces = driver.pagelocked_empty((2, *FACE), np.uint8)
        self.faces[:] = golden_faces()[:2]
        self.logits = driver.pagelocked_empty((2, 7), np.float32)
        self.source, self.result = (
            driver.mem_alloc(self.faces.nbytes),
            driver.mem_alloc(self.logits.nbytes),
        )
        self.context.set_tensor_address("faces", int(self.source))
        self.context.set_tensor_address("logits", int(self.result))

    def run(self) -> np.ndarray:
        self.driver.memcpy_htod_async(self.source, self.faces, self.stream)
        assert self.context.execute_async_v3(self.stream.handle)
        self.driver.memcpy_dtoh_async(self.logits, self.result, self.stream)
        self.stream.synchronize()
        return self.logits.copy()
