"""The build stage on machines that are not here: every version, whole, and what each refuses.

The fakes run an engine's ONNX by ONNX Runtime behind device addresses, and find wrong pointers,
missed synchronisation and what was not given back.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from device_fakes import ALL_VERSIONS, FakeMachine, installed
from engine_builds import build, files_in, with_model
from tiny_bundle import golden_faces, run_onnx, tiny_bundle, tiny_model

from edge_arm.export.engine_config import BuildConfig
from edge_arm.export.engine_from_bundle import plan_path_of
from edge_arm.runtime.engine_choice import find_engine
from edge_arm.runtime.engine_record import BatchRange, read_engine_record
from edge_arm.runtime.errors import (
    EngineError,
    StorageError,
)
from edge_arm.runtime.manifest import Bundle, Precision
from edge_arm.runtime.storage import sha256_of_file
from edge_arm.runtime.tensorrt_backend import TensorRTBackend

WEAK, TYPED = ALL_VERSIONS[:2], ALL_VERSIONS[2:]


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return tiny_bundle(tmp_path / "bundle")


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
    config = BuildConfig(Precision.FP16, timing_cache=named, builds=2)
    record = build(FakeMachine(), bundle, config)
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
