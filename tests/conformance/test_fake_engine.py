"""Engines of the fake TensorRT: what they refuse, what they answer, and mistakes in their use."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnxruntime
import pytest
from device_fakes import ALL_VERSIONS, FakeMachine, installed
from device_fakes.bench import FACE, Running
from device_fakes.bench import TensorRTBench as Bench
from tiny_bundle import SIZE, golden_faces, tiny_model


@pytest.fixture
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    version = getattr(request, "param", "10.3.0")
    with installed(FakeMachine(tensorrt=version, num_dla_cores=2)) as machine:
        yield Bench(machine)


def on(*versions: str) -> Any:
    return pytest.mark.parametrize("bench", versions, indirect=True)


every_version = on(*ALL_VERSIONS)


@every_version
def test_a_plan_that_is_not_whole_is_no_engine(bench: Bench) -> None:
    plan = bench.sound_plan()
    for broken in (plan[:-1], plan[:3], b"", plan[:-1] + bytes([plan[-1] ^ 1]), b"x" * 99):
        assert bench.engine(broken) is None
        assert "Error Code 1: Serialization" in bench.last_error


def test_a_plan_of_another_version_or_gpu_is_no_engine(bench: Bench) -> None:
    plan = bench.sound_plan()
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
    engine = bench.engine(bench.sound_plan())
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
    engine = bench.engine(bench.sound_plan())
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


def test_builds_differ_as_they_are_told_to(bench: Bench) -> None:
    bench.machine.engine_noise = lambda number: 10.0 * number
    running = Running(bench)
    running.context.set_input_shape("faces", (2, *FACE))
    expected = answers(golden_faces())[:2] + 10.0
    np.testing.assert_allclose(running.run(), expected, rtol=0, atol=1e-4)
    running.driver.Context.pop()
