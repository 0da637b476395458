"""`framing.json`: where detectors see the faces that a bundle's model was trained on.

Framings of several detectors stand side by side: measuring one leaves the others as they are,
because the training faces of a bundle's model do not change.
"""

from __future__ import annotations

import logging
from dataclasses import asdict
from typing import Any

from edge_arm.runtime.bundle_file import bundle_with_file, versioned_json
from edge_arm.runtime.detection.framing import FaceFraming, default_framing
from edge_arm.runtime.errors import BundleError
from edge_arm.runtime.manifest import Bundle
from edge_arm.runtime.storage import write_json

FRAMING_NAME = "framing.json"
SCHEMA_VERSION = 1
_MAKE = "calibrate again with 'edge-arm calibrate --data NAME'"
_log = logging.getLogger(__name__)


def framing_of(bundle: Bundle, detector_name: str) -> FaceFraming:
    """The bundle's framing for a detector; a default, and a line in the log, if it has none.

    Args:
        bundle: of the model.
        detector_name: `FaceDetector.name`.

    Raises:
        BundleError: see `stored_framings`.
    """
    stored = stored_framings(bundle)
    for framing in stored:
        if framing.detector == detector_name:
            return framing
    known = ", ".join(repr(framing.detector) for framing in stored) or "none"
    how = "" if detector_name == "haar" else " --detector FILE"
    _log.warning(
        "crops of faces follow a default: the bundle has no framing for the detector %r (it has "
        "%s); 'edge-arm calibrate --data NAME%s' measures it on the training faces",
        detector_name,
        known,
        how,
    )
    return default_framing(detector_name)


def stored_framings(bundle: Bundle) -> tuple[FaceFraming, ...]:
    """The framings of a bundle, by detector; none if none were measured.

    Args:
        bundle: whose file is verified and read.

    Raises:
        BundleError: if the file changed, is damaged, or of another version.
    """
    if FRAMING_NAME not in bundle.manifest.files:
        return ()
    try:
        value = versioned_json(bundle, FRAMING_NAME, SCHEMA_VERSION, make=_MAKE)
        return tuple(framing_from_json(item) for item in value["framings"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BundleError(
            f"{str(bundle.path / FRAMING_NAME)!r} does not hold together "
            f"({type(error).__name__}: {error}), expected measured framings; {_MAKE}"
        ) from error


def bundle_with_framing(bundle: Bundle, framing: FaceFraming) -> Bundle:
    """Keep a framing; an earlier one of the same detector is replaced.

    A file that cannot be read is replaced as a whole: its own message says to calibrate again.

    Args:
        bundle: that gets it.
        framing: measured.

    Returns:
        The bundle as it is now.

    Raises:
        BundleError: if the bundle is gone or its manifest cannot be read.
        StorageError: if the operating system refuses the write.
    """
    try:
        stored = stored_framings(bundle)
    except BundleError as error:
        _log.warning("the framings of an earlier calibration are replaced: %s", error)
        stored = ()
    others = [item for item in stored if item.detector != framing.detector]
    framings = sorted([*others, framing], key=lambda item: item.detector)
    value = {
        "schema_version": SCHEMA_VERSION,
        "unit": "shares of the sides of a training face",
        "framings": [asdict(item) for item in framings],
    }
    return bundle_with_file(bundle, FRAMING_NAME, lambda path: write_json(path, value))


def framing_from_json(value: dict[str, Any]) -> FaceFraming:
    """A framing from its JSON form, which is its fields by name.

    Raises:
        KeyError, TypeError, ValueError: saying what is wrong; the caller knows of which file.
    """
    return FaceFraming(
        detector=str(value["detector"]),
        left=_within(value, "left", -1.0, 1.0),
        top=_within(value, "top", -1.0, 1.0),
        width=_within(value, "width", 0.05, 3.0),
        height=_within(value, "height", 0.05, 3.0),
        aspect=_within(value, "aspect", 0.1, 10.0),
        faces=int(value["faces"]),
        overlap=_within(value, "overlap", 0.0, 1.0),
        data_name=str(value["data_name"]),
    )


def _within(value: dict[str, Any], name: str, low: float, high: float) -> float:
    number = float(value[name])
    if not low <= number <= high:
        raise ValueError(f"{name} is {number!r}, not within {low:g} to {high:g}")
    return number
