"""The part of `edge-arm calibrate` that learns where detectors see the training faces."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_arm.runtime.detection.framing import FaceFraming
    from edge_arm.runtime.faces import FaceIndex
    from edge_arm.runtime.manifest import Bundle


def check_detector(detector: Path | None, *, from_faces: bool) -> None:
    """Refuse a detector that cannot be used before a calibration runs for minutes.

    Args:
        detector: what was given as `--detector`.
        from_faces: whether the calibration goes on to look at training faces.

    Raises:
        UsageError: if it is no detector, or there are no faces for it.
    """
    from edge_arm.runtime.detection.detection_config import DetectionConfig
    from edge_arm.runtime.detection.detector_choice import detector_factory
    from edge_arm.runtime.errors import UsageError

    if detector is None:
        return
    if not from_faces:
        raise UsageError(
            f"got --detector {str(detector)!r} with --from-cache, --study or no --data, expected "
            "a calibration on faces, which it would look at; leave --detector out"
        )
    detector_factory(DetectionConfig(str(detector)))


def with_framings(
    bundle: Bundle, train_index: FaceIndex, detector: Path | None
) -> tuple[Bundle, dict[str, str]]:
    """Measure and store the framing of the default detector, and of another one if named.

    Args:
        bundle: calibrated.
        train_index: the training split.
        detector: file of another detector.

    Returns:
        The bundle as it is now, and rows to print.

    Raises:
        ImageError: if a picture cannot be read.
        UsageError: see `measured_framing`.
        BundleError, StorageError: see `bundle_with_framing`.
    """
    from edge_arm.runtime.detection.detection_config import HAAR
    from edge_arm.runtime.detection.measured_framing import measured_framing
    from edge_arm.runtime.detection.stored_framing import bundle_with_framing
    from edge_arm.runtime.errors import BackendUnavailableError

    rows = {}
    for text in [HAAR] if detector is None else [HAAR, str(detector)]:
        try:
            framing = measured_framing(text, train_index)
        except BackendUnavailableError as error:
            # The calibration is done, and is whole without it.
            rows[f"{text} box"] = f"not measured: {error}"
            continue
        if framing is not None:
            bundle = bundle_with_framing(bundle, framing)
            rows[f"{framing.detector} box"] = framing_text(framing)
    return bundle, rows


def framing_text(framing: FaceFraming) -> str:
    """A framing in one line."""
    return (
        f"{100 * framing.width:.0f} x {100 * framing.height:.0f} % of a training face, "
        f"{100 * framing.left:.0f} % from its left and {100 * framing.top:.0f} % from its upper "
        f"edge ({framing.faces} faces of {framing.data_name}, overlap {framing.overlap:.2f})"
    )
