"""A mean over trainings and test faces, with an interval that knows of both.

Another seed gives another model and another test set other faces, and a gain that is to be
believed has to survive both. That is the setting of readers and cases in radiology: trainings are
the readers. With x[s, n] for training s and face n, and the mean squares of its two-way table ::

    MS_s = N sum_s (x[s, .] - x)^2 / (S - 1)        MS_n = S sum_n (x[., n] - x)^2 / (N - 1)
    MS_e = sum (x[s, n] - x[s, .] - x[., n] + x)^2 / ((S - 1) (N - 1))

    variance of the mean = (MS_s + max(MS_n - MS_e, 0)) / (S N)
    degrees of freedom   = (MS_s + max(MS_n - MS_e, 0))^2 / (MS_s^2 / (S - 1))

(Dorfman, Berbaum and Metz 1992; degrees of freedom of Hillis 2007). With one training there is
nothing to tell seeds by, and the interval is over faces alone.

Shapes: S trainings, N faces.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_arm.runtime.statistics.student_t import student_quantile


@dataclass(frozen=True)
class SeedMean:
    """A mean over trainings and faces.

    Attributes:
        mean: of all values.
        low: lower limit of the interval.
        high: upper limit.
        by_seed: mean of each training.
        confidence: two-sided.
    """

    mean: float
    low: float
    high: float
    by_seed: tuple[float, ...]
    confidence: float


def mean_over_seeds(values: npt.NDArray[np.float64], *, confidence: float = 0.95) -> SeedMean:
    """The mean and its interval.

    Args:
        values: (S, N): whether a face is answered rightly, or how that differs between two models
            of one seed.
        confidence: two-sided.

    Returns:
        An interval of no width where all values are alike, as there is nothing to estimate a
        spread from.
    """
    num_seeds, num_faces = values.shape
    assert num_seeds >= 1 and num_faces >= 2, "a spread needs two faces"
    mean = float(values.mean())
    by_seed, by_face = values.mean(axis=1), values.mean(axis=0)
    if num_seeds == 1:
        variance = float(by_face.var(ddof=1)) / num_faces
        degrees = math.inf
    else:
        of_seeds = num_faces * float(by_seed.var(ddof=1))
        of_faces = num_seeds * float(by_face.var(ddof=1))
        rest = values - by_seed[:, None] - by_face + mean
        of_rest = float((rest**2).sum()) / ((num_seeds - 1) * (num_faces - 1))
        together = of_seeds + max(of_faces - of_rest, 0.0)
        variance = together / (num_seeds * num_faces)
        degrees = together**2 / (of_seeds**2 / (num_seeds - 1)) if of_seeds > 0 else math.inf
    reach = student_quantile(confidence, degrees) * math.sqrt(variance)
    return SeedMean(mean, mean - reach, mean + reach, tuple(by_seed.tolist()), confidence)
