from __future__ import annotations

import time

import cv2
import numpy as np
import pytest
from clocked_backend import FACES, ClockedBackend

from edge_arm.runtime.backend import StagedAnswer
from edge_arm.runtime.benchmark.stages import FEWEST_CALLS, Picture, model_stages, picture_stages
from edge_arm.runtime.crop import CropBox
from edge_arm.runtime.detection.detector import FoundFace
from edge_arm.runtime.errors import ImageError
from edge_arm.runtime.preprocess import Uint8Array


def picture() -> Picture:
    pixels = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    done, content = cv2.imencode(".jpg", pixels)
    assert done
    return Picture(content.tobytes(), CropBox(20, 10, 40, 40))


class SlowDetector:
    """Takes five milliseconds and remembers what it saw."""

    name = "slow"

    def __init__(self) -> None:
        self.shapes: set[tuple[int, ...]] = set()

    def find(self, image_hwc: Uint8Array) -> tuple[FoundFace, ...]:
        self.shapes.add(image_hwc.shape)
        time.sleep(0.005)
        return ()


class StagedBackend(ClockedBackend):
    """Says that it copies for 1 ms, computes for 4 and copies back for 2."""

    def infer_in_stages(self, images_nhwc: Uint8Array) -> StagedAnswer:
        return StagedAnswer(self.infer(images_nhwc), 0.001, 0.004, 0.002)


def test_each_step_before_the_model_is_timed_by_itself() -> None:
    detector = SlowDetector()
    stages = picture_stages(picture(), size=16, seconds=0.15, detector=detector)
    assert list(stages) == ["decode", "find", "crop and resize"]
    assert detector.shapes == {(60, 80, 3)}
    assert 5 <= stages["find"].min_ms < 7  # it slept for five, and a sleep ends late
    # Nobody sleeps in the others: they are the work on a picture of a few thousand pixels.
    assert stages["decode"].min_ms < 5
    assert stages["crop and resize"].min_ms < 5


def test_faces_that_are_cropped_already_are_not_looked_for() -> None:
    stages = picture_stages(picture(), size=16, seconds=0.02)
    assert list(stages) == ["decode", "crop and resize"]


def test_a_picture_that_cannot_be_read_is_an_error() -> None:
    with pytest.raises(ImageError, match="'the picture of the benchmark' is not a picture"):
        picture_stages(Picture(b"no picture", CropBox(0, 0, 1, 1)), size=16, seconds=0.02)


def test_a_backend_that_cannot_wait_between_steps_has_no_figure_for_copies() -> None:
    stages = model_stages(ClockedBackend(lambda _: 0.003), FACES, seconds=0.05)
    assert list(stages) == ["compute", "probabilities"]
    assert 3 <= stages["compute"].min_ms < 5


def test_a_backend_that_waits_between_steps_is_told_apart() -> None:
    stages = model_stages(StagedBackend(lambda _: 0.0001), FACES, seconds=0.02)
    assert list(stages) == ["copy in", "compute", "copy out", "probabilities"]
    medians = [stages[name].p50_ms for name in ("copy in", "compute", "copy out")]
    assert medians == pytest.approx([1, 4, 2])


def test_a_slow_step_is_called_often_enough_for_a_median() -> None:
    stages = model_stages(ClockedBackend(lambda _: 0.004), FACES, seconds=0.001)
    assert stages["compute"].count == FEWEST_CALLS
