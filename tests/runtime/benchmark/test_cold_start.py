from __future__ import annotations

import pytest
from tiny_bundle import tiny_bundle

from edge_arm.runtime.benchmark import cold_start
from edge_arm.runtime.benchmark.cold_start import run_alone
from edge_arm.runtime.errors import BackendError, UsageError
from edge_arm.runtime.manifest import Bundle, Precision
from edge_arm.runtime.model_spec import ModelSpec, Place, spec_from_text, spec_to_text

FP32 = ModelSpec(Place("onnxruntime", threads=1), Precision.FP32)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    # A folder whose name has a space and other letters, because it goes through a command line.
    return tiny_bundle(tmp_path_factory.mktemp("cold") / "ein Bündel")


def test_a_start_is_told_part_by_part_with_the_memory_of_the_model_alone(bundle: Bundle) -> None:
    alone = run_alone(bundle.path, FP32, batch_sizes=(8, 1), starts=1)
    cold = alone.cold
    parts = (
        cold.interpreter_s,
        cold.imports_s,
        cold.bundle_s,
        cold.load_s,
        cold.first_answer_s,
    )
    assert min(parts) > 0
    assert cold.total_s == pytest.approx(sum(parts))
    # Importing numpy and ONNX Runtime is by far the most of a network of three convolutions.
    assert cold.imports_s > cold.bundle_s
    assert list(alone.memory) == [1, 8]
    small, large = alone.memory[1], alone.memory[8]
    assert small is not None
    assert large is not None
    # Python with numpy and ONNX Runtime takes some tens of MB, and the tests' own packages
    # (torch, pytest) would take hundreds.
    assert 30e6 < small.now_bytes <= small.most_bytes < 200e6
    assert large.most_bytes >= small.most_bytes
    assert alone.gpu_bytes is None


def test_a_model_that_is_refused_alone_is_an_error_in_its_own_words(bundle: Bundle) -> None:
    engine = ModelSpec(Place("tensorrt"), Precision.FP32)
    with pytest.raises(BackendError, match=r"^TensorRT FP32: .*TensorRT"):
        run_alone(bundle.path, engine, batch_sizes=(1,), starts=1)


def test_a_process_that_ends_with_a_bug_says_its_last_words(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cold_start, "_CODE", "raise RuntimeError('a bug')")
    with pytest.raises(BackendError, match=r"failed in a process of its own \(RuntimeError: a bug"):
        run_alone(bundle.path, FP32, batch_sizes=(1,), starts=1)


def test_a_process_that_hangs_is_given_up(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cold_start, "TIMEOUT_S", 0.01)
    with pytest.raises(
        BackendError, match=r"FP32 gave no answer within 0.01 s in a process of its"
    ):
        run_alone(bundle.path, FP32, batch_sizes=(1,), starts=1)


def test_a_process_that_is_killed_is_said_to_be(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cold_start, "_CODE", "import os; os.kill(os.getpid(), 9)")
    with pytest.raises(BackendError, match=r"failed in a process of its own \(ended by SIGKILL\)"):
        run_alone(bundle.path, FP32, batch_sizes=(1,), starts=1)


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        (FP32, "ONNX Runtime FP32"),
        (ModelSpec(Place("onnxruntime"), Precision.INT8, "cpu"), "ONNX Runtime INT8 for CPUs"),
        (ModelSpec(Place("onnxruntime", "cuda"), Precision.FP16), "ONNX Runtime (cuda) FP16"),
        (ModelSpec(Place("tensorrt", dla_core=1), Precision.INT8), "TensorRT (DLA 1) INT8"),
        (ModelSpec(Place("openvino"), Precision.FP32, "explicit"), "OpenVINO FP32 (explicit)"),
    ],
)
def test_a_model_is_named_and_crosses_to_another_process(spec: ModelSpec, name: str) -> None:
    assert spec.name == name
    assert spec_from_text(spec_to_text(spec)) == spec


def test_a_backend_of_another_name_is_refused() -> None:
    with pytest.raises(UsageError, match="got the backend 'tflite', expected one of onnxruntime"):
        Place("tflite")
