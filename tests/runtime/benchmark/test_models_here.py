from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from device_fakes import FakeMachine, installed
from tiny_bundle import tiny_bundle, with_cpu_variant

from edge_arm.export.engine_config import BuildConfig
from edge_arm.export.engine_from_bundle import engine_from_bundle
from edge_arm.runtime.benchmark.models_here import ModelsHere, WantedModels, models_here
from edge_arm.runtime.engine_record import BatchRange
from edge_arm.runtime.errors import BackendUnavailableError, BundleError, EngineError, UsageError
from edge_arm.runtime.manifest import Bundle, Precision, open_bundle

# TensorRT and CUDA, whose modules are not installed here except where a fake machine has them.
NO_GPU_LIBRARIES = FakeMachine(tensorrt=None, cuda=())


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return with_cpu_variant(tiny_bundle(tmp_path_factory.mktemp("here") / "bundle"))


def names(found: ModelsHere) -> list[str]:
    return [spec.name for spec in found.specs]


def test_every_file_of_the_bundle_is_timed_on_every_backend_that_is_here(bundle: Bundle) -> None:
    pytest.importorskip("openvino")
    with installed(NO_GPU_LIBRARIES):
        found = models_here(bundle, WantedModels())
    assert names(found) == [
        "ONNX Runtime FP32",
        "ONNX Runtime FP16",
        "ONNX Runtime INT8",
        "ONNX Runtime INT8 for CPUs",
        "OpenVINO FP32",
        "OpenVINO INT8",
        "OpenVINO INT8 for CPUs",
    ]
    assert found.largest_batch is None
    # Nobody misses TensorRT on a machine without it and with no engine.
    (reason,) = found.left_out
    assert reason.startswith("OpenVINO FP16: OpenVINO computes the float layers")


def test_what_is_named_is_timed_beside_fp32(bundle: Bundle) -> None:
    wanted = WantedModels(
        ("onnxruntime",), threads=1, precisions=(Precision.INT8,), variants=("cpu",)
    )
    found = models_here(bundle, wanted)
    assert names(found) == ["ONNX Runtime FP32", "ONNX Runtime INT8 for CPUs"]
    assert {spec.place.threads for spec in found.specs} == {1}
    assert found.left_out == ()


def test_engines_come_first_with_their_largest_batch(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "bundle")
    with installed(FakeMachine()):
        engine_from_bundle(bundle, BuildConfig(Precision.FP16, batch=BatchRange(1, 4, 16)))
        found = models_here(bundle, WantedModels())
        only = models_here(bundle, WantedModels(("tensorrt",)))
    assert names(found)[:2] == ["TensorRT FP16", "ONNX Runtime FP32"]
    assert found.largest_batch == 16
    assert names(only) == ["TensorRT FP16"]
    # What is a file and no engine yet comes with its command.
    assert [reason.split(":")[0] for reason in only.left_out] == ["TensorRT FP32", "TensorRT INT8"]
    assert f"edge-arm build --bundle {bundle.path} --precision int8" in only.left_out[1]
    # Somewhere else the engine is missed.
    with installed(NO_GPU_LIBRARIES):
        elsewhere = models_here(bundle, WantedModels())
    assert names(elsewhere)[0] == "ONNX Runtime FP32"
    assert elsewhere.left_out[0].startswith("TensorRT: ")


def test_tensorrt_without_an_engine_is_told_how_to_get_one(bundle: Bundle) -> None:
    with installed(FakeMachine()):
        found = models_here(bundle, WantedModels())
        assert "edge-arm build --bundle" in found.left_out[0]
        with pytest.raises(EngineError, match="has no engine for Orin with TensorRT 10.3.0"):
            models_here(bundle, WantedModels(("tensorrt",)))


def test_an_engine_that_is_named_and_not_there_is_an_error(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "bundle")
    with installed(FakeMachine()):
        engine_from_bundle(bundle, BuildConfig(Precision.FP16))
        with pytest.raises(EngineError, match=r"has no int8 engine for this device, expected one"):
            models_here(bundle, WantedModels(("tensorrt",), precisions=(Precision.INT8,)))


