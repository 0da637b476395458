"""What the build stage refuses, in which words, and what a DLA is given."""

from __future__ import annotations

import builtins
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import onnx
import pytest
from device_fakes import ALL_VERSIONS, FakeMachine, installed
from engine_builds import build, files_in, with_model
from onnx import helper
from tiny_bundle import tiny_bundle, tiny_model

from edge_arm.export import engine_machine
from edge_arm.export.engine_calibrator import set_implicit_ranges
from edge_arm.export.engine_config import BuildConfig
from edge_arm.export.engine_folder import engine_folder_alone
from edge_arm.export.engine_from_bundle import engine_from_bundle, plan_path_of
from edge_arm.export.engine_inspection import inspect_plan
from edge_arm.runtime.engine_choice import find_engine
from edge_arm.runtime.engine_record import BatchRange
from edge_arm.runtime.errors import (
    BackendUnavailableError,
    BundleError,
    EngineError,
)
from edge_arm.runtime.machine import machine_facts
from edge_arm.runtime.manifest import Bundle, Precision
from edge_arm.runtime.tensorrt_library import load_tensorrt

WEAK = ALL_VERSIONS[:2]
DEVICE_HAS_NOT = ("torch", "onnx", "onnxruntime", "modelopt", "safetensors", "matplotlib")


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return tiny_bundle(tmp_path / "bundle")


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
    on_dla = [layer for layer in record.layers["names"]["unknown"] if "ForeignNode" in layer]
    assert on_dla, "a DLA takes nothing of a network with a dynamic batch"
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


@pytest.mark.parametrize("version", ALL_VERSIONS[2:])
def test_a_version_without_dla_is_refused_before_anything_is_built(
    bundle: Bundle, version: str
) -> None:
    machine = FakeMachine(tensorrt=version, num_dla_cores=2)
    with pytest.raises(EngineError, match=r"expected one that runs on a DLA: 8\.6"):
        build(machine, bundle, BuildConfig(Precision.FP16, dla_core=0))
    assert files_in(bundle) == []


def test_a_version_without_calibrators_takes_no_calibration_cache() -> None:
    with installed(FakeMachine(tensorrt="11.1.0")):
        tensorrt = load_tensorrt()
        with pytest.raises(EngineError, match=r"TensorRT 11\.1\.0 takes no calibration cache"):
            set_implicit_ranges(tensorrt, None, None, cache=b"")


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
    machine = FakeMachine(integrated=False, memory_bytes=1_000 << 20)
    config = BuildConfig(Precision.FP32, batch=BatchRange(1, 8, 100_000), workspace_mib=1)
    with pytest.raises(EngineError, match="the build needs about .* MiB.*a smaller --batch"):
        build(machine, bundle, config)


def test_memory_that_runs_out_all_the_same_is_told_with_what_to_lower(bundle: Bundle) -> None:
    machine = FakeMachine(memory_bytes=300_000)  # this machine's own memory passes the preflight
    with pytest.raises(
        EngineError,
        match=r"could not build .*OutOfMemory.*lower --workspace, take a smaller --batch",
    ):
        build(machine, bundle, BuildConfig(Precision.FP32))


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


def test_a_shape_that_the_engine_does_not_take_is_said(bundle: Bundle) -> None:
    machine = FakeMachine()
    record = build(machine, bundle, BuildConfig(Precision.FP32))
    plan = plan_path_of(bundle, record).read_bytes()
    with (
        installed(machine),
        engine_machine.build_machine("pycuda") as builder,
        pytest.raises(EngineError, match="the new engine does not take a batch of 33"),
    ):
        inspect_plan(builder.tensorrt, plan, (33, 16, 16, 3), dla_core=None)


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
    assert int(done.stdout) >= 14


def test_a_model_of_something_else_is_refused(bundle: Bundle) -> None:
    model = tiny_model()
    model.graph.input.append(
        helper.make_tensor_value_info("second", onnx.TensorProto.FLOAT, ["N", 1])
    )
    bundle = with_model(bundle, "model.fp32.onnx", model)
    with pytest.raises(EngineError, match=r"expected uint8 \(N, S, S, 3\) to float32 \(N, C\)"):
        build(FakeMachine(), bundle, BuildConfig(Precision.FP32))
