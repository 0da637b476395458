"""The parts of the C++ example that need no GPU, against Python's own of the same."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cpp_device import Device
from tiny_bundle import NUM_FACES, SIZE

from edge_arm.runtime.manifest import Manifest, write_manifest
from edge_arm.runtime.storage import sha256_of_file


@pytest.mark.parametrize("size", [0, 1, 55, 56, 63, 64, 65, 119, 120, 100_003])
def test_the_hash_is_hashlibs(device: Device, tmp_path: Path, size: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(np.random.default_rng(size).bytes(size))
    done = device.run(device.programs.probe, "sha256", path)
    assert done.stdout == hashlib.sha256(path.read_bytes()).hexdigest()


def read_back(device: Device, path: Path) -> Any:
    done = device.run(device.programs.probe, "json", path)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def without_booleans(value: Any) -> Any:
    """The value as the probe prints it: it only says that something is a boolean."""
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, list):
        return [without_booleans(item) for item in value]
    if isinstance(value, dict):
        return {name: without_booleans(item) for name, item in value.items()}
    return value


@pytest.mark.parametrize(
    "text",
    [
        '{"a": [], "b": {}, "c": [1, -2.5e-3, 0, 1e21], "": null, "t": [true, false]}',
        ' [ "\\u00dc\\ud83d\\ude00\\u4f60 \\" \\\\ \\/ \\b\\f\\n\\r\\t" , "Überraschung" ] ',
        '"one text"',
        "[-0.5e+2, 0.0E-0, 10, -0, 4.9e-324, 1.7976931348623157e308, 0.1, 1e-400]",
        "-0.25",
    ],
)
def test_a_document_is_read_as_pythons_reader_reads_it(
    device: Device, tmp_path: Path, text: str
) -> None:
    path = tmp_path / "document.json"
    path.write_text(text, encoding="utf-8")
    assert read_back(device, path) == without_booleans(json.loads(text))


def test_the_files_of_a_bundle_are_read_whole(device: Device) -> None:
    plan = device.put_engine()
    for path in (device.bundle.path / "manifest.json", plan.with_suffix(".json")):
        assert read_back(device, path) == without_booleans(json.loads(path.read_text()))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "the end"),
        ("{} x", "something behind the end"),
        ('{"a" 1}', "no ':'"),
        ('{"a": 1', "the end"),
        ("{1: 2}", "no name"),
        ("[1, 2,]", "no value"),
        ("[1e999]", "no value"),
        ("[1-2]", "no ']'"),
        ("+1", "no value"),
        ("01", "no value"),
        ("-", "no value"),
        (".5", "no value"),
        ("1.", "no value"),
        ("1e", "no value"),
        ("nothing", "an unknown word"),
        ('"open', "a text without an end"),
        ('"\\', "a text without an end"),
        ('"a\nb"', "a control character"),
        ('"\\x"', "an unknown escape"),
        ('"\\u12g4"', "an unknown escape"),
        ('"\\ud800 "', "half a character"),
        ('"\\ud800\\u0041"', "half a character"),
        ('"\\udc00"', "half a character"),
        ("[" * 100 + "]" * 100, "too many levels"),
    ],
)
def test_what_is_no_json_is_refused_with_its_place(
    device: Device, tmp_path: Path, text: str, reason: str
) -> None:
    path = tmp_path / "broken.json"
    path.write_text(text)
    done = device.run(device.programs.probe, "json", path)
    assert done.returncode == 2
    assert done.stderr.startswith(f"the file is not JSON ({reason} at byte ")
    assert "expected a file that edge-arm wrote; copy the bundle again" in done.stderr


def test_probabilities_are_the_softmax_of_logits_by_temperature(device: Device) -> None:
    logits = np.array([1.0, -2.0, 3.5, 3.25], np.float32)
    done = device.run(device.programs.probe, "answer", "0.7", *logits)
    index, *probabilities = map(float, done.stdout.split())
    scaled = np.exp(logits.astype(np.float64) / 0.7)
    assert index == 2
    np.testing.assert_allclose(probabilities, scaled / scaled.sum(), rtol=1e-12)


def test_large_logits_do_not_overflow(device: Device) -> None:
    done = device.run(device.programs.probe, "answer", "1", "3e38", "-3e38", "3e38")
    assert done.stdout.split() == ["0", "0.5", "0", "0.5"]


def test_a_logit_that_is_no_number_is_refused(device: Device) -> None:
    done = device.run(device.programs.probe, "answer", "1", "1", "nan")
    assert done.returncode == 2
    assert done.stderr.startswith("the engine answered with logits that are not finite")


def test_verify_checks_every_file_of_the_bundle(device: Device) -> None:
    done = device.run(device.programs.verify, device.bundle.path)
    assert done.stdout == (
        "8 files with the SHA-256 of the manifest; faces of 16 x 16 pixels; classes surprise fear "
        "disgust happiness sadness anger neutral\n"
    )
    path = device.bundle.path / "golden.npz"
    right = sha256_of_file(path)
    path.write_bytes(path.read_bytes() + b"x")
    done = device.run(device.programs.verify, device.bundle.path)
    assert done.returncode == 2
    assert done.stderr == (
        f"error: '{path}' has SHA-256 {sha256_of_file(path)[:12]}..., expected {right[:12]}...: it "
        "was changed or not copied whole; copy the bundle again\n"
    )


def test_verify_names_a_missing_file(device: Device, tmp_path: Path) -> None:
    (device.bundle.path / "model.fp16.onnx").unlink()
    done = device.run(device.programs.verify, device.bundle.path)
    assert "model.fp16.onnx' (No such file or directory), expected a file" in done.stderr
    done = device.run(device.programs.verify, tmp_path)
    assert "manifest.json' (No such file or directory)" in done.stderr
    assert device.run(device.programs.verify).stderr == "usage: edge-arm-verify BUNDLE\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_program_whose_output_is_lost_does_not_end_well(device: Device, raw_faces: Path) -> None:
    device.put_engine()
    verify = [device.programs.verify, device.bundle.path]
    classify = [device.programs.classify, device.bundle.path, "int8", raw_faces]
    for command in (verify, classify):
        with Path("/dev/full").open("w") as full:
            done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
        assert done.returncode == 2
        assert "error: the output could not be written, expected all of it; free" in done.stderr


def edited(device: Device, **changes: Any) -> str:
    """What `verify` says of a manifest with other values at the top."""
    path = device.bundle.path / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    done = device.run(device.programs.verify, device.bundle.path)
    assert done.returncode == 2
    return done.stderr


def test_a_manifest_of_another_schema_is_refused(device: Device) -> None:
    assert "has schema version 2, this program reads 1; make the file" in edited(
        device, schema_version=2
    )
    assert "has 1.500000 where a whole number is expected" in edited(device, schema_version=1.5)
    assert "has something else where a number is expected" in edited(device, schema_version="1")


def test_a_manifest_of_another_contract_is_refused(device: Device) -> None:
    spec = {"size": 16, "layout": "NCHW", "dtype": "uint8", "color_order": "RGB"}
    assert "preprocessing has layout 'NCHW', expected 'NHWC'; export" in edited(
        device, preprocess=spec
    )
    assert "has faces of 0 pixels and 7 classes, expected at least 1 and 2" in edited(
        device, preprocess=spec | {"layout": "NHWC", "size": 0}
    )
    assert "manifest.json' has no 'size', expected one" in edited(
        device, preprocess={"layout": "NHWC", "dtype": "uint8", "color_order": "RGB"}
    )


@pytest.mark.parametrize("name", ["../golden.npz", "/etc/passwd", "a\\b", "", "x/../../y"])
def test_a_manifest_cannot_lead_out_of_the_bundle(device: Device, name: str) -> None:
    refused = edited(device, files={name: "0" * 64})
    assert f"got the file name '{name}' in the manifest, expected one inside" in refused


def test_the_fixtures_are_as_the_texts_above_say(device: Device) -> None:
    manifest: Manifest = device.bundle.manifest
    assert (manifest.preprocess.size, SIZE, NUM_FACES) == (16, 16, 6)
    write_manifest(device.bundle.path, manifest)
    assert device.run(device.programs.verify, device.bundle.path).returncode == 0
