"""Binomial probabilities without scipy, which a device does not have.

Letters: M numbers of trials in a row of consecutive ones, G success probabilities.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@lru_cache(maxsize=4)
def log_factorials(largest: int) -> Floats:
    """log(k!) for k = 0 .. largest; kept, because one test asks for the same table many times.

    Args:
        largest: at least 0.

    Returns:
        (largest + 1,) float64, read-only; relative error below 1e-13 up to ten million.
    """
    logs = np.zeros(largest + 1)
    np.log(np.arange(1, largest + 1), out=logs[1:])
    table = np.cumsum(logs)
    table.flags.writeable = False
    return table


def log_binomial_pmf(k: Ints, trials: Ints | int, probability: Floats | float) -> Floats:
    """Log P(X = k) for X binomial; -inf where it is impossible (k < 0, k > trials, p of 0 or 1).

    Args:
        k: int64, any shape that broadcasts with the others.
        trials: int64 or one number.
        probability: float64 or one number, 0..1.

    Returns:
        float64 of the common shape.
    """
    trials = np.asarray(trials, dtype=np.int64)
    table = log_factorials(int(trials.max(initial=0)))
    possible = (k >= 0) & (k <= trials)
    k = np.where(possible, k, 0)
    rest = trials - k
    coefficient = table[trials] - table[k] - table[rest]
    with np.errstate(divide="ignore", invalid="ignore"):
        # 0 log 0 is 0 here: no success is certain when successes are impossible.
        successes = np.where(k == 0, 0.0, k * np.log(probability))
        failures = np.where(rest == 0, 0.0, rest * np.log1p(-np.asarray(probability)))
    return np.where(possible, coefficient + successes + failures, -np.inf)


def binomial_lower_tail(k: int, trials: int, probability: float) -> float:
    """P(X <= k) for X binomial.

    Args:
        k: any integer; below 0 the answer is 0, from `trials` on it is 1.
        trials: at least 0.
        probability: 0..1.
    """
    if k < 0:
        return 0.0
    if k >= trials:
        return 1.0
    logs = log_binomial_pmf(np.arange(k + 1), trials, probability)
    return min(1.0, float(np.exp(logs).sum()))


@lru_cache(maxsize=256)
def clopper_pearson_limits(k: int, trials: int, *, error: float) -> tuple[float, float]:
    """Exact limits of a proportion, by Clopper and Pearson, Biometrika 26 (1934) 404-413.

    Found by bisection on the binomial tails themselves instead of beta quantiles.

    Args:
        k: observed successes.
        trials: at least 1.
        error: of both sides together.

    Returns:
        Lower and upper limit, 0..1.
    """

    def largest(successes: int, tail: float) -> float:
        """The largest p with P(X <= successes) > tail."""
        low, high = 0.0, 1.0
        for _ in range(60):
            middle = (low + high) / 2
            if binomial_lower_tail(successes, trials, middle) > tail:
                low = middle
            else:
                high = middle
        return high

    # P(X >= k) = 1 - P(X <= k - 1), so that only the k smallest terms are ever summed.
    lower = 0.0 if k == 0 else largest(k - 1, 1.0 - error / 2)
    upper = 1.0 if k == trials else largest(k, error / 2)
    return lower, upper


def boundary_tails(first_trials: int, boundary: Ints, probability: Floats) -> Floats:
    """P(X <= boundary[i]) for X binomial with first_trials + i trials, for all i at once.

    One sum for the first number of trials, then one step per further trial::

        P(X_{m+1} <= k)  =  P(X_m <= k) - p P(X_m = k)
        P(X_{m+1} <= k') =  P(X_{m+1} <= k) + sum of P(X_{m+1} = j), j = k+1 .. k'

    so that a row of M boundaries costs M steps and not M sums; the exact test needs thousands.

    Args:
        first_trials: trials of the first boundary, at least 0.
        boundary: (M,) int64, -1 (nothing) up to the number of trials (everything).
        probability: (G,) float64, 0..1.

    Returns:
        (G, M) float64, 0..1, absolute error about 1e-13.
    """
    column = probability[:, None]  # (G, 1)
    trials = first_trials + np.arange(boundary.size)  # (M,)
    start_k = np.arange(boundary[0] + 1)
    start = np.exp(log_binomial_pmf(start_k, first_trials, column)).sum(axis=1)  # (G,)

    steps = -column * np.exp(log_binomial_pmf(boundary[:-1], trials[:-1], column))  # (G, M-1)
    jumps = np.diff(boundary)
    for up in range(1, int(jumps.max(initial=0)) + 1):
        k = np.where(jumps >= up, boundary[:-1] + up, -1)
        steps += np.exp(log_binomial_pmf(k, trials[1:], column))
    for down in range(int(-jumps.min(initial=0))):
        k = np.where(-jumps > down, boundary[:-1] - down, -1)
        steps -= np.exp(log_binomial_pmf(k, trials[1:], column))

    tails = np.cumsum(np.concatenate([start[:, None], steps], axis=1), axis=1)
    bounded: Floats = np.clip(tails, 0.0, 1.0)
    return bounded


def likely_trials(total: int, lowest: float, highest: float) -> tuple[int, int]:
    """A range that holds Binomial(total, p) but for less than 1e-14, for all p in a range.

    Nine standard deviations and 40 beyond: the normal part of the tail by the first, the Poisson
    part (small p) by the second.

    Args:
        total: number of trials.
        lowest: smallest p.
        highest: largest p.

    Returns:
        Smallest and largest count, both included.
    """

    def reach(p: float) -> float:
        return 9.0 * math.sqrt(total * p * (1 - p)) + 40.0

    first = max(0, math.floor(total * lowest - reach(lowest)))
    last = min(total, math.ceil(total * highest + reach(highest)))
    return first, last
