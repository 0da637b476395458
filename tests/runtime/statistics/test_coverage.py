"""A small version of benchmarks/coverage_simulation.py, so that a broken interval is noticed."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest

from edge_arm.runtime.statistics import Verdict

NUM_SETS = 2000

# Discordance and drop; few discordant faces (exact) and more than a hundred (Tango).
WORLDS = [(100, 0.04, 0.02), (100, 0.10, 0.0), (436, 0.01, 0.005), (3068, 0.10, 0.01)]


@pytest.mark.parametrize(("num_faces", "discordance", "drop"), WORLDS)
def test_intervals_cover_and_verdicts_are_as_rarely_wrong_as_they_say(
    coverage_simulation: ModuleType, num_faces: int, discordance: float, drop: float
) -> None:
    world = coverage_simulation.Scenario(num_faces, discordance, drop)
    seen = coverage_simulation.rates(world, NUM_SETS, np.random.default_rng(11))
    # Three binomial standard errors of 2,000 sets: 1.5 % at 95 %, 1.05 % at 2.5 %.
    assert seen.coverage >= 0.95 - 0.015
    assert seen.wrong_pass <= 0.025 + 0.0105
    assert seen.wrong_fail <= 0.025 + 0.0105
    # Not by never saying anything: with this many discordant faces the interval is not timid.
    if discordance * num_faces > 100:
        assert seen.coverage <= 0.95 + 0.015


@pytest.mark.parametrize("classes_at_the_margin", [1, 7])
def test_seven_looks_are_as_rarely_wrong_as_one(
    coverage_simulation: ModuleType, classes_at_the_margin: int
) -> None:
    margin = coverage_simulation.CLASS_MARGIN
    seen = coverage_simulation.class_verdicts(
        [margin] * classes_at_the_margin + [0.0] * (7 - classes_at_the_margin),
        NUM_SETS,
        np.random.default_rng(5),
        class_faces=[80] * 7,
    )
    assert seen[Verdict.PASS] <= 0.025 + 0.0105
    assert seen[Verdict.FAIL] <= 0.025 + 0.0105


def test_a_scenario_never_has_more_drop_than_discordance(coverage_simulation: ModuleType) -> None:
    worlds = coverage_simulation.scenarios((100,))
    assert len(worlds) == 11
    assert all(world.drop <= world.discordance for world in worlds)


def test_draws_are_whole_sets_with_the_true_rates(coverage_simulation: ModuleType) -> None:
    world = coverage_simulation.Scenario(1000, 0.1, 0.02)
    drawn = coverage_simulation.draws(world, NUM_SETS, np.random.default_rng(2))
    assert sum(repeats for _, _, repeats in drawn) == NUM_SETS
    # Expected 60 and 40; standard errors of the means are sqrt(60 / 2000) = 0.17 and 0.14.
    assert sum(b * repeats for b, _, repeats in drawn) / NUM_SETS == pytest.approx(60, abs=0.7)
    assert sum(c * repeats for _, c, repeats in drawn) / NUM_SETS == pytest.approx(40, abs=0.6)
