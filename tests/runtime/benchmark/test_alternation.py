from __future__ import annotations

from itertools import groupby

import pytest
from clocked_backend import FACES, ClockedBackend, FakeClock

from edge_arm.runtime.benchmark.alternation import TurnPlan, alternate, turn_order
from edge_arm.runtime.errors import UsageError


def test_a_model_of_five_milliseconds_is_measured_as_five() -> None:
    models = {
        "five": ClockedBackend(lambda _: 0.005),
        "ten": ClockedBackend(lambda _: 0.010),
    }
    times = alternate(models, FACES, plan=TurnPlan(seconds=0.6, warm_up_s=0.05))
    # Sleeping ends late by some 0.1 ms, on a busy machine by more, never early.
    assert 0.005 <= min(times["five"].seconds) < 0.007
    assert 0.010 <= min(times["ten"].seconds) < 0.012


def test_every_counted_call_is_what_the_model_took() -> None:
    clock = FakeClock()
    model = ClockedBackend(lambda number: 0.003 + 0.001 * (number % 2), clock.sleep)
    plan = TurnPlan(seconds=1.5, rounds=10, warm_up_s=0.1)
    times = alternate({"only": model}, FACES, plan=plan, clock=clock)["only"]
    assert len(times.rounds) == 10
    assert {round(call, 6) for call in times.seconds} == {0.003, 0.004}
    # A turn of 150 ms holds one call that is not counted and 42 that are, of 3.5 ms on average.
    assert [len(turn) for turn in times.rounds] == pytest.approx([42] * 10, abs=1)
    assert model.calls == times.warm_up_calls + 10 + len(times.seconds)


def test_the_first_call_of_a_turn_is_not_counted() -> None:
    clock = FakeClock()
    log: list[str] = []

    def after_a_change(number: int) -> float:
        return 0.1 if len(log) and log[-1] != "slow after others" else 0.001

    models = {
        "slow after others": ClockedBackend(
            after_a_change, clock.sleep, log=log, name="slow after others"
        ),
        "other": ClockedBackend(lambda _: 0.001, clock.sleep, log=log, name="other"),
    }
    times = alternate(models, FACES, plan=TurnPlan(seconds=3, rounds=6), clock=clock)
    assert max(times["slow after others"].seconds) == pytest.approx(0.001)


def test_models_take_turns_in_an_order_that_changes() -> None:
    names = ("a", "b", "c")
    orders = [turn_order(names, number) for number in range(6)]
    assert orders == [
        ("a", "b", "c"),
        ("c", "b", "a"),
        ("b", "c", "a"),
        ("a", "c", "b"),
        ("c", "a", "b"),
        ("b", "a", "c"),
    ]
    clock = FakeClock()
    log: list[str] = []
    models = {
        name: ClockedBackend(lambda _: 0.002, clock.sleep, log=log, name=name) for name in "abc"
    }
    alternate(models, FACES, plan=TurnPlan(seconds=0.9, rounds=6), clock=clock)
    turns = [name for name, _ in groupby(log)]
    # Turns of the same model that touch, at the end of one round and the start of the next, are
    # one here; the warm-up comes first.
    expected = [name for name, _ in groupby([*"abc", *(n for order in orders for n in order)])]
    assert turns == expected


def test_a_slow_stretch_of_the_machine_hits_all_models_alike() -> None:
    clock = FakeClock()

    def drifting(base_s: float) -> ClockedBackend:
        return ClockedBackend(lambda _: base_s * (1.0 if clock.now_s < 105 else 3.0), clock.sleep)

    models = {"base": drifting(0.004), "twice as fast": drifting(0.002)}
    times = alternate(models, FACES, plan=TurnPlan(seconds=10, rounds=20), clock=clock)
    base, fast = (times[name].round_medians for name in models)
    ratios = [a / b for a, b in zip(base, fast, strict=True)]
    assert sorted(ratios)[2] == pytest.approx(2.0)
    assert sorted(ratios)[-3] == pytest.approx(2.0)
    assert max(base) == pytest.approx(3 * min(base))


def test_warm_up_goes_on_until_the_model_is_steady() -> None:
    clock = FakeClock()
    model = ClockedBackend(lambda number: 0.05 if number < 8 else 0.01, clock.sleep)
    plan = TurnPlan(seconds=1.2, rounds=6, warm_up_s=5)
    times = alternate({"only": model}, FACES, plan=plan, clock=clock)["only"]
    assert times.steady
    assert times.warm_up_calls >= 8
    assert max(times.seconds) == pytest.approx(0.01)


def test_a_model_that_never_comes_to_rest_is_said_to_be_unsteady() -> None:
    clock = FakeClock()
    model = ClockedBackend(lambda number: 0.001 * 1.1**number, clock.sleep)
    plan = TurnPlan(seconds=0.5, rounds=6, warm_up_s=0.2)
    assert not alternate({"only": model}, FACES, plan=plan, clock=clock)["only"].steady


def test_slow_models_get_the_rounds_that_an_interval_takes() -> None:
    clock = FakeClock()
    models = {name: ClockedBackend(lambda _: 1.0, clock.sleep) for name in "ab"}
    times = alternate(models, FACES, plan=TurnPlan(seconds=2, rounds=15), clock=clock)
    assert [len(times[name].rounds) for name in "ab"] == [6, 6]
    assert [len(times[name].seconds) for name in "ab"] == [6, 6]


def test_a_plan_without_time_is_refused() -> None:
    with pytest.raises(UsageError, match=r"got 0 seconds, 15 rounds and 1 calls in a turn, exp"):
        TurnPlan(seconds=0)
    with pytest.raises(UsageError, match=r"5 rounds .* give more --seconds"):
        TurnPlan(seconds=1, rounds=5)
