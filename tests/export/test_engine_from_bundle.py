"""The build stage on machines that are not here: every version, whole, and what each refuses.

The fakes run an engine's ONNX by ONNX Runtime behind device addresses, and find wrong pointers,
missed synchronisation and what was not given back.
"""

from __future__ import annotations

import builtins
import hashlib
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from device_fakes import ALL_VERSIONS, FakeMachine, installed
from onnx import helper
from tiny_bundle import golden_faces, run_onnx, tiny_bundle, tiny_model

from edge_arm.export import engine_machine
from edge_arm.export.engine_config import BuildConfig
from edge_arm.export.engine_folder import engine_folder_alone
from edge_arm.export.engine_from_bundle import engine_from_bundle, plan_path_of
from edge_arm.runtime.engine_choice import find_engine
from edge_arm.runtime.engine_record import BatchRange, EngineRecord, read_engine_record
from edge_arm.runtime.errors import (
    BackendUnavailableError,
    BundleError,
    EngineError,
    StorageError,
)
from edge_arm.runtime.machine import machine_facts
from edge_arm.runtime.manifest import Bundle, Precision, open_bundle, write_manifest
from edge_arm.runtime.storage import sha256_of_file
from edge_arm.runtime.tensorrt_backend import TensorRTBackend

WEAK, TYPED = ALL_VERSIONS[:2], ALL_VERSIONS[2:]
DEVICE_HAS_NOT = ("torch", "onnx", "onnxruntime", "modelopt", "safetensors", "matplotlib")


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return tiny_bundle(tmp_path / "bundle")


def build(machine: FakeMachine, bundle: Bundle, config: BuildConfig) -> EngineRecord:
    """Build on a machine, and hold it to having made no mistake and left nothing behind."""
    with installed(machine):
        try:
            return engine_from_bundle(bundle, config)
        finally:
            assert machine.faults == []
            assert machine.leaks() == []


def with_model(bundle: Bundle, file: str, model: onnx.ModelProto) -> Bundle:
    """The bundle with another model under this name, and a manifest that vouches for it."""
    onnx.save(model, bundle.path / file)
    artifacts = tuple(
        replace(item, sha256=sha256_of_file(bundle.path / file)) if item.file == file else item
        for item in bundle.manifest.artifacts
    )
    write_manifest(bundle.path, replace(bundle.manifest, artifacts=artifacts))
    return open_bundle(bundle.path)


def files_in(bundle: Bundle) -> Sequence[str]:
    """Names in the bundle's folders of engines, hidden ones too; the lock is no result."""
    found = [path for path in bundle.path.glob("engines/*/*") if path.name != ".lock"]
    return sorted(path.name for path in found)


@pytest.mark.parametrize("precision", list(Precision), ids=lambda item: item.value)
@pytest.mark.parametrize("version", ALL_VERSIONS)
def test_what_is_built_is_found_and_answers_as_its_file_does(
    bundle: Bundle, version: str, precision: Precision
) -> None:
    machine = FakeMachine(tensorrt=version)
    record = build(machine, bundle, BuildConfig(precision))
    found = find_engine(bundle, precision, gpu="Orin", tensorrt=version)
    assert found.record == record
    assert found.plan == plan_path_of(bundle, record)
    file = next(a.file for a in bundle.manifest.artifacts if a.sha256 == record.onnx_sha256)
    faces = golden_faces()
    with (
        installed(machine),
        TensorRTBackend(found.plan, found.record) as backend,
    ):
        logits = backend.infer(faces)
    np.testing.assert_array_equal(logits, run_onnx(bundle.path / file, faces))
    assert machine.faults == []
    assert machine.leaks() == []


@pytest.mark.parametrize("cuda", ["pycuda", "cuda-python"])
def test_both_cuda_libraries_serve(bundle: Bundle, cuda: str) -> None:
    machine = FakeMachine(cuda=(cuda,), integrated=False)
    record = build(machine, bundle, BuildConfig(Precision.FP16, cuda=cuda))
    assert record.workspace_bytes is None


