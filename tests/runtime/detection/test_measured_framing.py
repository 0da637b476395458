"""Framings measured on training pictures whose faces are at known places."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from placed_faces import frontal_face, picture_with
from tiny_yunet import write_tiny_yunet

from edge_arm.runtime.crop import CropBox
from edge_arm.runtime.detection.measured_framing import measured_framing
from edge_arm.runtime.errors import ImageError
from edge_arm.runtime.faces import FaceIndex, FaceSample, Split
from edge_arm.runtime.labels import LabelSet


def _index(folder: Path, pictures: Sequence[np.ndarray]) -> FaceIndex:
    samples = []
    for number, picture in enumerate(pictures):
        path = folder / f"{number:03d}.png"
        assert cv2.imwrite(str(path), picture)
        samples.append(FaceSample(path.name, path, 0))
    return FaceIndex("drawn", Split.TRAIN, LabelSet("two", ("neutral", "fear")), tuple(samples))


def test_a_face_that_fills_its_picture_is_found_in_spite_of_it(tmp_path: Path) -> None:
    framing = measured_framing("haar", _index(tmp_path, [frontal_face()] * 20))
    assert framing is not None
    assert (framing.detector, framing.faces, framing.data_name) == ("haar", 20, "drawn")
    # The same picture each time: every box is the median box.
    assert framing.overlap == pytest.approx(1.0)
    assert 0.75 < framing.width < 1.0
    assert framing.left + framing.width / 2 == pytest.approx(0.5, abs=0.05)  # the face is upright
    assert framing.aspect == 1.0


def test_a_face_in_a_part_of_its_picture_is_framed_there(tmp_path: Path) -> None:
    """In a picture twice as wide and high, the same face has half the shares."""
    filled, loose = tmp_path / "filled", tmp_path / "loose"
    filled.mkdir()
    loose.mkdir()
    tight = measured_framing("haar", _index(filled, [frontal_face()] * 20))
    around = picture_with(320, 320, [CropBox(120, 40, 160, 160)])
    wide = measured_framing("haar", _index(loose, [around] * 20))
    assert tight is not None
    assert wide is not None
    # A step of the cascade's scale, 20 %, lies between sizes that it can tell apart.
    assert wide.width == pytest.approx(tight.width / 2, rel=0.1)
    assert wide.left == pytest.approx(120 / 320 + tight.left / 2, abs=0.03)
    assert wide.top == pytest.approx(40 / 320 + tight.top / 2, abs=0.03)


def test_another_detectors_box_is_measured_by_the_same_rule(tmp_path: Path) -> None:
    # Shown at 144 pixels with a margin of 43, so that its white square of 32 covers the cell at
    # (96, 96); the box is 64 x 96 around (112, 112), which is (69, 69) of 144.
    picture = np.zeros((144, 144, 3), np.uint8)
    picture[53:85, 53:85] = 255
    yunet = write_tiny_yunet(tmp_path / "yunet.onnx")
    framing = measured_framing(str(yunet), _index(tmp_path, [picture] * 20))
    assert framing is not None
    assert framing.detector == "yunet"
    assert (framing.left, framing.top) == pytest.approx((37 / 144, 21 / 144), abs=1e-4)
    assert (framing.width, framing.height) == pytest.approx((64 / 144, 96 / 144), abs=1e-4)


def test_too_few_faces_give_no_framing_and_a_line_that_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    blank = np.full((100, 100, 3), 90, np.uint8)
    index = _index(tmp_path, [frontal_face()] * 19 + [blank] * 6)
    with caplog.at_level(logging.WARNING):
        assert measured_framing("haar", index) is None
    assert "no framing for the detector 'haar': it found 19 of 25 training faces of drawn, 20" in (
        caplog.text
    )


def test_faces_that_are_not_aligned_are_said_to_be_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    corners = [(0, 0), (160, 160), (160, 0), (0, 160)]
    pictures = [picture_with(320, 320, [CropBox(x, y, 160, 160)]) for x, y in corners * 5]
    with caplog.at_level(logging.WARNING):
        framing = measured_framing("haar", _index(tmp_path, pictures))
    assert framing is not None
    assert framing.overlap < 0.3
    assert "the training faces of drawn are not aligned alike" in caplog.text


def test_at_most_200_faces_are_looked_at_from_all_of_the_list(tmp_path: Path) -> None:
    """The pictures between those that are looked at are not even readable."""
    index = _index(tmp_path, [frontal_face()] * 399)
    for sample in index.samples[1::2]:
        sample.path.write_bytes(b"not a picture")
    framing = measured_framing("haar", index)
    assert framing is not None
    assert framing.faces == 200


def test_a_broken_picture_is_named(tmp_path: Path) -> None:
    index = _index(tmp_path, [frontal_face()] * 3)
    index.samples[1].path.write_bytes(b"not a picture")
    with pytest.raises(ImageError, match=r"001.png' is not a picture"):
        measured_framing("haar", index)
