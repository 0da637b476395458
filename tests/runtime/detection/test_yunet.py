"""OpenCV's real FaceDetectorYN on a small network whose answers are known."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import TensorProto
from onnx_builders import model, node
from tiny_yunet import write_tiny_yunet

from edge_arm.runtime.crop import CropBox
from edge_arm.runtime.detection.detection_config import DetectionConfig, SmallestFace
from edge_arm.runtime.detection.yunet import YuNetDetector
from edge_arm.runtime.errors import BackendUnavailableError, UsageError

ALL = SmallestFace(pixels=1, share=0.0)


def _picture(height: int, width: int, *cells: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Black, with white cells of 32 x 32 pixels at (column, row)."""
    picture = np.zeros((height, width, 3), np.uint8)
    for column, row in cells:
        picture[32 * row : 32 * row + 32, 32 * column : 32 * column + 32] = 255
    return picture


@pytest.fixture
def yunet(tmp_path: Path) -> Path:
    return write_tiny_yunet(tmp_path / "yunet.onnx")


def test_boxes_are_where_the_network_draws_them(yunet: Path) -> None:
    detector = YuNetDetector(yunet, DetectionConfig(smallest=ALL))
    found = detector.find(_picture(256, 384, (8, 3), (2, 4)))
    # 64 x 96 around the middles (80, 144) and (272, 112), from left to right.
    assert [face.box for face in found] == [CropBox(48, 96, 64, 96), CropBox(240, 64, 64, 96)]
    assert [face.score for face in found] == pytest.approx([1.0, 1.0])
    assert detector.name == "yunet"


def test_pictures_of_any_size_follow_each_other(yunet: Path) -> None:
    detector = YuNetDetector(yunet, DetectionConfig(smallest=ALL))
    for height, width in ((97, 161), (1, 1), (480, 640), (33, 500)):
        found = detector.find(_picture(height, width, (0, 0)))
        assert len(found) == (1 if min(height, width) >= 32 else 0)


def test_boxes_of_a_reduced_picture_are_in_its_own_pixels(yunet: Path) -> None:
    picture = cv2.resize(_picture(128, 192, (3, 2)), None, fx=2, fy=2, interpolation=0)
    found = YuNetDetector(yunet, DetectionConfig(look_px=192, smallest=ALL)).find(picture)
    # Seen at half the size, the box is 64 x 96 around (112, 80).
    assert [face.box for face in found] == [CropBox(160, 64, 128, 192)]


def test_the_last_figure_is_the_score_that_decides(tmp_path: Path) -> None:
    path = write_tiny_yunet(tmp_path / "yunet.onnx", sure=0.7)
    picture = _picture(128, 128, (1, 1))
    assert YuNetDetector(path, DetectionConfig(smallest=ALL)).find(picture) == ()
    (face,) = YuNetDetector(path, DetectionConfig(smallest=ALL, min_score=0.6)).find(picture)
    assert face.score == pytest.approx(0.7, abs=1e-5)  # float32


def test_faces_below_the_smallest_are_left_alone(yunet: Path) -> None:
    picture = _picture(128, 128, (1, 1))
    at_most = YuNetDetector(yunet, DetectionConfig(smallest=SmallestFace(96, 0.0)))
    above = YuNetDetector(yunet, DetectionConfig(smallest=SmallestFace(97, 0.0)))
    assert (len(at_most.find(picture)), len(above.find(picture))) == (1, 0)


def test_a_large_picture_is_looked_at_in_full_on_request(yunet: Path) -> None:
    cells = [(column, row) for column in range(2, 72, 5) for row in range(2, 36, 5)]
    picture = _picture(1216, 2400, *cells)  # tiles begin at multiples of 32
    full = DetectionConfig(look_px=None, smallest=SmallestFace(40, 0.0))
    found = YuNetDetector(yunet, full).find(picture)
    middles = {(face.box.x + 32, face.box.y + 48) for face in found if face.box.width == 64}
    assert middles == {(32 * column + 16, 32 * row + 16) for column, row in cells}
    assert len(found) == len(cells)


# ---- refused ---------------------------------------------------------------------------------


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"'.*none.onnx' to find faces with, and it is missing"):
        YuNetDetector(tmp_path / "none.onnx", DetectionConfig())


def test_a_text_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.onnx").write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(UsageError, match=r"OpenCV cannot run it \(.*expected YuNet, such as face_"):
        YuNetDetector(tmp_path / "x.onnx", DetectionConfig())


def test_another_network_is_refused(tmp_path: Path) -> None:
    shape = [1, 3, 64, 64]
    other = model(
        [node("Relu", "input", "cls_8")],
        [("input", TensorProto.FLOAT, shape)],
        [("cls_8", TensorProto.FLOAT, shape)],
    )
    onnx.save(other, tmp_path / "relu.onnx")
    with pytest.raises(UsageError, match=r"OpenCV cannot run it"):
        YuNetDetector(tmp_path / "relu.onnx", DetectionConfig())


def test_outputs_of_another_length_are_refused_before_opencv_reads_beyond_them(
    tmp_path: Path,
) -> None:
    path = write_tiny_yunet(tmp_path / "short.onnx", short="kps_16")
    with pytest.raises(UsageError, match=r"'kps_16' has 40 figures for 64 x 64 pixels.* of 160"):
        YuNetDetector(path, DetectionConfig())


def test_a_network_that_sees_faces_in_nothing_is_refused(tmp_path: Path) -> None:
    path = write_tiny_yunet(tmp_path / "eager.onnx", sure=2.0)
    with pytest.raises(UsageError, match="it sees a face in a blank picture"):
        YuNetDetector(path, DetectionConfig())


def test_an_opencv_without_yunet_is_named(yunet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(cv2, "FaceDetectorYN")
    with pytest.raises(BackendUnavailableError, match=r"has no FaceDetectorYN, expected 4.5.4"):
        YuNetDetector(yunet, DetectionConfig())