def test_the_record_binds_the_engine_to_its_file_and_its_device(bundle: Bundle) -> None:
    machine = FakeMachine(tensorrt="10.3.0", gpu="Orin", compute_capability=(8, 7))
    config = BuildConfig(Precision.INT8, batch=BatchRange(1, 2, 4), workspace_mib=64)
    record = build(machine, bundle, replace(config, builder_level=2))
    plan = plan_path_of(bundle, record).read_bytes()
    assert record.plan_sha256 == hashlib.sha256(plan).hexdigest()
    assert record.plan_bytes == len(plan)
    assert record.onnx_sha256 == sha256_of_file(bundle.path / "model.int8.onnx")
    assert (record.device.gpu, record.device.compute_capability) == ("Orin", "8.7")
    assert (record.device.tensorrt, record.device.cuda) == ("10.3.0", "12.6")
    assert record.batch == BatchRange(1, 2, 4)
    assert record.workspace_bytes == 64 << 20
    assert record.builder_level == 2
    assert not record.typed
    assert record.builder_flags == ("FP16", "INT8", "PREFER_PRECISION_CONSTRAINTS")
    cache = plan_path_of(bundle, record).with_name("timing.cache").read_bytes()
    assert record.timing_cache_sha256 == hashlib.sha256(cache).hexdigest()
    assert record.memory["needed_device_bytes"] > 64 << 20
    assert record.acceptance["logit_error"] <= record.acceptance["logit_error_limit"]
    (attempt,) = record.attempts
    assert attempt["accepted"]
    assert attempt["kept"]
    assert read_engine_record(plan_path_of(bundle, record).with_suffix(".json")) == record


@pytest.mark.parametrize("version", WEAK)
def test_flags_do_not_lower_the_pixels_minus_their_mean(bundle: Bundle, version: str) -> None:
    record = build(FakeMachine(tensorrt=version), bundle, BuildConfig(Precision.INT8))
    assert "/input/sub_mean" in record.layers["names"]["FP32"]
    assert record.layers["names"]["FP16"] == ["/head/folded"]


@pytest.mark.parametrize("version", TYPED)
def test_typed_int8_has_its_float_layers_in_fp16(bundle: Bundle, version: str) -> None:
    record = build(FakeMachine(tensorrt=version), bundle, BuildConfig(Precision.INT8))
    assert (record.typed, record.variant) == (True, "typed")
    assert "/head/folded" in record.layers["names"]["FP16"]
    assert record.layers["not_as_meant"] == {}


@pytest.mark.parametrize("precision", [Precision.FP16, Precision.INT8], ids=["fp16", "int8"])
@pytest.mark.parametrize("version", TYPED)
def test_a_file_without_its_precision_is_an_error_where_the_file_decides(
    bundle: Bundle, version: str, precision: Precision
) -> None:
    bundle = _with_fp32_as(bundle, precision)
    with pytest.raises(
        EngineError, match=rf"asked for {precision.value}, but none of the 3 convolutions"
    ):
        build(FakeMachine(tensorrt=version), bundle, BuildConfig(precision))
    assert files_in(bundle) == []


@pytest.mark.parametrize("version", WEAK)
def test_an_int8_file_without_ranges_is_an_error_where_flags_decide(
    bundle: Bundle, version: str
) -> None:
    bundle = _with_fp32_as(bundle, Precision.INT8)
    with pytest.raises(EngineError, match="asked for int8, but no layer of the engine runs in"):
        build(FakeMachine(tensorrt=version), bundle, BuildConfig(Precision.INT8))
    assert files_in(bundle) == []


def _with_fp32_as(bundle: Bundle, precision: Precision) -> Bundle:
    for item in bundle.manifest.artifacts:
        if item.precision is precision:
            bundle = with_model(bundle, item.file, tiny_model())
    return bundle


