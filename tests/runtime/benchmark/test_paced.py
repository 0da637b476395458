from __future__ import annotations

import pytest
from clocked_backend import FACES, ClockedBackend, FakeClock

from edge_arm.runtime.benchmark.paced import PacedResult, paced
from edge_arm.runtime.errors import UsageError


def on_a_clock(
    *call_seconds: float, then: float = 0.001, fps: float = 10.0, seconds: float = 2.0
) -> PacedResult:
    """Calls of these lengths, then of a constant one."""
    clock = FakeClock()
    model = ClockedBackend(
        lambda number: call_seconds[number] if number < len(call_seconds) else then, clock.sleep
    )
    return paced(model, FACES, frames_per_s=fps, seconds=seconds, clock=clock, sleep=clock.sleep)


def test_a_fast_model_answers_every_frame_in_its_own_time() -> None:
    result = on_a_clock(then=0.020)
    assert (result.latency.count, result.missed, result.unanswered) == (20, 0, 0)
    assert result.latency.min_ms == pytest.approx(20)
    assert result.latency.max_ms == pytest.approx(20)
    assert result.keeps_up
    assert result.busy == pytest.approx(0.2)  # 20 of every 100 ms


def test_frames_behind_a_stall_count_what_they_waited() -> None:
    # One frame of 450 ms; those due at 100, 200, 300 and 400 ms wait for it and then take 10 ms
    # each: 360, 270, 180 and 90 ms. The calls themselves never tell.
    result = on_a_clock(0.450, then=0.010)
    assert result.latency.max_ms == pytest.approx(450)
    assert result.latency.mean_ms == pytest.approx((450 + 360 + 270 + 180 + 90 + 15 * 10) / 20)
    assert result.compute.mean_ms == pytest.approx((450 + 19 * 10) / 20)
    assert result.missed == 4  # the frame itself, and those that took longer than 100 ms
    assert result.keeps_up


def test_a_model_that_cannot_keep_up_is_seen_at_once() -> None:
    # 250 ms for frames every 100 ms: in 2 s 8 of 20 are answered, 12 wait when time is up.
    result = on_a_clock(then=0.250)
    assert not result.keeps_up
    assert result.unanswered == 12
    assert result.latency.count == 20
    assert result.missed == 20
    # Frame k is answered at 0.25 (k + 1) and was due at 0.1 k; the others have waited 2 - 0.1 k.
    answered = [0.25 * (k + 1) - 0.1 * k for k in range(8)]
    waiting = [2.0 - 0.1 * k for k in range(8, 20)]
    assert result.latency.mean_ms == pytest.approx(1e3 * sum(answered + waiting) / 20)
    assert result.busy == pytest.approx(1.0)


def test_a_frame_is_never_started_before_it_is_due() -> None:
    clock = FakeClock()
    begun: list[float] = []

    def note(_: int) -> float:
        begun.append(clock.now_s)
        return 0.001

    model = ClockedBackend(note, clock.sleep)
    paced(model, FACES, frames_per_s=4, seconds=1, clock=clock, sleep=clock.sleep)
    assert begun == pytest.approx([100.0, 100.25, 100.5, 100.75])


def test_real_sleeps_are_paced_on_the_real_clock() -> None:
    stalls = ClockedBackend(lambda number: 0.120 if number == 3 else 0.002)
    result = paced(stalls, FACES, frames_per_s=50, seconds=0.4)
    assert result.latency.count == 20
    assert result.latency.max_ms >= 120
    # The stall of 120 ms covers the deadlines of itself and of the five frames behind it.
    assert result.missed >= 5


@pytest.mark.parametrize(("fps", "seconds"), [(0.0, 1.0), (1.0, 0.5), (-3.0, 2.0)])
def test_a_clock_without_frames_is_refused(fps: float, seconds: float) -> None:
    with pytest.raises(UsageError, match=r"frames per second for .* expected one frame at least"):
        on_a_clock(fps=fps, seconds=seconds)
