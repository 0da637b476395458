"""`--backend tensorrt` opens exactly the engines of the device that is here."""

from __future__ import annotations

import gc
import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from device_fakes import FakeMachine, installed
from engine_records import engine_record
from tiny_bundle import golden_faces, run_onnx, tiny_bundle

from edge_arm.cli.backends import BackendChoice, BackendName, CudaName, opened_backends
from edge_arm.runtime.engine_record import engine_folder, write_engine_record
from edge_arm.runtime.errors import EngineError
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
