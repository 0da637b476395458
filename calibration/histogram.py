"""A histogram of |x| whose content does not depend on the order in which values arrive.

Calibrators that choose their bin edges from the first batch (ONNX Runtime's, ModelOpt's) give
other ranges when batches are cut or ordered differently. Here the edges are fixed before any
value is seen: a bin is the exponent and the top 11 mantissa bits of the float32, so counting is
integer arithmetic on the bit pattern, which commutes exactly. A bin is at most 2^-11 = 0.05 % of
its value wide: finer, near the largest value, than the 2048 linear bins of entropy calibration,
which are derived from it.

1. Only the 16 octaves up to the largest value are kept apart; what is smaller counts as zero. It
   lies far inside the first of the 2048 linear bins. The largest value of one part is at most that
   of all, so what a part counts as zero the whole does too, and order still changes nothing.
2. So a bin has a number of 16 bits, and OpenCV counts those three times as fast as NumPy.
3. Half of a Relu's output is zero, and a counter that is raised again and again makes the
   processor wait. So zeros are counted under 16 numbers in turn, which are added up in the end.

Shapes: K = NUM_BINS bins, W = bins of a part.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from edge_arm.runtime.errors import CalibrationError

MANTISSA_BITS = 11
NUM_OCTAVES = 16
LOWEST_EXPONENT = -40
"""Smaller magnitudes share bin 0 with the zeros, whatever the largest value is."""
HIGHEST_EXPONENT = 24
"""Magnitudes from 2^24 on are refused: beyond any activation of a working model."""

_SHIFT = 23 - MANTISSA_BITS  # float32: 1 sign, 8 exponent and 23 mantissa bits
_BIAS = 127
_OFFSET = ((_BIAS + LOWEST_EXPONENT) << MANTISSA_BITS) - 1
NUM_BINS = ((HIGHEST_EXPONENT - LOWEST_EXPONENT) << MANTISSA_BITS) + 1

_ZEROS = 16  # numbers that stand for zero, see rule 3
_BLOCK = 1 << 15
"""Values at a time, so that the steps of counting meet them in the processor's cache."""
_MOST_AT_ONCE = 1 << 24
"""OpenCV counts in float32, which is exact up to here."""
_FEW = 60_000
"""Below this OpenCV's fixed cost per call is more than NumPy needs in all."""


@cache
def bin_edges() -> npt.NDArray[np.float64]:
    """(K + 1,) float64 edges of the bins; bin i holds edges[i] <= |x| < edges[i + 1]. Read-only."""
    patterns = (np.arange(1, NUM_BINS + 1, dtype=np.uint32) + np.uint32(_OFFSET)) << _SHIFT
    edges = np.concatenate([[0.0], patterns.view(np.float32).astype(np.float64)])
    edges.flags.writeable = False
    return edges


@dataclass(frozen=True, eq=False)
class Part:
    """Counts of |x| of some values, ready to be added to a `Histogram`.

    Attributes:
        first: the bin that counts[1] is for; all smaller values are in counts[0].
        counts: (W,) int64.
        minimum: smallest x, with its sign.
        maximum: largest x, with its sign.
    """

    first: int
    counts: npt.NDArray[np.int64]
    minimum: float
    maximum: float


@dataclass(frozen=True)
class Extremes:
    """The smallest and the largest of some values; NaN if one of them is."""

    minimum: float
    maximum: float

    @classmethod
    def of(cls, values: npt.NDArray[np.float32]) -> Extremes:
        """Of an array of any shape with at least one value."""
        return cls(float(values.min()), float(values.max()))

    def rectified(self) -> Extremes:
        """Of max(x, 0), what a Relu makes of the values."""
        # np.maximum keeps NaN, which max() may lose.
        low, high = np.maximum([self.minimum, self.maximum], 0.0)
        return Extremes(float(low), float(high))

    @property
    def absmax(self) -> float:
        """Largest |x|."""
        return float(np.maximum(-self.minimum, self.maximum))


def counted(
    values: npt.NDArray[np.float32], tensor: str, extremes: Extremes, *, rectified: bool = False
) -> Part:
    """Count some values. Other threads may count at the same time.

    Args:
        values: any shape, float32, at least one.
        tensor: its name, for the message.
        extremes: of the values.
        rectified: count max(x, 0) in the place of x.

    Raises:
        CalibrationError: if a value is NaN, infinite or beyond the highest bin.
    """
    flat = values.reshape(-1)
    # Written this way round so that NaN is refused.
    if not (extremes.absmax < 2.0**HIGHEST_EXPONENT):
        _refuse(flat, tensor)
    if rectified:
        extremes = extremes.rectified()
    first, signed = _first_bin(extremes.absmax), extremes.minimum < 0
    counts = _counts(flat[:_MOST_AT_ONCE], first, signed=signed)
    for start in range(_MOST_AT_ONCE, len(flat), _MOST_AT_ONCE):
        counts += _counts(flat[start : start + _MOST_AT_ONCE], first, signed=signed)
    return Part(first, counts, extremes.minimum, extremes.maximum)


