"""The whole C++ program on a fake GPU: it answers as the engine does, and refuses what is wrong."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from cpp_device import Device
from tiny_bundle import SIZE, golden_faces
from triton_bundles import TEMPERATURES

from edge_arm.runtime.engine_record import BatchRange, read_engine_record, write_engine_record
from edge_arm.runtime.labels import RAFDB
from edge_arm.runtime.manifest import Precision


def test_golden_faces_get_the_logits_of_the_engine_and_their_labels(
    device: Device, raw_faces: Path
) -> None:
    device.put_engine()
    done = device.classify(raw_faces)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    temperature = TEMPERATURES[Precision.INT8]
    scaled = np.exp(device.logits.astype(np.float64) / temperature)
    expected = scaled / scaled.sum(axis=1, keepdims=True)
    for number, (line, logits, row) in enumerate(zip(lines, device.logits, expected, strict=True)):
        assert line["file"] == f"{raw_faces}#{number}"
        # Nine digits are a float32 exactly, and two batches of the engine make no difference.
        np.testing.assert_array_equal(np.array(line["logits"], np.float32), logits)
        assert line["label"] == RAFDB.classes[row.argmax()]
        assert line["probability"] == pytest.approx(row.max(), rel=1e-6)
        assert line["temperature"] == temperature


def test_a_ppm_is_read_as_opencv_wrote_it(device: Device, tmp_path: Path) -> None:
    device.put_engine()
    path = tmp_path / "Gesicht ä.ppm"
    cv2.imwrite(str(path), golden_faces()[2][..., ::-1])  # OpenCV writes blue, green, red
    (line,) = [json.loads(line) for line in device.classify(path).stdout.splitlines()]
    assert line["file"] == str(path)
    np.testing.assert_array_equal(np.array(line["logits"], np.float32), device.logits[2])


def test_a_ppm_may_have_comments(device: Device, tmp_path: Path) -> None:
    device.put_engine()
    path = tmp_path / "face.ppm"
    path.write_bytes(b"P6 # a comment\n# another\n16\t16\n#\n255\n" + golden_faces()[0].tobytes())
    (line,) = [json.loads(line) for line in device.classify(path).stdout.splitlines()]
    np.testing.assert_array_equal(np.array(line["logits"], np.float32), device.logits[0])


def test_without_a_temperature_probabilities_are_the_plain_softmax(
    device: Device, raw_faces: Path
) -> None:
    device.put_engine()
    path = device.bundle.path / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["files"]["temperature.json"]
    path.write_text(json.dumps(manifest))
    line = json.loads(device.classify(raw_faces).stdout.splitlines()[0])
    scaled = np.exp(device.logits[0].astype(np.float64))
    assert line["temperature"] is None
    assert line["probability"] == pytest.approx(scaled.max() / scaled.sum(), rel=1e-6)


def test_a_temperature_of_an_earlier_model_is_not_used(device: Device, raw_faces: Path) -> None:
    device.put_engine()
    path = device.bundle.path / "manifest.json"
    manifest = json.loads(path.read_text())
    for model in manifest["models"]:
        if (model["precision"], model["variant"]) == ("int8", "main"):
            model["sha256"] = "9" * 64
            manifest["models"].append({**model, "variant": "before", "sha256": engine_of(device)})
    path.write_text(json.dumps(manifest))
    assert json.loads(device.classify(raw_faces).stdout.splitlines()[0])["temperature"] is None


def engine_of(device: Device) -> str:
    (path,) = device.bundle.path.glob("engines/*/int8.json")
    return read_engine_record(path).onnx_sha256


def test_a_changed_plan_is_refused_before_tensorrt_reads_it(
    device: Device, raw_faces: Path
) -> None:
    plan = device.put_engine()
    plan.write_bytes(plan.read_bytes()[:-1])
    done = device.classify(raw_faces)
    assert done.returncode == 2
    assert "it was changed or not copied whole; copy the engine again or run 'edge-arm" in (
        done.stderr
    )
    assert "fake: deserialized" not in done.stderr


def test_tensorrt_reads_an_unchanged_plan(device: Device, raw_faces: Path) -> None:
    device.put_engine()
    assert "fake: deserialized" in device.classify(raw_faces).stderr


def test_an_engine_of_another_gpu_is_refused_with_the_command(
    device: Device, raw_faces: Path
) -> None:
    device.put_engine()
    device.environment["FAKE_GPU"] = "Tesla T4"
    assert device.refusal(raw_faces) == (
        f"error: the bundle '{device.bundle.path}' has no int8 engine for Tesla T4 (8.7) with "
        "TensorRT 10.3.0, it has one for Orin (8.7) with TensorRT 10.3.0; run 'edge-arm build "
        f"--bundle {device.bundle.path} --precision int8' here"
    )


@pytest.mark.parametrize(("recorded", "found"), [("10.3.0.26", True), ("10.13.0", False)])
def test_the_version_is_that_of_the_library(
    device: Device, raw_faces: Path, recorded: str, found: bool
) -> None:
    path = device.put_engine().with_suffix(".json")
    record = read_engine_record(path)
    write_engine_record(path, replace(record, device=replace(record.device, tensorrt=recorded)))
    assert (device.classify(raw_faces).returncode == 0) == found


def test_a_bundle_without_engines_says_so(device: Device, raw_faces: Path) -> None:
    assert "with TensorRT 10.3.0, it has none; run 'edge-arm build" in device.refusal(raw_faces)


def test_an_engine_of_an_earlier_model_is_refused(device: Device, raw_faces: Path) -> None:
    device.put_engine(onnx_sha256="5" * 64)
    assert "SHA-256 555555555555..., which the bundle no longer has" in device.refusal(raw_faces)


def test_an_engine_of_a_dla_runs_on_its_core(device: Device, raw_faces: Path) -> None:
    plan = device.put_engine()
    for path in (plan, plan.with_suffix(".json")):
        path.rename(path.with_name(path.name.replace("int8", "int8-dla1")))
    words = ("--dla", "1", device.bundle.path, "int8", raw_faces)
    done = device.run(device.programs.classify, *words)
    assert done.returncode == 0, done.stderr
    assert "fake: DLA 1" in done.stderr
    assert len(done.stdout.splitlines()) == len(golden_faces())
    refused = device.refusal(raw_faces)
    assert "has no int8 engine for Orin" in refused


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("start", "TensorRT does not start (the driver is too old); run 'edge-arm build"),
        ("context", "the engine got no memory to run in (the fake has no memory), expected"),
        ("enqueue", "the engine does not run (the fake does not run today); run 'edge-arm build"),
        ("malloc", "taking 3072 bytes of GPU memory failed (out of memory), expected a working"),
        ("sync", "waiting for the engine failed (an error of the fake), expected a working GPU"),
        ("address", "TensorRT does not take the memory (it gives no reason); run 'edge-arm build"),
        ("shape", "TensorRT does not take 4 faces (a shape of the wrong form); run 'edge-arm"),
        ("device", "asking for the GPU failed (an error of the fake), expected a working GPU"),
        ("no-output", "the engine has no input or no output; run 'edge-arm build"),
        ("two-outputs", "the engine has several inputs or outputs, expected one of each; run"),
    ],
)
def test_a_failure_of_the_device_is_one_line_and_leaves_nothing_behind(
    device: Device, raw_faces: Path, fault: str, words: str
) -> None:
    device.put_engine()
    device.environment["FAKE_FAULT"] = fault
    assert words in device.refusal(raw_faces)  # status 2: at 70 the fake found a mistake


def test_a_plan_that_tensorrt_does_not_take_is_told_with_its_reason(
    device: Device, raw_faces: Path
) -> None:
    device.put_engine(plan=b"of another version")
    assert "(the magic tag does not match), expected an engine that it built" in device.refusal(
        raw_faces
    )


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        (b"FAKEPLAN 32 7 1 4 0\n", "has other tensors than the bundle says, expected uint8 (N, 16"),
        (b"FAKEPLAN 16 8 1 4 0\n", "16, 3) and float32 (N, 7); run 'edge-arm build"),
        (b"FAKEPLAN 16 7 0 4 0\n", "the engine has no batch sizes"),
        (b"FAKEPLAN 16 7 2 2 0\n", "got 1 faces, expected 2 to 2 as the engine was built for"),
    ],
)
def test_an_engine_of_another_form_is_refused(
    device: Device, tmp_path: Path, plan: bytes, words: str
) -> None:
    device.put_engine(plan=plan, batch=BatchRange(1, 1, 1))
    path = tmp_path / "one.raw"
    path.write_bytes(golden_faces()[0].tobytes())
    assert words in device.refusal(path)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("x.ppm", b"P3\n16 16\n255\n", "is not a binary PPM (it begins otherwise), expected"),
        ("x.ppm", b"P6\n16 \n", "is not a binary PPM (a number is missing)"),
        ("x.ppm", b"P6\n16 16\n65535\n", "is not a binary PPM (it has values up to 65535)"),
        ("x.ppm", b"P6\n16 16\n255\n123", "is not a binary PPM (it has 16 bytes, not 781)"),
        ("x.ppm", b"P6\n8 16\n255\n", "has 8 x 16 pixels, expected the model's 16 x 16; resize it"),
        ("x.raw", b"123", "has 3 bytes, expected faces of 768 bytes (16 x 16 pixels, RGB)"),
        ("x.raw", b"", "has 0 bytes, expected faces of 768 bytes"),
    ],
)
def test_a_file_that_is_no_face_is_refused(
    device: Device, tmp_path: Path, name: str, content: bytes, words: str
) -> None:
    device.put_engine()
    (tmp_path / name).write_bytes(content)
    assert words in device.refusal(tmp_path / name)


@pytest.mark.parametrize("temperature", [0, -1])
def test_a_temperature_that_is_none_is_refused(
    device: Device, raw_faces: Path, temperature: float
) -> None:
    device.put_engine()
    path = device.bundle.path / "temperature.json"
    content = json.loads(path.read_text())
    content["models"]["int8"]["temperature"] = temperature
    path.write_text(json.dumps(content))
    assert "it was changed or not copied whole; copy the bundle" in device.refusal(raw_faces)
    device.vouch_for(path)
    assert "expected one above 0; calibrate again" in device.refusal(raw_faces)


@pytest.mark.parametrize("words", [(), ("bundle",), ("bundle", "int8"), ("b", "int4", "face.ppm")])
def test_wrong_use_prints_how_to_use_it(device: Device, words: tuple[str, ...]) -> None:
    done = device.run(device.programs.classify, *words)
    assert done.returncode == 2
    assert done.stderr.startswith("usage: edge-arm-classify [--dla CORE] BUNDLE fp32|fp16|int8")


def test_the_fakes_size_is_the_tiny_bundles() -> None:
    assert golden_faces().shape == (6, SIZE, SIZE, 3)
    assert SIZE == 16  # the byte counts above
