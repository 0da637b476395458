from __future__ import annotations

import math
import time

import numpy as np
import pytest

from edge_arm.runtime.crop import CropBox
from edge_arm.runtime.errors import DataError, UsageError
from edge_arm.runtime.tracking.tracker import FaceTracker


def box(x: float, y: float = 100, side: int = 80) -> CropBox:
    """A square whose middle is at x, y."""
    return CropBox(round(x - side / 2), round(y - side / 2), side, side)


def test_tracks_are_numbered_from_one_in_the_order_of_the_boxes() -> None:
    assert FaceTracker().update([box(300), box(100)], 0.0) == (1, 2)


def test_a_face_that_moves_a_little_keeps_its_number_whatever_the_order() -> None:
    tracker = FaceTracker()
    tracker.update([box(100), box(300)], 0.0)
    assert tracker.update([box(305), box(95)], 1 / 30) == (2, 1)


def test_faces_that_cross_keep_their_numbers() -> None:
    # 300 pixels per second towards each other; at 0.5 s both are at 250, one on the other.
    tracker = FaceTracker()
    for frame in range(31):
        time_s = frame / 30
        right, left = box(100 + 300 * time_s), box(400 - 300 * time_s)
        assert tracker.update([right, left], time_s) == (1, 2), time_s


def test_a_face_hidden_while_faces_cross_gets_its_number_back() -> None:
    tracker = FaceTracker(max_gap_s=0.5)
    for frame in range(31):
        time_s = frame / 30
        right, left = box(100 + 300 * time_s), box(400 - 300 * time_s)
        hidden = abs(time_s - 0.5) < 0.11  # only the nearer face is found
        found = tracker.update([right] if hidden else [right, left], time_s)
        assert found == ((1,) if hidden else (1, 2)), time_s


def test_speed_counts_in_seconds_so_dropped_frames_do_no_harm() -> None:
    # 200 pixels per second: after 0.4 s without a frame the face is its own width further on.
    tracker = FaceTracker(max_gap_s=0.5)
    for frame in range(10):
        assert tracker.update([box(100 + 200 * frame / 30)], frame / 30) == (1,)
    time_s = 0.3 + 0.4
    assert tracker.update([box(100 + 200 * time_s)], time_s) == (1,)


def test_a_face_keeps_its_number_over_a_gap_of_just_the_limit() -> None:
    tracker = FaceTracker(max_gap_s=0.5)
    tracker.update([box(100)], 0.1)
    tracker.update([], 0.4)
    assert tracker.update([box(100)], 0.6) == (1,)


def test_a_face_that_comes_back_after_the_limit_is_a_new_one_and_numbers_are_never_reused() -> None:
    tracker = FaceTracker(max_gap_s=0.5)
    tracker.update([box(100)], 0.0)
    tracker.update([], 0.3)
    assert tracker.update([box(100)], 0.51) == (2,)


def test_a_face_that_jumps_across_the_picture_is_a_new_one() -> None:
    tracker = FaceTracker()
    tracker.update([box(100)], 0.0)
    assert tracker.update([box(400)], 1 / 30) == (2,)


def test_a_false_face_inside_a_true_one_does_not_take_its_number() -> None:
    tracker = FaceTracker()
    tracker.update([box(100, side=120)], 0.0)
    assert tracker.update([box(100, side=60)], 1 / 30) == (2,)
    assert tracker.update([box(100, side=120)], 2 / 30) == (1,)


def test_of_two_boxes_on_one_face_the_better_one_keeps_the_number() -> None:
    tracker = FaceTracker()
    tracker.update([box(100)], 0.0)
    assert tracker.update([box(115), box(102)], 1 / 30) == (2, 1)


def test_time_that_goes_back_begins_another_video() -> None:
    tracker = FaceTracker()
    tracker.update([box(100)], 8.0)
    assert tracker.update([box(100)], 0.0) == (2,)


def test_two_frames_of_the_same_time_are_followed() -> None:
    tracker = FaceTracker()
    tracker.update([box(100)], 1.0)
    assert tracker.update([box(110)], 1.0) == (1,)
    assert tracker.update([box(112)], 1.1) == (1,)


def test_only_living_tracks_are_kept() -> None:
    tracker = FaceTracker(max_gap_s=0.1)
    for frame in range(100):
        tracker.update([box(100 + 500 * (frame % 2))], frame * 1.0)
    assert tracker.alive == {100}


def test_no_faces_are_no_tracks() -> None:
    tracker = FaceTracker()
    assert tracker.update([], 0.0) == ()
    assert tracker.update([box(50)], 0.1) == (1,)


def test_thousands_of_faces_are_followed_quickly() -> None:
    rng = np.random.default_rng(0)
    tracker = FaceTracker()
    for frame in range(3):
        shake = rng.integers(-4, 5, (60, 60, 2)).tolist()
        boxes = [
            box(64 * column + shake[row][column][0], 64 * row + shake[row][column][1], side=60)
            for row in range(60)
            for column in range(60)
        ]
        started = time.process_time()
        assert tracker.update(boxes, frame / 30) == tuple(range(1, 3601))
        # 0.1 s here; all pairs in Python would take a minute.
        assert time.process_time() - started < 2.0


@pytest.mark.parametrize("time_s", [math.nan, math.inf])
def test_a_frame_without_a_time_is_refused(time_s: float) -> None:
    with pytest.raises(DataError, match=r"got a frame at (nan|inf) seconds, expected a finite"):
        FaceTracker().update([], time_s)


@pytest.mark.parametrize("gap", [-0.1, math.inf, math.nan])
def test_a_gap_that_is_no_time_is_refused(gap: float) -> None:
    with pytest.raises(UsageError, match="as the longest gap of a track, expected 0 or more"):
        FaceTracker(gap)
