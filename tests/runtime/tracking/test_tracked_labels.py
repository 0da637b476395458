from __future__ import annotations

import math

import numpy as np
import pytest

from edge_arm.runtime.crop import CropBox
from edge_arm.runtime.errors import DataError
from edge_arm.runtime.tracking.smoothing import SmoothingConfig
from edge_arm.runtime.tracking.tracked_labels import Flicker, TrackedAnswer, TrackedLabels

LEFT, RIGHT = CropBox(0, 0, 80, 80), CropBox(300, 0, 80, 80)
FIRST, SECOND = (0.8, 0.2), (0.2, 0.8)


def test_answers_come_in_the_order_of_the_boxes() -> None:
    labels = TrackedLabels(SmoothingConfig())
    labels.update([LEFT, RIGHT], np.array([FIRST, SECOND]), 0.0)
    answers = labels.update([RIGHT, LEFT], np.array([SECOND, FIRST]), 0.1)
    assert [(answer.track, answer.class_index) for answer in answers] == [(2, 1), (1, 0)]


def test_each_face_is_smoothed_on_its_own() -> None:
    # tau = 1 s and ln 2 s between frames: a third of the first and two thirds of the second.
    labels = TrackedLabels(SmoothingConfig(1.0, hysteresis=0.3, max_gap_s=1.0))
    labels.update([LEFT, RIGHT], np.array([FIRST, SECOND]), 0.0)
    left, right = labels.update([LEFT, RIGHT], np.array([SECOND, SECOND]), math.log(2.0))
    assert left.probabilities == pytest.approx((0.4, 0.6), abs=1e-12)
    assert right.probabilities == pytest.approx((0.2, 0.8), abs=1e-12)
    assert (left.class_index, left.frame_class_index) == (0, 1)


def test_without_smoothing_every_answer_is_the_frames_own() -> None:
    labels = TrackedLabels(None)
    labels.update([LEFT], np.array([FIRST]), 0.0)
    answer = labels.update([LEFT], np.array([SECOND]), 0.1)[0]
    assert answer == TrackedAnswer(1, 1, SECOND, 1)


def test_flips_are_counted_of_the_shown_label_and_of_the_frames_own() -> None:
    # Alternating frames at 10 Hz for 6 s: 60 raw flips in 0.1 minutes, and none after smoothing.
    labels = TrackedLabels(SmoothingConfig())
    for frame in range(61):
        labels.update([LEFT], np.array([SECOND if frame % 2 else FIRST]), frame / 10)
    flicker = labels.flicker()
    assert (flicker.tracks, flicker.flips, flicker.frame_flips) == (1, 0, 60)
    assert flicker.seconds_tracked == pytest.approx(6.0, abs=1e-9)
    assert flicker.flips_per_minute == 0.0
    assert flicker.frame_flips_per_minute == pytest.approx(600.0, abs=1e-6)


def test_without_smoothing_both_kinds_of_flips_are_the_same() -> None:
    labels = TrackedLabels(None)
    for frame in range(4):
        labels.update([LEFT], np.array([SECOND if frame % 2 else FIRST]), frame / 10)
    assert (labels.flicker().flips, labels.flicker().frame_flips) == (3, 3)


def test_a_new_face_with_another_expression_is_no_flip() -> None:
    labels = TrackedLabels(None)
    labels.update([LEFT], np.array([FIRST]), 0.0)
    labels.update([LEFT], np.array([SECOND]), 9.0)
    assert labels.flicker() == Flicker(tracks=2, seconds_tracked=0.0, flips=0, frame_flips=0)


def test_flicker_per_minute_counts_the_time_of_all_tracks() -> None:
    # Two faces for 0.4 s each, and one flip: 1 in 0.8 s is 75 a minute.
    labels = TrackedLabels(None)
    labels.update([LEFT, RIGHT], np.array([FIRST, FIRST]), 0.0)
    labels.update([LEFT, RIGHT], np.array([SECOND, FIRST]), 0.4)
    assert labels.flicker().flips_per_minute == pytest.approx(75.0, abs=1e-9)


def test_where_nothing_was_tracked_there_is_no_rate() -> None:
    labels = TrackedLabels(SmoothingConfig())
    assert labels.update([], np.zeros((0, 7), np.float32), 0.0) == ()
    assert labels.flicker().flips_per_minute is None
    assert labels.flicker().frame_flips_per_minute is None


def test_ended_tracks_are_forgotten_but_their_counts_stay() -> None:
    labels = TrackedLabels(None)
    for second in range(500):
        start = 2.0 * second
        labels.update([LEFT], np.array([FIRST]), start)
        labels.update([LEFT], np.array([SECOND]), start + 0.25)
    assert len(labels._followed) == 1
    assert labels.flicker() == Flicker(
        tracks=500, seconds_tracked=125.0, flips=500, frame_flips=500
    )


def test_single_precision_probabilities_are_taken() -> None:
    answer = TrackedLabels(SmoothingConfig()).update([LEFT], np.array([FIRST], np.float32), 0.0)[0]
    assert answer.probabilities == pytest.approx(FIRST, abs=1e-7)


@pytest.mark.parametrize("shape", [(1, 7), (3, 7), (2,), (2, 0)])
def test_probabilities_that_do_not_fit_the_boxes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match=r"got probabilities of shape .* for 2 faces, expected"):
        TrackedLabels(None).update([LEFT, RIGHT], np.ones(shape), 0.0)


def test_another_number_of_classes_in_the_middle_is_refused() -> None:
    labels = TrackedLabels(None)
    labels.update([LEFT], np.array([FIRST]), 0.0)
    with pytest.raises(DataError, match=r"shape \(1, 3\) for 1 faces, expected \(1, 2\)"):
        labels.update([LEFT], np.ones((1, 3)), 0.1)


def test_probabilities_that_are_not_finite_are_refused() -> None:
    with pytest.raises(DataError, match="probabilities that are not finite, expected numbers"):
        TrackedLabels(SmoothingConfig()).update([LEFT], np.array([[np.nan, 1.0]]), 0.0)
