from __future__ import annotations

from functools import cache
from types import ModuleType

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import beta, binom, multinomial, norm

from edge_arm.runtime.statistics.exact import exact_noninferiority_p, exact_upper_limit

Table = tuple[int, int]


@cache
def tables(n: int) -> tuple[Table, ...]:
    return tuple((b, m - b) for m in range(n + 1) for b in range(m + 1))


@cache
def limits_that_order(by_definition: ModuleType, n: int) -> dict[Table, float]:
    z = float(norm.ppf(0.975))
    return {(b, c): by_definition.upper_limit(b, c, n, z) for b, c in tables(n)}


def brute_force_p(by_definition: ModuleType, table: Table, n: int, drop: float) -> float:
    """Every table, a dense grid of discordances, no staircase, no recurrence."""
    order = limits_that_order(by_definition, n)
    inside = [other for other in tables(n) if order[other] <= order[table] + 1e-7]
    m = sum(table)
    lowest = 0.0 if m == 0 else beta.ppf(0.5e-5, m, n - m + 1)
    highest = 1.0 if m == n else beta.ppf(1 - 0.5e-5, m + 1, n - m)
    best = 0.0
    low = max(lowest, drop)
    corner = min(max(low, -drop), highest)
    for discordance in [*np.linspace(low, highest, 801), corner]:
        # "At least this drop" holds all drops from here on, of which -w is the smallest possible.
        supposed = max(drop, -discordance)
        shares = [(discordance + supposed) / 2, (discordance - supposed) / 2, 1 - discordance]
        cells = np.array([(x, y, n - x - y) for x, y in inside])
        best = max(best, float(multinomial.pmf(cells, n, shares).sum()))
    return best + 1e-5


@pytest.mark.parametrize(("b", "c"), tables(6))
def test_the_p_of_every_table_of_six_faces_is_the_one_of_brute_force(
    by_definition: ModuleType, b: int, c: int
) -> None:
    for drop in (-0.4, 0.0, 0.05, 0.3):
        # The two grids of the nuisance parameter differ; both miss the maximum by less than this.
        expected = min(1.0, brute_force_p(by_definition, (b, c), 6, drop))
        assert exact_noninferiority_p(b, c, 6, drop) == pytest.approx(expected, abs=3e-4)


@pytest.mark.parametrize(("b", "c"), [(0, 0), (2, 1), (1, 6), (0, 3)])
def test_the_p_for_fifteen_faces_is_the_one_of_brute_force(
    by_definition: ModuleType, b: int, c: int
) -> None:
    for drop in (-0.1, 0.02, 0.25):
        expected = min(1.0, brute_force_p(by_definition, (b, c), 15, drop))
        assert exact_noninferiority_p(b, c, 15, drop) == pytest.approx(expected, abs=3e-4)


@pytest.mark.parametrize("n", [10, 74, 436, 3068, 1_000_000])
def test_without_discordant_faces_the_limit_is_the_rule_of_three_made_exact(n: int) -> None:
    # By hand: nothing lost among n has probability (1 - d)^n; 1e-5 of the 2.5 % is spent elsewhere.
    expected = 1 - (0.025 - 1e-5) ** (1 / n)
    # A table with one face lost and many won can be as good, which moves the limit up a hair.
    limit = exact_upper_limit(0, 0, n, error=0.025)
    assert expected - 1e-12 <= limit <= 1.0005 * expected + 2e-7


def test_one_lost_face_of_one_leaves_everything_open() -> None:
    assert exact_upper_limit(1, 0, 1, error=0.025) == 1.0
    # By hand: "not lost" has probability at most 1 - d' with P(won) = d': the limit is -(-0.95).
    assert exact_upper_limit(0, 1, 1, error=0.025) == pytest.approx(0.95, abs=1e-4)


def test_all_faces_lost_is_a_limit_of_one() -> None:
    assert exact_upper_limit(9, 0, 9, error=0.025) == 1.0


@pytest.mark.parametrize(("b", "c", "n"), [(0, 0, 20), (3, 1, 100), (0, 30, 3068), (55, 45, 3068)])
def test_at_the_limit_the_p_is_the_error(b: int, c: int, n: int) -> None:
    limit = exact_upper_limit(b, c, n, error=0.025)
    # The limit is good to 1e-7; p changes by up to n / sqrt(m) per unit of drop.
    assert exact_noninferiority_p(b, c, n, limit) == pytest.approx(0.025, abs=2e-4)
    assert exact_noninferiority_p(b, c, n, limit + 1e-5) < 0.025
    assert exact_noninferiority_p(b, c, n, limit - 1e-5) > 0.025


def test_p_falls_as_the_margin_grows() -> None:
    p = [exact_noninferiority_p(5, 3, 200, margin) for margin in np.linspace(-0.5, 0.5, 101)]
    # Not strictly: beyond all plausible discordances either everything or only the 1e-5 is left.
    assert (np.diff(p) <= 1e-9).all()
    assert p[0] == pytest.approx(1.0, abs=1e-6)
    assert p[-1] == 1e-5


@pytest.mark.parametrize("n", [5, 14])
def test_no_world_makes_the_limit_wrong_more_often_than_it_says(n: int) -> None:
    uppers = {(b, c): exact_upper_limit(b, c, n, error=0.025) for b, c in tables(n)}
    cells = np.array([(b, c, n - b - c) for b, c in tables(n)])
    limits: NDArray[np.float64] = np.array([uppers[table] for table in tables(n)])
    for drop in np.linspace(-0.9, 0.95, 38):
        for discordance in np.linspace(abs(drop), 1.0, 25):
            shares = [(discordance + drop) / 2, (discordance - drop) / 2, 1 - discordance]
            probabilities = multinomial.pmf(cells, n, np.clip(shares, 0, 1))
            assert probabilities[limits < drop].sum() <= 0.025


def test_few_discordant_of_many_faces_behave_as_a_poisson_count() -> None:
    # Losing 3 of 3068 and winning none: tables with fewer losses are better, so the limit cannot be
    # far from Clopper and Pearson's for 3 losses, and not below it.
    limit = exact_upper_limit(3, 0, 3068, error=0.025)
    assert binom.cdf(3, 3068, limit) <= 0.025
    assert limit == pytest.approx(beta.ppf(0.975, 4, 3065), rel=0.05)
