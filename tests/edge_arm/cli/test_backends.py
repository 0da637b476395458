"""`--backend tensorrt` opens exactly the engines of the device that is here."""

from __future__ import annotations

import gc
import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from device_fakes import FakeMachine, installed
from engine_records import engine_record
from tiny_bundle import golden_faces, run_onnx, tiny_bundle, with_cpu_variant

from edge_arm.cli.backends import (
    BackendChoice,
    BackendName,
    CudaName,
    PrecisionName,
    VariantName,
    opened_backends,
    opened_variants,
)
from edge_arm.cli.main import main
from edge_arm.runtime.engine_record import engine_folder, write_engine_record
from edge_arm.runtime.errors import BundleError, EngineError, UsageError
from edge_arm.runtime.labels import RAFDB
from edge_arm.runtime.manifest import Bundle, Precision


def fake_engine(bundle: Bundle, precision: Precision) -> None:
    """Build the bundle's model with the installed TensorRT and put it where engines lie."""
    import tensorrt as trt

    path, artifact = bundle.model(precision)
    logger = trt.Logger()
    builder = trt.Builder(logger)
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, logger)
    assert parser.parse(path.read_bytes())
    config = builder.create_builder_config()
    for flag in (trt.BuilderFlag.FP16, trt.BuilderFlag.INT8):
        config.set_flag(flag)
    profile = builder.create_optimization_profile()
    source = network.get_input(0)
    profile.set_shape(source.name, *((n, *source.shape[1:]) for n in (1, 4, 8)))
    config.add_optimization_profile(profile)
    plan = bytes(builder.build_serialized_network(network, config))
    folder = engine_folder(bundle.path, "Orin", "10.3.0")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{precision.value}.plan").write_bytes(plan)
    record = engine_record(
        precision,
        onnx_sha256=artifact.sha256,
        plan_sha256=hashlib.sha256(plan).hexdigest(),
        plan_bytes=len(plan),
    )
    write_engine_record(folder / f"{precision.value}.json", replace(record, memory={}))


@pytest.mark.parametrize("cuda", list(CudaName), ids=lambda name: name.value)
def test_every_engine_of_this_device_answers(cuda: CudaName, tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "bundle")
    with installed(FakeMachine()) as machine:
        for precision in (Precision.FP16, Precision.INT8):
            fake_engine(bundle, precision)
        choice = BackendChoice(BackendName.TENSORRT, cuda=cuda)
        with opened_backends(bundle, choice) as backends:
            assert list(backends) == [Precision.FP16, Precision.INT8]
            for precision, backend in backends.items():
                expected = run_onnx(bundle.model(precision)[0], golden_faces())
                np.testing.assert_allclose(backend.infer(golden_faces()), expected, atol=1e-5)
        gc.collect()
        assert machine.faults == []
        assert machine.leaks() == []


def test_a_bundle_without_an_engine_for_this_device_is_refused(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "bundle")
    with (
        installed(FakeMachine()) as machine,
        pytest.raises(EngineError, match="has no engine for Orin with TensorRT 10.3.0"),
        opened_backends(bundle, BackendChoice(BackendName.TENSORRT)),
    ):
        pass
    assert machine.leaks() == []


def test_only_the_precisions_that_were_named_are_opened_beside_fp32(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "bundle")
    with opened_backends(bundle, BackendChoice(only=(PrecisionName.FP16,))) as backends:
        assert list(backends) == [Precision.FP32, Precision.FP16]
    with installed(FakeMachine()):
        for precision in (Precision.FP16, Precision.INT8):
            fake_engine(bundle, precision)
        choice = BackendChoice(BackendName.TENSORRT, only=(PrecisionName.INT8,))
        with opened_backends(bundle, choice) as backends:
            assert list(backends) == [Precision.INT8]


