"""Which engine is taken, by records alone: no plan is read here."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
from engine_records import engine_record
from tiny_bundle import tiny_bundle

from edge_arm.runtime.engine_choice import all_engines, build_command, engines_here, find_engine
from edge_arm.runtime.engine_record import (
    EngineRecord,
    engine_folder,
    engine_stem,
    read_engine_record,
    write_engine_record,
)
from edge_arm.runtime.errors import EngineError
from edge_arm.runtime.manifest import Bundle, Precision

GPU, TRT = "Orin", "10.3.0"


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return tiny_bundle(tmp_path / "bundle")


def keep(bundle: Bundle, record: EngineRecord) -> Path:
    folder = engine_folder(bundle.path, record.device.gpu, record.device.tensorrt)
    path = folder / f"{engine_stem(record.precision, record.dla_core)}.json"
    write_engine_record(path, record)
    return path


def record_for(bundle: Bundle, precision: Precision) -> EngineRecord:
    return engine_record(precision, onnx_sha256=bundle.manifest.artifact(precision).sha256)


def test_the_engine_of_this_device_is_found(bundle: Bundle) -> None:
    record = record_for(bundle, Precision.INT8)
    path = keep(bundle, record)
    found = find_engine(bundle, Precision.INT8, gpu=GPU, tensorrt=TRT)
    assert found.record == record
    assert found.plan == path.with_suffix(".plan")


def test_engines_of_the_gpu_and_of_a_dla_core_do_not_replace_each_other(bundle: Bundle) -> None:
    record = record_for(bundle, Precision.INT8)
    keep(bundle, record)
    keep(bundle, replace(record, dla_core=1))
    assert find_engine(bundle, Precision.INT8, gpu=GPU, tensorrt=TRT).record.dla_core is None
    on_dla = find_engine(bundle, Precision.INT8, gpu=GPU, tensorrt=TRT, dla_core=1)
    assert on_dla.record.dla_core == 1
    assert on_dla.plan.name == "int8-dla1.plan"


def test_a_missing_engine_names_those_that_there_are_and_the_command(bundle: Bundle) -> None:
    keep(bundle, record_for(bundle, Precision.FP16))
    with pytest.raises(EngineError) as caught:
        find_engine(bundle, Precision.INT8, gpu="Orin", tensorrt="10.13.3")
    assert "has no int8 engine for Orin with TensorRT 10.13.3" in str(caught.value)
    assert "it has fp16 for Orin with TensorRT 10.3.0" in str(caught.value)
    assert f"run 'edge-arm build --bundle {bundle.path} --precision int8'" in str(caught.value)


def test_an_engine_of_an_older_export_is_refused(bundle: Bundle) -> None:
    keep(bundle, replace(record_for(bundle, Precision.INT8), onnx_sha256="1" * 64))
    with pytest.raises(EngineError, match="exported or calibrated again since; run 'edge-arm"):
        find_engine(bundle, Precision.INT8, gpu=GPU, tensorrt=TRT)


def test_every_engine_of_this_device_is_listed_highest_precision_first(bundle: Bundle) -> None:
    for precision in (Precision.INT8, Precision.FP32):
        keep(bundle, record_for(bundle, precision))
    keep(bundle, replace(record_for(bundle, Precision.FP16), dla_core=0))
    assert list(engines_here(bundle, gpu=GPU, tensorrt=TRT)) == [Precision.FP32, Precision.INT8]
    assert list(engines_here(bundle, gpu=GPU, tensorrt=TRT, dla_core=0)) == [Precision.FP16]
    assert len(all_engines(bundle.path)) == 3


def test_a_bundle_without_engines_names_the_command(bundle: Bundle) -> None:
    with pytest.raises(EngineError, match="has no engine for Orin with .*, it has none; run 'edg"):
        engines_here(bundle, gpu=GPU, tensorrt=TRT)
    keep(bundle, record_for(bundle, Precision.FP16))
    with pytest.raises(
        EngineError, match="no engine for DLA 1 of Orin .*--precision int8 --dla 1'"
    ):
        engines_here(bundle, gpu=GPU, tensorrt=TRT, dla_core=1)


def test_a_record_survives_writing_and_reading(bundle: Bundle) -> None:
    record = record_for(bundle, Precision.FP16)
    assert read_engine_record(keep(bundle, record)) == record


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "does not hold together"),
        ("[]", "does not hold together"),
        ('{"schema_version": 99}', "has schema version 99, this edge-arm reads 1"),
        ('{"schema_version": 1}', "does not hold together"),
        ('{"schema_version": 1, "precision": "fp4"}', "does not hold together"),
    ],
)
def test_a_broken_record_is_refused(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "int8.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(EngineError, match=words):
        read_engine_record(path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"layers": {}}, "KeyError: 'shares'"),
        ({"layers": None}, "TypeError"),
        ({"acceptance": {"logit_error": 0.1}}, "KeyError: 'latency_ms'"),
        ({"plan_sha256": None}, "plan_sha256 is None"),
        ({"plan_bytes": "many"}, "plan_bytes is 'many'"),
        ({"batch": {"min": "a", "opt": 1, "max": 1}}, "min is 'a'"),
    ],
)
def test_a_record_whose_parts_were_edited_is_refused_before_it_is_shown(
    bundle: Bundle, change: dict[str, object], words: str
) -> None:
    path = keep(bundle, record_for(bundle, Precision.INT8))
    value = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**value, **change}), encoding="utf-8")
    with pytest.raises(EngineError, match=f"does not hold together .*{words}.* build the engine"):
        read_engine_record(path)


def test_half_a_record_that_a_killed_build_left_is_no_engine(bundle: Bundle) -> None:
    record = record_for(bundle, Precision.INT8)
    path = keep(bundle, record)
    path.with_name(".fp16.0123abcd.json").write_text("{", encoding="utf-8")
    assert all_engines(bundle.path) == [record]


def test_the_command_can_be_run_where_the_path_has_spaces(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "my bundle")
    words = shlex.split(build_command(bundle, Precision.INT8, None))
    assert words == ["edge-arm", "build", "--bundle", str(bundle.path), "--precision", "int8"]


def test_a_missing_record_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="cannot read .* expected the record of an engine; build"):
        read_engine_record(tmp_path / "int8.json")


def test_the_name_of_a_gpu_becomes_a_folder_that_every_system_takes(tmp_path: Path) -> None:
    folder = engine_folder(tmp_path, "NVIDIA GeForce RTX 4090 (Ti)/../x", "10.16.0")
    assert folder.name == "nvidia-geforce-rtx-4090-ti-..-x-10.16.0"
    assert folder.parent == tmp_path / "engines"
