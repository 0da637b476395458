"""What a detector is shown, told by detectors that answer with all they see."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edge_arm.runtime.crop import CropBox
from edge_arm.runtime.detection.detection_config import DetectionConfig, SmallestFace
from edge_arm.runtime.detection.look import faces_seen

Picture = npt.NDArray[np.uint8]
SMALL = SmallestFace(pixels=20, share=0.0)


class Everything:
    """A detector that says it sees one face as large as what it is shown, and keeps a record."""

    def __init__(self) -> None:
        self.shown: list[tuple[int, int]] = []
        self.smallest: list[float] = []

    def __call__(
        self, image: Picture, smallest_px: float
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        height, width = image.shape[:2]
        self.shown.append((height, width))
        self.smallest.append(smallest_px)
        return np.array([[0.0, 0.0, width, height]]), np.array([1.0])


def _bright(
    image: Picture, smallest_px: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The rectangle around all white pixels, as one face."""
    rows, columns = np.nonzero(image > 127)
    if len(rows) == 0 or np.ptp(columns) + 1 < smallest_px:
        return np.empty((0, 4)), np.empty(0)
    box = [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]
    return np.array([box], np.float64), np.array([float(box[2] * box[3])])


def test_a_small_picture_is_shown_as_it_is() -> None:
    detector = Everything()
    (face,) = faces_seen(np.zeros((480, 640), np.uint8), DetectionConfig(), detector)
    assert face.box == CropBox(0, 0, 640, 480)
    assert detector.shown == [(480, 640)]
    assert detector.smallest == [640 * 0.0625]


def test_a_large_picture_is_shown_reduced_and_boxes_come_back_in_its_pixels() -> None:
    detector = Everything()
    (face,) = faces_seen(np.zeros((1081, 1919, 3), np.uint8), DetectionConfig(), detector)
    assert detector.shown == [(361, 640)]  # 1081 * 640 / 1919 = 360.5, to the even neighbour...
    assert face.box == CropBox(0, 0, 1919, 1081)  # ... and back by each side's own factor
    assert detector.smallest == [40.0]


def test_looked_at_in_full_it_is_shown_reduced_and_in_overlapping_tiles() -> None:
    detector = Everything()
    config = DetectionConfig(look_px=None, smallest=SMALL)
    faces_seen(np.zeros((1500, 2560), np.uint8), config, detector)
    whole, *tiles = detector.shown
    assert whole == (750, 1280)
    # Tiles of 1024 that overlap by 256 begin at 0, 768 and, to end with the picture, 1536; and at
    # 0 and 476.
    assert tiles == [(1024, 1024)] * 6
    # The reduced whole is for faces that the overlap does not hold: 256 pixels, 128 when halved.
    assert detector.smallest == [128.0] + [20.0] * 6


def test_tiles_are_left_out_where_only_large_faces_are_wanted() -> None:
    detector = Everything()
    config = DetectionConfig(look_px=None, smallest=SmallestFace(pixels=300, share=0.0))
    faces_seen(np.zeros((1500, 2560), np.uint8), config, detector)
    assert detector.shown == [(750, 1280)]
    assert detector.smallest == [150.0]


def test_a_strip_longer_than_any_photograph_is_not_reduced_to_nothing() -> None:
    detector = Everything()
    config = DetectionConfig(look_px=None, smallest=SmallestFace(pixels=256, share=0.0))
    faces_seen(np.zeros((300, 40_000), np.uint8), config, detector)
    assert detector.shown == [(30, 4000)]


def test_a_face_in_two_tiles_is_one_face() -> None:
    picture = np.zeros((1000, 2000), np.uint8)
    picture[100:200, 800:900] = 255  # in the overlap, from 768 to 1024
    config = DetectionConfig(look_px=None, smallest=SMALL)
    (face,) = faces_seen(picture, config, _bright)
    assert face.box == CropBox(800, 100, 100, 100)


def test_a_face_larger_than_the_overlap_is_taken_from_the_whole_picture() -> None:
    picture = np.zeros((1280, 2560), np.uint8)
    picture[200:900, 900:1600] = 255  # cut by both tiles
    config = DetectionConfig(look_px=None, smallest=SMALL)
    (face,) = faces_seen(picture, config, _bright)
    assert face.box == CropBox(900, 200, 700, 700)


def test_a_size_above_one_piece_is_reduced_before_it_is_cut_into_tiles() -> None:
    detector = Everything()
    config = DetectionConfig(look_px=2000, smallest=SMALL)
    faces_seen(np.zeros((2000, 4000), np.uint8), config, detector)
    assert detector.shown[0] == (640, 1280)
    assert detector.shown[1:] == [(1000, 1024)] * 3  # at 0, 768 and 976 of 2000
    assert detector.smallest[1:] == [10.0] * 3  # half of 20: seen at half the size