def test_a_precision_that_was_named_and_is_not_there_is_refused(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "bundle")
    without = replace(
        bundle,
        manifest=replace(
            bundle.manifest,
            artifacts=tuple(
                item for item in bundle.manifest.artifacts if item.precision is Precision.FP32
            ),
        ),
    )
    with (
        pytest.raises(BundleError, match="has no fp16 model"),
        opened_backends(without, BackendChoice(only=(PrecisionName.FP16,))),
    ):
        pass
    with installed(FakeMachine()):
        fake_engine(bundle, Precision.INT8)
        choice = BackendChoice(BackendName.TENSORRT, only=(PrecisionName.FP16,))
        with (
            pytest.raises(EngineError, match="has no fp16 engine for Orin with TensorRT 10.3.0"),
            opened_backends(bundle, choice),
        ):
            pass


def test_engines_without_fp32_ask_for_its_answers_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = tiny_bundle(tmp_path / "bundle")
    for name in RAFDB.classes:
        (tmp_path / "faces" / "test" / name).mkdir(parents=True)
        for number in range(2):
            path = tmp_path / "faces" / "test" / name / f"{number}.png"
            cv2.imwrite(str(path), golden_faces()[number])
    words = ["measure", "--data", "folder", "--root", str(tmp_path / "faces")]
    words += ["--bundle", str(bundle.path), "--backend", "tensorrt"]
    monkeypatch.setattr("sys.argv", ["edge-arm", *words])
    with installed(FakeMachine()) as machine:
        fake_engine(bundle, Precision.INT8)
        assert main() == 2
        assert machine.calls["execute_async_v3"] == 0
    assert (
        "expected its answers in the bundle or an engine; run 'edge-arm measure --data NAME --r"
        in (capsys.readouterr().err)
    )


def test_a_dla_core_without_tensorrt_is_refused() -> None:
    with pytest.raises(UsageError, match="got --dla 0 with --backend onnxruntime, expected --back"):
        BackendChoice(dla_core=0)


CPUS = [BackendName.ONNXRUNTIME, BackendName.OPENVINO]


@pytest.mark.parametrize("backend", CPUS, ids=lambda name: name.value)
def test_a_cpu_runs_both_int8_models_and_each_from_its_file(
    backend: BackendName, tmp_path: Path
) -> None:
    bundle = with_cpu_variant(tiny_bundle(tmp_path / "bundle"))
    choice = BackendChoice(backend, only=(PrecisionName.INT8,))
    with opened_backends(bundle, choice) as main, opened_variants(bundle, choice) as variants:
        assert list(main) == [Precision.FP32, Precision.INT8]
        assert main[Precision.INT8].info.file == "model.int8.onnx"
        (cpu,) = variants
        assert (cpu.precision, cpu.variant) == (Precision.INT8, "cpu")
        assert cpu.backend.info.file == "model.int8.cpu.onnx"
        expected = run_onnx(bundle.path / "model.int8.cpu.onnx", golden_faces())
        # a step of an activation may fall the other way in other kernels
        np.testing.assert_allclose(cpu.backend.infer(golden_faces()), expected, atol=0.02)


def test_a_named_variant_is_run_alone(tmp_path: Path) -> None:
    bundle = with_cpu_variant(tiny_bundle(tmp_path / "bundle"))
    for name, has_main, has_cpu in ((VariantName.MAIN, True, 0), (VariantName.CPU, False, 1)):
        choice = BackendChoice(variants=(name,))
        with opened_backends(bundle, choice) as main, opened_variants(bundle, choice) as variants:
            assert (Precision.INT8 in main) == has_main
            assert len(variants) == has_cpu
            assert Precision.FP16 in main


def test_without_int8_or_without_the_file_there_is_no_variant(tmp_path: Path) -> None:
    older = tiny_bundle(tmp_path / "older")
    newer = with_cpu_variant(tiny_bundle(tmp_path / "newer"))
    for bundle, choice in (
        (older, BackendChoice()),
        (newer, BackendChoice(only=(PrecisionName.FP16,))),
        (newer, BackendChoice(provider="cuda")),
    ):
        with opened_variants(bundle, choice) as variants:
            assert variants == []
    with (
        pytest.raises(BundleError, match=r"has no int8 model \(cpu\).*make it with 'edge-arm cali"),
        opened_variants(older, BackendChoice(variants=(VariantName.CPU,))),
    ):
        pass


