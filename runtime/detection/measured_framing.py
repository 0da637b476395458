"""Measures where a detector sees the face in training pictures.

Shapes: H, W picture height and width; N faces.
"""

from __future__ import annotations

import logging

import cv2
import numpy as np
import numpy.typing as npt

from edge_arm.runtime.detection.detection_config import DetectionConfig, SmallestFace
from edge_arm.runtime.detection.detector import FaceDetector
from edge_arm.runtime.detection.detector_choice import detector_factory
from edge_arm.runtime.detection.framing import FaceFraming
from edge_arm.runtime.faces import FaceIndex
from edge_arm.runtime.images import read_image
from edge_arm.runtime.preprocess import Uint8Array

NUM_FACES = 200
"""Looked at: the median's standard error is 1.25 / sqrt(200), a tenth of the single faces' spread,
and it takes about a second."""

MIN_FACES = 20
"""With fewer found than this nothing is measured."""

_SIDE_PX = 144
"""Longer side at which a face is looked at, so that small faces do not fall between two sizes of
the cascade."""

_MARGIN = 0.3
"""Added on each side, as a share of it: a face that fills its picture leaves no room for the box,
and a cascade looks at no place that reaches over the edge."""

_SMALLEST = SmallestFace(share=0.2)
"""Of the padded picture, a third of the training picture: smaller boxes are no such face, and not
to look for them takes most of the time away."""

_LOW_OVERLAP = 0.6
_log = logging.getLogger(__name__)


def measured_framing(detector_text: str, index: FaceIndex) -> FaceFraming | None:
    """Look at training faces, evenly spread over their list.

    Args:
        detector_text: as in `DetectionConfig.detector`.
        index: what the model was trained on.

    Returns:
        The median box; None, and a line in the log, if too few faces were found.

    Raises:
        ImageError: if a picture cannot be read.
        BackendUnavailableError, UsageError: see `detector_factory`.
    """
    detector = detector_factory(DetectionConfig(detector_text, smallest=_SMALLEST))()
    chosen = np.unique(np.linspace(0, len(index) - 1, min(NUM_FACES, len(index))).round())
    boxes, aspects = [], []
    for position in chosen.astype(int):
        sample = index.samples[position]
        image_hwc = read_image(sample.path, sample.crop).image_hwc
        box = _box_in(image_hwc, detector)
        if box is not None:
            boxes.append(box)
            aspects.append(image_hwc.shape[1] / image_hwc.shape[0])
    if len(boxes) < MIN_FACES:
        _log.warning(
            "no framing for the detector %r: it found %d of %d training faces of %s, %d are "
            "needed; 'edge-arm run' will crop by a default",
            detector.name,
            len(boxes),
            len(chosen),
            index.name,
            MIN_FACES,
        )
        return None
    found = np.array(boxes)
    median = np.median(found, axis=0)
    overlap = float(np.median(_overlaps(found, median)))
    if overlap < _LOW_OVERLAP:
        _log.warning(
            "the training faces of %s are not aligned alike: the detector %r sees them at boxes "
            "that share %.2f of their area with the median box, expected %.1f or more; crops of "
            "'edge-arm run' will be off by as much",
            index.name,
            detector.name,
            overlap,
            _LOW_OVERLAP,
        )
    left, top, width, height = (round(float(share), 4) for share in median)
    return FaceFraming(
        detector=detector.name,
        left=left,
        top=top,
        width=width,
        height=height,
        aspect=round(float(np.median(aspects)), 4),
        faces=len(boxes),
        overlap=round(overlap, 4),
        data_name=index.name,
    )


def _box_in(image_hwc: Uint8Array, detector: FaceDetector) -> npt.NDArray[np.float64] | None:
    """The largest box, (4,) float64: left, top, width, height in shares of the picture."""
    height, width = image_hwc.shape[:2]
    scale = _SIDE_PX / max(height, width)
    shown_width, shown_height = max(round(width * scale), 1), max(round(height * scale), 1)
    shown = cv2.resize(
        image_hwc,
        (shown_width, shown_height),
        interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR,
    )
    margin_x, margin_y = round(_MARGIN * shown_width), round(_MARGIN * shown_height)
    padded = cv2.copyMakeBorder(
        shown, margin_y, margin_y, margin_x, margin_x, borderType=cv2.BORDER_REPLICATE
    )
    found = detector.find(np.asarray(padded, np.uint8))
    if not found:
        return None
    box = max(found, key=lambda face: face.box.width * face.box.height).box
    return np.array(
        [
            (box.x - margin_x) / shown_width,
            (box.y - margin_y) / shown_height,
            box.width / shown_width,
            box.height / shown_height,
        ]
    )


def _overlaps(
    boxes: npt.NDArray[np.float64], box: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Intersection over union of (N, 4) boxes with one of them, (N,) float64."""
    low = np.maximum(boxes[:, :2], box[:2])
    high = np.minimum(boxes[:, :2] + boxes[:, 2:], box[:2] + box[2:])
    common = np.clip(high - low, 0.0, None).prod(axis=1)
    overlaps: npt.NDArray[np.float64] = common / (
        boxes[:, 2:].prod(axis=1) + box[2:].prod() - common
    )
    return overlaps
