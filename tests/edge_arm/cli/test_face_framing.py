"""What `edge-arm calibrate` learns about detectors, and how `inspect` shows it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import typer
from placed_faces import frontal_face
from tiny_bundle import tiny_bundle
from tiny_yunet import write_tiny_yunet
from typer.testing import CliRunner

from edge_arm.cli.face_framing import check_detector, with_framings
from edge_arm.cli.inspect import inspect
from edge_arm.data.registry import face_index
from edge_arm.runtime.detection import haar
from edge_arm.runtime.detection.stored_framing import stored_framings
from edge_arm.runtime.errors import UsageError
from edge_arm.runtime.faces import FaceIndex, Split
from edge_arm.runtime.manifest import Bundle

app = typer.Typer()
app.command()(inspect)

MakeIndex = Callable[[npt.NDArray[np.uint8]], FaceIndex]


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return tiny_bundle(tmp_path / "bundle")


@pytest.fixture
def training_faces(tmp_path: Path) -> MakeIndex:
    def make(picture: npt.NDArray[np.uint8]) -> FaceIndex:
        """Twenty times the same picture."""
        for number in range(20):
            folder = tmp_path / "faces" / "train" / ("fear" if number % 2 else "anger")
            folder.mkdir(parents=True, exist_ok=True)
            assert cv2.imwrite(str(folder / f"{number:02d}.png"), picture)
        return face_index("folder", tmp_path / "faces", Split.TRAIN)

    return make


def test_the_default_detector_is_always_measured_and_shown(
    bundle: Bundle, training_faces: MakeIndex
) -> None:
    changed, rows = with_framings(bundle, training_faces(frontal_face()), None)
    (framing,) = stored_framings(changed)
    assert (framing.detector, framing.faces) == ("haar", 20)
    assert list(rows) == ["haar box"]
    assert rows["haar box"].endswith("(20 faces of folder, overlap 1.00)")
    shown = CliRunner().invoke(app, [str(bundle.path)], catch_exceptions=False)
    assert f"haar box: {rows['haar box']}" in shown.stdout


def test_a_detector_in_a_file_is_measured_too(
    bundle: Bundle, training_faces: MakeIndex, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    yunet = write_tiny_yunet(tmp_path / "yunet.onnx")
    picture = np.zeros((144, 144, 3), np.uint8)
    picture[53:85, 53:85] = 255  # where the tiny YuNet sees a face, and the cascade does not
    with caplog.at_level(logging.WARNING):
        changed, rows = with_framings(bundle, training_faces(picture), yunet)
    assert [framing.detector for framing in stored_framings(changed)] == ["yunet"]
    assert rows["yunet box"].startswith("44 x 67 % of a training face, 26 % from its left and 15 %")
    assert caplog.text.count("no framing for the detector 'haar': it found 0 of 20") == 1


def test_a_calibration_is_whole_without_the_cascade(
    bundle: Bundle, training_faces: MakeIndex, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delattr(cv2, "data")
    monkeypatch.setattr(haar, "_DEBIAN_FOLDER", tmp_path)
    changed, rows = with_framings(bundle, training_faces(frontal_face()), None)
    assert stored_framings(changed) == ()
    assert rows["haar box"].startswith("not measured: OpenCV")


def test_a_detector_is_refused_before_the_calibration(tmp_path: Path) -> None:
    check_detector(None, from_faces=False)
    check_detector(write_tiny_yunet(tmp_path / "yunet.onnx"), from_faces=True)
    with pytest.raises(UsageError, match="to find faces with, and it is missing"):
        check_detector(tmp_path / "none.onnx", from_faces=True)
    with pytest.raises(
        UsageError, match=r"with --from-cache, --study or no --data, expected a cal"
    ):
        check_detector(tmp_path / "yunet.onnx", from_faces=False)
