"""Times of frames, by hand."""

from __future__ import annotations

import pytest

from edge_arm.runtime.sources.frame_clock import FrameClock


def test_times_are_the_containers_as_long_as_they_move() -> None:
    clock = FrameClock("a", 10.0)
    assert [clock.time_s(i, t) for i, t in enumerate((0.0, 0.05, 0.3))] == [0.0, 0.05, 0.3]


def test_a_container_without_time_stamps_has_its_rate(caplog: pytest.LogCaptureFixture) -> None:
    clock = FrameClock("a", 10.0)
    assert [clock.time_s(i, 0.0) for i in range(4)] == pytest.approx([0.0, 0.1, 0.2, 0.3])
    assert [record.getMessage() for record in caplog.records] == [
        "a: the time stamps stand still or run backwards at frame 1; from here on, times are the "
        "frame's number over 10 frames per second"
    ]


def test_times_never_run_backwards() -> None:
    clock = FrameClock("a", 10.0)
    times = [clock.time_s(i, t) for i, t in enumerate((0.0, 5.0, 4.0, 4.1))]
    assert times == [0.0, 5.0, 5.0, 5.0]  # 2 / 10 and 3 / 10 are before what was said already


def test_an_unknown_rate_counts_as_thirty() -> None:
    clock = FrameClock("a", None)
    clock.time_s(0, -1.0)
    assert clock.time_s(15, -1.0) == pytest.approx(0.5)


def test_a_gap_in_a_regular_video_has_room_for_frames() -> None:
    clock = FrameClock("a", 10.0)
    for number in range(20):
        clock.time_s(number, number / 10 if number < 10 else (number + 4) / 10)
    assert clock.skipped_frames == 4


def test_a_gap_that_broken_frames_explain_is_none() -> None:
    clock = FrameClock("a", 10.0)
    for number in (*range(10), *range(14, 24)):  # 10 to 13 were broken, and have numbers
        clock.time_s(number, number / 10)
    assert clock.skipped_frames == 0


def test_a_variable_rate_has_no_gaps() -> None:
    clock = FrameClock("a", 10.0)
    time_s = 0.0
    for number in range(20):
        clock.time_s(number, time_s)
        time_s += 0.1 if number % 3 else 0.4
    assert clock.skipped_frames == 0
