"""OpenCV's cascade on drawn faces whose place is known."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np
import pytest
from placed_faces import overlap, picture_with

from edge_arm.runtime.crop import CropBox
from edge_arm.runtime.detection import haar
from edge_arm.runtime.detection.detection_config import DetectionConfig, SmallestFace
from edge_arm.runtime.detection.haar import HaarDetector, default_cascade
from edge_arm.runtime.errors import BackendUnavailableError, UsageError

PLACES = [CropBox(20, 30, 160, 160), CropBox(260, 200, 120, 120), CropBox(480, 60, 90, 90)]


def test_faces_are_found_where_they_were_drawn_and_come_from_left_to_right() -> None:
    detector = HaarDetector(default_cascade(), DetectionConfig())
    found = detector.find(picture_with(480, 640, PLACES))
    assert len(found) == len(PLACES)
    for face, place in zip(found, PLACES, strict=True):
        assert overlap(face.box, place) > 0.6
    assert detector.name == "haar"


def test_boxes_of_a_reduced_picture_are_in_its_own_pixels() -> None:
    place = CropBox(1101, 303, 401, 401)
    picture = picture_with(1081, 1921, [place])
    (face,) = HaarDetector(default_cascade(), DetectionConfig(look_px=480)).find(picture)
    assert overlap(face.box, place) > 0.6


def test_a_picture_without_faces_gives_none() -> None:
    detector = HaarDetector(default_cascade(), DetectionConfig())
    assert detector.find(picture_with(480, 640, [])) == ()
    # One pixel, less than a window of the cascade, odd sides, a thin strip.
    for height, width in ((1, 1), (23, 23), (241, 321), (2, 3000)):
        assert detector.find(np.zeros((height, width, 3), np.uint8)) == ()


@pytest.mark.parametrize(
    ("smallest", "count"),
    [
        (SmallestFace(pixels=100, share=0.0), 1),
        (SmallestFace(pixels=0, share=0.16), 1),  # of 640 pixels
        (SmallestFace(pixels=40, share=0.0), 2),
    ],
)
def test_faces_below_the_smallest_are_left_alone(smallest: SmallestFace, count: int) -> None:
    picture = picture_with(480, 640, [PLACES[0], CropBox(300, 100, 70, 70)])
    found = HaarDetector(default_cascade(), DetectionConfig(smallest=smallest)).find(picture)
    assert len(found) == count


def test_a_face_in_the_dark_is_found_as_one_in_the_light() -> None:
    # With grey levels as they are the cascade finds none of them at a tenth of the light.
    detector = HaarDetector(default_cascade(), DetectionConfig())
    picture = picture_with(480, 640, PLACES)
    for light in (1.0, 0.3, 0.1):
        found = detector.find((picture * light).astype(np.uint8))
        assert [overlap(f.box, p) > 0.6 for f, p in zip(found, PLACES, strict=True)] == [True] * 3


def test_a_higher_score_may_be_asked_for() -> None:
    picture = picture_with(480, 640, PLACES)
    scores = [
        face.score for face in HaarDetector(default_cascade(), DetectionConfig()).find(picture)
    ]
    limit = max(scores)
    surest = HaarDetector(default_cascade(), DetectionConfig(min_score=limit)).find(picture)
    assert [face.score for face in surest] == [limit]
    assert HaarDetector(default_cascade(), DetectionConfig(min_score=math.inf)).find(picture) == ()


def test_a_crowd_is_found_where_all_of_the_picture_is_looked_at() -> None:
    places = [
        CropBox(20 + 80 * column, 20 + 80 * row, 60, 60) for column in range(20) for row in range(5)
    ]
    picture = picture_with(440, 1640, places)
    config = DetectionConfig(look_px=None, smallest=SmallestFace(pixels=30, share=0.0))
    found = HaarDetector(default_cascade(), config).find(picture)
    right = [place for place in places if any(overlap(face.box, place) > 0.6 for face in found)]
    assert (len(right), len(found)) == (100, 100)
    # 60 of 1640 pixels are 23 of 640, less than the cascade's window.
    assert HaarDetector(default_cascade(), DetectionConfig()).find(picture) == ()


def test_another_cascade_has_a_name_of_its_own() -> None:
    other = default_cascade().with_name("haarcascade_frontalface_default.xml")
    detector = HaarDetector(other, DetectionConfig())
    assert detector.name == "haar:haarcascade_frontalface_default"
    # Its scores are below 20, where the limit of the default cascade's lies above 50.
    (face,) = detector.find(picture_with(480, 640, PLACES[:1]))
    assert overlap(face.box, PLACES[0]) > 0.6


# ---- refused ---------------------------------------------------------------------------------


def test_a_missing_cascade_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none.xml' to find faces with, and it is missing; exp"):
        HaarDetector(tmp_path / "none.xml", DetectionConfig())


@pytest.mark.parametrize("text", ["hello", "<?xml version='1.0'?><a><b>1</b></a>", ""])
def test_a_file_that_is_no_cascade_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.xml").write_text(text)
    with pytest.raises(UsageError, match="expected an XML cascade of OpenCV; leave --detector out"):
        HaarDetector(tmp_path / "x.xml", DetectionConfig())


def test_an_opencv_without_cascades_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    cascade = default_cascade()
    monkeypatch.delattr(cv2, "CascadeClassifier")
    with pytest.raises(BackendUnavailableError, match=r"has no CascadeClassifier, expected OpenCV"):
        HaarDetector(cascade, DetectionConfig())


def test_an_opencv_without_its_files_uses_debians(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delattr(cv2, "data")  # as in JetPack's OpenCV
    monkeypatch.setattr(haar, "_DEBIAN_FOLDER", tmp_path)
    with pytest.raises(BackendUnavailableError, match=r"apt install opencv-data.*--detector FILE"):
        default_cascade()
    (tmp_path / haar.CASCADE_NAME).write_text("<xml/>")
    assert default_cascade() == tmp_path / haar.CASCADE_NAME
