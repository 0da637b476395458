"""`--backend tensorrt` opens exactly the engines of the device that is here."""

from __future__ import annotations

import gc
import hashlib
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from device_fakes import FakeMachine, installed
from engine_records import engine_record
from tiny_bundle import golden_faces, run_onnx, tiny_bundle

from edge_arm.cli.backends import (
    BackendChoice,
    BackendName,
    CudaName,
    PrecisionName,
    opened_backends,
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