class Histogram:
    """Counts of |x| of one tensor over all faces so far, with its exact extremes.

    Attributes:
        counts: (K,) int64; the bins below the 16 highest octaves are empty.
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
        """Count some values in; see `counted`."""
        self.merge(counted(values, tensor, Extremes.of(values)))

    def merge(self, part: Part) -> None:
        """Add the counts of other values of the same tensor."""
        before = 1 if self.minimum > self.maximum else _first_bin(self.amax)
        first = max(before, part.first)
        # Rule 1: what lies below the octaves of the larger of the two is zero now.
        self.counts[0] += self.counts[before:first].sum()
        self.counts[before:first] = 0
        below = first - part.first + 1
        self.counts[0] += part.counts[:below].sum()
        self.counts[first : first + len(part.counts) - below] += part.counts[below:]
        self.minimum = min(self.minimum, part.minimum)
        self.maximum = max(self.maximum, part.maximum)

    def as_part(self) -> Part:
        """The same counts without the empty bins; a histogram that merges it equals this one."""
        first = _first_bin(self.amax)
        last = min(first + (NUM_OCTAVES << MANTISSA_BITS), NUM_BINS)
        counts = np.concatenate([self.counts[:1], self.counts[first:last]])
        return Part(first, counts, self.minimum, self.maximum)

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
        # The last occupied bin ends at the largest value and not at its own upper edge, or a part
        # of it would fall outside the range.
        last = int(np.flatnonzero(self.counts)[-1])
        edges = bin_edges()[: last + 2].copy()
        edges[-1] = self.amax
        cumulated = np.concatenate([[0], np.cumsum(self.counts[: last + 1])]).astype(np.float64)
        at = np.interp(np.linspace(0.0, self.amax, num_bins + 1), edges, cumulated)
        return np.diff(np.rint(at))


def _first_bin(amax: float) -> int:
    # Of the lowest octave that is kept apart. frexp's exponent is of 0.5 <= m < 1.
    octave = int(np.frexp(amax)[1]) - NUM_OCTAVES if amax else LOWEST_EXPONENT
    return ((max(octave, LOWEST_EXPONENT) - LOWEST_EXPONENT) << MANTISSA_BITS) + 1


def _counts(flat: npt.NDArray[np.float32], first: int, *, signed: bool) -> npt.NDArray[np.int64]:
    keys = _keys(flat, first, signed=signed)
    num_keys = (NUM_OCTAVES << MANTISSA_BITS) + _ZEROS
    counts: Any  # neither library says more
    if len(keys) < _FEW:
        counts = np.bincount(keys, minlength=num_keys)
    else:
        counts = cv2.calcHist([keys[np.newaxis]], [0], None, [num_keys], [0, num_keys])
        counts = counts[:, 0].astype(np.int64)
    counts[_ZEROS - 1] = counts[:_ZEROS].sum()
    result: npt.NDArray[np.int64] = counts[_ZEROS - 1 :]
    return result


def _keys(flat: npt.NDArray[np.float32], first: int, *, signed: bool) -> npt.NDArray[np.uint16]:
    # Number of the bin, so that `first` gets _ZEROS. All that is smaller gets less, and so do
    # negative values where no sign is expected.
    zeros = _zeros(first)
    base = zeros.view(np.uint32)[_ZEROS - 1]
    keys = np.empty(len(flat), np.uint16)
    buffer = np.empty(min(len(flat), _BLOCK), np.float32)
    for start in range(0, len(flat), _BLOCK):
        block = flat[start : start + _BLOCK]
        magnitude = buffer[: len(block)]
        if signed:
            block = np.abs(block, out=magnitude)
        np.maximum(block, zeros[: len(block)], out=magnitude)
        pattern = magnitude.view(np.uint32)
        np.subtract(pattern, base, out=pattern)
        here = keys[start : start + len(block)]
        # It fits into 16 bits: 16 octaves of 2048 bins, and the zeros.
        np.right_shift(pattern, np.uint32(_SHIFT), out=here, casting="unsafe")
    return keys


@cache
def _zeros(first: int) -> npt.NDArray[np.float32]:
    # The 16 bins below `first`, highest first, over and over.
    below = np.arange(_BLOCK, dtype=np.uint32) % np.uint32(_ZEROS)
    patterns = (np.uint32(first - 1 + _OFFSET) - below) << np.uint32(_SHIFT)
    patterns.flags.writeable = False
    zeros: npt.NDArray[np.float32] = patterns.view(np.float32)
    return zeros


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
