"""TensorRT engines run by the backend, on machines made from the recorded APIs.

The fake engine answers through ONNX Runtime, so the expected logits are ONNX Runtime's own on the
very same file. After each test nothing may be left on the device, and nothing done wrong.
"""

from __future__ import annotations

import gc
import hashlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from device_fakes import ALL_VERSIONS, FakeMachine, installed
from engine_records import engine_record
from tiny_bundle import SIZE, run_onnx, tiny_model

from edge_arm.runtime.engine_record import BatchRange, EngineDevice, EngineRecord
from edge_arm.runtime.errors import (
    BackendUnavailableError,
    EngineError,
    InferenceError,
    UsageError,
)
from edge_arm.runtime.tensorrt_backend import TensorRTBackend

ATOL = 1e-5
"""The fake runs the same file in the same ONNX Runtime, in batches of another size."""

CUDA = ("pycuda", "cuda-python")


@dataclass(frozen=True)
class Engine:
    """An engine on disk and the model it was built from."""

    plan: Path
    record: EngineRecord
    onnx: Path


def build(machine: FakeMachine, folder: Path, *profiles: BatchRange) -> Engine:
    """Build the tiny FP32 model with TensorRT's own calls, as plainly as possible."""
    import tensorrt as trt

    profiles = profiles or (BatchRange(1, 4, 8),)
    model = tiny_model().SerializeToString()
    onnx_path = folder / "model.onnx"
    onnx_path.write_bytes(model)
    logger = trt.Logger()
    builder = trt.Builder(logger)
    explicit = trt.__version__.startswith("8.")
    network = builder.create_network(
        1 << int(trt.NetworkDefinitionCreationFlag.EXPLICIT_BATCH) if explicit else 0
    )
    parser = trt.OnnxParser(network, logger)
    assert parser.parse(model)
    config = builder.create_builder_config()
    name = network.get_input(0).name
    for batch in profiles:
        profile = builder.create_optimization_profile()
        profile.set_shape(name, *((n, SIZE, SIZE, 3) for n in (batch.min, batch.opt, batch.max)))
        config.add_optimization_profile(profile)
    plan = bytes(builder.build_serialized_network(network, config))
    path = folder / "fp32.plan"
    path.write_bytes(plan)
    return Engine(path, record_of(machine, plan, profiles[0]), onnx_path)


def record_of(machine: FakeMachine, plan: bytes, batch: BatchRange) -> EngineRecord:
    major, minor = machine.compute_capability
    here = EngineDevice(
        gpu=machine.gpu,
        compute_capability=f"{major}.{minor}",
        tensorrt=str(machine.tensorrt),
        cuda="12.6",
        driver="",
        jetpack="",
        power_mode="",
        clocks={},
    )
    return engine_record(
        plan_sha256=hashlib.sha256(plan).hexdigest(),
        plan_bytes=len(plan),
        device=here,
        batch=batch,
    )


def faces(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (number, SIZE, SIZE, 3), np.uint8)


@pytest.fixture(params=ALL_VERSIONS)
def any_version(request: pytest.FixtureRequest) -> Iterator[FakeMachine]:
    with installed(FakeMachine(tensorrt=request.param)) as machine:
        yield machine
        assert_clean(machine)


@pytest.fixture(params=[True, False], ids=["integrated", "discrete"])
def machine(request: pytest.FixtureRequest) -> Iterator[FakeMachine]:
    with installed(FakeMachine(integrated=request.param)) as made:
        yield made
        assert_clean(made)


def assert_clean(machine: FakeMachine) -> None:
    gc.collect()
    assert machine.faults == []
    assert machine.leaks() == []


@pytest.mark.parametrize("cuda", CUDA)
def test_an_engine_of_every_version_answers_as_its_model_does(
    any_version: FakeMachine, cuda: str, tmp_path: Path
) -> None:
    engine = build(any_version, tmp_path)
    images = faces(5)
    with TensorRTBackend(engine.plan, engine.record, cuda=cuda) as backend:
        logits = backend.infer(images)
        assert backend.info.version == any_version.tensorrt
        assert backend.info.model_sha256 == engine.record.plan_sha256
    np.testing.assert_allclose(logits, run_onnx(engine.onnx, images), atol=ATOL)


