"""The fake TensorRT refuses what TensorRT refuses, in each version by that version's rules.

What needs no GPU is compared with real bindings in `test_fake_against_real.py`; here is the rest:
older versions, engines, and mistakes in running them.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from device_fakes import ALL_VERSIONS, FakeMachine, installed
from onnx import helper, numpy_helper
from tiny_bundle import SIZE, golden_faces, tiny_model

WEAK = ("8.6.1", "10.3.0")
FACE = (SIZE, SIZE, 3)


class Bench:
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


@pytest.fixture
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    version = getattr(request, "param", "10.3.0")
    with installed(FakeMachine(tensorrt=version, num_dla_cores=2)) as machine:
        yield Bench(machine)


def on(*versions: str) -> Any:
    return pytest.mark.parametrize("bench", versions, indirect=True)


every_version = on(*ALL_VERSIONS)


@every_version
def test_an_fp32_model_is_an_fp32_engine_whatever_was_meant(bench: Bench) -> None:
    plan = bench.builder.build_serialized_network(bench.network(tiny_model()), bench.config())
    kinds = " ".join(bench.precisions(plan))
    assert "FP16" not in kinds
    assert "Int8" not in kinds.replace("UInt8", "")


@on(*WEAK)
def test_weak_typing_takes_the_precision_from_flags(bench: Bench) -> None:
    plan = bench.builder.build_serialized_network(bench.network(tiny_model()), bench.config("FP16"))
    assert any("FP16" in kind for kind in bench.precisions(plan))


@on("10.3.0", "10.13.3", "10.16.0")
@pytest.mark.parametrize("flag", ["FP16", "INT8"])
def test_strong_typing_and_a_precision_flag_are_refused(bench: Bench, flag: str) -> None:
    network = bench.network(tiny_model(), "STRONGLY_TYPED")
    assert bench.builder.build_serialized_network(network, bench.config(flag)) is None
    assert f"condition: !config.getFlag(BuilderFlag::k{flag})" in bench.last_error


@on(*WEAK)
def test_quantized_models_need_the_int8_flag_in_weak_typing(bench: Bench) -> None:
    network = bench.network(tiny_model(int8=True))
    assert bench.builder.build_serialized_network(network, bench.config("FP16")) is None
    assert "int8 is not configured in the builder" in bench.last_error
    plan = bench.builder.build_serialized_network(network, bench.config("FP16", "INT8"))
    assert any(kind.startswith("Thirty-two") for kind in bench.precisions(plan))


@every_version
def test_fp16_scales_are_nothing_for_eight(bench: Bench) -> None:
    bench.network(tiny_model(half=True, int8=True, opset=19))
    assert bench.parsed is (bench.machine.tensorrt != "8.6.1")


@on("8.6.1")
def test_eight_needs_the_explicit_batch_flag(bench: Bench) -> None:
    network = bench.builder.create_network()
    parser = bench.trt.OnnxParser(network, bench.logger)
    assert parser.parse(tiny_model().SerializeToString()) is False
    assert "explicit batch dimension" in parser.get_error(0).desc()


@every_version
def test_the_parser_names_the_node_that_it_refuses(bench: Bench) -> None:
    model = tiny_model()
    node = next(node for node in model.graph.node if node.op_type == "Relu")
    node.op_type = "Celu"
    bench.network(model)
    error = bench.parser.get_error(0)
    place = list(model.graph.node).index(node)
    assert (bench.parsed, bench.parser.num_errors, error.node()) == (False, 1, place)
    if bench.machine.tensorrt == "8.6.1":
        with pytest.raises(AttributeError, match="node_name"):
            error.node_name()
    else:
        assert (error.node_name(), error.node_operator()) == (node.name, "Celu")


@every_version
def test_uint8_must_feed_a_cast(bench: Bench) -> None:
    nodes = [
        helper.make_node("Transpose", ["faces"], ["t"], "turn", perm=[0, 3, 1, 2]),
        helper.make_node("Cast", ["t"], ["y"], "cast", to=onnx.TensorProto.FLOAT),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("faces", onnx.TensorProto.UINT8, ["N", *FACE])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)],
    )
    bench.network(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]))
    assert not bench.parsed
    assert "turn: first input has type UInt8" in bench.parser.get_error(0).desc()


@every_version
def test_a_zero_point_that_is_not_zero_is_refused(bench: Bench) -> None:
    model = tiny_model(int8=True)
    quantize = next(node for node in model.graph.node if node.op_type == "QuantizeLinear")
    zero = next(item for item in model.graph.initializer if item.name == quantize.input[2])
    values = numpy_helper.to_array(zero)
    zero.CopyFrom(numpy_helper.from_array(np.full_like(values, 3), zero.name))
    bench.network(model)
    assert not bench.parsed
    assert "shiftIsAllZeros" in bench.parser.get_error(0).desc()


@on("8.6.1", "10.3.0", "10.16.0")
def test_batch_sizes_in_disorder_are_an_error_at_once_before_11(bench: Bench) -> None:
    profile = bench.builder.create_optimization_profile()
    with pytest.raises(RuntimeError, match="inconsistent"):
        profile.set_shape("faces", (4, *FACE), (2, *FACE), (8, *FACE))


@on(*WEAK)
def test_deprecated_names_warn_where_the_record_says_so(bench: Bench) -> None:
    config = bench.config("INT8")
    warns = bench.machine.tensorrt == "10.3.0"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        config.int8_calibrator = None
        bench.trt.BuilderFlag.INT8  # noqa: B018  # reading a flag never warns
    assert [item.category for item in caught] == [DeprecationWarning] * warns


def calibrator(bench: Bench, cache: bytes | None, *, started: bool = True) -> Any:
    class FromCache(bench.trt.IInt8EntropyCalibrator2):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            if started:
                super().__init__()

        def get_batch_size(self) -> int:
            return 1

        def get_batch(self, names: list[str]) -> None:
            return None

        def read_calibration_cache(self) -> bytes | None:
            return cache

        def write_calibration_cache(self, content: Any) -> None:
            raise AssertionError("there is nothing to write")

    return FromCache()


@on(*WEAK)
@pytest.mark.parametrize("header", ["right", "other", "none"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_implicit_int8_takes_its_ranges_from_a_cache_of_its_own_version(
    bench: Bench, header: str
) -> None:
    network = bench.network(tiny_model())
    conv = next(
        layer for layer in map(network.get_layer, range(9)) if layer.type.name[:4] == "CONV"
    )
    number = {"8.6.1": 8601, "10.3.0": 100300}[bench.machine.tensorrt or ""]
    number += header == "other"
    line = f"TRT-{number}-EntropyCalibration2\n{conv.get_input(0).name}: 3c010a14\n"
    config = bench.config("INT8", "FP16")
    config.int8_calibrator = calibrator(bench, None if header == "none" else line.encode())
    assert bench.builder.build_serialized_network(network, config) is None
    assert "Calibration profile is not defined" in bench.last_error
    profile = bench.builder.create_optimization_profile()
    profile.set_shape("faces", *[(1, *FACE)] * 3)
    config.set_calibration_profile(profile)
    plan = bench.builder.build_serialized_network(network, config)
    if header == "right":
        assert any(kind.startswith("Thirty-two") for kind in bench.precisions(plan))
    else:
        assert plan is None
        assert "Calibration failure" in bench.last_error


@on("10.3.0")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_base_class_that_was_not_started_is_an_error(bench: Bench) -> None:
    with pytest.raises(TypeError, match="must be called when overriding __init__"):
        bench.config("INT8").int8_calibrator = calibrator(bench, b"", started=False)

    class Forgetful(bench.trt.ILogger):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            """It should have called super().__init__()."""

    with pytest.raises(TypeError, match="must be called when overriding __init__"):
        bench.trt.Runtime(Forgetful())


@every_version
def test_dla_cores_are_there_up_to_10_7(bench: Bench) -> None:
    assert bench.builder.num_DLA_cores == (2 if bench.machine.tensorrt in WEAK else 0)


def on_dla(bench: Bench, *flags: str, batches: tuple[int, ...] = (2, 2, 2), core: int = 0) -> Any:
    config = bench.config(*flags, batches=batches)
    config.default_device_type = bench.trt.DeviceType.DLA
    config.DLA_core = core
    return bench.builder.build_serialized_network(bench.network(tiny_model()), config)


@on(*WEAK)
def test_a_dla_takes_what_it_can_and_needs_leave_for_the_rest(bench: Bench) -> None:
    assert on_dla(bench, "FP16", "GPU_FALLBACK") is not None
    assert on_dla(bench, "FP16") is None
    assert "GPU fallback is not enabled" in bench.last_error
    assert on_dla(bench, "GPU_FALLBACK") is None
    assert "FP16 and INT8 precision only" in bench.last_error
    assert on_dla(bench, "FP16", "GPU_FALLBACK", batches=(1, 2, 2)) is None
    assert "does not support dynamic shapes" in bench.last_error
    assert on_dla(bench, "FP16", "GPU_FALLBACK", core=2) is None
    assert "DLA core 2 is not available" in bench.last_error


def sound_plan(bench: Bench) -> bytes:
    network = bench.network(tiny_model())
    return bytes(bench.builder.build_serialized_network(network, bench.config()))


@every_version
def test_a_plan_that_is_not_whole_is_no_engine(bench: Bench) -> None:
    plan = sound_plan(bench)
    for broken in (plan[:-1], plan[:3], b"", plan[:-1] + bytes([plan[-1] ^ 1]), b"x" * 99):
        assert bench.engine(broken) is None
        assert "Error Code 1: Serialization" in bench.last_error


def test_a_plan_of_another_version_or_gpu_is_no_engine(bench: Bench) -> None:
    plan = sound_plan(bench)
    with installed(FakeMachine(tensorrt="10.13.3")) as machine:
        other = Bench(machine)
        assert other.engine(plan) is None
        assert "expecting library version 10.13.3 got 10.3.0" in other.last_error
    with installed(FakeMachine(gpu="NVIDIA A10", compute_capability=(8, 6))) as machine:
        other = Bench(machine)
        assert other.engine(plan) is None
        assert "expecting compute 8.6 got compute 8.7" in other.last_error
    with installed(FakeMachine(gpu="Orin NX")) as machine:
        other = Bench(machine)
        assert other.engine(plan) is not None  # TensorRT only warns
        assert "across different models of devices" in other.messages[-1][1]


@every_version
def test_an_unknown_tensor_has_no_shape_and_no_exception(bench: Bench) -> None:
    engine = bench.engine(sound_plan(bench))
    assert engine.get_tensor_mode("nobody") == bench.trt.TensorIOMode.NONE
    assert engine.get_tensor_dtype("nobody") == bench.trt.DataType.FLOAT
    with pytest.raises(ValueError, match="should return >= 0"):  # its rank is -1
        len(engine.get_tensor_shape("nobody"))
    assert [*engine] == ["faces", "logits"]
    if bench.machine.tensorrt == "8.6.1":
        assert len(engine) == 2
    else:
        with pytest.raises(TypeError, match="has no len"):
            len(engine)


class Running:
    """An engine on the device, ready for two faces."""

    def __init__(self, bench: Bench) -> None:
        import pycuda.driver as driver

        driver.init()
        self.driver = driver
        self.primary = driver.Device(0).retain_primary_context()
        self.primary.push()
        self.engine = bench.engine(sound_plan(bench))
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


@pytest.fixture
def running(bench: Bench) -> Iterator[Running]:
    made = Running(bench)
    yield made
    made.driver.Context.pop()


def answers(faces: np.ndarray) -> np.ndarray:
    """Of ONNX Runtime, with more faces in the batch than the engine is given."""
    model = tiny_model().SerializeToString()
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"faces": faces})[0])


@every_version
def test_the_engine_answers_as_the_model_does(bench: Bench, running: Running) -> None:
    assert running.context.set_input_shape("faces", (2, *FACE))
    expected = answers(golden_faces())[:2]
    np.testing.assert_allclose(running.run(), expected, rtol=0, atol=1e-5)  # other batch size
    assert bench.machine.faults == []


@every_version
def test_a_shape_outside_of_the_profile_is_not_taken(bench: Bench, running: Running) -> None:
    context = running.context
    for shape in [(5, *FACE), (0, *FACE), (2, SIZE, SIZE, 4), (2, *FACE, 1)]:
        assert context.set_input_shape("faces", shape) is False
    assert context.set_input_shape("nobody", (2, *FACE)) is False
    assert context.infer_shapes() == ["faces"]
    assert context.execute_async_v3(running.stream.handle) is False
    assert "allInputDimensionsSpecified" in bench.last_error


@every_version
def test_a_run_without_an_address_is_refused(bench: Bench, running: Running) -> None:
    context = running.engine.create_execution_context()
    if bench.machine.tensorrt == "8.6.1":  # there a profile belongs to one context at a time
        assert context.set_input_shape("faces", (2, *FACE)) is False
        with pytest.raises(RuntimeError):
            context.set_optimization_profile_async(0, running.stream.handle)
        return
    assert context.set_input_shape("faces", (2, *FACE))
    assert context.execute_async_v3(running.stream.handle) is False
    assert "Neither address or allocator is set for input tensor faces" in bench.last_error


def test_wrong_memory_under_an_engine_is_found(bench: Bench, running: Running) -> None:
    running.context.set_input_shape("faces", (2, *FACE))
    running.context.set_tensor_address("logits", int(running.result) + 4)
    assert running.context.execute_async_v3(running.stream.handle)
    with pytest.raises(running.driver.LogicError, match="illegal memory access"):
        running.stream.synchronize()
    assert "is not aligned" in bench.machine.faults[0]
    assert "out of bounds" in bench.machine.faults[1]


def test_memory_that_is_freed_under_an_engine_is_found(bench: Bench, running: Running) -> None:
    running.context.set_input_shape("faces", (2, *FACE))
    assert running.context.execute_async_v3(running.stream.handle)
    running.result.free()
    with pytest.raises(running.driver.LogicError, match="illegal memory access"):
        running.stream.synchronize()
    assert "was freed while execute_async_v3 is queued" in bench.machine.faults[0]


def test_an_engine_that_is_not_ordered_behind_its_input_is_found(
    bench: Bench, running: Running
) -> None:
    running.context.set_input_shape("faces", (2, *FACE))
    other = running.driver.Stream()
    running.driver.memcpy_htod_async(running.source, running.faces, other)
    running.context.execute_async_v3(running.stream.handle)
    assert bench.machine.faults[0].startswith("race: execute_async_v3")


def test_a_context_that_goes_with_its_work_queued_is_found(bench: Bench, running: Running) -> None:
    running.context.set_input_shape("faces", (2, *FACE))
    running.context.execute_async_v3(running.stream.handle)
    del running.context
    assert bench.machine.faults == ["an execution context was destroyed while its work is queued"]


def test_a_cuda_context_that_goes_before_its_engine_is_found(bench: Bench) -> None:
    running = Running(bench)
    running.driver.Context.pop()
    running.primary.detach()
    (fault,) = bench.machine.faults
    assert "an engine" in fault
    assert "an execution context" in fault


def test_an_engine_that_is_left_is_named(bench: Bench) -> None:
    engine = bench.engine(sound_plan(bench))
    assert bench.machine.leaks() == ["an engine"]
    del engine
    assert bench.machine.leaks() == []


def test_a_new_shape_must_run_once_before_it_is_captured(bench: Bench) -> None:
    from cuda.bindings import driver

    running = Running(bench)
    running.context.set_input_shape("faces", (2, *FACE))
    stream = driver.CUstream(running.stream.handle)
    mode = driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_RELAXED
    driver.cuStreamBeginCapture(stream, mode)
    assert running.context.execute_async_v3(int(stream)) is False
    status, _ = driver.cuStreamEndCapture(stream)
    assert status == driver.CUresult.CUDA_ERROR_STREAM_CAPTURE_INVALIDATED
    running.run()
    driver.cuStreamBeginCapture(stream, mode)
    assert running.context.execute_async_v3(int(stream))
    assert driver.cuStreamEndCapture(stream)[0] == driver.CUresult.CUDA_SUCCESS
    running.driver.Context.pop()


@pytest.mark.parametrize("step", ["parse", "build", "deserialize", "create_execution_context"])
def test_each_step_can_be_made_to_fail_once(bench: Bench, step: str) -> None:
    bench.machine.fail_next(step)
    network = bench.network(tiny_model())
    if step == "parse":
        assert not bench.parsed
        network = bench.network(tiny_model())
    plan = bench.builder.build_serialized_network(network, bench.config())
    if step == "build":
        assert plan is None
        assert "Could not find any implementation" in bench.last_error
        plan = bench.builder.build_serialized_network(network, bench.config())
    engine = bench.engine(plan)
    if step == "deserialize":
        assert engine is None
        engine = bench.engine(plan)
    if step == "create_execution_context":
        assert engine.create_execution_context() is None
    assert engine.create_execution_context() is not None


def test_memory_that_is_short_ends_each_step() -> None:
    with installed(FakeMachine(memory_bytes=30_000)) as machine:
        bench = Bench(machine)
        network = bench.network(tiny_model())
        assert bench.builder.build_serialized_network(network, bench.config()) is None
        assert "OutOfMemory" in bench.last_error
    with installed(FakeMachine()) as machine:
        plan = sound_plan(Bench(machine))
    with installed(FakeMachine(memory_bytes=1_000)) as machine:
        bench = Bench(machine)
        assert bench.engine(plan) is None
        assert "OutOfMemory" in bench.last_error


@pytest.mark.parametrize("driver", ["missing", "old"])
def test_without_a_driver_there_is_no_builder(driver: str) -> None:
    with installed(FakeMachine(driver=driver)):  # noqa: SIM117  # two things, not one
        with pytest.raises(TypeError, match="factory function returned nullptr"):
            Bench(FakeMachine())


def test_builds_differ_as_they_are_told_to(bench: Bench) -> None:
    bench.machine.engine_noise = lambda number: 10.0 * number
    running = Running(bench)
    running.context.set_input_shape("faces", (2, *FACE))
    expected = answers(golden_faces())[:2] + 10.0
    np.testing.assert_allclose(running.run(), expected, rtol=0, atol=1e-4)
    running.driver.Context.pop()


def test_another_logger_is_ignored_with_a_warning(bench: Bench) -> None:
    bench.trt.Runtime(bench.trt.Logger())
    assert "differs from one already provided" in bench.messages[-1][1]
