"""What a bundle and a detector make together: where faces are, and which crop its model knows."""

from __future__ import annotations

from edge_arm.runtime.detection.detection_config import DetectionConfig
from edge_arm.runtime.detection.detector import FaceDetector
from edge_arm.runtime.detection.detector_choice import detector_factory
from edge_arm.runtime.detection.stored_framing import framing_of
from edge_arm.runtime.live.frame_faces import FaceFinding
from edge_arm.runtime.manifest import Bundle


def face_finding(bundle: Bundle, config: DetectionConfig) -> FaceFinding:
    """How faces are found for the model of a bundle.

    Args:
        bundle: that knows how its training faces were cut, or a default is taken and said.
        config: which detector, and how it looks.

    Raises:
        UsageError: if the detector's file is missing, or none that finds faces.
        BackendUnavailableError: if this OpenCV lacks the detector.
        BundleError: if the bundle's framing cannot be read.
    """
    factory = detector_factory(config)
    # Its name is asked here, and the first thread gets it: loading a cascade takes 30 ms.
    ready = [factory()]

    def detector() -> FaceDetector:
        try:
            return ready.pop()
        except IndexError:
            return factory()

    return FaceFinding(detector, framing_of(bundle, ready[0].name))