def test_a_layer_that_is_not_int8_is_in_the_record_with_the_reason(bundle: Bundle) -> None:
    machine = FakeMachine(
        tensorrt="8.6.1", compute_capability=(7, 5), slow_in_int8=("/backbone/conv1",)
    )
    layers = build(machine, bundle, BuildConfig(Precision.INT8)).layers
    assert list(layers["not_as_meant"]) == ["/backbone/conv1"]
    assert "compute capability 7.5) lacks some INT8" in layers["not_as_meant"]["/backbone/conv1"]


# --- acceptance


def test_an_engine_that_answers_wrongly_is_removed_and_the_older_one_stays(bundle: Bundle) -> None:
    config = BuildConfig(Precision.FP16)
    before = build(FakeMachine(), bundle, config)
    with pytest.raises(EngineError, match=r"no engine was accepted \(build 1: its logits are off"):
        build(FakeMachine(engine_noise=lambda number: 3.0), bundle, config)
    assert files_in(bundle) == ["fp16.json", "fp16.plan", "timing.cache"]
    assert find_engine(bundle, Precision.FP16, gpu="Orin", tensorrt="10.3.0").record == before


def test_an_engine_that_answers_nan_is_removed(bundle: Bundle) -> None:
    machine = FakeMachine(engine_noise=lambda number: np.nan)
    with pytest.raises(EngineError, match="it answers NaN or infinity.*--rebuild 5"):
        build(machine, bundle, BuildConfig(Precision.FP16))
    assert files_in(bundle) == []


def test_of_several_builds_the_fastest_accepted_one_is_kept(bundle: Bundle) -> None:
    machine = FakeMachine(
        # The quickest of all answers wrongly.
        engine_noise=lambda number: 3.0 if number == 2 else 0.0,
        engine_latency_ms=lambda number: {1: 9.0, 2: 0.0, 3: 3.0, 4: 6.0}[number],
    )
    record = build(machine, bundle, BuildConfig(Precision.FP16, builds=4))
    assert [item["accepted"] for item in record.attempts] == [True, False, True, True]
    assert [item["kept"] for item in record.attempts] == [False, False, True, False]
    assert 3.0 <= record.acceptance["latency_ms"] < 6.0
    assert record.plan_sha256 == record.attempts[2]["plan_sha256"]
    assert files_in(bundle) == ["fp16.json", "fp16.plan", "timing.cache"]


