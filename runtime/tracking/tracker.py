"""Which box of a frame is whose: faces followed through a video by where they are.

No picture is looked at, so two people who change places behind a third may be exchanged. The steps
of one frame:

1. Each track is moved on to the frame's time at the speed it had (seconds count, not frames, so
   dropped frames do no harm).
2. Track and box fit by the overlap (intersection over union) of the two rectangles, both enlarged
   by `_MARGIN` on each side: a quick face leaves its place within one frame. Rectangles of very
   different size never fit.
3. The best fit of all is taken, then the best of what is left, and so on. With a handful of
   candidates for each face this loses next to nothing against the optimal assignment, and it stays
   quick with thousands of faces.
4. A box without a track begins one. A track without a box waits for `max_gap_s`, then it ends.

Shapes: T tracks, N boxes, P pairs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_arm.runtime.crop import CropBox
from edge_arm.runtime.errors import DataError, UsageError

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[Any]

# Share of a side by which a rectangle grows on each side before overlaps are measured.
_MARGIN = 0.25
_MIN_OVERLAP = 0.2
# A detector's square on a face moves by a tenth or so from frame to frame; a face that fills twice
# the side is another one, or a false one inside a true one.
_MAX_SIDE_RATIO = 1.7
# Detectors jitter, so a speed is the average over about this long.
_SPEED_TIME_CONSTANT_S = 0.2
# Tracks compared at once, neighbours from left to right, with the boxes that reach into their part
# of the picture: thousands of faces cost neither the time nor the memory of all their pairs.
_BLOCK = 64


@dataclass
class _Track:
    """Where a face was when it was last seen, and how fast it went."""

    number: int
    centre: FloatArray  # (2,) pixels
    size: FloatArray  # (2,) pixels, width and height
    velocity: FloatArray  # (2,) pixels per second
    seen_s: float
    speeds: int = 0  # measurements in `velocity`

    def moved_to(self, time_s: float) -> FloatArray:
        """(2,) centre at a time, if the face goes on as it did."""
        return self.centre + self.velocity * (time_s - self.seen_s)

    def see(self, centre: FloatArray, size: FloatArray, time_s: float) -> None:
        """Take a new box."""
        passed_s = time_s - self.seen_s
        if passed_s > 0.0:
            self.speeds += 1
            measured = (centre - self.centre) / passed_s
            # A plain mean at first, until there is a past to average exponentially.
            weight = max(-math.expm1(-passed_s / _SPEED_TIME_CONSTANT_S), 1.0 / self.speeds)
            self.velocity = self.velocity + weight * (measured - self.velocity)
        self.centre, self.size, self.seen_s = centre, size, time_s


class FaceTracker:
    """Gives each box the number of its track: from 1, in order of appearance, never used again.

    Args:
        max_gap_s: a face that is not found for longer begins a new track. Frames that are further
            apart than this cannot be tracked at all.

    Raises:
        UsageError: if `max_gap_s` is not a time.
    """

    def __init__(self, max_gap_s: float = 0.5) -> None:
        if not 0.0 <= max_gap_s < math.inf:
            raise UsageError(
                f"got {max_gap_s!r} seconds as the longest gap of a track, expected 0 or more; "
                "half a second bridges what detectors usually miss"
            )
        self._max_gap_s = max_gap_s
        self._tracks: list[_Track] = []
        self._last_number = 0
        self._time_s = -math.inf

    @property
    def alive(self) -> frozenset[int]:
        """Numbers of the tracks that the next box may still belong to."""
        return frozenset(track.number for track in self._tracks)

    def update(self, boxes: Sequence[CropBox], time_s: float) -> tuple[int, ...]:
        """Follow the faces into one more frame.

        Args:
            boxes: of the faces of this frame, in any order.
            time_s: of this frame. A time before the last frame's begins another video: every
                track ends.

        Returns:
            The number of the track of each box, in the order of the boxes.

        Raises:
            DataError: if the time is not a finite number.
        """
        if not math.isfinite(time_s):
            raise DataError(
                f"got a frame at {time_s!r} seconds, expected a finite time; give the source's "
                "time, or the frame's number divided by the frame rate"
            )
        oldest_s = math.inf if time_s < self._time_s else time_s - self._max_gap_s
        self._time_s = time_s
        # The times of a video are rounded, and a gap of exactly the limit is still one.
        self._tracks = [track for track in self._tracks if track.seen_s >= oldest_s - 1e-9]
        centres, sizes = _rectangles(boxes)
        numbers = [0] * len(boxes)
        for row, column in self._matches(centres, sizes):
            track = self._tracks[row]
            track.see(centres[column], sizes[column], time_s)
            numbers[column] = track.number
        for column, number in enumerate(numbers):
            if not number:
                self._last_number += 1
                numbers[column] = self._last_number
                self._tracks.append(
                    _Track(self._last_number, centres[column], sizes[column], np.zeros(2), time_s)
                )
        return tuple(numbers)

    def _matches(self, centres: FloatArray, sizes: FloatArray) -> list[tuple[int, int]]:
        """Pairs of track and box, each at most once, the best fit first."""
        if not self._tracks or not len(centres):
            return []
        expected = np.array([track.moved_to(self._time_s) for track in self._tracks])  # (T, 2)
        known = np.array([track.size for track in self._tracks])  # (T, 2)
        rows, columns, overlaps = _fitting_pairs(expected, known, centres, sizes)
        free_rows, free_columns = set(range(len(expected))), set(range(len(centres)))
        matches = []
        # Among equals the older track and the earlier box come first.
        for pair in np.lexsort((columns, rows, -overlaps)).tolist():
            row, column = int(rows[pair]), int(columns[pair])
            if row in free_rows and column in free_columns:
                free_rows.remove(row)
                free_columns.remove(column)
                matches.append((row, column))
        return matches


def _rectangles(boxes: Sequence[CropBox]) -> tuple[FloatArray, FloatArray]:
    """Centres (N, 2) and sizes (N, 2) of boxes, in pixels."""
    corners = np.array([(box.x, box.y) for box in boxes], dtype=np.float64).reshape(-1, 2)
    sizes = np.array([(box.width, box.height) for box in boxes], dtype=np.float64).reshape(-1, 2)
    return corners + 0.5 * sizes, sizes


def _fitting_pairs(
    expected: FloatArray, known: FloatArray, centres: FloatArray, sizes: FloatArray
) -> tuple[IntArray, IntArray, FloatArray]:
    """All pairs that may be the same face: rows of tracks, columns of boxes, overlaps, each (P,).

    Args:
        expected: (T, 2) centres of the tracks at this frame's time.
        known: (T, 2) their sizes.
        centres: (N, 2) of the boxes.
        sizes: (N, 2) of the boxes.
    """
    wide, all_wide = known * (1.0 + 2.0 * _MARGIN), sizes * (1.0 + 2.0 * _MARGIN)
    low, high = centres - 0.5 * all_wide, centres + 0.5 * all_wide
    sides, all_sides = np.sqrt(known.prod(axis=1)), np.sqrt(sizes.prod(axis=1))
    from_left = np.argsort(expected[:, 0], kind="stable")
    found: list[tuple[IntArray, IntArray, FloatArray]] = []
    for start in range(0, len(expected), _BLOCK):
        some = from_left[start : start + _BLOCK]
        first, last = expected[some] - 0.5 * wide[some], expected[some] + 0.5 * wide[some]
        near = np.nonzero((high[:, 0] > first[:, 0].min()) & (low[:, 0] < last[:, 0].max()))[0]
        common = np.minimum(last[:, None], high[near]) - np.maximum(first[:, None], low[near])
        intersection = np.maximum(common, 0.0).prod(axis=2)  # (block, near)
        areas = wide[some].prod(axis=1)[:, None] + all_wide[near].prod(axis=1)
        overlap = intersection / (areas - intersection)
        ratio = sides[some][:, None] / all_sides[near]
        fits = (overlap >= _MIN_OVERLAP) & (np.maximum(ratio, 1.0 / ratio) <= _MAX_SIDE_RATIO)
        rows, columns = np.nonzero(fits)
        found.append((some[rows], near[columns], overlap[rows, columns]))
    rows, columns, overlaps = (np.concatenate(part) for part in zip(*found, strict=True))
    return rows, columns, overlaps
