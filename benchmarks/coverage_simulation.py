"""Do the intervals cover, and are verdicts as rarely wrong as they say?

    python benchmarks/coverage_simulation.py [--sets 3000] [--seed 0]

Draws test sets with a known true drop, judges each as `edge-arm measure` would, and counts. Three
tables come out in Markdown, for docs/statistics.md: how often the 95 % interval holds the true
drop and how often PASS and FAIL are wrong; how often the verdict over seven classes is wrong; and
how often the two planning numbers (minimum detectable drop, faces needed) deliver the 80 % they
promise. The exit status is 1 if a rate lies
beyond its promise by more than three standard errors of the simulation (planning numbers: and six
points).

Nothing but b and c (faces lost, faces won) matters to the statistics, so a set is one draw from a
trinomial, and equal draws are judged once.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from edge_arm.runtime.statistics import (
    Gate,
    Interval,
    IntervalMethod,
    PairedCounts,
    Verdict,
    drop_interval,
    faces_needed,
    holm_adjusted,
    inferiority_p,
    minimum_detectable_drop,
    verdict_from_interval,
    verdict_over_classes,
)

NUM_FACES = (100, 436, 3068)  # a small set, SFEW's, RAF-DB's
DISCORDANCES = (0.01, 0.04, 0.10)
DROPS = (0.0, 0.005, 0.01, 0.02)
CLASS_FACES = (329, 74, 160, 1185, 478, 162, 680)  # RAF-DB's test faces by class
CLASS_MARGIN = 0.05
CLASS_DISCORDANCE = 0.06
CONFIDENCE = 0.95
ONE_SIDED_ERROR = 0.025
POWER = 0.8
PLANNING_TOLERANCE = 0.06
"""Planning sums over the score test; the exact test, which decides small tables, asks a little more
(most where all discordant faces were lost)."""


@dataclass(frozen=True)
class Scenario:
    """A world to draw test sets from.

    Attributes:
        num_faces: of each set.
        discordance: true share of faces that exactly one model gets right.
        drop: true drop, at most the discordance.
    """

    num_faces: int
    discordance: float
    drop: float


@dataclass(frozen=True)
class Rates:
    """What happened over all sets of a scenario, as shares.

    Attributes:
        coverage: interval holds the true drop.
        wrong_pass: PASS at a margin equal to the true drop, which is too large for it.
        wrong_fail: FAIL at the same margin; the drop is not above it either.
        exact: sets judged by the exact method.
    """

    coverage: float
    wrong_pass: float
    wrong_fail: float
    exact: float


def scenarios(num_faces: Sequence[int] = NUM_FACES) -> list[Scenario]:
    """All combinations that exist: a drop cannot exceed the discordance.

    Args:
        num_faces: set sizes to use.
    """
    return [
        Scenario(n, discordance, drop)
        for n in num_faces
        for discordance in DISCORDANCES
        for drop in DROPS
        if drop <= discordance
    ]


def counts_of(num_faces: int, b: int, c: int) -> PairedCounts:
    """A table with the given discordant faces; where the others lie does not matter.

    Args:
        num_faces: n.
        b: faces right by the reference only.
        c: faces right by the candidate only.
    """
    return PairedCounts(num_faces, num_faces - b - c, b, c, 0)


@cache
def interval_of(num_faces: int, b: int, c: int) -> Interval:
    """The product's interval, kept, because draws repeat.

    Args:
        num_faces: n.
        b: faces right by the reference only.
        c: faces right by the candidate only.
    """
    return drop_interval(counts_of(num_faces, b, c), confidence=CONFIDENCE)


def draws(
    scenario: Scenario, num_sets: int, rng: np.random.Generator
) -> list[tuple[int, int, int]]:
    """Simulated sets as (b, c, how many sets are like this).

    Args:
        scenario: where they come from.
        num_sets: how many in all.
        rng: source of chance.
    """
    lost = (scenario.discordance + scenario.drop) / 2
    won = (scenario.discordance - scenario.drop) / 2
    cells = rng.multinomial(scenario.num_faces, [lost, won, 1 - lost - won], size=num_sets)
    tables, repeats = np.unique(cells[:, :2], axis=0, return_counts=True)
    return [(int(b), int(c), int(k)) for (b, c), k in zip(tables, repeats, strict=True)]


def rates(scenario: Scenario, num_sets: int, rng: np.random.Generator) -> Rates:
    """Judge the sets of one scenario at a margin equal to the true drop.

    Args:
        scenario: where they come from.
        num_sets: how many.
        rng: source of chance.
    """
    gate = Gate(scenario.drop, CONFIDENCE)
    covered = passed = failed = exact = 0
    for b, c, repeats in draws(scenario, num_sets, rng):
        interval = interval_of(scenario.num_faces, b, c)
        verdict = verdict_from_interval(interval, gate)
        covered += repeats * (interval.low <= scenario.drop <= interval.high)
        passed += repeats * (verdict is Verdict.PASS)
        failed += repeats * (verdict is Verdict.FAIL)
        exact += repeats * (interval.method is IntervalMethod.EXACT)
    return Rates(covered / num_sets, passed / num_sets, failed / num_sets, exact / num_sets)


def decided(
    scenario: Scenario, margin: float, wanted: Verdict, num_sets: int, rng: np.random.Generator
) -> float:
    """Share of the sets that end in the wanted verdict.

    Args:
        scenario: where the sets come from.
        margin: of the gate.
        wanted: the right verdict.
        num_sets: how many.
        rng: source of chance.
    """
    gate = Gate(margin, CONFIDENCE)
    return (
        sum(
            repeats
            for b, c, repeats in draws(scenario, num_sets, rng)
            if verdict_from_interval(interval_of(scenario.num_faces, b, c), gate) is wanted
        )
        / num_sets
    )


@cache
def exceeds_p_of(num_faces: int, b: int, c: int) -> float:
    """The product's p of "at most the class margin", kept likewise.

    Args:
        num_faces: n.
        b: faces right by the reference only.
        c: faces right by the candidate only.
    """
    return inferiority_p(counts_of(num_faces, b, c), CLASS_MARGIN)


def class_verdicts(
    drops: Sequence[float],
    num_sets: int,
    rng: np.random.Generator,
    *,
    class_faces: Sequence[int] = CLASS_FACES,
) -> dict[Verdict, float]:
    """Share of each verdict over all classes.

    Args:
        drops: true drop of each class.
        num_sets: how many sets of all classes.
        rng: source of chance.
        class_faces: faces of each class.
    """
    gate = Gate(CLASS_MARGIN, CONFIDENCE)
    columns = []
    for num_faces, drop in zip(class_faces, drops, strict=True):
        lost, won = (CLASS_DISCORDANCE + drop) / 2, (CLASS_DISCORDANCE - drop) / 2
        columns.append(rng.multinomial(num_faces, [lost, won, 1 - lost - won], size=num_sets))
    seen = dict.fromkeys(Verdict, 0)
    for row in range(num_sets):
        tables = [
            (num_faces, int(cells[row, 0]), int(cells[row, 1]))
            for num_faces, cells in zip(class_faces, columns, strict=True)
        ]
        verdict = verdict_over_classes(
            [verdict_from_interval(interval_of(*table), gate) for table in tables],
            holm_adjusted([exceeds_p_of(*table) for table in tables]),
            confidence=CONFIDENCE,
        )
        seen[verdict] += 1
    return {verdict: count / num_sets for verdict, count in seen.items()}


def print_classes(num_sets: int, seed: int, say: Callable[[str], None]) -> bool:
    """The table of the class gate.

    Args:
        num_sets: per row.
        seed: of the draws.
        say: takes the lines.

    Returns:
        Whether wrong verdicts are as rare as promised.
    """
    rng = np.random.default_rng(seed + 2)
    highest = ONE_SIDED_ERROR + three_standard_errors(ONE_SIDED_ERROR, num_sets)
    count, margin = len(CLASS_FACES), CLASS_MARGIN
    smallest, largest = CLASS_FACES.index(min(CLASS_FACES)), CLASS_FACES.index(max(CLASS_FACES))

    def only(label: int) -> list[float]:
        return [margin if other == label else 0.0 for other in range(count)]

    worlds = {
        "every class at the margin": [margin] * count,
        f"one class at the margin ({CLASS_FACES[smallest]} faces)": only(smallest),
        f"one class at the margin ({CLASS_FACES[largest]} faces)": only(largest),
    }
    say(f"\n| classes, margin {margin * 100:.0f} pp | wrong PASS | wrong FAIL | cannot tell |")
    say("|---|---:|---:|---:|")
    good = True
    for name, drops in worlds.items():
        seen = class_verdicts(drops, num_sets, rng)
        kept = max(seen[Verdict.PASS], seen[Verdict.FAIL]) <= highest
        good = good and kept
        say(
            f"| {name} | {seen[Verdict.PASS]:.2%} | {seen[Verdict.FAIL]:.2%} "
            f"| {seen[Verdict.CANNOT_TELL]:.2%} |{'' if kept else ' **beyond its promise**'}"
        )
    return good


def three_standard_errors(rate: float, num_sets: int) -> float:
    """How far a simulated rate may lie from the true one by chance (0.3 % of the time it is more).

    Args:
        rate: the true one.
        num_sets: simulated sets.
    """
    return 3 * math.sqrt(rate * (1 - rate) / num_sets)


def print_rates(num_sets: int, seed: int, say: Callable[[str], None]) -> bool:
    """The first table.

    Args:
        num_sets: per scenario.
        seed: of the draws.
        say: takes the lines.

    Returns:
        Whether all rates keep their promise.
    """
    rng = np.random.default_rng(seed)
    lowest = CONFIDENCE - three_standard_errors(CONFIDENCE, num_sets)
    highest = ONE_SIDED_ERROR + three_standard_errors(ONE_SIDED_ERROR, num_sets)
    say(
        f"Promised: coverage at least 95 % (within chance {lowest:.2%}), wrong PASS and wrong "
        f"FAIL at most 2.5 % each (within chance {highest:.2%}).\n"
    )
    say("| faces | discordant | true drop | coverage | wrong PASS | wrong FAIL | judged exactly |")
    say("|---:|---:|---:|---:|---:|---:|---:|")
    good = True
    for scenario in scenarios():
        seen = rates(scenario, num_sets, rng)
        kept = seen.coverage >= lowest and max(seen.wrong_pass, seen.wrong_fail) <= highest
        good = good and kept
        say(
            f"| {scenario.num_faces} | {scenario.discordance:.0%} | {scenario.drop * 100:.1f} pp "
            f"| {seen.coverage:.2%} | {seen.wrong_pass:.2%} | {seen.wrong_fail:.2%} "
            f"| {seen.exact:.0%} |{'' if kept else ' **beyond its promise**'}"
        )
    return good


def print_planning(num_sets: int, seed: int, say: Callable[[str], None]) -> bool:
    """The last table: new sets, drawn at the planned margin or of the planned size.

    Args:
        num_sets: per row.
        seed: of the draws.
        say: takes the lines.

    Returns:
        Whether all numbers deliver 80 %, within chance and the planning tolerance.
    """
    rng = np.random.default_rng(seed + 1)
    lowest = POWER - PLANNING_TOLERANCE - three_standard_errors(POWER, num_sets)
    say("\n| question | observed | answer | decided rightly |")
    say("|---|---|---:|---:|")
    good = True
    for n in NUM_FACES:
        for discordant in (round(n * discordance) for discordance in DISCORDANCES):
            margin = minimum_detectable_drop(n, discordant)
            world = Scenario(n, (discordant + 0.5) / (n + 1), 0.0)
            share = decided(world, margin, Verdict.PASS, num_sets, rng)
            good = good and share >= lowest
            say(
                f"| minimum detectable drop | {discordant} of {n} discordant "
                f"| {margin * 100:.2f} pp | {share:.1%} |"
            )
    for n, b, c, margin in ((436, 5, 4, 0.01), (436, 9, 0, 0.01), (3068, 40, 20, 0.01)):
        counts = counts_of(n, b, c)
        needed = faces_needed(counts, margin)
        if needed is None:
            raise RuntimeError(f"{n} faces, {b} lost, {c} won: the example must be decidable")
        world = Scenario(needed, (b + c + 0.5) / (n + 1), counts.drop)
        wanted = Verdict.PASS if counts.drop < margin else Verdict.FAIL
        share = decided(world, margin, wanted, num_sets, rng)
        good = good and share >= lowest
        say(
            f"| faces needed for {wanted.name} at {margin * 100:.1f} pp | {b} lost, {c} won of {n} "
            f"| {needed} | {share:.1%} |"
        )
    return good


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables.

    Args:
        arguments: of the command line.

    Returns:
        0 if every promise is kept, else 1.
    """
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--sets", type=int, default=3000, help="simulated sets per row")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    start = time.perf_counter()
    kept = print_rates(options.sets, options.seed, print)
    classes = print_classes(options.sets, options.seed, print)
    delivered = print_planning(options.sets, options.seed, print)
    print(f"\n{options.sets} sets per row, seed {options.seed}.")
    print(f"{time.perf_counter() - start:.0f} s", file=sys.stderr)
    return 0 if kept and classes and delivered else 1


if __name__ == "__main__":
    sys.exit(main())