@pytest.mark.parametrize("cuda", CUDA)
@pytest.mark.parametrize("number", [1, 7, 8, 9, 16, 29])
def test_any_number_of_faces_is_answered_in_order(
    machine: FakeMachine, cuda: str, number: int, tmp_path: Path
) -> None:
    engine = build(machine, tmp_path)
    images = faces(number)
    with TensorRTBackend(engine.plan, engine.record, cuda=cuda) as backend:
        first, second = backend.infer(images), backend.infer(images[::-1])
    expected = run_onnx(engine.onnx, images)
    np.testing.assert_allclose(first, expected, atol=ATOL)
    np.testing.assert_allclose(second, expected[::-1], atol=ATOL)


def test_fewer_faces_than_the_smallest_batch_are_filled_up(
    machine: FakeMachine, tmp_path: Path
) -> None:
    engine = build(machine, tmp_path, BatchRange(4, 4, 4))
    images = faces(6)
    with TensorRTBackend(engine.plan, engine.record) as backend:
        logits = backend.infer(images)
    np.testing.assert_allclose(logits, run_onnx(engine.onnx, images), atol=ATOL)


def test_the_tightest_profile_is_chosen_for_each_call(machine: FakeMachine, tmp_path: Path) -> None:
    engine = build(machine, tmp_path, BatchRange(1, 8, 8), BatchRange(1, 1, 1))
    with TensorRTBackend(engine.plan, engine.record) as backend:
        for number in (1, 8, 1, 20):
            images = faces(number)
            np.testing.assert_allclose(
                backend.infer(images), run_onnx(engine.onnx, images), atol=ATOL
            )


def test_the_caller_owns_the_logits(machine: FakeMachine, tmp_path: Path) -> None:
    engine = build(machine, tmp_path)
    with TensorRTBackend(engine.plan, engine.record) as backend:
        first = backend.infer(faces(3))
        kept = first.copy()
        backend.infer(faces(4))
        np.testing.assert_array_equal(first, kept)
    assert first.flags.owndata
    np.testing.assert_array_equal(first, kept)


