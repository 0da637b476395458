"""Which model answers: on this CPU for real, and on a simulated Orin with TensorRT."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from device_fakes import FakeMachine, installed
from engine_records import engine_record
from tiny_bundle import tiny_bundle

from edge_arm.runtime.classifier.model_choice import ModelChoice, choose_model
from edge_arm.runtime.classifier.wanted_model import WantedModel
from edge_arm.runtime.engine_record import BatchRange, engine_folder, write_engine_record
from edge_arm.runtime.errors import BackendUnavailableError, BundleError, EngineError, UsageError
from edge_arm.runtime.manifest import Bundle, Precision
from edge_arm.runtime.model_spec import Place


@pytest.fixture
def orin(tmp_path: Path) -> Iterator[Path]:
    """The file system of a simulated Jetson with TensorRT 10.3.0 and pycuda."""
    with installed(FakeMachine()):
        yield _with_gpu(tmp_path / "root")


@pytest.fixture
def own_bundle(tmp_path: Path) -> Bundle:
    """One that engines can be put into."""
    return tiny_bundle(tmp_path / "bundle")


def _with_gpu(root: Path) -> Path:
    (root / "dev").mkdir(parents=True)
    (root / "dev" / "nvhost-gpu").touch()
    return root


def keep_engine(
    bundle: Bundle, precision: Precision, latency_ms: float, *, opt: int = 4, gpu: str = "Orin"
) -> None:
    record = engine_record(
        precision,
        onnx_sha256=bundle.manifest.artifact(precision).sha256,
        batch=BatchRange(1, opt, 16),
    )
    record = replace(
        record,
        acceptance={**record.acceptance, "latency_ms": latency_ms},
        device=replace(record.device, gpu=gpu),
    )
    folder = engine_folder(bundle.path, gpu, "10.3.0")
    write_engine_record(folder / f"{precision.value}.json", record)


def chosen(choice: ModelChoice) -> tuple[str, str, str]:
    return choice.spec.place.backend, choice.spec.precision.value, choice.spec.variant


def test_without_int8_for_cpus_fp32_runs(uncalibrated: Bundle, tmp_path: Path) -> None:
    choice = choose_model(uncalibrated, WantedModel(threads=2), root=tmp_path)
    assert chosen(choice) == ("onnxruntime", "fp32", "main")
    assert choice.sentence == (
        "ONNX Runtime FP32, 2 threads: the bundle has no INT8 model for CPUs, "
        "'edge-arm calibrate' makes it"
    )
    assert choice.notes == ()


def test_the_faster_of_int8_and_fp32_runs_on_a_cpu(bundle: Bundle, tmp_path: Path) -> None:
    choice = choose_model(bundle, WantedModel(threads=1), root=tmp_path)
    faster = "times as fast as FP32 on this CPU" in choice.reason
    assert chosen(choice) == ("onnxruntime", *(("int8", "cpu") if faster else ("fp32", "main")))
    assert choice.spec.place.threads == 1


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (WantedModel(Precision.FP32), ("onnxruntime", "fp32", "main")),
        (WantedModel(Precision.FP16), ("onnxruntime", "fp16", "main")),
        (WantedModel(Precision.INT8), ("onnxruntime", "int8", "cpu")),
        (WantedModel(Precision.INT8, variant="main"), ("onnxruntime", "int8", "main")),
        (WantedModel(variant="main"), ("onnxruntime", "int8", "main")),
        (WantedModel(variant="cpu"), ("onnxruntime", "int8", "cpu")),
        (WantedModel(variant="cpu", backend="openvino"), ("openvino", "int8", "cpu")),
        (WantedModel(backend="openvino"), ("openvino", "int8", "main")),
        (WantedModel(Precision.FP32, backend="openvino"), ("openvino", "fp32", "main")),
        (WantedModel(provider="cuda"), ("onnxruntime", "fp16", "main")),
        (WantedModel(provider="rtx"), ("onnxruntime", "fp16", "main")),
        (WantedModel(provider="tensorrt"), ("onnxruntime", "int8", "main")),
        (WantedModel(Precision.FP32, provider="cuda"), ("onnxruntime", "fp32", "main")),
    ],
    ids=str,
)
def test_what_was_named_is_taken(
    wanted: WantedModel, expected: tuple[str, str, str], bundle: Bundle, tmp_path: Path
) -> None:
    assert chosen(choose_model(bundle, wanted, root=tmp_path)) == expected


def test_int8_where_there_is_none_for_cpus_is_run_and_said_to_be_slow(
    uncalibrated: Bundle, tmp_path: Path
) -> None:
    choice = choose_model(uncalibrated, WantedModel(Precision.INT8), root=tmp_path)
    assert chosen(choice) == ("onnxruntime", "int8", "main")
    assert "is slow in ONNX Runtime; make it with 'edge-arm calibrate" in choice.notes[0]


def test_what_was_named_and_is_not_there_is_an_error(uncalibrated: Bundle, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"no int8 model \(cpu\)"):
        choose_model(uncalibrated, WantedModel(variant="cpu"), root=tmp_path)


def test_an_engine_of_this_device_runs_before_the_cpu(orin: Path, own_bundle: Bundle) -> None:
    keep_engine(own_bundle, Precision.FP16, 2.0)
    choice = choose_model(own_bundle, WantedModel(), root=orin)
    assert chosen(choice) == ("tensorrt", "fp16", "main")
    assert choice.sentence == "TensorRT FP16: an engine for this GPU and TensorRT"
    assert choice.max_batch == 16


def test_threads_that_an_engine_has_no_use_for_are_said(orin: Path, own_bundle: Bundle) -> None:
    keep_engine(own_bundle, Precision.FP16, 2.0)
    choice = choose_model(own_bundle, WantedModel(threads=2), root=orin)
    assert choice.spec.place.threads is None
    assert choice.notes == ("--threads 2 is not used on a GPU.",)


def test_the_fastest_engine_by_its_own_record_runs(orin: Path, own_bundle: Bundle) -> None:
    keep_engine(own_bundle, Precision.FP32, 8.0)
    keep_engine(own_bundle, Precision.FP16, 2.0)
    keep_engine(own_bundle, Precision.INT8, 3.0)
    choice = choose_model(own_bundle, WantedModel(), root=orin)
    assert choice.spec.precision is Precision.FP16
    assert choice.reason.endswith("faster than FP32, INT8 when it was built")


def test_engines_made_for_other_batches_are_compared_by_the_face(
    orin: Path, own_bundle: Bundle
) -> None:
    keep_engine(own_bundle, Precision.FP16, 2.0, opt=1)
    keep_engine(own_bundle, Precision.INT8, 3.0, opt=8)  # 0.375 ms for a face
    choice = choose_model(own_bundle, WantedModel(), root=orin)
    assert choice.spec.precision is Precision.INT8


def test_a_named_precision_takes_that_engine(orin: Path, own_bundle: Bundle) -> None:
    keep_engine(own_bundle, Precision.FP16, 2.0)
    keep_engine(own_bundle, Precision.INT8, 1.0)
    choice = choose_model(own_bundle, WantedModel(Precision.FP16), root=orin)
    assert chosen(choice) == ("tensorrt", "fp16", "main")
    assert choice.reason == "named"


def test_a_precision_without_an_engine_runs_on_the_cpu_and_says_what_the_gpu_lacks(
    orin: Path, own_bundle: Bundle
) -> None:
    keep_engine(own_bundle, Precision.FP16, 2.0)
    choice = choose_model(own_bundle, WantedModel(Precision.FP32), root=orin)
    assert chosen(choice) == ("onnxruntime", "fp32", "main")
    assert "no engine of the bundle is for Orin with TensorRT 10.3.0" in choice.notes[0]
    assert f"run 'edge-arm build --bundle {own_bundle.path} --precision fp32'" in choice.notes[0]


def test_a_gpu_without_any_engine_is_said_to_be_idle(orin: Path, own_bundle: Bundle) -> None:
    choice = choose_model(own_bundle, WantedModel(), root=orin)
    assert chosen(choice) == ("onnxruntime", "fp32", "main")
    assert choice.notes == (
        "The GPU stays idle: the bundle has no engine; run "
        f"'edge-arm build --bundle {own_bundle.path} --precision int8'.",
    )


def test_an_engine_of_another_gpu_is_no_engine(orin: Path, own_bundle: Bundle) -> None:
    keep_engine(own_bundle, Precision.INT8, 1.0, gpu="Xavier")
    choice = choose_model(own_bundle, WantedModel(), root=orin)
    assert choice.spec.place.on_cpu
    assert "no engine of the bundle is for Orin" in choice.notes[0]


def test_a_gpu_whose_libraries_are_missing_is_said_to_be_idle(
    own_bundle: Bundle, tmp_path: Path
) -> None:
    keep_engine(own_bundle, Precision.INT8, 1.0)
    with installed(FakeMachine(cuda=())):
        choice = choose_model(own_bundle, WantedModel(), root=_with_gpu(tmp_path / "root"))
    assert choice.spec.place.on_cpu
    assert choice.notes[0].startswith("The GPU stays idle: ")
    assert "pycuda" in choice.notes[0]


def test_an_engine_that_is_older_than_its_model_is_an_error_and_not_passed_over(
    orin: Path, own_bundle: Bundle
) -> None:
    keep_engine(own_bundle, Precision.INT8, 1.0)
    record = engine_folder(own_bundle.path, "Orin", "10.3.0") / "int8.json"
    digest = own_bundle.manifest.artifact(Precision.INT8).sha256
    record.write_text(record.read_text().replace(digest, "1" * 64))
    with pytest.raises(EngineError, match="exported or calibrated again since; run 'edge-arm"):
        choose_model(own_bundle, WantedModel(), root=orin)


def test_a_machine_without_a_gpu_looks_at_no_engine(own_bundle: Bundle, tmp_path: Path) -> None:
    keep_engine(own_bundle, Precision.INT8, 1.0)
    choice = choose_model(own_bundle, WantedModel(), root=tmp_path / "root")
    assert choice.spec.place.on_cpu
    assert choice.notes == ()


def test_engines_that_were_asked_for_are_an_error_where_there_are_none(
    orin: Path, own_bundle: Bundle
) -> None:
    with pytest.raises(EngineError, match="has no engine for Orin"):
        choose_model(own_bundle, WantedModel(backend="tensorrt"), root=orin)


def test_tensorrt_that_was_asked_for_is_an_error_where_it_is_missing(own_bundle: Bundle) -> None:
    with (
        installed(FakeMachine(tensorrt=None)),
        pytest.raises(BackendUnavailableError, match="TensorRT"),
    ):
        choose_model(own_bundle, WantedModel(backend="tensorrt"))


def test_a_dla_core_asks_for_its_engine(orin: Path, own_bundle: Bundle) -> None:
    assert WantedModel(dla_core=0).place == Place("tensorrt", dla_core=0)
    with pytest.raises(EngineError, match="no engine for DLA 0 of Orin"):
        choose_model(own_bundle, WantedModel(dla_core=0), root=orin)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            {"dla_core": 0, "backend": "onnxruntime"},
            "got --dla 0 with --backend onnxruntime, expected --backend tensorrt",
        ),
        ({"variant": "cpu", "provider": "cuda"}, "got --variant cpu with --provider cuda"),
        ({"variant": "cpu", "backend": "tensorrt"}, "got --variant cpu with --backend tensorrt"),
        (
            {"variant": "cpu", "precision": Precision.FP32},
            "got --variant cpu and no int8 among --precision",
        ),
        (
            {"backend": "openvino", "precision": Precision.FP16},
            "got --precision fp16 with --backend openvino",
        ),
        (
            {"backend": "tensorrt", "provider": "cuda"},
            "got --provider cuda with --backend tensorrt, expected --backend onnxruntime",
        ),
        (
            {"backend": "tensorrt", "threads": 2},
            "got --threads 2 for TensorRT, expected a CPU to run the model",
        ),
        ({"backend": "tvm"}, "got the backend 'tvm', expected one of onnxruntime"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_words_that_do_not_go_together_are_refused(words: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        WantedModel(**words)  # type: ignore[arg-type]
