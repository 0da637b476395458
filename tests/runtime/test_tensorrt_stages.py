"""Copies and computing timed apart, on a machine that takes no time but what it is told to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from device_fakes import FakeMachine, installed
from tiny_bundle import golden_faces, run_onnx, tiny_bundle

from edge_arm.export.engine_config import BuildConfig
from edge_arm.export.engine_from_bundle import engine_from_bundle
from edge_arm.runtime.backend import StagedBackend
from edge_arm.runtime.engine_choice import find_engine
from edge_arm.runtime.errors import InferenceError
from edge_arm.runtime.manifest import Bundle, Precision
from edge_arm.runtime.tensorrt_backend import TensorRTBackend

LATENCY_MS = 8.0


@pytest.fixture(params=[True, False], ids=["integrated", "discrete"])
def machine(request: pytest.FixtureRequest) -> Iterator[FakeMachine]:
    slow = FakeMachine(integrated=request.param, engine_latency_ms=lambda _: LATENCY_MS)
    with installed(slow) as made:
        yield made
        assert made.faults == []
        assert made.leaks() == []


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return tiny_bundle(tmp_path / "bundle")


def opened(bundle: Bundle) -> TensorRTBackend:
    engine_from_bundle(bundle, BuildConfig(Precision.FP32))
    found = find_engine(bundle, Precision.FP32, gpu="Orin", tensorrt="10.3.0")
    return TensorRTBackend(found.plan, found.record)


def test_the_time_of_the_engine_is_counted_as_computing(
    machine: FakeMachine, bundle: Bundle
) -> None:
    images = golden_faces()[:4]
    with opened(bundle) as backend:
        assert isinstance(backend, StagedBackend)
        backend.infer(images)
        answers = [backend.infer_in_stages(images) for _ in range(5)]
    staged = answers[0]
    # The engine computes its answer as well, so computing has no upper limit. Others use this
    # processor too, so the quickest copy counts.
    assert min(answer.compute_s for answer in answers) >= LATENCY_MS / 1e3
    assert 0 < min(answer.copy_in_s for answer in answers) < LATENCY_MS / 1e3
    assert 0 < min(answer.copy_out_s for answer in answers) < LATENCY_MS / 1e3
    # The fake engine is ONNX Runtime on the same file.
    expected = run_onnx(bundle.path / "model.fp32.onnx", images)
    np.testing.assert_allclose(staged.logits, expected, atol=1e-5)


def test_more_faces_than_one_run_takes_are_refused(machine: FakeMachine, bundle: Bundle) -> None:
    with opened(bundle) as backend:
        faces = np.zeros((65, 16, 16, 3), np.uint8)
        with pytest.raises(InferenceError, match=r"got 65 faces to time in stages, expected at mo"):
            backend.infer_in_stages(faces)
        backend.infer(faces)  # it works as before


def test_an_engine_that_fails_in_stages_leaves_the_backend_usable(
    machine: FakeMachine, bundle: Bundle
) -> None:
    images = golden_faces()[:2]
    with opened(bundle) as backend:
        machine.fail_next("execute")
        with pytest.raises(InferenceError, match="failed on a batch of 2"):
            backend.infer_in_stages(images)
        staged = backend.infer_in_stages(images)
    expected = run_onnx(bundle.path / "model.fp32.onnx", images)
    np.testing.assert_allclose(staged.logits, expected, atol=1e-5)
