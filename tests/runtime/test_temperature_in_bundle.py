"""Temperatures fitted on held-out faces, kept in the bundle, bound to their models."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from edge_arm.runtime.backend import BackendInfo, Float32Array
from edge_arm.runtime.bundle_file import bundle_with_file
from edge_arm.runtime.errors import BundleError, UsageError
from edge_arm.runtime.faces import FaceIndex, FaceSample, Split
from edge_arm.runtime.labels import LabelSet
from edge_arm.runtime.manifest import (
    Artifact,
    Bundle,
    Manifest,
    Precision,
    open_bundle,
    write_manifest,
)
from edge_arm.runtime.preprocess import PreprocessSpec, Uint8Array
from edge_arm.runtime.storage import write_json
from edge_arm.runtime.temperature import (
    FittedOn,
    TemperatureFaces,
    add_temperatures,
    stored_temperatures,
    usable_temperatures,
)

LABELS = LabelSet("three", ("anger", "fear", "neutral"))
FILE = "temperature.json"
SHA256 = {Precision.FP32: "ab" * 32, Precision.INT8: "cd" * 32}


class Colors:
    """Logits are the mean red, green and blue of each face, times `gain`."""

    def __init__(self, precision: Precision, gain: float, sha256: str | None = None) -> None:
        self.info = BackendInfo("fake", "1", sha256 or SHA256[precision], 10, 4, 3)
        self._gain = np.float32(gain)

    def infer(self, images_nhwc: Uint8Array) -> Float32Array:
        return images_nhwc.mean(axis=(1, 2)).astype(np.float32) * self._gain

    def __enter__(self) -> Colors:
        return self

    def __exit__(self, *exception: object) -> None: ...


def _artifact(precision: Precision) -> Artifact:
    name = f"model.{precision.value}.onnx"
    return Artifact(name, precision, "main", 17, SHA256[precision], 10)


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    folder = tmp_path / "bundle"
    folder.mkdir()
    models = tuple(_artifact(precision) for precision in SHA256)
    write_manifest(folder, Manifest(LABELS, PreprocessSpec(4), models, {}, {}, {}))
    return open_bundle(folder)


MakeFaces = Callable[..., TemperatureFaces]


@pytest.fixture
def make_faces(tmp_path: Path) -> MakeFaces:
    def make(num_wrong: int = 9, kind: FittedOn = FittedOn.VALIDATION) -> TemperatureFaces:
        """36 faces, each in the colour of an answer; the first ones have another label."""
        samples = []
        for place in range(36):
            color = np.zeros((4, 4, 3), np.uint8)
            color[..., 2 - place % 3] = 20 + place  # OpenCV writes BGR
            path = tmp_path / f"{place}.png"
            assert cv2.imwrite(str(path), color)
            target = (place + 1) % 3 if place < num_wrong else place % 3
            samples.append(FaceSample(path.name, path, target))
        return TemperatureFaces(FaceIndex("rafdb", Split.VALIDATION, LABELS, tuple(samples)), kind)

    return make


def _models(**gains: float) -> dict[Precision, Colors]:
    return {Precision(name): Colors(Precision(name), gain) for name, gain in gains.items()}


def _best_by_scipy(faces: TemperatureFaces, gain: float) -> tuple[float, float, float]:
    """T with the smallest NLL, and the NLL without and with it."""
    logits = np.zeros((36, 3))
    logits[np.arange(36), np.arange(36) % 3] = gain * (20 + np.arange(36))
    targets = faces.index.targets

    def nll(temperature: float) -> float:
        scaled = logits / temperature
        return float((np.log(np.exp(scaled).sum(axis=1)) - scaled[np.arange(36), targets]).mean())

    found = minimize_scalar(nll, bounds=(0.05, 20), method="bounded", options={"xatol": 1e-9})
    return float(found.x), nll(1.0), float(found.fun)


def test_each_model_has_the_temperature_that_scipy_finds(
    bundle: Bundle, make_faces: MakeFaces
) -> None:
    faces = make_faces()
    stored = stored_temperatures(add_temperatures(bundle, faces, _models(fp32=0.1, int8=0.2)))
    assert stored is not None
    assert not stored.left_out
    for precision, gain in ((Precision.FP32, 0.1), (Precision.INT8, 0.2)):
        temperature, before, after = _best_by_scipy(faces, gain)
        found = stored.models[precision]
        assert found.temperature == pytest.approx(temperature, rel=1e-5)  # float32 logits
        assert found.nll_before == pytest.approx(before, rel=1e-5)
        assert found.nll_after == pytest.approx(after, rel=1e-5)
        assert found.model_sha256 == SHA256[precision]
    # Twice the logits need twice the temperature.
    ratio = stored.models[Precision.INT8].temperature / stored.models[Precision.FP32].temperature
    assert ratio == pytest.approx(2.0, rel=1e-5)


def test_where_they_are_from_is_kept(bundle: Bundle, make_faces: MakeFaces) -> None:
    changed = add_temperatures(bundle, make_faces(), _models(fp32=0.1))
    stored = stored_temperatures(changed)
    assert stored is not None
    assert (stored.data_name, stored.num_faces, stored.kind) == ("rafdb", 36, FittedOn.VALIDATION)
    assert stored.origin == "36 validation faces of rafdb"
    assert FILE in changed.manifest.files
    assert len(stored.data_sha256) == 64


def test_calibration_faces_carry_their_caveat(bundle: Bundle, make_faces: MakeFaces) -> None:
    faces = make_faces(kind=FittedOn.CALIBRATION)
    stored = stored_temperatures(add_temperatures(bundle, faces, _models(fp32=0.1)))
    assert stored is not None
    assert stored.origin.endswith("which the model was trained on, so it stays too sure")


def test_the_same_faces_give_the_same_bytes(bundle: Bundle, make_faces: MakeFaces) -> None:
    first = (add_temperatures(bundle, make_faces(), _models(fp32=0.1)).path / FILE).read_bytes()
    again = add_temperatures(bundle, make_faces(), _models(fp32=0.1))
    assert (again.path / FILE).read_bytes() == first


def test_usable_are_those_of_the_models_as_they_are(bundle: Bundle, make_faces: MakeFaces) -> None:
    changed = add_temperatures(bundle, make_faces(), _models(fp32=0.1, int8=0.2))
    usable, missing = usable_temperatures(changed)
    assert list(usable) == [Precision.FP32, Precision.INT8]
    assert missing == ()

    fp32, int8 = changed.manifest.artifacts
    other = replace(changed.manifest, artifacts=(fp32, replace(int8, sha256="ef" * 32)))
    write_manifest(changed.path, other)
    usable, missing = usable_temperatures(open_bundle(changed.path))
    assert list(usable) == [Precision.FP32]
    assert missing == (
        "Temperature of int8: it was fitted for an earlier model; calibrate again with "
        "'edge-arm calibrate --data NAME'.",
    )


def test_a_bundle_without_temperatures_says_so_for_each_model(bundle: Bundle) -> None:
    assert stored_temperatures(bundle) is None
    usable, missing = usable_temperatures(bundle)
    assert usable == {}
    assert [line[:40] for line in missing] == [
        "Temperature of fp32: the bundle has none",
        "Temperature of int8: the bundle has none",
    ]


@pytest.mark.parametrize(
    ("num_wrong", "reason"),
    [
        (0, "all 36 faces are answered rightly, which fits any certainty; fit it on more faces"),
        (36, "36 faces give 20, the end of what is believed; fit it on more faces"),
    ],
)
def test_faces_that_tell_nothing_give_no_temperature(
    bundle: Bundle,
    make_faces: MakeFaces,
    caplog: pytest.LogCaptureFixture,
    num_wrong: int,
    reason: str,
) -> None:
    with caplog.at_level(logging.WARNING):
        changed = add_temperatures(bundle, make_faces(num_wrong), _models(fp32=0.1))
    assert f"no temperature for the fp32 model: {reason}" in caplog.text
    usable, missing = usable_temperatures(changed)
    assert usable == {}
    assert missing[0] == f"Temperature of fp32: {reason}."


def test_progress_counts_every_face_of_every_model(bundle: Bundle, make_faces: MakeFaces) -> None:
    steps: list[int] = []
    add_temperatures(bundle, make_faces(), _models(fp32=0.1, int8=0.2), progress=steps.append)
    assert sum(steps) == 72


# ---- refused ---------------------------------------------------------------------------------


def test_test_faces_are_refused(make_faces: MakeFaces) -> None:
    index = replace(make_faces().index, split=Split.TEST)
    with pytest.raises(UsageError, match=r"got the test split of 'rafdb' to fit a temperature on"):
        TemperatureFaces(index, FittedOn.VALIDATION)


def test_another_models_answers_are_refused(bundle: Bundle, make_faces: MakeFaces) -> None:
    other = {Precision.INT8: Colors(Precision.INT8, 1.0, sha256="ef" * 32)}
    with pytest.raises(BundleError, match=r"got the int8 model efefef.*the bundle's, cdcd"):
        add_temperatures(bundle, make_faces(), other)


@pytest.fixture
def fitted(bundle: Bundle, make_faces: MakeFaces) -> Bundle:
    return add_temperatures(bundle, make_faces(), _models(fp32=0.1))


def test_a_changed_file_is_refused(fitted: Bundle) -> None:
    (fitted.path / FILE).write_text("{}")
    with pytest.raises(BundleError, match="the file was changed"):
        stored_temperatures(fitted)


def _with(bundle: Bundle, change: Callable[[dict[str, Any]], None]) -> Bundle:
    value = json.loads((bundle.path / FILE).read_text())
    change(value)
    return bundle_with_file(bundle, FILE, lambda path: write_json(path, value))


def test_another_schema_version_is_refused(fitted: Bundle) -> None:
    changed = _with(fitted, lambda value: value.update(schema_version=2))
    with pytest.raises(BundleError, match=r"schema version 2, this edge-arm reads 1; calibrate"):
        stored_temperatures(changed)


@pytest.mark.parametrize(
    "change",
    [
        lambda value: value.pop("models"),
        lambda value: value.pop("left_out"),
        lambda value: value["data"].update(faces="test"),
        lambda value: value["models"].update(fp64={}),
        lambda value: value["models"]["fp32"].update(temperature=0.0),
        lambda value: value["models"]["fp32"].update(temperature="hot"),
        lambda value: value.update(models=[1]),
        lambda value: value.clear(),
    ],
)
def test_a_file_that_does_not_hold_together_is_refused(
    fitted: Bundle, change: Callable[[dict[str, Any]], None]
) -> None:
    with pytest.raises(BundleError, match="does not hold together"):
        stored_temperatures(_with(fitted, change))
