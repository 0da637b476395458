"""What comes out for one frame.

Shapes: C classes.
"""

from __future__ import annotations

from dataclasses import dataclass

from edge_arm.runtime.crop import CropBox
from edge_arm.runtime.sources.frame import Frame


@dataclass(frozen=True)
class LabelledFace:
    """One face and its expression.

    Attributes:
        box: of the detector, in pixels of the frame; the whole frame for an aligned face.
        score: of the detector; None for an aligned face.
        track: number of the person in this source, from 1; None where frames do not follow each
            other.
        label: canonical name of the expression, smoothed where smoothing is on.
        probabilities: C numbers in the order of the model's labels, smoothed likewise; they sum
            to 1. The label is not always the largest: hysteresis keeps one for a while.
        frame_label: what this frame alone says; the same as `label` without smoothing.
    """

    box: CropBox
    score: float | None
    track: int | None
    label: str
    probabilities: tuple[float, ...]
    frame_label: str


@dataclass(frozen=True, eq=False)
class FrameResult:
    """A frame with its faces, from left to right; no faces is a result too.

    Attributes:
        frame: as the source gave it.
        faces: that were found in it.
        ready_s: seconds from the moment the frame left the source to its answer.
    """

    frame: Frame
    faces: tuple[LabelledFace, ...]
    ready_s: float
