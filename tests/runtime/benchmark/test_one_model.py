"""The process that runs one model, here in this one: a fake GPU does not cross to another."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from device_fakes import FakeMachine, installed
from tiny_bundle import tiny_bundle

from edge_arm.export.engine_config import BuildConfig
from edge_arm.export.engine_from_bundle import engine_from_bundle
from edge_arm.runtime import cuda_device
from edge_arm.runtime.benchmark.one_model import timed_start
from edge_arm.runtime.errors import BundleError
from edge_arm.runtime.manifest import Precision
from edge_arm.runtime.model_spec import ModelSpec, Place, spec_to_text


def test_an_engine_tells_the_memory_of_the_gpu_that_it_took(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "bundle")
    spec = ModelSpec(Place("tensorrt"), Precision.FP32)
    with installed(FakeMachine(integrated=False)) as machine:
        engine_from_bundle(bundle, BuildConfig(Precision.FP32))
        answer = timed_start(bundle.path, spec_to_text(spec), [1, 4], started_s=time.monotonic())
        assert machine.faults == []
        assert machine.leaks() == []
    # At the least what faces and logits of the largest batch take: two sets of 16 x 16 x 3 bytes.
    assert answer["gpu_bytes"] >= 2 * 8 * 16 * 16 * 3
    assert len(answer["memory"]) == 2
    assert min(answer[part] for part in ("imports_s", "bundle_s", "load_s", "first_answer_s")) > 0


def test_starting_cuda_counts_as_loading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = tiny_bundle(tmp_path / "bundle")
    spec = ModelSpec(Place("tensorrt"), Precision.FP32)
    with installed(FakeMachine(integrated=False)):
        engine_from_bundle(bundle, BuildConfig(Precision.FP32))
        opened, slept_s = cuda_device.open_cuda, []

        def slow_at_first(library: str) -> cuda_device.CudaDevice:
            if not slept_s:  # a driver starts once in a process
                slept_s.append(0.3)
                time.sleep(0.3)
            return opened(library)

        monkeypatch.setattr(cuda_device, "open_cuda", slow_at_first)
        answer = timed_start(bundle.path, spec_to_text(spec), [1], started_s=time.monotonic())
    assert slept_s == [0.3]
    assert answer["load_s"] > 0.3


def test_a_model_whose_bytes_changed_is_refused_before_it_is_loaded(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "bundle")
    (bundle.path / "model.fp32.onnx").write_bytes(b"something else")
    spec = ModelSpec(Place("onnxruntime"), Precision.FP32)
    with pytest.raises(BundleError, match="the file was changed or not copied whole"):
        timed_start(bundle.path, spec_to_text(spec), [1], started_s=time.monotonic())
