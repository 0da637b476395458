import numpy as np
import pytest

from edge_arm.data.action_units import (
    ActionUnits,
    Expression,
    full_expression,
    sample_expression,
)
from edge_arm.runtime.errors import DataError
from edge_arm.runtime.labels import RAFDB

# The action units by which the EMFACS tables know each expression.
EMFACS = {
    "surprise": ("au1", "au2", "au5", "au26"),
    "fear": ("au1", "au2", "au4", "au5", "au20"),
    "disgust": ("au9", "au10"),
    "happiness": ("au6", "au12"),
    "sadness": ("au1", "au4", "au15"),
    "anger": ("au4", "au5", "au7", "au23"),
}


@pytest.mark.parametrize("label", EMFACS)
def test_a_full_expression_moves_the_action_units_of_its_emfacs_row(label: str) -> None:
    for seed in range(20):
        units = full_expression(np.random.default_rng(seed), label)
        assert all(getattr(units, name) > 0.0 for name in EMFACS[label])


def test_a_full_neutral_face_moves_nothing() -> None:
    assert full_expression(np.random.default_rng(0), "neutral") == ActionUnits()


def test_an_unknown_expression_is_refused_with_the_known_ones() -> None:
    with pytest.raises(DataError, match="got the expression 'contempt', expected one of surprise"):
        full_expression(np.random.default_rng(0), "contempt")


def test_scaling_multiplies_every_action_unit() -> None:
    assert ActionUnits(au4=0.8, au12=0.5).scaled(0.5) == ActionUnits(au4=0.4, au12=0.25)


def test_the_stronger_pull_of_two_movements_wins() -> None:
    together = ActionUnits(au1=0.2, au4=0.9).strongest(ActionUnits(au1=0.6, au12=0.1))
    assert together == ActionUnits(au1=0.6, au4=0.9, au12=0.1)


def test_asymmetry_strengthens_one_side_and_weakens_the_other() -> None:
    expression = Expression(ActionUnits(au12=0.5), asymmetry=0.2)
    assert expression.side(1).au12 == pytest.approx(0.6, rel=1e-12)
    assert expression.side(-1).au12 == pytest.approx(0.4, rel=1e-12)


@pytest.mark.parametrize("label", RAFDB.classes)
def test_sampled_movements_stay_within_what_can_be_drawn(label: str) -> None:
    for seed in range(50):
        expression = sample_expression(np.random.default_rng(seed), label)
        values = [getattr(expression.action_units, name) for name in vars(ActionUnits())]
        assert min(values) >= 0.0
        assert max(values) <= 1.1


def test_happiness_raises_the_lip_corners_far_more_than_anger_on_average() -> None:
    def mean_lip_corner(label: str) -> float:
        draws = (sample_expression(np.random.default_rng(seed), label) for seed in range(100))
        return float(np.mean([draw.action_units.au12 for draw in draws]))

    assert mean_lip_corner("happiness") > mean_lip_corner("anger") + 0.4
