"""Times models in turns, so that a drifting clock or a noisy neighbour hits all of them alike.

1. Every model is warmed up until its latency is steady, or for as long as that may take.
2. In each round every model has a turn of a fraction of a second. The order is turned from round to
   round and every second round runs backwards, so that no model always follows the same one.
3. The first call of a turn is not counted: caches are full of the model before, and the threads of
   that one may still be spinning.
4. `Backend.infer` returns logits that are there, so nothing is left on a queue when the clock is
   read: a call that has not waited for its GPU cannot look fast.

Shapes: N faces in a call, S model input size.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from edge_arm.runtime.backend import Backend
from edge_arm.runtime.benchmark.ratios import FEWEST_ROUNDS
from edge_arm.runtime.errors import UsageError
from edge_arm.runtime.preprocess import Uint8Array

Clock = Callable[[], float]

_STEADY_WINDOW = 5
"""Calls whose median is compared with that of the calls before them."""
_STEADY_SHARE = 0.05
"""How much these two may differ."""


@dataclass(frozen=True)
class TurnPlan:
    """How long to measure.

    Attributes:
        seconds: for all models together, warm-up not counted.
        rounds: to cut that into; an interval takes six.
        fewest_calls: of each model in a turn, the first one that is not counted left out.
        warm_up_s: for each model at most; three calls are made in any case.

    Raises:
        UsageError: for fewer rounds than an interval takes, or no time.
    """

    seconds: float
    rounds: int = 15
    fewest_calls: int = 1
    warm_up_s: float = 1.0

    def __post_init__(self) -> None:
        if not self.seconds > 0 or self.rounds < FEWEST_ROUNDS or self.fewest_calls < 1:
            raise UsageError(
                f"got {self.seconds!r} seconds, {self.rounds} rounds and {self.fewest_calls} calls "
                f"in a turn, expected time, {FEWEST_ROUNDS} rounds and 1 call at least; "
                "give more --seconds"
            )


@dataclass(frozen=True)
class TurnTimes:
    """What one model took.

    Attributes:
        rounds: seconds of each counted call, round by round.
        warm_up_calls: that went before.
        steady: whether its latency had come to rest when they ended.
    """

    rounds: tuple[tuple[float, ...], ...]
    warm_up_calls: int
    steady: bool

    @property
    def seconds(self) -> tuple[float, ...]:
        """Of every counted call, in order."""
        return tuple(call for turn in self.rounds for call in turn)

    @property
    def round_medians(self) -> tuple[float, ...]:
        """Median seconds of a call in each round."""
        return tuple(median(turn) for turn in self.rounds)


def alternate(
    models: Mapping[str, Backend],
    images_nhwc: Uint8Array,
    *,
    plan: TurnPlan,
    clock: Clock = time.perf_counter,
) -> dict[str, TurnTimes]:
    """Time the calls of some models on the same faces.

    Args:
        models: by name; loaded.
        images_nhwc: (N, S, S, 3) uint8, the faces of every call.
        plan: for how long.
        clock: in seconds.

    Returns:
        By name. All models have the same number of rounds: as many as the plan says, fewer if a
        round takes longer than planned, but never too few for an interval.

    Raises:
        InferenceError: if a model fails.
    """
    warm = {name: _warmed_up(model, images_nhwc, plan, clock) for name, model in models.items()}
    turn_s = plan.seconds / plan.rounds / len(models)
    rounds: dict[str, list[tuple[float, ...]]] = {name: [] for name in models}
    end = clock() + plan.seconds
    for number in range(plan.rounds):
        if number >= FEWEST_ROUNDS and clock() >= end:
            break
        for name in turn_order(tuple(models), number):
            turn = _turn(models[name], images_nhwc, turn_s, fewest=plan.fewest_calls, clock=clock)
            rounds[name].append(turn)
    return {name: TurnTimes(tuple(rounds[name]), *warm[name]) for name in models}


def turn_order(names: Sequence[str], number: int) -> tuple[str, ...]:
    """The order of a round (rule 2).

    Args:
        names: of all models.
        number: of the round, from 0.
    """
    first = number // 2 % len(names)
    turned = (*names[first:], *names[:first])
    return turned if number % 2 == 0 else turned[::-1]


def _turn(
    model: Backend, images_nhwc: Uint8Array, turn_s: float, *, fewest: int, clock: Clock
) -> tuple[float, ...]:
    end = clock() + turn_s
    model.infer(images_nhwc)  # rule 3
    calls: list[float] = []
    before = clock()
    while len(calls) < fewest or before < end:
        model.infer(images_nhwc)
        after = clock()
        calls.append(after - before)
        before = after
    return tuple(calls)


def _warmed_up(
    model: Backend, images_nhwc: Uint8Array, plan: TurnPlan, clock: Clock
) -> tuple[int, bool]:
    """Calls that were made, and whether they came to rest (rule 1)."""
    end = clock() + plan.warm_up_s
    calls: list[float] = []
    while len(calls) < 3 or clock() < end:
        before = clock()
        model.infer(images_nhwc)
        calls.append(clock() - before)
        if len(calls) >= 2 * _STEADY_WINDOW:
            earlier = median(calls[-2 * _STEADY_WINDOW : -_STEADY_WINDOW])
            if abs(median(calls[-_STEADY_WINDOW:]) - earlier) <= _STEADY_SHARE * earlier:
                return len(calls), True
    return len(calls), False
