from __future__ import annotations

import pytest
from scipy.stats import norm

from edge_arm.runtime.errors import UsageError
from edge_arm.runtime.statistics import (
    Gate,
    IntervalMethod,
    PairedCounts,
    Verdict,
    drop_interval,
    inferiority_p,
    noninferiority_p,
    verdict_from_interval,
)

TABLES = [(436, 0, 0), (436, 10, 4), (3068, 0, 25), (3068, 60, 40), (3068, 61, 40), (3068, 200, 90)]


def table(num_faces: int, b: int, c: int) -> PairedCounts:
    return PairedCounts(num_faces, num_faces - b - c, b, c, 0)


def test_up_to_100_discordant_faces_the_interval_is_exact() -> None:
    assert drop_interval(table(3068, 60, 40)).method is IntervalMethod.EXACT


def test_beyond_100_discordant_faces_the_interval_is_tangos() -> None:
    assert drop_interval(table(3068, 61, 40)).method is IntervalMethod.TANGO


@pytest.mark.parametrize(("b", "c"), [(60, 40), (100, 0), (0, 100), (50, 50)])
def test_the_change_of_method_moves_no_limit_by_a_visible_amount(b: int, c: int) -> None:
    exact = drop_interval(table(3068, b, c))
    other = drop_interval(table(3068, b + 1, c))
    # One more lost face of 3068 is 0.033 points by itself.
    assert abs(other.low - exact.low) < 0.0007
    assert abs(other.high - exact.high) < 0.0007


@pytest.mark.parametrize(("n", "b", "c"), TABLES)
def test_swapping_the_models_mirrors_the_interval(n: int, b: int, c: int) -> None:
    one, other = drop_interval(table(n, b, c)), drop_interval(table(n, c, b))
    assert (one.low, one.high) == (-other.high, -other.low)


@pytest.mark.parametrize(("n", "b", "c"), TABLES)
def test_the_interval_holds_the_observed_drop(n: int, b: int, c: int) -> None:
    interval = drop_interval(table(n, b, c))
    assert interval.low < (b - c) / n < interval.high


@pytest.mark.parametrize(("n", "b", "c"), TABLES)
def test_more_confidence_is_a_wider_interval(n: int, b: int, c: int) -> None:
    usual, wider = drop_interval(table(n, b, c)), drop_interval(table(n, b, c), confidence=0.99)
    assert wider.low < usual.low
    assert usual.high < wider.high


@pytest.mark.parametrize(("n", "b", "c"), TABLES)
@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_interval_and_p_never_contradict_each_other(
    n: int, b: int, c: int, confidence: float
) -> None:
    counts, error = table(n, b, c), (1 - confidence) / 2
    interval = drop_interval(counts, confidence=confidence)
    for hair in (1e-6, 1e-3):
        assert noninferiority_p(counts, interval.high + hair) < error
        assert noninferiority_p(counts, interval.high - hair) > error
        assert inferiority_p(counts, interval.low - hair) < error
        assert inferiority_p(counts, interval.low + hair) > error


def test_beyond_100_discordant_faces_the_p_is_tangos() -> None:
    # By hand at margin 0, where q = (b + c) / 2n and T = (b - c) / sqrt(b + c), McNemar's z.
    p = noninferiority_p(table(3068, 80, 100), 0.0)
    assert p == pytest.approx(norm.cdf(-20 / 180**0.5), rel=1e-9)


def test_with_one_face_nothing_can_be_said() -> None:
    for b, c in ((0, 0), (1, 0), (0, 1)):
        interval = drop_interval(table(1, b, c))
        assert verdict_from_interval(interval, Gate(0.01)) is Verdict.CANNOT_TELL


def test_two_wrong_models_are_judged_like_two_right_ones() -> None:
    wrong, right = PairedCounts(200, 0, 0, 0, 200), PairedCounts(200, 200, 0, 0, 0)
    assert drop_interval(wrong) == drop_interval(right)


@pytest.mark.parametrize("margin", [1.0, -1.0, 5.0, float("nan")])
def test_a_margin_that_is_no_fraction_is_refused(margin: float) -> None:
    with pytest.raises(UsageError, match="margin is .*write one percentage point as 0.01"):
        noninferiority_p(table(10, 1, 1), margin)
    with pytest.raises(UsageError, match="margin is"):
        inferiority_p(table(10, 1, 1), margin)
