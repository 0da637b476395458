from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

from edge_arm.runtime.errors import DataError
from edge_arm.runtime.statistics import fit_temperature


def make_model(true_temperature: float, num_faces: int = 2000) -> tuple[np.ndarray, np.ndarray]:  # type: ignore[type-arg]
    """Logits of a model that is too sure by this factor (float32), and what is true."""
    rng = np.random.default_rng(4)
    honest = rng.normal(size=(num_faces, 7)) * 2
    shares = np.exp(honest - logsumexp(honest, axis=1, keepdims=True)).cumsum(axis=1)
    targets = (rng.random((num_faces, 1)) > shares).sum(axis=1).clip(0, 6)
    return (honest * true_temperature).astype(np.float32), targets


def nll_at(logits: np.ndarray, targets: np.ndarray, temperature: float) -> float:  # type: ignore[type-arg]
    scaled = logits.astype(np.float64) / temperature
    rows = np.arange(targets.size)
    return float((logsumexp(scaled, axis=1) - scaled[rows, targets]).mean())


@pytest.mark.parametrize("true_temperature", [0.2, 1.0, 3.0, 12.0])
def test_the_temperature_is_the_minimum_that_scipy_finds(true_temperature: float) -> None:
    logits, targets = make_model(true_temperature)
    found = minimize_scalar(
        lambda t: nll_at(logits, targets, t),
        bounds=(0.05, 20),
        method="bounded",
        options={"xatol": 1e-9},
    )
    fit = fit_temperature(logits, targets)
    # Near a minimum the function is flat: scipy, which has no derivative, knows x to about 1e-7.
    assert fit.temperature == pytest.approx(found.x, rel=1e-5)
    assert fit.nll_after == pytest.approx(found.fun, rel=1e-10)
    assert not fit.at_limit


def test_a_model_that_is_three_times_too_sure_is_found_out() -> None:
    logits, targets = make_model(3.0)
    assert fit_temperature(logits, targets).temperature == pytest.approx(3.0, rel=0.1)


def test_the_nll_before_is_the_one_of_the_untouched_logits() -> None:
    logits, targets = make_model(3.0)
    fit = fit_temperature(logits, targets)
    assert fit.nll_before == pytest.approx(nll_at(logits, targets, 1.0), rel=1e-12)
    assert fit.nll_after < fit.nll_before


def test_if_every_face_is_right_the_lower_limit_is_reported_as_such() -> None:
    fit = fit_temperature(np.eye(3), np.arange(3))
    assert (fit.temperature, fit.at_limit) == (0.05, True)


def test_if_every_face_is_wrong_the_upper_limit_is_reported_as_such() -> None:
    fit = fit_temperature(np.eye(3), np.array([1, 2, 0]))
    assert (fit.temperature, fit.at_limit) == (20.0, True)


def test_constant_logits_leave_the_temperature_at_one() -> None:
    fit = fit_temperature(np.zeros((4, 3)), np.array([0, 1, 2, 0]))
    assert (fit.temperature, fit.at_limit) == (1.0, False)


def test_huge_logits_do_not_overflow() -> None:
    logits, targets = make_model(1.0, 50)
    assert fit_temperature(logits * np.float32(1e30), targets).at_limit


def test_broken_logits_are_refused() -> None:
    with pytest.raises(DataError, match="logits of face 0"):
        fit_temperature(np.array([[np.nan, 0.0]]), np.array([0]))
