"""What is found beside a bundle, and what is said where nothing is."""

from __future__ import annotations

import sys
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from edge_arm.cli.explaining_models import explaining_models
from edge_arm.cli.known_for_measuring import looks_of, shared_part
from edge_arm.runtime.calibration_faces import CalibrationFaces
from edge_arm.runtime.errors import CheckpointError, UsageError
from edge_arm.runtime.faces import Split
from edge_arm.runtime.labels import RAFDB
from edge_arm.runtime.manifest import Bundle, Manifest
from edge_arm.runtime.preprocess import PreprocessSpec

STATE = {
    "arm.alpha": np.array(0.5, np.float32),
    "arm.generic": np.array([[1.0, 2.0]], np.float32),
    "fc.weight": np.array([[1.0, 0.0], [3.0, 1.0]], np.float32),
    "fc.bias": np.array([7.0, 8.0], np.float32),
}


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    """In a folder with the checkpoint that it was exported from."""
    content = safetensors.numpy.save(STATE)
    (tmp_path / "checkpoint.safetensors").write_bytes(content)
    source = {"head": "arm", "checkpoint_sha256": sha256(content).hexdigest()}
    manifest = Manifest(RAFDB, PreprocessSpec(96), (), {}, source, {})
    return Bundle(tmp_path / "bundle", manifest)


def test_the_checkpoint_beside_the_bundle_is_found(bundle: Bundle) -> None:
    shared, why_not = shared_part(bundle, None)
    assert shared is not None
    assert why_not == ""
    assert shared.alpha == 0.5
    assert shared.stored.tolist() == [1.0, 5.0]  # by hand: 1 * 1 + 0 * 2 and 3 * 1 + 1 * 2
    assert shared.bias.tolist() == [7.0, 8.0]


def test_a_named_checkpoint_is_read_from_where_it_is(bundle: Bundle, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere.safetensors"
    (tmp_path / "checkpoint.safetensors").rename(elsewhere)
    assert shared_part(bundle, elsewhere)[0] is not None


def test_without_the_checkpoint_the_report_says_what_is_missing(
    bundle: Bundle, tmp_path: Path
) -> None:
    (tmp_path / "checkpoint.safetensors").write_bytes(b"of a later training")
    shared, why_not = shared_part(bundle, None)
    assert shared is None
    assert why_not.startswith("FP32 by the paper's protocol: the checkpoint that the bundle was")


def test_a_named_checkpoint_that_is_not_there_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"cannot read the checkpoint .*gone\.safetensors"):
        shared_part(bundle, tmp_path / "gone.safetensors")


def test_a_model_without_arm_has_one_protocol(bundle: Bundle) -> None:
    pool = replace(bundle, manifest=replace(bundle.manifest, source={"head": "pool"}))
    assert shared_part(pool, None) == (
        None,
        "FP32 by the paper's protocol: the model has no ARM, so there is one protocol only.",
    )


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a device: neither safetensors nor onnx can be imported."""
    for name in list(sys.modules):
        if name.startswith(("edge_arm.model", "edge_arm.calibration", "safetensors", "onnx.")):
            monkeypatch.delitem(sys.modules, name)
    for name in ("safetensors", "safetensors.numpy", "onnx"):
        monkeypatch.setitem(sys.modules, name, None)


@pytest.mark.usefixtures("without")
def test_a_device_says_which_package_is_missing(bundle: Bundle, tmp_path: Path) -> None:
    assert shared_part(bundle, None) == (
        None,
        "FP32 by the paper's protocol: it needs the checkpoint, and the package safetensors to "
        "read it.",
    )
    with pytest.raises(UsageError, match="got --checkpoint and found no 'safetensors"):
        shared_part(bundle, tmp_path / "checkpoint.safetensors")


@pytest.mark.usefixtures("without")
def test_explain_on_a_device_names_the_package(bundle: Bundle) -> None:
    with (
        pytest.raises(UsageError, match="got --explain, .*found no 'onnx'"),
        explaining_models(bundle, ships_as_file=True),
    ):
        pass


def test_calibration_faces_of_a_set_that_is_not_here_are_a_reason_and_no_error(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EDGE_ARM_DATA", raising=False)
    faces = CalibrationFaces("rafdb", Split.TRAIN, ("a.jpg",), ("0" * 64,))
    found = looks_of(faces, "folder", tmp_path, bundle)
    assert found.fingerprints is None
    assert "found no folder of the data set 'rafdb'" in found.reason
    assert "--root" not in found.reason  # which names the test faces
