"""The faces of one frame, as the model takes them: found and cropped, or the picture itself.

A frame can hold thousands of faces, whose crops would need far more memory than the frame. So only
the first crops are made when a frame is looked at, and the others when their turn has come.

Shapes: N faces of the frame, M faces of a chunk, S model input size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from threading import local

from edge_arm.runtime.crop import CropBox
from edge_arm.runtime.detection.detector import DetectorFactory, FaceDetector
from edge_arm.runtime.detection.framing import FaceFraming, crops_of
from edge_arm.runtime.preprocess import Uint8Array, resize_face
from edge_arm.runtime.sources.frame import Frame


@dataclass(frozen=True)
class FaceFinding:
    """How faces are found in a frame.

    Attributes:
        detector: makes one for each thread that looks for faces.
        framing: which part of the picture around a found face the model was trained on.
    """

    detector: DetectorFactory
    framing: FaceFraming


@dataclass(frozen=True, eq=False)
class FrameFaces:
    """The faces of one frame.

    Attributes:
        boxes: N, of the detector; the whole frame for an aligned face.
        scores: N, of the detector; None for an aligned face.
        first_nhwc: (M, S, S, 3) uint8, the first of them.
        rest: makes the following chunks.
    """

    boxes: tuple[CropBox, ...]
    scores: tuple[float | None, ...]
    first_nhwc: Uint8Array
    rest: Callable[[], Iterator[Uint8Array]] = lambda: iter(())

    def __len__(self) -> int:
        return len(self.boxes)


LookAtFrame = Callable[[Frame], FrameFaces]
"""Takes the faces out of a frame; may be called from several threads at once."""


def look_at_frame(find: FaceFinding | None, size: int, *, chunk: int) -> LookAtFrame:
    """The function that takes the faces out of a frame.

    Args:
        find: how; None if each frame is a face already.
        size: S.
        chunk: largest M.
    """
    if find is None:
        return lambda frame: _aligned(frame, size)
    # OpenCV's detectors keep state, so each thread has its own, made when it needs it first.
    detectors = local()
    factory, framing = find.detector, find.framing

    def found_in(frame: Frame) -> FrameFaces:
        detector: FaceDetector | None = getattr(detectors, "own", None)
        if detector is None:
            detector = detectors.own = factory()
        found = detector.find(frame.image_hwc)

        def chunks_from(start: int) -> Iterator[Uint8Array]:
            for first in range(start, len(found), chunk):
                yield crops_of(frame.image_hwc, found[first : first + chunk], framing, size)

        return FrameFaces(
            boxes=tuple(face.box for face in found),
            scores=tuple(face.score for face in found),
            first_nhwc=crops_of(frame.image_hwc, found[:chunk], framing, size),
            rest=lambda: chunks_from(chunk),
        )

    return found_in


def _aligned(frame: Frame, size: int) -> FrameFaces:
    height, width = frame.image_hwc.shape[:2]
    face = resize_face(frame.image_hwc, size)
    return FrameFaces((CropBox(0, 0, width, height),), (None,), face[None])
