from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest
from scipy.stats import norm

from edge_arm.runtime.statistics.tango import (
    pass_boundary,
    tango_statistic,
    tango_upper_limit,
    tango_upper_limits,
)

Z95 = float(norm.ppf(0.975))
Z90 = float(norm.ppf(0.95))
TABLES = [
    (0, 0, 1),
    (0, 1, 1),
    (0, 0, 44),
    (1, 0, 44),
    (5, 0, 5),
    (0, 5, 5),
    (3, 2, 5),
    (10, 10, 20),
    (12, 2, 20),
    (31, 0, 3068),
    (70, 50, 3068),
    (250, 180, 3068),
]


def statistic(b: int, c: int, n: int, drop: float) -> float:
    return float(tango_statistic(np.array(b), np.array(c), n, np.array(drop)))


def test_tangos_own_example_is_reproduced_as_printed() -> None:
    # Tango (1998), section 6.1 and table V: cells 43, 0, 1, 0 of n = 44, margin 0.1: Z = 1.709,
    # one-sided p = 0.044, limit of the 90 % interval -0.096 (there new minus standard, so +0.096).
    z = statistic(1, 0, 44, 0.1)
    assert f"{-z:.3f}" == "1.709"
    assert f"{norm.cdf(z):.3f}" == "0.044"
    assert f"{tango_upper_limit(1, 0, 44, Z90):.3f}" == "0.096"


def test_the_published_interval_of_the_consolidation_trial_is_reproduced() -> None:
    # Cells 59, 6, 16, 80: R package contingencytables, its own test of
    # Tango_asymptotic_score_CI_paired_2x2(cavo_2012): -0.0621 (95 % CI -0.1240 to -0.0054).
    assert f"{-tango_upper_limit(16, 6, 161, Z95):.4f}" == "-0.1240"
    assert f"{tango_upper_limit(6, 16, 161, Z95):.4f}" == "-0.0054"


@pytest.mark.parametrize(("b", "c", "n"), TABLES)
@pytest.mark.parametrize("drop", [-0.3, -0.01, 0.0, 0.004, 0.05, 0.6])
def test_the_statistic_is_the_score_of_the_maximised_likelihood(
    by_definition: ModuleType, b: int, c: int, n: int, drop: float
) -> None:
    # The numerical maximum is good to about 1e-8 in q, and T divides by its square root.
    assert statistic(b, c, n, drop) == pytest.approx(by_definition.score(b, c, n, drop), abs=1e-5)


@pytest.mark.parametrize(("b", "c", "n"), TABLES)
def test_the_limits_are_the_roots_of_that_score(
    by_definition: ModuleType, b: int, c: int, n: int
) -> None:
    assert tango_upper_limit(b, c, n, Z95) == pytest.approx(
        by_definition.upper_limit(b, c, n, Z95), abs=1e-7
    )
    assert -tango_upper_limit(c, b, n, Z95) == pytest.approx(
        by_definition.lower_limit(b, c, n, Z95), abs=1e-7
    )


def test_without_discordant_faces_the_limit_is_z_squared_over_n_plus_z_squared() -> None:
    # By hand: b = c = 0 gives q = 0, T = -sqrt(n d / (1 - d)).
    assert tango_upper_limit(0, 0, 436, Z95) == pytest.approx(Z95**2 / (436 + Z95**2), rel=1e-12)


def test_if_every_face_is_lost_the_limit_is_one() -> None:
    assert tango_upper_limit(7, 0, 7, Z95) == 1.0


def test_many_tables_at_once_are_the_same_as_one_by_one() -> None:
    b, c = np.array([3, 0, 9]), np.array([1, 0, 30])
    together = tango_upper_limits(b, c, 100, Z95)
    alone = [tango_upper_limit(int(x), int(y), 100, Z95) for x, y in zip(b, c, strict=True)]
    assert together.tolist() == alone


@pytest.mark.parametrize("drop", [-0.2, 0.0, 0.01, 0.3])
def test_the_statistic_rises_with_each_face_lost_instead_of_won(drop: float) -> None:
    # The staircases of pass_boundary, power and exact test rest on this.
    for m in range(1, 31):
        b = np.arange(m + 1)
        steps = np.diff(tango_statistic(b, m - b, 30, np.full(m + 1, drop)))
        assert (steps > 0).all()


@pytest.mark.parametrize(("b", "c", "n"), [(0, 0, 30), (4, 3, 30), (30, 0, 30), (1, 9, 3068)])
def test_the_statistic_falls_with_the_supposed_drop(b: int, c: int, n: int) -> None:
    drops = np.linspace(-0.999, 0.999, 501)
    steps = np.diff(tango_statistic(np.full(501, b), np.full(501, c), n, drops))
    assert (steps < 0).all()


@pytest.mark.parametrize("drop", [0.0, 0.05, 0.4])
def test_the_boundary_is_the_last_table_within_the_bound(drop: float) -> None:
    boundary = pass_boundary(0, 25, 25, drop=drop, statistic=-Z95)
    for m in range(26):
        inside = [b for b in range(m + 1) if statistic(b, m - b, 25, drop) <= -Z95]
        assert boundary[m] == max(inside, default=-1)
