"""`edge-arm calibrate` interrupted half-way, as a bundle sees it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from onnx import numpy_helper

from edge_arm.calibration.int8_from_bundle import CalibrationConfig, int8_from_bundle
from edge_arm.runtime.errors import CalibrationError
from edge_arm.runtime.faces import FaceIndex
from edge_arm.runtime.manifest import Bundle
from edge_arm.runtime.storage import sha256_of_file

CONFIG = CalibrationConfig(num_images=14)
MakeIndex = Callable[..., FaceIndex]
MakeBundle = Callable[[onnx.ModelProto], Bundle]


def content(folder: Path) -> dict[str, str]:
    return {path.name: sha256_of_file(path) for path in folder.iterdir()}


FIRST, SECOND = ".calibration-pass.npz", ".calibration-second-pass.npz"


# inside the first pass, inside the second, while candidates or INT8 answer
@pytest.mark.parametrize(
    ("after", "kept"), [(3, {FIRST}), (16, {FIRST, SECOND}), (30, {FIRST, SECOND})]
)
def test_an_interrupted_calibration_goes_on_to_the_same_bundle(
    model: onnx.ModelProto,
    make_bundle: MakeBundle,
    face_index: MakeIndex,
    caplog: pytest.LogCaptureFixture,
    after: int,
    kept: set[str],
):
    bundle, faces = make_bundle(model), face_index()
    done = 0

    def stop(steps: int) -> None:
        nonlocal done
        done += steps
        if done >= after:
            raise KeyboardInterrupt

    before = content(bundle.path)
    with pytest.raises(KeyboardInterrupt):
        int8_from_bundle(bundle, faces, CONFIG, stop)
    assert content(bundle.path).keys() - before.keys() == kept
    with caplog.at_level(logging.INFO, "edge_arm"):
        int8_from_bundle(bundle, faces, CONFIG)
    assert "going on with an interrupted calibration" in caplog.text
    gone_on = content(bundle.path)
    assert not kept & gone_on.keys()
    int8_from_bundle(bundle, faces, CONFIG)
    assert content(bundle.path) == gone_on


def test_a_dead_layer_is_an_error_that_leaves_nothing(
    model: onnx.ModelProto, make_bundle: MakeBundle, face_index: MakeIndex
):
    dead = onnx.ModelProto()
    dead.CopyFrom(model)
    for item in dead.graph.initializer:
        if item.name in ("c3", "c4"):  # the first block's first convolution
            zeros = numpy_helper.to_array(item) * 0
            item.CopyFrom(numpy_helper.from_array(zeros, item.name))
    bundle = make_bundle(dead)
    before = content(bundle.path)
    with pytest.raises(CalibrationError, match="is 0 everywhere on the calibration faces"):
        int8_from_bundle(bundle, face_index(), CONFIG)
    assert content(bundle.path) == before