@pytest.mark.parametrize("cuda", CUDA)
def test_threads_take_their_turns(machine: FakeMachine, cuda: str, tmp_path: Path) -> None:
    engine = build(machine, tmp_path)
    answers: dict[int, np.ndarray] = {}
    with TensorRTBackend(engine.plan, engine.record, cuda=cuda) as backend:

        def work(number: int) -> None:
            answers[number] = backend.infer(faces(number))

        threads = [threading.Thread(target=work, args=(number,)) for number in (3, 9, 11, 17)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for number, logits in answers.items():
        np.testing.assert_allclose(logits, run_onnx(engine.onnx, faces(number)), atol=ATOL)
    assert len(answers) == 4


@pytest.mark.parametrize("cuda", CUDA)
def test_a_backend_may_be_closed_in_another_thread(
    machine: FakeMachine, cuda: str, tmp_path: Path
) -> None:
    engine = build(machine, tmp_path)
    backend = TensorRTBackend(engine.plan, engine.record, cuda=cuda)
    backend.infer(faces(2))
    thread = threading.Thread(target=backend.__exit__, args=(None, None, None))
    thread.start()
    thread.join()


@pytest.mark.parametrize("cuda", CUDA)
def test_a_forgotten_backend_gives_everything_back(
    machine: FakeMachine, cuda: str, tmp_path: Path
) -> None:
    engine = build(machine, tmp_path)
    backend = TensorRTBackend(engine.plan, engine.record, cuda=cuda)
    backend.infer(faces(2))
    del backend


def test_graphs_are_recorded_once_for_each_number_of_faces(tmp_path: Path) -> None:
    with installed(FakeMachine(integrated=False)) as machine:
        engine = build(machine, tmp_path)
        with TensorRTBackend(engine.plan, engine.record, cuda="cuda-python", graphs=True) as run:
            for _ in range(4):
                for number in (2, 5):
                    images = faces(number)
                    np.testing.assert_allclose(
                        run.infer(images), run_onnx(engine.onnx, images), atol=ATOL
                    )
        assert machine.calls["cuStreamBeginCapture"] == 2
        assert machine.calls["cuGraphLaunch"] == 6
        assert_clean(machine)


def test_graphs_are_refused_with_pycuda(machine: FakeMachine, tmp_path: Path) -> None:
    engine = build(machine, tmp_path)
    with pytest.raises(UsageError, match="got CUDA graphs with pycuda, expected cuda-python"):
        TensorRTBackend(engine.plan, engine.record, graphs=True)


def test_nothing_is_copied_on_a_gpu_that_shares_the_memory(tmp_path: Path) -> None:
    with installed(FakeMachine(integrated=True)) as machine:
        engine = build(machine, tmp_path)
        with TensorRTBackend(engine.plan, engine.record) as backend:
            backend.infer(faces(20))
        copies = {name: n for name, n in machine.calls.items() if "Memcpy" in name}
        assert copies == {}


FAILURES = (
    "cuMemAlloc",
    "cuMemHostAlloc",
    "cuStreamCreate",
    "cuEventCreate",
    "deserialize",
    "create_execution_context",
)


@pytest.mark.parametrize("cuda", CUDA)
@pytest.mark.parametrize("skip", [0, 1])
@pytest.mark.parametrize("call", FAILURES)
def test_a_start_that_fails_half_way_leaves_nothing(
    call: str, skip: int, cuda: str, tmp_path: Path
) -> None:
    if skip and call in ("deserialize", "create_execution_context"):
        return  # there is one of each
    with installed(FakeMachine(integrated=False)) as machine:
        engine = build(machine, tmp_path)
        machine.fail_next(call, skip=skip)
        with pytest.raises((EngineError, InferenceError)):
            TensorRTBackend(engine.plan, engine.record, cuda=cuda)
        assert_clean(machine)


@pytest.mark.parametrize("cuda", CUDA)
@pytest.mark.parametrize("call", ["cuMemcpyHtoDAsync", "cuMemcpyDtoHAsync", "execute"])
@pytest.mark.parametrize("skip", [0, 2])
def test_a_call_that_fails_does_not_spoil_the_next(
    call: str, skip: int, cuda: str, tmp_path: Path
) -> None:
    with installed(FakeMachine(integrated=False)) as machine:
        engine = build(machine, tmp_path)
        images = faces(20)
        with TensorRTBackend(engine.plan, engine.record, cuda=cuda) as backend:
            machine.fail_next(call, skip=skip)
            with pytest.raises(InferenceError):
                backend.infer(images)
            logits = backend.infer(images)
        np.testing.assert_allclose(logits, run_onnx(engine.onnx, images), atol=ATOL)
        assert_clean(machine)


def test_too_little_gpu_memory_is_said_with_figures(tmp_path: Path) -> None:
    with installed(FakeMachine(integrated=False)) as machine:
        engine = build(machine, tmp_path)
        machine.fail_next("cuMemAlloc")
        with pytest.raises(InferenceError, match=r"allocating \d+ bytes of GPU memory failed: out"):
            TensorRTBackend(engine.plan, engine.record)


def test_a_failed_run_names_tensorrts_reason(machine: FakeMachine, tmp_path: Path) -> None:
    engine = build(machine, tmp_path)
    with TensorRTBackend(engine.plan, engine.record) as backend:
        machine.fail_next("execute")
        with pytest.raises(InferenceError, match=r"TensorRT failed on a batch of 3 \(.+\), expec"):
            backend.infer(faces(3))


def test_a_closed_backend_says_so(machine: FakeMachine, tmp_path: Path) -> None:
    engine = build(machine, tmp_path)
    with TensorRTBackend(engine.plan, engine.record) as backend:
        pass
    with pytest.raises(InferenceError, match="was closed, expected an open backend"):
        backend.infer(faces(1))


def test_a_wrong_shape_is_refused_before_the_gpu_sees_it(
    machine: FakeMachine, tmp_path: Path
) -> None:
    engine = build(machine, tmp_path)
    with (
        TensorRTBackend(engine.plan, engine.record) as backend,
        pytest.raises(InferenceError, match=r"got an input of shape \(2, 8, 8, 3\)"),
    ):
        backend.infer(np.zeros((2, 8, 8, 3), np.uint8))


def test_a_plan_with_a_changed_byte_never_reaches_tensorrt(
    machine: FakeMachine, tmp_path: Path
) -> None:
    engine = build(machine, tmp_path)
    changed = bytearray(engine.plan.read_bytes())
    changed[-1] ^= 1
    engine.plan.write_bytes(changed)
    with pytest.raises(EngineError, match=r"it was changed or not copied whole; copy the engine"):
        TensorRTBackend(engine.plan, engine.record)


def test_a_missing_plan_names_the_command(machine: FakeMachine, tmp_path: Path) -> None:
    engine = build(machine, tmp_path)
    engine.plan.unlink()
    with pytest.raises(EngineError, match=r"cannot read the plan .* run 'edge-arm build --prec"):
        TensorRTBackend(engine.plan, engine.record)


def test_a_truncated_plan_with_a_fitting_record_is_refused_with_tensorrts_reason(
    machine: FakeMachine, tmp_path: Path
) -> None:
    engine = build(machine, tmp_path)
    short = engine.plan.read_bytes()[:1000]
    engine.plan.write_bytes(short)
    record = replace(engine.record, plan_sha256=hashlib.sha256(short).hexdigest())
    with pytest.raises(EngineError, match=r"does not load the fp32 engine \(.+\), expected one th"):
        TensorRTBackend(engine.plan, record)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"gpu": "Xavier"}, r"was built for GPU 'Xavier', here is GPU 'Orin'"),
        ({"compute_capability": "7.2"}, r"compute capability '7.2', here is compute capability"),
        ({"tensorrt": "8.6.1"}, r"TensorRT '8.6.1', here is TensorRT '10.3.0'; an engine runs onl"),
    ],
)
def test_an_engine_of_another_machine_is_refused_by_its_record(
    machine: FakeMachine, changed: dict[str, str], words: str, tmp_path: Path
) -> None:
    engine = build(machine, tmp_path)
    record = replace(engine.record, device=replace(engine.record.device, **changed))
    with pytest.raises(EngineError, match=words) as caught:
        TensorRTBackend(engine.plan, record)
    assert "run 'edge-arm build --precision fp32'" in str(caught.value)
    assert machine.calls["deserialize"] == 0


