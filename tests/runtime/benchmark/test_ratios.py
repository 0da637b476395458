from __future__ import annotations

import numpy as np
import pytest

from edge_arm.runtime.benchmark.ratios import speed_ratio
from edge_arm.runtime.errors import UsageError

# The ranks k of the interval of a median at 95 %, from scipy 1.17.1:
#   [int(scipy.stats.binom.ppf(0.025, n, 0.5)) for n in (6, 8, 9, 15, 20, 25)]
# ppf gives the smallest k with P(X <= k) >= 0.025, which is the largest with P(X <= k - 1) < 0.025.
# The same are in tables of the sign test: 1 for 6 to 8, 2 for 9 to 11, 4 for 15, 6 for 20.
RANKS = {6: 1, 8: 1, 9: 2, 15: 4, 20: 6, 25: 8}


@pytest.mark.parametrize(("rounds", "rank"), RANKS.items())
def test_the_interval_has_the_ranks_of_the_sign_test(rounds: int, rank: int) -> None:
    ratios = np.random.default_rng(0).permutation(np.arange(1, rounds + 1)).astype(float)
    found = speed_ratio(list(ratios), [1.0] * rounds)
    assert (found.low, found.high) == (rank, rounds + 1 - rank)
    assert found.ratio == (rounds + 1) / 2
    assert found.rounds == rounds


def test_too_few_rounds_have_no_interval() -> None:
    found = speed_ratio([2.0] * 5, [1.0] * 5)
    assert (found.ratio, found.low, found.high) == (2.0, None, None)


def test_a_slow_stretch_that_hits_both_leaves_the_ratio_alone() -> None:
    base = [3.0] * 10 + [30.0] * 10
    model = [1.0] * 10 + [10.0] * 10
    found = speed_ratio(base, model)
    assert (found.ratio, found.low, found.high) == (3.0, 3.0, 3.0)


def test_the_interval_holds_the_true_ratio_as_often_as_it_says() -> None:
    # Ratios whose median is 2; 2,000 draws tell 95 % to 97.9 % apart from 93 % (4 standard errors).
    rng = np.random.default_rng(3)
    held = 0
    for _ in range(2000):
        ratios = 2.0 * np.exp(0.2 * rng.standard_t(2, 15))  # heavy tails, as neighbours make them
        found = speed_ratio(list(ratios), [1.0] * 15)
        assert found.low is not None
        assert found.high is not None
        held += found.low <= 2.0 <= found.high
    assert 0.945 <= held / 2000 <= 0.985


def test_rounds_of_different_numbers_are_refused() -> None:
    with pytest.raises(UsageError, match="got 2 rounds of the base and 1 of the model, expected"):
        speed_ratio([1.0, 1.0], [1.0])
