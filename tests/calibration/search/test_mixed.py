from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest

from edge_arm.calibration.search.mixed import (
    Outcome,
    Point,
    certifiable_drop,
    fewest_in_float,
    least_faces,
)
from edge_arm.runtime.statistics import (
    Gate,
    PairedCounts,
    Verdict,
    drop_interval,
    verdict_from_interval,
)

LAYERS = tuple(f"layer{number}" for number in range(20))
GATE = Gate(0.01)


@dataclass
class Judge:
    """A judge with a rule for the faces lost, and a list of what it was asked."""

    lost: Callable[[frozenset[str]], int]
    num_faces: int = 1000
    gate: Gate = GATE
    asked: list[tuple[str, ...]] = field(default_factory=list)

    def __call__(self, in_float: Sequence[str]) -> Point:
        names = tuple(sorted(in_float, key=LAYERS.index))
        self.asked.append(names)
        lost = self.lost(frozenset(in_float))
        counts = PairedCounts(self.num_faces, self.num_faces - lost, lost, 0, 0)
        interval = drop_interval(counts, confidence=self.gate.confidence)
        verdict = verdict_from_interval(interval, self.gate)
        return Point(names, 1 + len(names) / 20, lost, lost / 1e4, counts, interval, verdict)


def needs(*wanted: str, each: int = 30) -> Callable[[frozenset[str]], int]:
    """Each of these layers loses so many faces unless it is in float."""
    return lambda in_float: each * len(set(wanted) - in_float)


def test_nothing_is_kept_in_float_where_int8_passes():
    judge = Judge(needs())
    result = fewest_in_float(LAYERS, judge, GATE)
    assert (result.outcome, result.chosen) == (Outcome.MET, ())
    assert judge.asked == [()]


@pytest.mark.parametrize("count", [1, 2, 3, 5, 11, 20])
def test_the_shortest_start_of_the_order_that_passes_is_found(count: int):
    judge = Judge(needs(*LAYERS[:count]))
    result = fewest_in_float(LAYERS, judge, GATE)
    assert (result.outcome, result.chosen) == (Outcome.MET, LAYERS[:count])
    assert result.final.verdict is Verdict.PASS


def test_doubling_and_halving_ask_few_candidates():
    judge = Judge(needs(LAYERS[10]))  # eleven of the order, of which ten turn out needless
    result = fewest_in_float(LAYERS, judge, GATE)
    assert result.chosen == (LAYERS[10],)
    starts = [len(names) for names in judge.asked if names == LAYERS[: len(names)]]
    # 0, all (is it in reach?), 1, 2, 4, 8, 16, then halving between 8 and 16
    assert starts[:10] == [0, 20, 1, 2, 4, 8, 16, 12, 10, 11]
    assert len(judge.asked) <= 10 + 11


def test_layers_that_turn_out_needless_go_back_to_int8():
    judge = Judge(needs("layer1", "layer4"))
    result = fewest_in_float(LAYERS, judge, GATE)
    assert result.chosen == ("layer1", "layer4")
    assert all(judge.asked.count(names) == 1 for names in judge.asked)


def test_every_candidate_that_ran_is_a_point_fewest_layers_first():
    judge = Judge(needs("layer1", "layer4"))
    points = fewest_in_float(LAYERS, judge, GATE).points
    assert sorted(point.in_float for point in points) == sorted(judge.asked)
    sizes = [len(point.in_float) for point in points]
    assert sizes == sorted(sizes)


def test_a_goal_that_fp16_does_not_meet_is_out_of_reach():
    judge = Judge(needs(*LAYERS))
    half = Judge(lambda _: 30)(LAYERS)
    result = fewest_in_float(LAYERS, judge, GATE, half=lambda: half)
    assert (result.outcome, result.chosen, result.half) == (Outcome.OUT_OF_REACH, (), half)
    assert judge.asked == [()]  # no candidate lies beyond FP16
    assert result.faces_needed is None  # 3 % lost is a fail, and more faces would say the same


def test_a_goal_that_all_layers_in_float_do_not_meet_is_out_of_reach():
    result = fewest_in_float(LAYERS, Judge(lambda _: 30), GATE)
    assert (result.outcome, result.chosen) == (Outcome.OUT_OF_REACH, ())


def test_a_goal_that_no_start_of_the_order_meets_is_out_of_reach_although_fp16_meets_it():
    half = Judge(lambda _: 0)(LAYERS)
    result = fewest_in_float(LAYERS, Judge(lambda _: 30), GATE, half=lambda: half)
    assert (result.outcome, result.chosen) == (Outcome.OUT_OF_REACH, ())


def test_an_fp16_that_these_faces_cannot_judge_names_how_many_could():
    half = Judge(lambda _: 5)(LAYERS)
    assert half.verdict is Verdict.CANNOT_TELL
    result = fewest_in_float(LAYERS, Judge(lambda _: 30), GATE, half=lambda: half)
    assert result.outcome is Outcome.OUT_OF_REACH
    assert result.faces_needed is not None
    assert result.faces_needed > 1000


def test_too_few_faces_end_the_search_before_it_begins():
    judge = Judge(lambda _: 0, num_faces=100)
    result = fewest_in_float(LAYERS, judge, GATE)
    assert (result.outcome, result.chosen) == (Outcome.TOO_FEW_FACES, ())
    assert judge.asked == [()]
    assert result.certifiable_drop > GATE.max_drop
    assert result.faces_needed == least_faces(GATE)


@pytest.mark.parametrize("max_drop", [0.05, 0.01])
def test_the_fewest_faces_pass_and_one_less_does_not(max_drop: float):
    gate = Gate(max_drop)
    enough = least_faces(gate)
    assert certifiable_drop(enough, 0.95) < max_drop <= certifiable_drop(enough - 1, 0.95)
    # With nothing lost the one-sided 97.5 % limit of a binomial share is 1 - 0.025^(1/n); the
    # paired limit knows less (faces could be won as well as lost) and is a little above it.
    assert 1 - 0.025 ** (1 / enough) < max_drop
    assert enough == pytest.approx(3.689 / max_drop, rel=0.05)
