"""From a histogram to a range: amax, the |x| that becomes 127.

Four methods, each computed from the one histogram of a tensor:

- MAX: the largest |x|. Nothing is clipped; one outlier costs everyone resolution.
- PERCENTILE: 99.99 % of the values are at most amax, zeros included (NVIDIA's default).
- ENTROPY: the amax whose int8 histogram is closest to the float one by Kullback-Leibler
  divergence (S. Migacz, 8-bit Inference with TensorRT, GTC 2017), in the form NVIDIA Model
  Optimizer computes it: 2048 bins, 128 levels, the first bin takes the second one's count so that
  the zeros of a ReLU do not decide, and of equal minima the largest.
- MSE: the amax with the smallest mean squared rounding plus clipping error.

Shapes: B = NUM_LINEAR_BINS.
"""

from __future__ import annotations

from enum import Enum

import numpy as np
import numpy.typing as npt

from edge_arm.calibration.histogram import Histogram, bin_edges
from edge_arm.runtime.errors import CalibrationError

NUM_LINEAR_BINS = 2048
LEVELS = 128
"""Magnitudes of a symmetric int8 in the entropy method: 0..127."""
QMAX = 127
PERCENTILE = 99.99


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
    return histogram.amax * _mse_bins(bins) / NUM_LINEAR_BINS


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

    Args:
        bins: (B,) float64 counts over equal bins.

    Returns:
        i, between 128 and B.
    """
    bins = bins.copy()
    bins[0] = bins[1]
    occupied = bins > 0
    total = bins.sum()
    best, least = len(bins), np.inf
    for size in range(LEVELS, len(bins) + 1):
        inside, full = bins[:size], occupied[:size]
        level = np.arange(size) * LEVELS // size
        spread = np.bincount(level, inside, LEVELS) / np.maximum(
            np.bincount(level, full, LEVELS), 1
        )
        candidate = np.where(full, spread[level], 0.0)
        reference = inside.copy()
        reference[-1] += total - inside.sum() if size < len(bins) else 0.0
        divergence = _kl_divergence(reference, candidate)
        if divergence <= least:
            best, least = size, divergence
    return best


def _kl_divergence(p: npt.NDArray[np.float64], q: npt.NDArray[np.float64]) -> float:
    support = p > 0
    if not q.any() or (q[support] == 0).any():
        return float("inf")
    p, q = p[support] / p.sum(), q[support] / q.sum()
    return float((p * np.log(p / q)).sum())


def _mse_bins(bins: npt.NDArray[np.float64]) -> int:
    centers = np.arange(len(bins)) + 0.5
    # The zeros are exact in any scale; at the first bin's centre they would count as an error.
    centers[0] = 0.0
    best, least = len(bins), np.inf
    for size in range(LEVELS, len(bins) + 1):
        scale = size / QMAX
        rounded = np.minimum(np.rint(centers / scale), QMAX) * scale
        error = float(((rounded - centers) ** 2 * bins).sum())
        if error <= least:
            best, least = size, error
    return best