def test_a_backend_that_is_named_and_not_here_is_an_error(bundle: Bundle) -> None:
    with installed(NO_GPU_LIBRARIES), pytest.raises(BackendUnavailableError, match="TensorRT"):
        models_here(bundle, WantedModels(("onnxruntime", "tensorrt")))


def test_a_precision_that_is_named_and_not_there_is_an_error(tmp_path: Path) -> None:
    plain = tiny_bundle(tmp_path / "bundle")
    with pytest.raises(BundleError, match=r"no int8 model \(cpu\)"):
        models_here(plain, WantedModels(("onnxruntime",), variants=("cpu",)))


def test_a_bundle_of_fp32_alone_is_told_about_nothing_else(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    path = tiny_bundle(tmp_path / "bundle").path
    manifest = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
    manifest["models"] = [item for item in manifest["models"] if item["precision"] == "fp32"]
    (path / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    plain = open_bundle(path)
    with installed(NO_GPU_LIBRARIES):
        found = models_here(plain, WantedModels())
        assert names(found) == ["ONNX Runtime FP32", "OpenVINO FP32"]
        assert found.left_out == ()
        with pytest.raises(BundleError, match=r"no int8 model \(cpu\)"):
            models_here(plain, WantedModels(variants=("cpu",)))


def test_a_provider_that_is_named_means_onnx_runtime_and_a_core_means_tensorrt() -> None:
    assert WantedModels(provider="cuda").named_backends == ("onnxruntime",)
    assert WantedModels(dla_core=0).named_backends == ("tensorrt",)
    assert WantedModels().named_backends == ()


def test_words_that_do_not_go_together_are_refused(bundle: Bundle) -> None:
    with pytest.raises(UsageError, match="got --dla 0 with --backend onnxruntime, expected"):
        models_here(bundle, WantedModels(("onnxruntime",), dla_core=0))
    with pytest.raises(UsageError, match="got --precision fp16 with --backend openvino"):
        models_here(bundle, WantedModels(("openvino",), precisions=(Precision.FP16,)))
    with pytest.raises(UsageError, match="got --provider cuda with --backend openvino, expected"):
        models_here(bundle, WantedModels(("openvino",), provider="cuda"))
    # With no backend named either.
    with pytest.raises(UsageError, match="got --variant cpu and no int8 among --precision"):
        models_here(bundle, WantedModels(precisions=(Precision.FP16,), variants=("cpu",)))


def test_a_backend_that_is_named_twice_is_timed_once(bundle: Bundle) -> None:
    twice = models_here(bundle, WantedModels(("onnxruntime", "onnxruntime"), variants=("main",)))
    once = models_here(bundle, WantedModels(("onnxruntime",), variants=("main",)))
    assert twice == once


def test_the_int8_engine_is_of_the_main_model(tmp_path: Path) -> None:
    bundle = with_cpu_variant(tiny_bundle(tmp_path / "bundle"))
    with installed(FakeMachine()):
        engine_from_bundle(bundle, BuildConfig(Precision.INT8))
        main = models_here(bundle, WantedModels(variants=("main",), threads=1))
        cpu = models_here(bundle, WantedModels(variants=("cpu",), threads=1))
    assert "TensorRT INT8" in names(main)
    assert "TensorRT INT8" not in names(cpu)
    assert not any("TensorRT INT8" in reason for reason in cpu.left_out)
    # A GPU has no threads to tell.
    engine, *files = main.specs
    assert engine.place.threads is None
    assert {spec.place.threads for spec in files} == {1}


def test_a_machine_that_runs_nothing_says_what_to_install(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("onnxruntime", "openvino", "tensorrt"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(BackendUnavailableError, match=r"neither ONNX Runtime, OpenVINO nor Tens"):
        models_here(bundle, WantedModels())