@pytest.mark.parametrize(
    ("choice", "match"),
    [
        (
            {"backend": BackendName.TENSORRT},
            "--variant cpu with --backend tensorrt, expected a CPU",
        ),
        ({"provider": "cuda"}, "--variant cpu with --provider cuda, expected a CPU to run it"),
        ({"only": (PrecisionName.FP16,)}, "--variant cpu and no int8 among --precision, expected"),
    ],
    ids=["engines", "GPU provider", "no int8"],
)
def test_the_variant_for_cpus_where_it_cannot_be_is_refused(
    choice: dict[str, Any], match: str
) -> None:
    with pytest.raises(UsageError, match=match):
        BackendChoice(**choice, variants=(VariantName.CPU,))


@pytest.mark.parametrize("name", [BackendName.TENSORRT, BackendName.OPENVINO])
def test_a_provider_beside_another_backend_is_refused(name: BackendName) -> None:
    with pytest.raises(UsageError, match=f"got --provider cuda with --backend {name.value}, expec"):
        BackendChoice(name, provider="cuda")


def test_openvino_leaves_fp16_out_and_says_so(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "bundle")
    choice = BackendChoice(BackendName.OPENVINO)
    with opened_backends(bundle, choice) as backends:
        assert list(backends) == [Precision.FP32, Precision.INT8]
    (sentence,) = choice.left_out(bundle)
    assert sentence.startswith("FP16: OpenVINO computes the float layers of every file in FP32")
    assert BackendChoice().left_out(bundle) == ()
    named = BackendChoice(BackendName.OPENVINO, only=(PrecisionName.INT8,))
    assert named.left_out(bundle) == ()
    with pytest.raises(UsageError, match="got --precision fp16 with --backend openvino, expected"):
        BackendChoice(BackendName.OPENVINO, only=(PrecisionName.FP16,))


@pytest.mark.parametrize("backend", CPUS, ids=lambda name: name.value)
def test_a_report_says_which_file_each_row_is(
    backend: BackendName,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    bundle = with_cpu_variant(tiny_bundle(tmp_path / "bundle"))
    for number, name in enumerate(RAFDB.classes):
        (tmp_path / "faces" / "test" / name).mkdir(parents=True)
        picture = golden_faces()[number % len(golden_faces())]
        cv2.imwrite(str(tmp_path / "faces" / "test" / name / "0.png"), picture)
    words = ["measure", "--data", "folder", "--root", str(tmp_path / "faces")]
    words += ["--bundle", str(bundle.path), "--backend", backend.value, "--precision", "int8"]
    words += ["--json", str(tmp_path / "r.json"), "--markdown", str(tmp_path / "r.md")]
    monkeypatch.setattr("sys.argv", ["edge-arm", *words])
    monkeypatch.chdir(tmp_path)
    assert main() == 0
    printed = capsys.readouterr().out
    rows = [line for line in printed.splitlines() if line.startswith(("FP32 ", "INT8"))]
    assert [row.split("  ")[0].strip() for row in rows[:3]] == ["FP32", "INT8", "INT8 (CPU)"]
    report = json.loads((tmp_path / "r.json").read_text())
    assert [
        (item["precision"], item["variant"], item["file"]) for item in report["candidates"]
    ] == [
        ("int8", "main", "model.int8.onnx"),
        ("int8", "cpu", "model.int8.cpu.onnx"),
    ]
    assert {item["backend"] for item in report["candidates"]} == {f"{backend.value}/cpu"}
    assert {
        (item["precision"], item["variant"]) for item in report["batch_invariance"]["checks"]
    } == {
        ("fp32", "main"),
        ("int8", "main"),
        ("int8", "cpu"),
    }
    assert "model.int8.cpu.onnx, SHA-256" in (tmp_path / "r.md").read_text()

    # An older report of the same faces is compared model by model.
    again = [*words, "--compare", str(tmp_path / "r.json")]
    again[again.index("--json") + 1] = str(tmp_path / "r2.json")
    monkeypatch.setattr("sys.argv", ["edge-arm", *again])
    assert main() == 0
    changes = json.loads((tmp_path / "r2.json").read_text())["comparison"]
    assert changes["same_models"] == ["fp32", "int8", "int8 (cpu)"]
    assert changes["figures"] == []