def test_a_build_that_fails_after_an_accepted_one_loses_nothing(
    bundle: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    machine = FakeMachine()
    machine.fail_next("build", skip=1)
    record = build(machine, bundle, BuildConfig(Precision.FP16, builds=3))
    assert len(record.attempts) == 1
    assert "build 2 failed, an earlier one is kept" in caplog.text


def test_building_again_replaces_the_engine(bundle: Bundle) -> None:
    first = build(FakeMachine(), bundle, BuildConfig(Precision.FP16))
    second = build(FakeMachine(), bundle, BuildConfig(Precision.FP16, batch=BatchRange(1, 1, 2)))
    found = find_engine(bundle, Precision.FP16, gpu="Orin", tensorrt="10.3.0").record
    assert found == second
    assert found.batch != first.batch


# --- timing cache


def test_timings_of_a_device_are_kept_and_used(
    bundle: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        build(FakeMachine(), bundle, BuildConfig(Precision.FP16))
    assert "timing cache" not in caplog.text


@pytest.mark.parametrize("content", ["another GPU", "a picture"])
def test_a_cache_that_does_not_fit_is_said_and_started_anew(
    bundle: Bundle, tmp_path: Path, caplog: pytest.LogCaptureFixture, content: str
) -> None:
    foreign = build(FakeMachine(gpu="Xavier"), bundle, BuildConfig(Precision.FP16))
    timings = plan_path_of(bundle, foreign).with_name("timing.cache").read_bytes()
    named = tmp_path / "mine.cache"
    named.write_bytes(timings if content == "another GPU" else b"\x89PNG")
    before = named.read_bytes()
    record = build(FakeMachine(), bundle, BuildConfig(Precision.FP16, timing_cache=named))
    assert f"the timing cache {named} is not used" in caplog.text
    assert named.read_bytes() == before
    beside = plan_path_of(bundle, record).with_name("timing.cache").read_bytes()
    assert hashlib.sha256(beside).hexdigest() == record.timing_cache_sha256


def test_a_named_cache_is_written(bundle: Bundle, tmp_path: Path) -> None:
    named = tmp_path / "mine.cache"
    build(FakeMachine(), bundle, BuildConfig(Precision.FP16, timing_cache=named))
    assert named.stat().st_size > 0
    assert "timing.cache" not in files_in(bundle)


def test_a_cache_in_no_folder_is_refused_before_the_build(bundle: Bundle, tmp_path: Path) -> None:
    config = BuildConfig(Precision.FP16, timing_cache=tmp_path / "none" / "mine.cache")
    with pytest.raises(StorageError, match="got --timing-cache .*, expected a file in a folder"):
        build(FakeMachine(), bundle, config)


def test_a_cache_that_cannot_be_read_is_refused(bundle: Bundle) -> None:
    record = build(FakeMachine(), bundle, BuildConfig(Precision.FP16))
    cache = plan_path_of(bundle, record).with_name("timing.cache")
    cache.unlink()
    cache.mkdir()
    with pytest.raises(StorageError, match=r"cannot read the timing cache .*timing\.cache"):
        build(FakeMachine(), bundle, BuildConfig(Precision.FP16))


# --- DLA


@pytest.mark.parametrize("precision", [Precision.FP16, Precision.INT8], ids=["fp16", "int8"])
@pytest.mark.parametrize("version", WEAK)
def test_a_dla_takes_the_fp32_file_and_the_gpu_what_the_dla_cannot(
    bundle: Bundle, version: str, precision: Precision
) -> None:
    machine = FakeMachine(tensorrt=version, num_dla_cores=2)
    record = build(machine, bundle, BuildConfig(precision, dla_core=1))
    assert record.dla_core == 1
    assert record.variant_reason.startswith("model.fp32.onnx: ")
    assert record.batch == BatchRange(1, 1, 1)
    assert "GPU_FALLBACK" in record.builder_flags
    assert "/input/cast" in record.layers["dla_fallback"]
    assert plan_path_of(bundle, record).name == f"{precision.value}-dla1.plan"
    found = find_engine(bundle, precision, gpu="Orin", tensorrt=version, dla_core=1)
    assert found.record == record


def test_int8_on_a_dla_is_held_to_what_the_int8_file_was_measured_at(bundle: Bundle) -> None:
    machine = FakeMachine(num_dla_cores=1)
    gpu = build(machine, bundle, BuildConfig(Precision.INT8))
    dla = build(machine, bundle, BuildConfig(Precision.INT8, dla_core=0))
    assert dla.acceptance["logit_error_limit"] == gpu.acceptance["logit_error_limit"]


@pytest.mark.parametrize(
    ("cores", "core", "says"),
    [
        (0, 0, "got --dla 0, but this device has no DLA core .* leave --dla out"),
        (2, 2, "got --dla 2, expected 0 to 1: this device has 2 DLA cores"),
    ],
)
def test_a_core_that_is_not_there_is_refused(
    bundle: Bundle, cores: int, core: int, says: str
) -> None:
    machine = FakeMachine(num_dla_cores=cores)
    with pytest.raises(EngineError, match=says):
        build(machine, bundle, BuildConfig(Precision.FP16, dla_core=core))


# --- refusals


@dataclass(frozen=True)
class Absent:
    """A machine on which nothing can be built, and what is said."""

    id: str
    machine: dict[str, Any]
    says: str


ABSENT = (
    Absent("no TensorRT", {"tensorrt": None}, "TensorRT is not installed"),
    Absent("no pycuda", {"cuda": ()}, "pycuda"),
    Absent("no driver", {"driver": "missing"}, "libcuda"),
    Absent("no GPU", {"driver": "no device"}, "GPU|device"),
    Absent("old driver", {"driver": "old"}, "does not start .*error: 35.*update the NVIDIA driver"),
)


@pytest.mark.parametrize("case", ABSENT, ids=lambda case: case.id)
def test_what_is_not_here_is_said(bundle: Bundle, case: Absent) -> None:
    with pytest.raises(BackendUnavailableError, match=case.says):
        build(FakeMachine(**case.machine), bundle, BuildConfig(Precision.FP16))
    assert files_in(bundle) == []


@dataclass(frozen=True)
class Failure:
    """A step of TensorRT that fails, and what is said."""

    step: str
    says: str


FAILURES = (
    Failure("build", "could not build 'model.int8.onnx' .*Could not find any .*larger --workspace"),
    Failure("deserialize", "does not load the plan that it has just built"),
    Failure(
        "create_execution_context",
        "the new engine needs .* MB of GPU memory to run and did not get them",
    ),
)


@pytest.mark.parametrize("case", FAILURES, ids=lambda case: case.step)
@pytest.mark.parametrize("version", ["8.6.1", "10.3.0"])
def test_a_step_that_fails_is_told_with_tensorrts_reason_and_leaves_nothing(
    bundle: Bundle, version: str, case: Failure
) -> None:
    machine = FakeMachine(tensorrt=version)
    machine.fail_next(case.step)
    with pytest.raises(EngineError, match=case.says):
        build(machine, bundle, BuildConfig(Precision.INT8))
    assert files_in(bundle) == []


@pytest.mark.parametrize(
    ("version", "place"),
    [("8.6.1", "node number [0-9]+: "), ("10.3.0", r"node '/backbone/relu1' \(NoSuchOperator\)")],
)
def test_an_operator_that_no_parser_knows_is_told_by_its_node(
    bundle: Bundle, version: str, place: str
) -> None:
    model = tiny_model()
    (node,) = [item for item in model.graph.node if item.name == "/backbone/relu1"]
    node.op_type = "NoSuchOperator"
    bundle = with_model(bundle, "model.fp32.onnx", model)
    with pytest.raises(EngineError, match=rf"does not take 'model\.fp32\.onnx': {place}"):
        build(FakeMachine(tensorrt=version), bundle, BuildConfig(Precision.FP32))


def test_a_batch_that_the_device_cannot_hold_says_what_to_lower(bundle: Bundle) -> None:
    machine = FakeMachine(memory_bytes=700 << 20)
    config = BuildConfig(Precision.FP32, batch=BatchRange(1, 8, 100_000), workspace_mib=1)
    with pytest.raises(EngineError, match="the build needs about .* MiB.*a smaller --batch"):
        build(replace_memory(machine, 1_000), bundle, config)


def replace_memory(machine: FakeMachine, mib: int) -> FakeMachine:
    """A discrete GPU with this much memory."""
    return FakeMachine(tensorrt=machine.tensorrt, integrated=False, memory_bytes=mib << 20)


def test_a_jetson_whose_memory_is_taken_is_told_before_the_build(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = replace(machine_facts(), memory_available_bytes=300 << 20, swap_free_bytes=0)
    monkeypatch.setattr(engine_machine, "machine_facts", lambda: full)
    with pytest.raises(EngineError, match=r"with 300 MiB of memory and 0 MiB of swap free.*swapon"):
        build(FakeMachine(), bundle, BuildConfig(Precision.FP16))


def test_a_container_that_hides_its_memory_goes_by_cudas_figure(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden = replace(machine_facts(), memory_total_bytes=0, memory_available_bytes=0)
    monkeypatch.setattr(engine_machine, "machine_facts", lambda: hidden)
    record = build(FakeMachine(), bundle, BuildConfig(Precision.FP16))
    assert record.memory["free_host_bytes"] == record.memory["free_device_bytes"] > 0


@pytest.mark.parametrize("name", ["model.fp16.onnx", "golden.npz"])
def test_a_changed_byte_in_the_bundle_is_refused(bundle: Bundle, name: str) -> None:
    content = bytearray((bundle.path / name).read_bytes())
    content[-1] ^= 1
    (bundle.path / name).write_bytes(content)
    with pytest.raises(BundleError, match=f"{name}' has SHA-256"):
        build(FakeMachine(), bundle, BuildConfig(Precision.FP16))


def test_a_folder_in_which_somebody_builds_is_refused(bundle: Bundle) -> None:
    record = build(FakeMachine(), bundle, BuildConfig(Precision.FP16))
    with (
        engine_folder_alone(plan_path_of(bundle, record).parent),
        pytest.raises(EngineError, match="another process is building into"),
    ):
        build(FakeMachine(), bundle, BuildConfig(Precision.FP16))


def test_an_interrupt_while_it_is_tried_leaves_the_older_engine(bundle: Bundle) -> None:
    before = build(FakeMachine(), bundle, BuildConfig(Precision.FP16))

    def interrupt(number: int) -> float:
        raise KeyboardInterrupt

    machine = FakeMachine(engine_noise=interrupt)
    with installed(machine), pytest.raises(KeyboardInterrupt):
        engine_from_bundle(bundle, BuildConfig(Precision.FP16))
    assert files_in(bundle) == ["fp16.json", "fp16.plan", "timing.cache"]
    assert find_engine(bundle, Precision.FP16, gpu="Orin", tensorrt="10.3.0").record == before


# --- what a device has not


def test_nothing_of_the_workstation_is_imported_during_a_build(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted: list[str] = []
    original: Callable[..., Any] = builtins.__import__

    def watched(name: str, globals: Any = None, *rest: Any) -> Any:
        importer = str((globals or {}).get("__name__", ""))
        if importer.startswith("edge_arm") and name.split(".")[0] in DEVICE_HAS_NOT:
            wanted.append(f"{importer} imports {name}")
        return original(name, globals, *rest)

    monkeypatch.setattr(builtins, "__import__", watched)
    build(FakeMachine(num_dla_cores=1), bundle, BuildConfig(Precision.INT8, dla_core=0))
    assert wanted == []


IMPORT_ALL = """
import importlib, importlib.abc, json, pkgutil, sys

class Blocked(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in blocked:
            raise ImportError(f"{name} is blocked in this test")
        return None

blocked = set(json.loads(sys.argv[1]))
sys.meta_path.insert(0, Blocked())
import edge_arm.export
names = [m.name for m in pkgutil.iter_modules(edge_arm.export.__path__, "edge_arm.export.")]
engine = [name for name in names if name.startswith("edge_arm.export.engine_")]
for name in engine:
    importlib.import_module(name)
print(len(engine))
"""


def test_every_engine_file_imports_with_what_a_device_has() -> None:
    blocked = json.dumps([*DEVICE_HAS_NOT, "tensorrt", "pycuda", "cuda"])
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL, blocked], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 15


def test_a_model_of_something_else_is_refused(bundle: Bundle) -> None:
    model = tiny_model()
    model.graph.input.append(
        helper.make_tensor_value_info("second", onnx.TensorProto.FLOAT, ["N", 1])
    )
    bundle = with_model(bundle, "model.fp32.onnx", model)
    with pytest.raises(EngineError, match=r"expected uint8 \(N, S, S, 3\) to float32 \(N, C\)"):
        build(FakeMachine(), bundle, BuildConfig(Precision.FP32))