def test_a_missing_tensorrt_is_said_with_the_way_to_get_it(tmp_path: Path) -> None:
    with installed(FakeMachine()) as machine:
        engine = build(machine, tmp_path)
    with (
        installed(FakeMachine(tensorrt=None)),
        pytest.raises(BackendUnavailableError, match="sudo apt install nvidia-jetpack"),
    ):
        TensorRTBackend(engine.plan, engine.record)


@dataclass(frozen=True)
class NoCuda:
    """A machine without a working CUDA, and what is said about it."""

    id: str
    machine: dict[str, Any]
    words: str


NO_CUDA = (
    NoCuda("no library", {"cuda": ()}, "cannot be imported"),
    NoCuda("no driver", {"driver": "missing"}, r"libcuda"),
    NoCuda("no GPU", {"driver": "no device"}, "no NVIDIA GPU is here"),
)


@pytest.mark.parametrize("cuda", CUDA)
@pytest.mark.parametrize("case", NO_CUDA, ids=lambda case: case.id)
def test_a_machine_without_cuda_is_told_what_is_missing(
    case: NoCuda, cuda: str, tmp_path: Path
) -> None:
    with installed(FakeMachine()) as machine:
        engine = build(machine, tmp_path)
    with (
        installed(FakeMachine(**case.machine)),
        pytest.raises(BackendUnavailableError, match=case.words),
    ):
        TensorRTBackend(engine.plan, engine.record, cuda=cuda)


def test_the_interpreter_ends_cleanly_with_an_open_backend(tmp_path: Path) -> None:
    script = f"""
import sys
sys.path[:0] = {sys.path!r}
from pathlib import Path
from device_fakes import FakeMachine, installed
import tests_runtime_backend as t
from edge_arm.runtime.tensorrt_backend import TensorRTBackend
import atexit
context = installed(FakeMachine(integrated=False))
machine = context.__enter__()
engine = t.build(machine, Path({str(tmp_path)!r}))
atexit.register(context.__exit__, None, None, None)
atexit.register(lambda: print("faults", machine.faults, "left", len(machine.leaks())))
backend = TensorRTBackend(engine.plan, engine.record)
backend.infer(t.faces(3))
"""
    here = tmp_path / "tests_runtime_backend.py"
    here.write_text(Path(__file__).read_text(encoding="utf-8"), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "faults [] left 0"
    assert done.stderr == ""
