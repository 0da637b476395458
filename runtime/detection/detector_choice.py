"""From `--detector haar | FILE.xml | FILE.onnx` to a detector for each thread."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from edge_arm.runtime.detection.detection_config import HAAR, DetectionConfig
from edge_arm.runtime.detection.detector import DetectorFactory, FaceDetector
from edge_arm.runtime.detection.haar import HaarDetector, default_cascade
from edge_arm.runtime.detection.yunet import YuNetDetector
from edge_arm.runtime.errors import UsageError


def detector_factory(config: DetectionConfig | None = None) -> DetectorFactory:
    """What makes the detectors.

    One is made here and handed out first, so that a file that cannot find faces is refused before
    the first frame and not in some thread.

    Args:
        config: which detector, and how it looks.

    Raises:
        BackendUnavailableError: if this OpenCV lacks the detector.
        UsageError: if the file is missing, or none that finds faces.
    """
    make = _maker(config or DetectionConfig())
    ready = [make()]

    def detector() -> FaceDetector:
        try:
            return ready.pop()
        except IndexError:  # asked first and popped then would race between threads
            return make()

    return detector


def _maker(config: DetectionConfig) -> DetectorFactory:
    if config.detector == HAAR:
        return partial(HaarDetector, default_cascade(), config)
    path = Path(config.detector)
    # In small letters alone, because OpenCV tells a network's kind by its name likewise.
    if path.suffix == ".xml":
        return partial(HaarDetector, path, config)
    if path.suffix == ".onnx":
        return partial(YuNetDetector, path, config)
    raise UsageError(
        f"got {config.detector!r} as the detector, expected 'haar', a YuNet file (.onnx) or a "
        "cascade (.xml); write --detector haar"
    )
