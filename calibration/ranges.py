"""From a histogram to a range: amax, the |x| that becomes 127.

Four methods, each computed from the one histogram of a tensor:

- MAX: the largest |x|. Nothing is clipped; one outlier costs everyone resolution.
- PERCENTILE: 99.99 % of the values are at most amax, zeros included (NVIDIA's default).
- ENTROPY: the amax whose int8 histogram is closest to the float one by Kullback-Leibler
  divergence (S. Migacz, 8-bit Inference with TensorRT, GTC 2017), in the form NVIDIA Model
  Optimizer computes it: 2048 bins, 128 levels, the first bin takes the second one's count so that
  the zeros of a ReLU do not decide, and of equal minima the largest.
- MSE: the amax with the smallest mean squared rounding plus clipping error.

Shapes: B = NUM_LINEAR_BINS, I = B - 127 ranges that entropy and MSE choose from.
"""

from __future__ import annotations

from enum import Enum
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_arm.calibration.histogram import Histogram, bin_edges
from edge_arm.runtime.errors import CalibrationError

NUM_LINEAR_BINS = 2048
LEVELS = 128
"""Magnitudes of a symmetric int8 in the entropy method: 0..127."""
QMAX = 127
PERCENTILE = 99.99

_KL_ROUNDING = 1e-9
"""More than rounding can move a divergence, and far less than two ranges ever differ by."""
_MSE_ROUNDING = 1e-6
"""The same for a squared error, as a share of it."""


class Method(Enum):
    """How a range is chosen from a histogram."""

    MAX = "max"
    PERCENTILE = "percentile"
    ENTROPY = "entropy"
    MSE = "mse"


def amax_from_histogram(histogram: Histogram, method: Method, tensor: str) -> float:
    """The range of one tensor.

    Args:
        histogram: of its values.
        method: how to choose.
        tensor: its name, for the message.

    Returns:
        amax, greater than 0 and at most the largest |x|.

    Raises:
        CalibrationError: if the tensor has one and the same value everywhere.
    """
    if histogram.minimum == histogram.maximum:
        what = "0" if histogram.maximum == 0 else f"{histogram.maximum:.6g}"
        raise CalibrationError(
            f"tensor {tensor!r} is {what} everywhere on the calibration faces, expected values "
            "that vary; a part of the model is dead or the faces are empty pictures: look at the "
            "faces with 'edge-arm data describe', or train the model again"
        )
    if method is Method.MAX:
        return histogram.amax
    if method is Method.PERCENTILE:
        return _percentile(histogram, PERCENTILE)
    bins = histogram.linear(NUM_LINEAR_BINS)
    if method is Method.ENTROPY:
        return histogram.amax * entropy_bins(bins) / NUM_LINEAR_BINS
    return histogram.amax * mse_bins(bins) / NUM_LINEAR_BINS


def _percentile(histogram: Histogram, percentile: float) -> float:
    cumulated = np.cumsum(histogram.counts)
    wanted = cumulated[-1] * (percentile / 100)
    position = int(np.searchsorted(cumulated, wanted))
    upper = float(bin_edges()[position + 1])
    # Rarely more than 99.99 % are zero: then the percentile says nothing and the maximum is used.
    return min(upper, histogram.amax) if position else histogram.amax


def entropy_bins(bins: npt.NDArray[np.float64]) -> int:
    """How many leading bins the range covers that loses the least information.

    For each i: the reference P is bins[:i] with everything above added to its last bin; the
    candidate Q merges bins[:i] into 128 levels and spreads each level evenly over its non-empty
    bins. KL(P || Q) = sum p log(p / q), both normalised.

    Inside a level q is one number, so with n values in o occupied bins

        sum p log q = sum over levels of n log(n / o) + outside log(q of the last bin),

    and n, o and sum p log p come from cumulated sums: all i at once. The few that are smallest to
    rounding are computed again term by term, which is also what decides between equal ones.

    Args:
        bins: (B,) float64 counts over equal bins.

    Returns:
        i, between 128 and B.
    """
    bins = bins.copy()
    bins[0] = bins[1]
    sizes = np.arange(LEVELS, len(bins) + 1)  # (I,), every i
    edges = _level_edges(len(bins))  # (I, 129)
    inside = _cumulated(bins)[sizes]
    outside = bins.sum() - inside
    counts = np.diff(_cumulated(bins)[edges])  # (I, 128), and so are the next two
    occupied = np.diff(_cumulated(bins > 0)[edges])
    spread = counts / np.maximum(occupied, 1)
    last = bins[sizes - 1]
    # In the last bin of a level lies the last bin of all.
    last_spread = np.where(last > 0, spread[:, -1], 0.0)
    p_log_p = _cumulated(_x_log(bins, bins))[sizes] - _x_log(last, last)
    p_log_p += _x_log(last + outside, last + outside)
    p_log_q = _x_log(counts, spread).sum(axis=1) + _x_log(outside, last_spread)
    with np.errstate(divide="ignore", invalid="ignore"):
        divergence = (p_log_p - p_log_q) / bins.sum() + np.log(inside / bins.sum())
    lost = (inside == 0) | ((outside > 0) & (last == 0))  # p > 0 where q = 0
    divergence[lost] = np.inf
    close = _close_to_least(divergence, _KL_ROUNDING)
    exact = [_divergence(bins, int(size)) for size in sizes[close]]
    return int(sizes[close][_last_least(exact)])


