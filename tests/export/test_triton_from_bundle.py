"""A bundle becomes a model repository: which models, which bytes, and what is refused."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
from kserve_server import read_config
from tiny_bundle import tiny_bundle
from triton_bundles import TEMPERATURES, bundle_to_serve, put_engine

from edge_arm.export.triton_from_bundle import triton_from_bundle
from edge_arm.export.triton_models import ServeConfig, ServedModels
from edge_arm.runtime.detection.framing import FaceFraming
from edge_arm.runtime.detection.stored_framing import bundle_with_framing
from edge_arm.runtime.engine_record import BatchRange, read_engine_record, write_engine_record
from edge_arm.runtime.errors import (
    BundleError,
    EngineError,
    ExportError,
    StorageError,
    UsageError,
)
from edge_arm.runtime.labels import RAFDB, LabelSet
from edge_arm.runtime.manifest import Bundle, Precision, open_bundle, write_manifest


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return bundle_to_serve(tmp_path / "bundle")


def names(served: ServedModels) -> list[str]:
    return [model.name for model in served.models]


def folders(repository: Path) -> list[str]:
    return sorted(path.name for path in repository.iterdir())


def test_every_precision_is_served_on_the_gpu_and_int8_on_the_cpu(
    bundle: Bundle, tmp_path: Path
) -> None:
    out = tmp_path / "models"
    served = triton_from_bundle(bundle, ServeConfig(), out)
    assert folders(out) == ["fer_fp16", "fer_fp32", "fer_int8", "fer_int8_cpu"]
    assert sorted(names(served)) == folders(out)
    assert served.left_out == ()
    for name, file in {
        "fer_fp32": "model.fp32.onnx",
        "fer_fp16": "model.fp16.onnx",
        "fer_int8": "model.int8.onnx",
        "fer_int8_cpu": "model.int8.cpu.onnx",
    }.items():
        assert (out / name / "1" / "model.onnx").read_bytes() == (bundle.path / file).read_bytes()
        assert (out / name / "labels.txt").read_text().split("\n") == [*RAFDB.classes, ""]


def test_only_int8_is_handed_to_tensorrt_unless_asked(bundle: Bundle, tmp_path: Path) -> None:
    for number, (accelerate, expected) in enumerate(
        [(False, {"fer_int8"}), (True, {"fer_fp32", "fer_fp16", "fer_int8"})]
    ):
        out = tmp_path / f"models{number}"
        triton_from_bundle(bundle, ServeConfig(accelerate=accelerate), out)
        configs = {name: read_config(out / name / "config.pbtxt") for name in folders(out)}
        assert {name for name, item in configs.items() if item.HasField("optimization")} == expected


def test_a_server_without_a_gpu_gets_fp32_and_int8_for_cpus(bundle: Bundle, tmp_path: Path) -> None:
    put_engine(bundle)
    served = triton_from_bundle(bundle, ServeConfig(cpu_only=True), tmp_path / "models")
    assert folders(tmp_path / "models") == ["fer_fp32_cpu", "fer_int8_cpu"]
    assert served.left_out == ("fer_fp16 is left out: CPUs have no FP16 kernels",)


def test_without_the_model_for_cpus_the_report_says_how_to_get_it(tmp_path: Path) -> None:
    served = triton_from_bundle(tiny_bundle(tmp_path / "bundle"), ServeConfig(), tmp_path / "m")
    assert names(served) == ["fer_fp32", "fer_fp16", "fer_int8"]
    assert served.left_out == (
        "fer_int8_cpu is left out: the bundle has no INT8 model for CPUs, 'edge-arm calibrate "
        "--data NAME' makes it",
    )


def test_each_model_has_the_temperature_of_its_precision(bundle: Bundle, tmp_path: Path) -> None:
    served = triton_from_bundle(bundle, ServeConfig(), tmp_path / "models")
    found = {model.name: model.contract.temperature for model in served.models}
    assert found == {
        "fer_fp32": TEMPERATURES[Precision.FP32],
        "fer_fp16": TEMPERATURES[Precision.FP16],
        "fer_int8": TEMPERATURES[Precision.INT8],
        "fer_int8_cpu": TEMPERATURES[Precision.INT8],
    }


def test_the_framings_of_the_bundle_travel_with_each_model(bundle: Bundle, tmp_path: Path) -> None:
    framing = FaceFraming("haar", 0.04, 0.03, 0.91, 0.9, faces=200, overlap=0.9, data_name="rafdb")
    put_engine(bundle)
    with_framing = bundle_with_framing(bundle, framing)
    served = triton_from_bundle(with_framing, ServeConfig(), tmp_path / "models")
    assert {model.contract.framings for model in served.models} == {(framing,)}


def test_an_engine_takes_the_place_of_its_precision(bundle: Bundle, tmp_path: Path) -> None:
    plan = put_engine(bundle, batch=BatchRange(1, 4, 8))
    out = tmp_path / "models"
    served = triton_from_bundle(bundle, ServeConfig(), out)
    assert folders(out) == ["fer_fp16", "fer_fp32", "fer_int8", "fer_int8_cpu"]
    assert (out / "fer_int8" / "1" / "model.plan").read_bytes() == plan.read_bytes()
    assert not (out / "fer_int8" / "1" / "model.onnx").exists()
    config = read_config(out / "fer_int8" / "config.pbtxt")
    assert config.platform == "tensorrt_plan"
    assert config.max_batch_size == 8
    assert list(config.dynamic_batching.preferred_batch_size) == [4, 8]
    parameters = {key: item.string_value for key, item in config.parameters.items()}
    assert parameters["edge_arm.tensorrt"] == "10.3.0"
    assert parameters["edge_arm.model_sha256"] == hashlib.sha256(b"a plan").hexdigest()
    assert served.left_out == (
        "fer_int8 takes 8 faces in a batch, not 32: its engine was built for no more",
    )


def test_a_smaller_batch_than_the_engines_is_kept(bundle: Bundle, tmp_path: Path) -> None:
    put_engine(bundle, batch=BatchRange(1, 4, 8))
    triton_from_bundle(bundle, ServeConfig(max_batch=2), tmp_path / "models")
    config = read_config(tmp_path / "models" / "fer_int8" / "config.pbtxt")
    assert config.max_batch_size == 2
    assert list(config.dynamic_batching.preferred_batch_size) == [2]


def test_an_engine_of_a_dla_stands_beside_the_model_of_the_gpu(
    bundle: Bundle, tmp_path: Path
) -> None:
    plan = put_engine(bundle)
    record = replace(read_engine_record(plan.with_suffix(".json")), dla_core=0)
    write_engine_record(plan.with_name("int8-dla0.json"), record)
    plan.rename(plan.with_name("int8-dla0.plan"))
    served = triton_from_bundle(bundle, ServeConfig(), tmp_path / "models")
    assert names(served) == ["fer_int8_dla0", "fer_fp32", "fer_fp16", "fer_int8", "fer_int8_cpu"]


def test_engines_of_two_gpus_need_a_name(bundle: Bundle, tmp_path: Path) -> None:
    put_engine(bundle)
    put_engine(bundle, gpu="Tesla T4", plan=b"another plan")
    with pytest.raises(
        UsageError,
        match=r"has engines for orin-10.3.0, tesla-t4-10.3.0, expected one device, because Triton "
        r"does not start .* name the server's with --engines NAME",
    ):
        triton_from_bundle(bundle, ServeConfig(), tmp_path / "models")
    out = tmp_path / "models"
    triton_from_bundle(bundle, ServeConfig(engines="tesla-t4-10.3.0"), out)
    assert (out / "fer_int8" / "1" / "model.plan").read_bytes() == b"another plan"


def test_engines_can_be_left_where_they_are(bundle: Bundle, tmp_path: Path) -> None:
    put_engine(bundle)
    triton_from_bundle(bundle, ServeConfig(engines="none"), tmp_path / "models")
    assert not [*(tmp_path / "models").rglob("*.plan")]


def test_a_name_without_engines_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    put_engine(bundle)
    with pytest.raises(UsageError, match="got --engines 'thor', expected one of orin-10.3.0; "):
        triton_from_bundle(bundle, ServeConfig(engines="thor"), tmp_path / "models")


def test_an_engine_without_a_record_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    put_engine(bundle).with_suffix(".json").unlink()
    with pytest.raises(EngineError, match=r"int8.plan' has no record 'int8.json' beside it"):
        triton_from_bundle(bundle, ServeConfig(), tmp_path / "models")


def test_an_engine_of_an_earlier_model_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    put_engine(bundle, onnx_sha256="5" * 64)
    with pytest.raises(EngineError, match=r"SHA-256 555555555555\.\.\., which the bundle no"):
        triton_from_bundle(bundle, ServeConfig(), tmp_path / "models")


def test_an_engine_that_takes_no_single_face_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    put_engine(bundle, batch=BatchRange(4, 8, 16))
    with pytest.raises(
        EngineError,
        match=r"takes 4 faces or more, .*takes a single face: .*; run 'edge-arm build .*"
        r"--precision int8 --batch 1,8,16' on the device, or pass --engines none",
    ):
        triton_from_bundle(bundle, ServeConfig(), tmp_path / "models")


def test_an_engine_of_a_dla_for_several_faces_is_told_the_only_size_that_serves(
    bundle: Bundle, tmp_path: Path
) -> None:
    plan = put_engine(bundle, batch=BatchRange(8, 8, 8))
    record = replace(read_engine_record(plan.with_suffix(".json")), dla_core=0)
    write_engine_record(plan.with_name("int8-dla0.json"), record)
    plan.rename(plan.with_name("int8-dla0.plan"))
    # `edge-arm build --dla` takes one size and refuses three that differ.
    with pytest.raises(EngineError, match="run 'edge-arm build .* --dla 0 --batch 1' on the"):
        triton_from_bundle(bundle, ServeConfig(), tmp_path / "models")


def test_a_changed_plan_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    put_engine(bundle).write_bytes(b"b plan")
    with pytest.raises(EngineError, match="it was changed or not copied whole"):
        triton_from_bundle(bundle, ServeConfig(), tmp_path / "models")


def test_a_changed_model_is_refused_and_nothing_is_left(bundle: Bundle, tmp_path: Path) -> None:
    (bundle.path / "model.int8.cpu.onnx").write_bytes(b"x")
    with pytest.raises(BundleError, match="was changed or not copied whole"):
        triton_from_bundle(bundle, ServeConfig(), tmp_path / "models")
    assert folders(tmp_path) == ["bundle"]


def test_a_model_that_changes_while_it_is_copied_is_refused(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half(source: Path, target: Path) -> None:
        target.write_bytes(source.read_bytes()[:-1])

    monkeypatch.setattr("edge_arm.export.triton_from_bundle.shutil.copyfile", half)
    with pytest.raises(ExportError, match="model.fp32.onnx' changed while it was copied"):
        triton_from_bundle(bundle, ServeConfig(), tmp_path / "models")
    assert folders(tmp_path) == ["bundle"]


def test_a_folder_with_content_is_kept(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "models" / "theirs").mkdir(parents=True)
    with pytest.raises(StorageError, match="already exists and is not empty"):
        triton_from_bundle(bundle, ServeConfig(), tmp_path / "models")
    assert folders(tmp_path / "models") == ["theirs"]


def test_a_class_of_two_lines_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    labels = LabelSet("x", ("joy\nand more", *RAFDB.classes[1:]))
    write_manifest(bundle.path, replace(bundle.manifest, labels=labels))
    with pytest.raises(ExportError, match=r"got the class 'joy\\nand more', expected a name on"):
        triton_from_bundle(open_bundle(bundle.path), ServeConfig(), tmp_path / "models")


def test_a_bundle_with_nothing_to_serve_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    write_manifest(bundle.path, replace(bundle.manifest, artifacts=(), files={}))
    with pytest.raises(BundleError, match=r"has no model to serve \(fer_int8_cpu is left out"):
        triton_from_bundle(open_bundle(bundle.path), ServeConfig(), tmp_path / "models")


@pytest.mark.parametrize("option", ["max_batch", "delay_us", "instances"])
def test_a_number_out_of_range_is_refused(option: str) -> None:
    for value in (-1, 2**64):
        with pytest.raises(UsageError, match=f"got --{option.replace('_', '-')} {value}, expected"):
            ServeConfig(**{option: value})


def test_the_largest_numbers_fit_into_tritons_fields(bundle: Bundle, tmp_path: Path) -> None:
    largest = ServeConfig(max_batch=2**31 - 1, instances=2**31 - 1, delay_us=2**64 - 1)
    triton_from_bundle(bundle, largest, tmp_path / "models")
    config = read_config(tmp_path / "models" / "fer_fp32" / "config.pbtxt")
    assert config.max_batch_size == config.instance_group[0].count == 2**31 - 1
    assert config.dynamic_batching.max_queue_delay_microseconds == 2**64 - 1
    with pytest.raises(UsageError, match="got --max-batch 2147483648, expected 1 to 2147483647"):
        ServeConfig(max_batch=2**31)


def test_a_server_without_a_gpu_has_no_tensorrt() -> None:
    with pytest.raises(UsageError, match="got --cpu with --accelerate or --engines, expected one"):
        ServeConfig(cpu_only=True, accelerate=True)
    with pytest.raises(UsageError, match="TensorRT runs on GPUs alone"):
        ServeConfig(cpu_only=True, engines="orin-10.3.0")
