from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest
from scipy.stats import multinomial, norm

from edge_arm.runtime.errors import UsageError
from edge_arm.runtime.statistics import (
    PairedCounts,
    Verdict,
    faces_needed,
    minimum_detectable_drop,
)
from edge_arm.runtime.statistics.power import fail_probability, pass_probability


def table(num_faces: int, b: int, c: int) -> PairedCounts:
    return PairedCounts(num_faces, num_faces - b - c, b, c, 0)


@pytest.mark.parametrize(
    ("discordance", "drop", "margin"), [(0.1, 0.0, 0.12), (0.3, 0.05, 0.2), (0.2, 0.2, 0.05)]
)
def test_the_power_is_the_sum_over_all_tables_that_pass_or_fail(
    by_definition: ModuleType, discordance: float, drop: float, margin: float
) -> None:
    n, z = 30, float(norm.ppf(0.975))
    cells = [(b, m - b, n - m) for m in range(n + 1) for b in range(m + 1)]
    shares = [(discordance + drop) / 2, (discordance - drop) / 2, 1 - discordance]
    weights = multinomial.pmf(np.array(cells), n, shares)
    scores = np.array([by_definition.score(b, c, n, margin) for b, c, _ in cells])
    passing = pass_probability(n, discordance, drop, margin=margin)
    failing = fail_probability(n, discordance, drop, margin=margin)
    assert passing == pytest.approx(weights[scores <= -z].sum(), abs=1e-10)
    assert failing == pytest.approx(weights[scores > z].sum(), abs=1e-10)


def test_a_perfect_pair_of_models_passes_with_certainty_if_the_set_allows_it() -> None:
    # b = c = 0 always; Tango's limit is z^2 / (n + z^2) = 3.7 % at n = 100.
    assert pass_probability(100, 0.0, 0.0, margin=0.04) == 1.0
    assert pass_probability(100, 0.0, 0.0, margin=0.03) == 0.0


@pytest.mark.parametrize(("n", "discordant"), [(3068, 307), (100_000, 4000)])
def test_with_many_discordant_faces_the_minimum_is_the_textbook_formula(
    n: int, discordant: int
) -> None:
    # (z_0.975 + z_0.8) standard errors of the drop, sqrt(w / n).
    textbook = (norm.ppf(0.975) + norm.ppf(0.8)) * (discordant**0.5 / n)
    assert minimum_detectable_drop(n, discordant) == pytest.approx(textbook, rel=0.01)


@pytest.mark.parametrize("n", [74, 436, 3068])
def test_without_disagreement_the_minimum_is_small_but_not_zero(n: int) -> None:
    assert 3.8 / n < minimum_detectable_drop(n, 0) < 5.5 / n


def test_the_minimum_grows_with_disagreement_and_shrinks_with_faces() -> None:
    assert minimum_detectable_drop(436, 5) < minimum_detectable_drop(436, 30)
    assert minimum_detectable_drop(3068, 40) < minimum_detectable_drop(436, 40)


def test_one_face_cannot_certify_anything() -> None:
    assert minimum_detectable_drop(1, 1) == 1.0


@pytest.mark.parametrize(("n", "discordant"), [(100, 4), (436, 17)])
def test_at_the_minimum_about_80_percent_of_new_sets_pass(
    coverage_simulation: ModuleType, n: int, discordant: int
) -> None:
    margin = minimum_detectable_drop(n, discordant)
    world = coverage_simulation.Scenario(n, (discordant + 0.5) / (n + 1), 0.0)
    rng = np.random.default_rng(7)
    share = coverage_simulation.decided(world, margin, Verdict.PASS, 2000, rng)
    # Planning tolerance of the script, and three standard errors of 2,000 draws.
    assert share == pytest.approx(0.8, abs=0.06 + 0.027)


@pytest.mark.parametrize(
    ("n", "b", "c", "margin", "wanted"),
    [(436, 5, 4, 0.02, Verdict.PASS), (436, 9, 0, 0.01, Verdict.FAIL)],
)
def test_with_the_faces_needed_about_80_percent_of_new_sets_decide(
    coverage_simulation: ModuleType, n: int, b: int, c: int, margin: float, wanted: Verdict
) -> None:
    needed = faces_needed(table(n, b, c), margin)
    assert needed is not None
    world = coverage_simulation.Scenario(needed, (b + c + 0.5) / (n + 1), (b - c) / n)
    rng = np.random.default_rng(8)
    share = coverage_simulation.decided(world, margin, wanted, 2000, rng)
    assert share == pytest.approx(0.8, abs=0.06 + 0.027)


def test_with_many_discordant_faces_the_faces_needed_are_the_textbook_number() -> None:
    # n = ((z_0.975 + z_0.8) / (margin - drop))^2 (w - drop^2), the variance of one face.
    n, b, c, margin = 30_000, 1500, 1350, 0.01
    drop, discordance = (b - c) / n, (b + c) / n
    z = norm.ppf(0.975) + norm.ppf(0.8)
    textbook = (z / (margin - drop)) ** 2 * (discordance - drop**2)
    assert faces_needed(table(n, b, c), margin) == pytest.approx(textbook, rel=0.02)


def test_a_drop_at_the_margin_is_never_decided() -> None:
    assert faces_needed(table(1000, 20, 10), 0.01) is None


def test_a_drop_too_near_the_margin_is_not_decided_by_a_million_faces() -> None:
    assert faces_needed(table(100_000, 3000, 2001), 0.01) is None


def test_all_faces_lost_still_has_an_answer() -> None:
    needed = faces_needed(table(3, 3, 0), 0.01)
    assert needed is not None
    assert 2 <= needed <= 10


@pytest.mark.parametrize(("n", "discordant"), [(0, 0), (5, 6), (5, -1)])
def test_impossible_counts_are_refused(n: int, discordant: int) -> None:
    with pytest.raises(UsageError, match=f"{discordant} discordant faces among {n}"):
        minimum_detectable_drop(n, discordant)


@pytest.mark.parametrize("power", [80.0, 0.2, 1.0])
def test_a_power_that_is_no_usable_fraction_is_refused(power: float) -> None:
    with pytest.raises(UsageError, match="power is .*write 80 % as 0.8"):
        faces_needed(table(10, 1, 0), 0.01, power=power)