def _divergence(bins: npt.NDArray[np.float64], size: int) -> float:
    inside, full = bins[:size], bins[:size] > 0
    level = np.arange(size) * LEVELS // size
    spread = np.bincount(level, inside, LEVELS) / np.maximum(np.bincount(level, full, LEVELS), 1)
    q = np.where(full, spread[level], 0.0)
    p = inside.copy()
    p[-1] += bins.sum() - inside.sum() if size < len(bins) else 0.0
    support = p > 0
    if not q.any() or (q[support] == 0).any():
        return float("inf")
    p, q = p[support] / p.sum(), q[support] / q.sum()
    return float((p * np.log(p / q)).sum())


def mse_bins(bins: npt.NDArray[np.float64]) -> int:
    """How many leading bins the range covers that has the smallest mean squared error.

    With the scale s = i / 127, in bins, a level k has the sum over its bins, n values at c each, of

        n (k s - c)^2 = (k s)^2 sum n - 2 k s sum n c + sum n c^2:

    cumulated sums again, which cancel to some digits; so the smallest are computed term by term.

    Args:
        bins: (B,) float64 counts over equal bins.

    Returns:
        i, between 128 and B.
    """
    centers = _centers(len(bins))
    sizes = np.arange(LEVELS, len(bins) + 1)
    scales = sizes[:, np.newaxis] / QMAX  # (I, 1)
    levels = np.arange(QMAX + 1)  # (128,)
    # The first bin whose centre is rounded to level k or above; of a tie both levels are as far.
    starts = np.ceil((levels[1:] - 0.5) * scales - 0.5).astype(np.int64).clip(max=len(bins))
    outer = np.zeros((len(sizes), 1), np.int64)
    edges = np.hstack([outer, starts, outer + len(bins)])  # (I, 129)
    counts = np.diff(_cumulated(bins)[edges])
    sums = np.diff(_cumulated(bins * centers)[edges])
    values = levels * scales
    error = (values**2 * counts - 2 * values * sums).sum(axis=1) + (bins * centers**2).sum()
    close = _close_to_least(error, _MSE_ROUNDING * max(float(error.min()), 0.0))
    exact = [_squared_error(bins, int(size)) for size in sizes[close]]
    return int(sizes[close][_last_least(exact)])


def _squared_error(bins: npt.NDArray[np.float64], size: int) -> float:
    centers, scale = _centers(len(bins)), size / QMAX
    rounded = np.minimum(np.rint(centers / scale), QMAX) * scale
    return float(((rounded - centers) ** 2 * bins).sum())


def _centers(num_bins: int) -> npt.NDArray[np.float64]:
    centers = np.arange(num_bins, dtype=np.float64) + 0.5
    # The zeros are exact in any scale; at the first bin's centre they would count as an error.
    centers[0] = 0.0
    return centers


@cache
def _level_edges(num_bins: int) -> npt.NDArray[np.int64]:
    # (I, 129): where each of the 128 levels of bins[:i] begins and the last one ends.
    sizes = np.arange(LEVELS, num_bins + 1)[:, np.newaxis]
    edges: npt.NDArray[np.int64] = -(-np.arange(LEVELS + 1) * sizes // LEVELS)
    edges.flags.writeable = False
    return edges


def _cumulated(values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    sums = np.zeros(len(values) + 1)
    np.cumsum(values, out=sums[1:])
    return sums


def _x_log(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    # x log y, and 0 where x or y is 0.
    result: npt.NDArray[np.float64] = x * np.log(np.where((x > 0) & (y > 0), y, 1.0))
    return result


def _close_to_least(values: npt.NDArray[np.float64], margin: float) -> npt.NDArray[np.bool_]:
    least = float(values.min())
    close: npt.NDArray[np.bool_] = values <= (least + margin if np.isfinite(least) else least)
    return close


def _last_least(values: list[float]) -> int:
    least = min(values)
    return max(place for place, value in enumerate(values) if value == least)
