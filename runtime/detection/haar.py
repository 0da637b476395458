"""Faces by OpenCV's cascade of Haar features (Viola and Jones, 2001): no file to fetch, no GPU.

It finds faces that look into the camera, upright within about 20 degrees. Which of OpenCV's
cascades it is, and how it is asked, was chosen on faces put onto textures (docs/log.md).

Shapes: H, W picture height and width.
"""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np

from edge_arm.runtime.detection.detection_config import HAAR, DetectionConfig
from edge_arm.runtime.detection.detector import FoundFace
from edge_arm.runtime.detection.distinct import Boxes
from edge_arm.runtime.detection.look import Scores, faces_seen
from edge_arm.runtime.errors import BackendUnavailableError, UsageError
from edge_arm.runtime.preprocess import Uint8Array

CASCADE_NAME = "haarcascade_frontalface_alt2.xml"
"""Of 320 faces on textures it finds 92 %, with 0.04 false ones per picture; in the same time
haarcascade_frontalface_default.xml finds 87 %, with 0.23."""

_DEBIAN_FOLDER = Path("/usr/share/opencv4/haarcascades")  # package opencv-data, JetPack's too
_WINDOW_PX = 24
"""Side of the smallest face that a cascade can know."""

_SCALE_STEP = 1.2
_MIN_VOTES = 2
"""Steps of 1.1 and three votes find 1 % more, for 1.6 times the time and twice the false ones; the
labels of what is found are as right."""

_MIN_SCORE = 55.0
"""More than half of what it found wrongly lay below, and none of the faces. The scores of another
cascade have another scale, so it gets no limit from us."""

_KNEE = 16.0
_LEVELS = np.arange(256) / _KNEE
_TONES = np.round(255 * np.log1p(_LEVELS) / np.log1p(255 / _KNEE)).astype(np.uint8)
"""Grey levels on a logarithmic scale. The cascade asks by how much one part of a face is brighter
than another; on dark skin and in shade these differences are small, and it found 84 % of the
darkest third of faces beside 98 % of the lightest. With these it finds 91 % (docs/log.md)."""


class HaarDetector:
    """Finds faces with a cascade; not to be shared between threads."""

    def __init__(self, cascade: Path, config: DetectionConfig) -> None:
        """Load the cascade.

        Args:
            cascade: XML file.
            config: how faces are found.

        Raises:
            BackendUnavailableError: if this OpenCV has no cascades.
            UsageError: if the file is missing or no cascade.
        """
        self.name = HAAR if cascade.name == CASCADE_NAME else f"{HAAR}:{cascade.stem}"
        self._cascade = _loaded(cascade)
        self._config = config
        own_limit = _MIN_SCORE if cascade.name == CASCADE_NAME else -math.inf
        self._min_score = own_limit if config.min_score is None else config.min_score

    def find(self, image_hwc: Uint8Array) -> tuple[FoundFace, ...]:
        """The faces of a picture, from left to right; the score is the last stage's sum.

        Args:
            image_hwc: (H, W, 3) uint8 RGB.
        """
        # Grey first: one plane to reduce instead of three, 1.6 ms instead of 2.6 at 1920 x 1080.
        grey = np.asarray(cv2.cvtColor(image_hwc, cv2.COLOR_RGB2GRAY), np.uint8)
        return faces_seen(grey, self._config, self._seek)

    def _seek(self, grey: Uint8Array, smallest_px: float) -> tuple[Boxes, Scores]:
        side = max(round(smallest_px), _WINDOW_PX)
        boxes, _, weights = self._cascade.detectMultiScale3(
            cv2.LUT(grey, _TONES),
            scaleFactor=_SCALE_STEP,
            minNeighbors=_MIN_VOTES,
            minSize=(side, side),
            outputRejectLevels=True,
        )
        # Without a face they are empty tuples and not arrays.
        found = np.asarray(boxes, np.float64).reshape(-1, 4)
        scores = np.asarray(weights, np.float64).reshape(-1)
        sure = scores >= self._min_score
        return found[sure], scores[sure]


def default_cascade() -> Path:
    """Where OpenCV's cascade for frontal faces is: in its wheel, or in Debian's folder.

    Raises:
        BackendUnavailableError: if it is in neither.
    """
    # JetPack's and Debian's OpenCV have no `cv2.data`.
    wheel = getattr(getattr(cv2, "data", None), "haarcascades", None)
    places = [*([Path(wheel)] if wheel else []), _DEBIAN_FOLDER]
    for folder in places:
        if (folder / CASCADE_NAME).is_file():
            return folder / CASCADE_NAME
    raise BackendUnavailableError(
        f"OpenCV {cv2.__version__} came without {CASCADE_NAME!r}, expected it in "
        f"{' or '.join(repr(str(folder)) for folder in places)}; run: pip install "
        "'opencv-python-headless<5' (or apt install opencv-data), or give --detector FILE"
    )


def _loaded(path: Path) -> cv2.CascadeClassifier:
    if not hasattr(cv2, "CascadeClassifier"):
        raise BackendUnavailableError(
            f"OpenCV {cv2.__version__} has no CascadeClassifier, expected OpenCV 4; run: pip "
            "install 'opencv-python-headless<5', or give a YuNet file with --detector FILE.onnx"
        )
    reason = "it is missing"
    if path.is_file():
        reason = "it is no cascade"
        try:
            cascade = cv2.CascadeClassifier(str(path))
            if not cascade.empty():
                return cascade
        except (cv2.error, SystemError) as error:  # SystemError: OpenCV's wrapper for bad XML
            reason = f"OpenCV cannot read it ({type(error).__name__})"
    raise UsageError(
        f"got {str(path)!r} to find faces with, and {reason}; expected an XML cascade of OpenCV; "
        "leave --detector out for the one that OpenCV brings along"
    )
