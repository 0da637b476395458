from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from edge_arm.runtime.errors import BundleError
from edge_arm.runtime.labels import RAFDB
from edge_arm.runtime.manifest import (
    Artifact,
    Manifest,
    Precision,
    open_bundle,
    write_manifest,
)
from edge_arm.runtime.preprocess import PreprocessSpec

MODEL = b"not really a model"
NOTES = b"{}"


def _artifact(file: str = "model.fp32.onnx", variant: str = "main") -> Artifact:
    return Artifact(
        file=file,
        precision=Precision.FP32,
        variant=variant,
        opset=17,
        sha256=sha256(MODEL).hexdigest(),
        size_bytes=len(MODEL),
        checks={"largest_difference": 1e-6},
        float_nodes={"conv1": "too large for half precision"},
    )


MANIFEST = Manifest(
    labels=RAFDB,
    preprocess=PreprocessSpec(size=112),
    artifacts=(_artifact(),),
    files={"calibration.json": sha256(NOTES).hexdigest()},
    source={"checkpoint_sha256": "00", "head": "arm"},
    tool_versions={"onnx": "1.21.0"},
    calibration={"method": "entropy", "seed": 0},
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "model.fp32.onnx").write_bytes(MODEL)
    (tmp_path / "calibration.json").write_bytes(NOTES)
    write_manifest(tmp_path, MANIFEST)
    return tmp_path


def _rewrite(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = folder / "manifest.json"
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def test_what_is_written_is_read_back(folder: Path) -> None:
    bundle = open_bundle(folder)
    assert bundle.manifest == MANIFEST
    assert bundle.path == folder


def test_the_file_says_its_schema_version_first(folder: Path) -> None:
    value = json.loads((folder / "manifest.json").read_text())
    assert list(value)[0] == "schema_version"
    assert value["schema_version"] == 1
    assert value["models"][0]["precision"] == "fp32"


def test_a_verified_file_is_returned_by_path(folder: Path) -> None:
    bundle = open_bundle(folder)
    assert bundle.verified("calibration.json") == folder / "calibration.json"
    assert bundle.model(Precision.FP32) == (folder / "model.fp32.onnx", _artifact())


@pytest.mark.parametrize("name", ["model.fp32.onnx", "calibration.json"])
def test_a_changed_byte_is_found(folder: Path, name: str) -> None:
    content = bytearray((folder / name).read_bytes())
    content[-1] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(BundleError, match=rf"{name}' has SHA-256 .* expected .* was changed or"):
        open_bundle(folder).verified(name)


def test_a_file_that_was_not_copied_is_named(folder: Path) -> None:
    (folder / "model.fp32.onnx").unlink()
    with pytest.raises(BundleError, match=r"cannot read '.*model.fp32.onnx' \(No such file"):
        open_bundle(folder).model(Precision.FP32)


def test_a_file_that_the_manifest_does_not_name_is_refused(folder: Path) -> None:
    (folder / "other.onnx").write_bytes(MODEL)
    with pytest.raises(BundleError, match="has no 'other.onnx'; make it again"):
        open_bundle(folder).verified("other.onnx")


@pytest.mark.parametrize(
    ("precision", "command"),
    [(Precision.FP16, "edge-arm export --fp16"), (Precision.INT8, "edge-arm calibrate --data")],
)
def test_a_precision_that_is_missing_comes_with_its_command(
    precision: Precision, command: str
) -> None:
    message = rf"no {precision.value} model \(main\), it has fp32 \(main\); make it with '{command}"
    with pytest.raises(BundleError, match=message):
        MANIFEST.artifact(precision)


def test_a_variant_is_told_from_the_main_model() -> None:
    explicit = _artifact("model.fp32.explicit.onnx", "explicit")
    manifest = replace(MANIFEST, artifacts=(explicit, _artifact()))
    assert manifest.artifact(Precision.FP32) == _artifact()
    assert manifest.artifact(Precision.FP32, "explicit") == explicit


def test_precisions_are_those_of_the_main_models_highest_first() -> None:
    int8 = replace(_artifact("model.int8.onnx"), precision=Precision.INT8)
    other = replace(_artifact("x.onnx", "explicit"), precision=Precision.FP16)
    manifest = replace(MANIFEST, artifacts=(int8, other, _artifact()))
    assert manifest.precisions() == (Precision.FP32, Precision.INT8)


def test_a_folder_without_a_manifest_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"cannot read '.*manifest.json' \(No such file .*export"):
        open_bundle(tmp_path)


def test_a_manifest_that_is_no_json_is_refused(folder: Path) -> None:
    (folder / "manifest.json").write_text("{")
    with pytest.raises(BundleError, match="manifest.json' is not JSON"):
        open_bundle(folder)


def test_a_manifest_that_is_no_text_is_refused(folder: Path) -> None:
    (folder / "manifest.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BundleError, match="manifest.json' is not JSON"):
        open_bundle(folder)


@pytest.mark.parametrize("version", [2, "1", None])
def test_another_schema_version_is_refused(folder: Path, version: object) -> None:
    _rewrite(folder, lambda value: value.update(schema_version=version))
    with pytest.raises(BundleError, match=rf"schema version {version!r}, this edge-arm reads 1"):
        open_bundle(folder)


def test_json_that_is_no_object_is_refused(folder: Path) -> None:
    (folder / "manifest.json").write_text("[1]")
    with pytest.raises(BundleError, match="has schema version None, this edge-arm reads 1"):
        open_bundle(folder)


@pytest.mark.parametrize(
    "change",
    [
        {"labels": {"name": "x", "classes": ["only one"]}},
        {"preprocess": {}},
        {"models": [{}]},
        {"models": None},
        {"files": []},
        {"source": 1},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_manifest_that_does_not_hold_together_is_refused(
    folder: Path, change: dict[str, Any]
) -> None:
    _rewrite(folder, lambda value: value.update(change))
    with pytest.raises(BundleError, match="manifest.json' does not hold together"):
        open_bundle(folder)


@pytest.mark.parametrize("name", ["../model.onnx", "/etc/passwd", "..", "", "a/../../b", "..\\b"])
def test_a_manifest_cannot_lead_out_of_its_folder(folder: Path, name: str) -> None:
    _rewrite(folder, lambda value: value["models"][0].update(file=name))
    with pytest.raises(BundleError, match="expected one inside the bundle"):
        open_bundle(folder)


def test_a_manifest_cannot_lead_out_of_its_folder_by_its_other_files(folder: Path) -> None:
    _rewrite(folder, lambda value: value["files"].update({"../x": "00"}))
    with pytest.raises(BundleError, match=r"got the file name '\.\./x', expected one inside"):
        open_bundle(folder)


def test_a_file_may_lie_in_a_folder_of_the_bundle(folder: Path) -> None:
    (folder / "engines").mkdir()
    (folder / "engines" / "a.plan").write_bytes(MODEL)
    manifest = replace(MANIFEST, files={"engines/a.plan": sha256(MODEL).hexdigest()})
    write_manifest(folder, manifest)
    assert open_bundle(folder).verified("engines/a.plan").name == "a.plan"
