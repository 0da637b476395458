"""From a bundle to a model that answers: what is opened, what is said, what is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from device_fakes import FakeMachine, installed
from engine_builds import build
from tiny_bundle import golden_faces, run_onnx, tiny_bundle

import edge_arm.runtime
from edge_arm.export.engine_config import BuildConfig
from edge_arm.runtime.classifier.opening import classifier_from_bundle, open_classifier
from edge_arm.runtime.classifier.wanted_model import WantedModel
from edge_arm.runtime.errors import BundleError, UsageError
from edge_arm.runtime.manifest import Bundle, Precision, open_bundle
from edge_arm.runtime.storage import sha256_of_file

LIGHT = """
import sys
import edge_arm.runtime
print(sorted({"numpy", "cv2", "onnxruntime"} & set(sys.modules)))
from edge_arm.runtime import open_classifier
print(sorted({"onnxruntime", "tensorrt", "openvino"} & set(sys.modules)))
"""


def with_temperature(bundle: Bundle, temperature: float, sha256: str | None = None) -> Bundle:
    """Put a temperature.json for INT8 into a bundle, as `edge-arm calibrate` writes it."""
    value = {
        "schema_version": 1,
        "data": {"name": "toy", "faces": "validation", "num_faces": 9, "sha256": "0" * 64},
        "models": {
            "int8": {
                "temperature": temperature,
                "nll_before": 1.0,
                "nll_after": 0.9,
                "model_sha256": sha256 or bundle.manifest.artifact(Precision.INT8).sha256,
            }
        },
        "left_out": {},
    }
    path = bundle.path / "temperature.json"
    path.write_text(json.dumps(value), encoding="utf-8")
    manifest = json.loads((bundle.path / "manifest.json").read_text(encoding="utf-8"))
    manifest["files"]["temperature.json"] = sha256_of_file(path)
    (bundle.path / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return open_bundle(bundle.path)


def test_the_package_stays_light_until_a_classifier_is_asked_for() -> None:
    done = subprocess.run([sys.executable, "-c", LIGHT], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[]", "[]"]


def test_the_door_of_the_package_is_the_function() -> None:
    assert edge_arm.runtime.open_classifier is open_classifier
    assert edge_arm.runtime.__all__ == ["open_classifier"]


def test_another_name_of_the_package_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'edge_arm.runtime' has no attribute 'classifier_of'"):
        edge_arm.runtime.classifier_of  # noqa: B018


def test_what_runs_and_why_is_said_once(
    uncalibrated: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="edge_arm")
    with open_classifier(str(uncalibrated.path), threads=1) as classifier:
        assert classifier.choice.spec.precision is Precision.FP32
    said = [record.message for record in caplog.records if "ONNX Runtime FP32" in record.message]
    assert said == [classifier.choice.sentence]


def test_what_a_user_should_know_is_a_warning(
    uncalibrated: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    with open_classifier(uncalibrated.path, precision="int8") as classifier:
        assert classifier.info.file == "model.int8.onnx"
    (warning,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert "is slow in ONNX Runtime" in warning.getMessage()


def test_int8_on_a_cpu_is_the_file_for_cpus(bundle: Bundle) -> None:
    with open_classifier(bundle.path, precision="int8", threads=1) as classifier:
        assert classifier.info.file == "model.int8.cpu.onnx"
        assert classifier.choice.spec.variant == "cpu"


def test_int8_for_cpus_takes_the_temperature_of_int8(bundle: Bundle, tmp_path: Path) -> None:
    own = with_temperature(tiny_bundle(tmp_path / "bundle"), 1.5)
    with open_classifier(own.path, precision="int8") as classifier:
        assert classifier.temperature == 1.5
    with open_classifier(own.path, precision="fp32") as classifier:
        assert classifier.temperature == 1.0


def test_the_temperature_of_an_earlier_model_does_not_count(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="edge_arm")
    own = with_temperature(tiny_bundle(tmp_path / "bundle"), 1.5, sha256="1" * 64)
    with open_classifier(own.path, precision="int8") as classifier:
        assert classifier.temperature == 1.0
    assert "Temperature of int8: it was fitted for an earlier model" in caplog.text


def test_an_engine_of_this_device_answers(tmp_path: Path) -> None:
    machine, own = FakeMachine(), tiny_bundle(tmp_path / "bundle")
    build(machine, own, BuildConfig(Precision.INT8))
    expected = run_onnx(own.model(Precision.INT8)[0], golden_faces())
    with installed(machine):
        with classifier_from_bundle(own, WantedModel(backend="tensorrt")) as classifier:
            answers = classifier.classify(golden_faces())
            assert classifier.info.name.startswith("tensorrt")
        np.testing.assert_array_equal(answers.argmax(axis=1), expected.argmax(axis=1))
    assert machine.faults == []
    assert machine.leaks() == []


def test_a_changed_model_is_not_opened(tmp_path: Path) -> None:
    own = tiny_bundle(tmp_path / "bundle")
    with (own.path / "model.fp32.onnx").open("ab") as file:
        file.write(b"x")
    with pytest.raises(BundleError, match="the file was changed or not copied whole"):
        open_classifier(own.path, precision="fp32")


def test_a_folder_that_is_no_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="expected a bundle made by 'edge-arm export'"):
        open_classifier(tmp_path)


def test_an_unknown_precision_is_refused(bundle: Bundle) -> None:
    with pytest.raises(UsageError, match="got the precision 'int4', expected one of fp32, fp16"):
        open_classifier(bundle.path, precision="int4")
