"""The labels of a video: each face followed, its expression smoothed, its flips counted.

Shapes: N faces of a frame, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_arm.runtime.crop import CropBox
from edge_arm.runtime.errors import DataError
from edge_arm.runtime.tracking.smoothing import SmoothedExpression, SmoothingConfig
from edge_arm.runtime.tracking.tracker import FaceTracker


@dataclass(frozen=True)
class TrackedAnswer:
    """One face of one frame.

    Attributes:
        track: number of the face in this video, from 1.
        class_index: the label, smoothed where smoothing is on.
        probabilities: C numbers, smoothed likewise.
        frame_class_index: the most likely class of this frame alone.
    """

    track: int
    class_index: int
    probabilities: tuple[float, ...]
    frame_class_index: int


@dataclass(frozen=True)
class Flicker:
    """How often labels changed, true changes of expression included.

    Attributes:
        tracks: that there were.
        seconds_tracked: over all tracks, from each one's first to its last box.
        flips: changes of the label that was given out.
        frame_flips: changes of the single frames' label: the flips without smoothing.
    """

    tracks: int
    seconds_tracked: float
    flips: int
    frame_flips: int

    @property
    def flips_per_minute(self) -> float | None:
        """Of the label that was given out, per minute of track; None if nothing was tracked."""
        return self._per_minute(self.flips)

    @property
    def frame_flips_per_minute(self) -> float | None:
        """Of the single frames' label, per minute of track; None if nothing was tracked."""
        return self._per_minute(self.frame_flips)

    def _per_minute(self, count: int) -> float | None:
        return 60.0 * count / self.seconds_tracked if self.seconds_tracked > 0.0 else None


@dataclass
class _Followed:
    """What is remembered of a living track."""

    seen_s: float
    class_index: int
    frame_class_index: int
    smoothed: SmoothedExpression | None


class TrackedLabels:
    """Follows the faces of one video. Not for several threads; frames come in order.

    Only living tracks are remembered, so memory does not grow with the length of the video.

    Args:
        config: None turns smoothing off; faces are followed and flips are counted all the same.
    """

    def __init__(self, config: SmoothingConfig | None) -> None:
        self._config = config
        self._tracker = FaceTracker((config or SmoothingConfig()).max_gap_s)
        self._followed: dict[int, _Followed] = {}
        self._num_classes: int | None = None
        self._tracks = self._flips = self._frame_flips = 0
        self._seconds_tracked = 0.0

    def update(
        self, boxes: Sequence[CropBox], probabilities: npt.NDArray[Any], time_s: float
    ) -> tuple[TrackedAnswer, ...]:
        """The answers for one frame.

        Args:
            boxes: of its faces.
            probabilities: (N, C) floating point, a row for each box. With no faces any shape (0,
                C) will do.
            time_s: of the frame, see `FaceTracker.update`.

        Returns:
            An answer for each box, in the order of the boxes.

        Raises:
            DataError: if boxes and probabilities do not belong together, or are no numbers.
        """
        rows = self._checked(probabilities, len(boxes))
        numbers = self._tracker.update(boxes, time_s)
        alive = self._tracker.alive
        self._followed = {
            number: track for number, track in self._followed.items() if number in alive
        }
        return tuple(
            self._answer(number, row, time_s) for number, row in zip(numbers, rows, strict=True)
        )

    def flicker(self) -> Flicker:
        """What was counted so far."""
        return Flicker(self._tracks, self._seconds_tracked, self._flips, self._frame_flips)

    def _checked(self, probabilities: npt.NDArray[Any], num_faces: int) -> npt.NDArray[np.float64]:
        """The probabilities as (N, C) float64."""
        rows = np.asarray(probabilities, dtype=np.float64)
        if num_faces == 0 and rows.size == 0:
            return rows.reshape(0, 0)
        classes = self._num_classes or (rows.shape[1] if rows.ndim == 2 else 0)
        if rows.shape != (num_faces, classes) or classes < 1:
            raise DataError(
                f"got probabilities of shape {rows.shape} for {num_faces} faces, expected "
                f"({num_faces}, {classes or 'classes'}); give a row for each box"
            )
        if not np.isfinite(rows).all():
            raise DataError(
                "got probabilities that are not finite, expected numbers from 0 to 1: one of "
                "them would spoil the rest of its track; check the model"
            )
        self._num_classes = classes
        return rows

    def _answer(self, number: int, row: npt.NDArray[np.float64], time_s: float) -> TrackedAnswer:
        frame_class = int(row.argmax())
        track = self._followed.get(number)
        if track is None:
            smoothed = None
            if self._config is not None:
                smoothed = SmoothedExpression(self._config, row, time_s)
            track = _Followed(time_s, frame_class, frame_class, smoothed)
            self._followed[number] = track
            self._tracks += 1
        else:
            self._seconds_tracked += time_s - track.seen_s
            track.seen_s = time_s
            if track.smoothed is not None:
                track.smoothed.update(row, time_s)
        shown = row if track.smoothed is None else track.smoothed.probabilities
        class_index = frame_class if track.smoothed is None else track.smoothed.class_index
        self._flips += class_index != track.class_index
        self._frame_flips += frame_class != track.frame_class_index
        track.class_index, track.frame_class_index = class_index, frame_class
        return TrackedAnswer(number, class_index, tuple(shown.tolist()), frame_class)
