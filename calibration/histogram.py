"""A histogram of |x| whose content does not depend on the order in which values arrive.

Calibrators that choose their bin edges from the first batch (ONNX Runtime's, ModelOpt's) give
other ranges when batches are cut or ordered differently. Here the edges are fixed before any
value is seen: a bin is the exponent and the top 11 mantissa bits of the float32, so counting is a
shift of the bit pattern and an integer addition, which commutes exactly. A bin is at most 2^-11 =
0.05 % of its value wide: finer, near the largest value, than the 2048 linear bins of entropy
calibration, which are derived from it.

Shapes: K = NUM_BINS bins.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from edge_arm.runtime.errors import CalibrationError

MANTISSA_BITS = 11
LOWEST_EXPONENT = -40
"""Smaller magnitudes share bin 0 with the zeros: no int8 scale of ours can tell them apart."""
HIGHEST_EXPONENT = 24
"""Magnitudes from 2^24 on are refused: beyond any activation of a working model."""

_SHIFT = 23 - MANTISSA_BITS  # float32: 1 sign, 8 exponent and 23 mantissa bits
_OFFSET = ((127 + LOWEST_EXPONENT) << MANTISSA_BITS) - 1
NUM_BINS = ((HIGHEST_EXPONENT - LOWEST_EXPONENT) << MANTISSA_BITS) + 1


def bin_edges() -> npt.NDArray[np.float64]:
    """(K + 1,) float64 edges of the bins; bin i holds edges[i] <= |x| < edges[i + 1]."""
    patterns = (np.arange(1, NUM_BINS + 1, dtype=np.uint32) + np.uint32(_OFFSET)) << _SHIFT
    return np.concatenate([[0.0], patterns.view(np.float32).astype(np.float64)])


class Histogram:
    """Counts of |x| of one tensor over all faces so far, with its exact extremes.

    Attributes:
        counts: (K,) int64.
        minimum: smallest x, with its sign.
        maximum: largest x, with its sign.
    """

    def __init__(self) -> None:
        self.counts: npt.NDArray[np.int64] = np.zeros(NUM_BINS, np.int64)
        self.minimum = float("inf")
        self.maximum = float("-inf")

    @property
    def amax(self) -> float:
        """Largest |x|, exact."""
        return max(abs(self.minimum), abs(self.maximum))

    def add(self, values: npt.NDArray[np.float32], tensor: str) -> None:
        """Count some values in.

        Args:
            values: any shape, float32.
            tensor: its name, for the message.

        Raises:
            CalibrationError: if a value is NaN, infinite or beyond the highest bin.
        """
        magnitude = np.bitwise_and(values.reshape(-1).view(np.uint32), np.uint32(0x7FFFFFFF))
        bins = np.maximum(magnitude >> np.uint32(_SHIFT), np.uint32(_OFFSET)) - np.uint32(_OFFSET)
        part = np.bincount(bins)
        if len(part) > NUM_BINS:
            _refuse(values, tensor)
        self.counts[: len(part)] += part
        self.minimum = min(self.minimum, float(values.min()))
        self.maximum = max(self.maximum, float(values.max()))

    def linear(self, num_bins: int) -> npt.NDArray[np.float64]:
        """The same distribution over equal bins from 0 to `amax`.

        Inside a bin values are taken as evenly spread. The cumulated counts are rounded, so that
        counts stay whole: in the tail, where a bin holds one value, fractions would fill the empty
        bins beside it, and entropy calibration depends on which bins are empty.

        Args:
            num_bins: B.

        Returns:
            (B,) whole numbers as float64 that add up to the number of values.
        """
        cumulated = np.concatenate([[0], np.cumsum(self.counts)]).astype(np.float64)
        edges = bin_edges()
        # The last occupied bin ends at the largest value and not at its own upper edge, or a part
        # of it would fall outside the range.
        last = int(np.flatnonzero(self.counts)[-1])
        edges[last + 1] = self.amax
        at = np.interp(
            np.linspace(0.0, self.amax, num_bins + 1), edges[: last + 2], cumulated[: last + 2]
        )
        return np.diff(np.rint(at))


def _refuse(values: npt.NDArray[np.float32], tensor: str) -> None:
    bad: Any = values[~np.isfinite(values)]
    if bad.size:
        kind = "NaN" if np.isnan(bad).any() else "infinite"
        raise CalibrationError(
            f"tensor {tensor!r} has {bad.size} values that are {kind}, "
            "expected numbers; the FP32 model is broken on these faces: train or export it again"
        )
    raise CalibrationError(
        f"tensor {tensor!r} reaches {float(np.abs(values).max()):.3g}, expected less than "
        f"2^{HIGHEST_EXPONENT}; the model's activations have diverged: train it again"
    )
