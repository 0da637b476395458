"""Temperature scaling: one number that makes a model's confidence believable.

Guo, Pleiss, Sun and Weinberger, "On calibration of modern neural networks", ICML 2017, section
4.2: divide the logits by the T that minimises the NLL. No answer changes. Fit it on faces of the
calibration split, never on those that are then reported.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_arm.runtime.statistics.calibration_error import checked_answers, log_softmax

LOWEST, HIGHEST = 0.05, 20.0
"""A temperature outside is no property of a model but of too few faces: if all are answered
rightly, the best T is 0 (be certain), if logits are worse than chance, infinity."""


@dataclass(frozen=True)
class TemperatureFit:
    """The best temperature on a set of faces.

    Attributes:
        temperature: T, 0.05..20.
        nll_before: at T = 1, in nats.
        nll_after: at T, never larger than before.
        at_limit: whether T ended at 0.05 or 20, where it should not be believed.
    """

    temperature: float
    nll_before: float
    nll_after: float
    at_limit: bool


def fit_temperature(logits: NDArray[Any], targets: NDArray[Any]) -> TemperatureFit:
    """The temperature with the smallest NLL on these faces.

    In s = 1 / T the NLL is convex: with p = softmax(s z) and y the true class,

        dNLL/ds   = mean(E_p[z] - z_y),      d2NLL/ds2 = mean(Var_p[z]) >= 0,

    so Newton steps on the derivative, halving the bracket where a step would leave it, always end
    at the minimum. In T itself it is not convex.

    Args:
        logits: (N, C) floating.
        targets: (N,) integer, true classes.

    Raises:
        DataError: if logits or targets cannot be used or have different lengths.
    """
    checked, labels = checked_answers(logits, targets)
    rows = np.arange(labels.size)

    def nll(scale: float) -> float:
        return -float(log_softmax(checked * scale)[rows, labels].mean())

    def slope_and_curvature(scale: float) -> tuple[float, float]:
        probabilities = np.exp(log_softmax(checked * scale))
        mean = (probabilities * checked).sum(axis=1)
        # Around the mean, not E[z^2] - E[z]^2: that difference of large numbers can be negative.
        spread = (probabilities * (checked - mean[:, None]) ** 2).sum(axis=1)
        return float((mean - checked[rows, labels]).mean()), float(spread.mean())

    low, high, scale = 1 / HIGHEST, 1 / LOWEST, 1.0
    for _ in range(100):
        slope, curvature = slope_and_curvature(scale)
        if slope == 0.0:
            # The minimum, or constant logits, for which every temperature is the same.
            break
        if slope < 0.0:
            low = scale
        else:
            high = scale
        newton = scale - slope / curvature if curvature > 0.0 else float("nan")
        following = newton if low < newton < high else (low + high) / 2
        if abs(following - scale) <= 1e-12 * scale:
            break
        scale = following
    # Ends that are never reached by halving: the derivative points outward there.
    if slope_and_curvature(1 / LOWEST)[0] < 0.0:
        scale = 1 / LOWEST
    elif slope_and_curvature(1 / HIGHEST)[0] > 0.0:
        scale = 1 / HIGHEST
    before = nll(1.0)
    return TemperatureFit(
        temperature=1.0 / scale,
        nll_before=before,
        nll_after=min(before, nll(scale)),
        at_limit=scale in (1 / LOWEST, 1 / HIGHEST),
    )
