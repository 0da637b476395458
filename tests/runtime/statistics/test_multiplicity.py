from __future__ import annotations

import pytest

from edge_arm.runtime.errors import UsageError
from edge_arm.runtime.statistics import holm_adjusted


# statsmodels 0.15.0: multipletests(p, method="holm")[1]
@pytest.mark.parametrize(
    ("p", "adjusted"),
    [
        (
            [0.01, 0.04, 0.03, 0.005, 0.2, 0.9, 0.012],
            [0.06, 0.12, 0.12, 0.035, 0.4, 0.9, 0.06],
        ),
        ([0.02, 0.02, 0.5], [0.06, 0.06, 0.5]),
    ],
)
def test_adjusted_values_are_the_ones_of_statsmodels(p: list[float], adjusted: list[float]) -> None:
    assert holm_adjusted(p) == pytest.approx(adjusted, rel=1e-12)


def test_one_look_needs_no_correction() -> None:
    assert holm_adjusted([0.03]) == (0.03,)


def test_no_look_gives_nothing() -> None:
    assert holm_adjusted([]) == ()


def test_no_adjusted_value_exceeds_one() -> None:
    assert holm_adjusted([0.6, 0.9]) == (1.0, 1.0)


@pytest.mark.parametrize("p", [-0.1, 1.1, float("nan")])
def test_what_is_no_probability_is_refused(p: float) -> None:
    with pytest.raises(UsageError, match="p-value is .*expected from 0 to 1"):
        holm_adjusted([0.5, p])
