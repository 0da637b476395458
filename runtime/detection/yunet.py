"""Faces by YuNet (Wu, Peng and Yu, 2023), which OpenCV runs by itself: `--detector FILE.onnx`.

It also finds faces that are turned, tilted or partly hidden, which the cascade does not. OpenCV
brings the code and not the weights: face_detection_yunet_2023mar.onnx (0.2 MB, MIT licence) of
github.com/opencv/opencv_zoo, folder models/face_detection_yunet.

Shapes: H, W picture height and width; A anchors, one for each 8, 16 or 32 pixels of a side.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from edge_arm.runtime.detection.detection_config import DetectionConfig
from edge_arm.runtime.detection.detector import FoundFace
from edge_arm.runtime.detection.distinct import Boxes
from edge_arm.runtime.detection.look import Scores, faces_seen
from edge_arm.runtime.errors import BackendUnavailableError, UsageError
from edge_arm.runtime.preprocess import Uint8Array

YUNET = "yunet"
"""Its name, whichever file: all draw their boxes by one rule, that of the set WIDER FACE."""

_MIN_SCORE = 0.9
"""OpenCV's own default; 0..1, the root of the product of two probabilities."""

_MAX_OVERLAP = 0.3  # of two boxes, intersection over union: OpenCV's default as well
_TOP_K = 100_000
"""Boxes that are compared with each other; OpenCV's 5,000 would lose faces of a large crowd."""

_STRIDES = (8, 16, 32)
_PARTS = {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}
"""Its outputs, one for each stride, and the figures of each anchor."""


class YuNetDetector:
    """Finds faces with YuNet; not to be shared between threads."""

    name = YUNET

    def __init__(self, path: Path, config: DetectionConfig) -> None:
        """Load the network and try it on a blank picture.

        Args:
            path: ONNX file.
            config: how faces are found.

        Raises:
            BackendUnavailableError: if this OpenCV has no YuNet.
            UsageError: if the file is missing or no YuNet.
        """
        if not hasattr(cv2, "FaceDetectorYN"):
            raise BackendUnavailableError(
                f"OpenCV {cv2.__version__} has no FaceDetectorYN, expected 4.5.4 or newer; run: "
                "pip install 'opencv-python-headless>=4.8,<5', or write --detector haar"
            )
        self._config = config
        self._min_score = _MIN_SCORE if config.min_score is None else config.min_score
        reason = _reason_against(path)
        if reason is None:
            self._network = cv2.FaceDetectorYN.create(
                str(path), "", (64, 64), self._min_score, _MAX_OVERLAP, _TOP_K
            )
            if self.find(np.full((64, 64, 3), 128, np.uint8)):
                reason = "it sees a face in a blank picture"
        if reason is not None:
            raise UsageError(
                f"got {str(path)!r} to find faces with, and {reason}; expected YuNet, such as "
                "face_detection_yunet_2023mar.onnx from github.com/opencv/opencv_zoo; fetch that "
                "file, or write --detector haar"
            )

    def find(self, image_hwc: Uint8Array) -> tuple[FoundFace, ...]:
        """The faces of a picture, from left to right; scores are 0..1.

        Args:
            image_hwc: (H, W, 3) uint8 RGB.
        """
        bgr = np.asarray(cv2.cvtColor(image_hwc, cv2.COLOR_RGB2BGR), np.uint8)
        return faces_seen(bgr, self._config, self._seek)

    def _seek(self, bgr: Uint8Array, smallest_px: float) -> tuple[Boxes, Scores]:
        height, width = bgr.shape[:2]
        self._network.setInputSize((width, height))
        _, rows = self._network.detect(bgr)
        found = np.empty((0, 15)) if rows is None else np.asarray(rows, np.float64)
        # Sides are exponentials of what the network says, which an odd file lets overflow.
        fit = np.isfinite(found).all(axis=1) & (found[:, 2:4].max(axis=1, initial=0) >= smallest_px)
        return found[fit, :4], found[fit, 14]


def _reason_against(path: Path) -> str | None:
    """Why a file is no YuNet; None if it is one.

    OpenCV reads the outputs by name and as long as YuNet's should be, without a look at how long
    they are, so a file of another kind with these names would be read beyond its end.
    """
    if not path.is_file():
        return "it is missing"
    names = [f"{part}_{stride}" for part in _PARTS for stride in _STRIDES]
    try:
        network = cv2.dnn.readNetFromONNX(str(path))
        for height, width in ((64, 64), (96, 160)):
            network.setInput(np.zeros((1, 3, height, width), np.float32))
            outputs = dict(zip(names, network.forward(names), strict=True))
            for part, figures in _PARTS.items():
                for stride in _STRIDES:
                    got = outputs[f"{part}_{stride}"].size
                    expected = (height // stride) * (width // stride) * figures
                    if got != expected:
                        return (
                            f"its output '{part}_{stride}' has {got} figures for {height} x "
                            f"{width} pixels instead of {expected}"
                        )
    except cv2.error as error:
        return f"OpenCV cannot run it ({str(error).strip().splitlines()[-1]})"
    return None
