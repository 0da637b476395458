"""What `measure` finds beside models and test faces: the checkpoint, the calibration faces.

A device has neither, and measures all the same; the report then says what is missing.
"""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_arm.runtime.baselines import SharedPart
    from edge_arm.runtime.calibration_faces import CalibrationFaces
    from edge_arm.runtime.faces import FaceIndex
    from edge_arm.runtime.leaks import CalibrationLooks
    from edge_arm.runtime.manifest import Bundle
    from edge_arm.runtime.measurement import Known
    from edge_arm.runtime.reference_predictions import RecordedReference

CHECKPOINT_NAME = "checkpoint.safetensors"


class ReferenceName(str, Enum):
    """Where FP32's answers come from."""

    AUTO = "auto"
    RECORDED = "recorded"
    RUN = "run"


def known_for_measuring(
    bundle: Bundle,
    index: FaceIndex,
    root: Path,
    *,
    checkpoint: Path | None = None,
    reference: ReferenceName = ReferenceName.AUTO,
) -> Known:
    """Everything that is here.

    Args:
        bundle: to measure.
        index: faces to measure on.
        root: folder of their data set.
        checkpoint: as the user named it.
        reference: where FP32's answers shall come from; "auto" takes recorded ones if there are.

    Raises:
        DataError: if the faces calibrated the bundle, what is said of them is broken, or recorded
            answers are about others.
        BundleError: if a file of the bundle changed, or answers shall be recorded ones and are not.
        CheckpointError, UsageError: see `shared_part`.
    """
    from edge_arm.data.registry import face_attributes
    from edge_arm.runtime.calibration_faces import calibration_faces
    from edge_arm.runtime.leaks import require_unseen
    from edge_arm.runtime.measurement import Known
    from edge_arm.runtime.temperature import stored_temperatures, usable_temperatures

    calibration = calibration_faces(bundle)
    require_unseen(index, calibration)
    shared, why_not = shared_part(bundle, checkpoint)
    temperatures, without = usable_temperatures(bundle)
    stored = stored_temperatures(bundle)
    if stored is None:  # one sentence then, and not one for each precision
        without = (
            "Tempered confidence: the bundle has no temperatures; fit them with "
            "'edge-arm calibrate --data NAME'.",
        )
    return Known(
        shared=shared,
        calibration=calibration,
        attributes=face_attributes(root, index),
        looks=None if calibration is None else looks_of(calibration, index.name, root, bundle),
        recorded=_recorded(bundle, index, reference),
        temperatures=temperatures,
        temperature_origin="" if stored is None else stored.origin,
        missing=(*((why_not,) if why_not else ()), *without),
    )


def require_excludable(bundle: Bundle, known: Known) -> None:
    """Refuse to leave out near duplicates that nobody can find here, before any model runs.

    Args:
        bundle: to measure; one that was never calibrated has none and passes.
        known: of it.

    Raises:
        DataError: if the calibration faces are unknown or not on this machine.
    """
    from edge_arm.runtime.errors import DataError

    if known.calibration is None and bundle.manifest.calibration is not None:
        raise DataError(
            "got --exclude-near-duplicates and a bundle whose INT8 ranges name no faces, as those "
            "of a TensorRT cache, expected one that says which faces calibrated it; calibrate with "
            "'edge-arm calibrate --data NAME', or leave the option out"
        )
    if known.looks is not None and known.looks.fingerprints is None:
        raise DataError(
            "got --exclude-near-duplicates and no calibration faces to compare with "
            f"({known.looks.reason}), expected them on this machine; bring them here, or leave the "
            "option out"
        )


def _recorded(
    bundle: Bundle, index: FaceIndex, reference: ReferenceName
) -> RecordedReference | None:
    from edge_arm.runtime.errors import BundleError, UsageError
    from edge_arm.runtime.manifest import Precision
    from edge_arm.runtime.reference_predictions import recorded_reference, reference_name

    if reference is ReferenceName.RUN:
        return None
    if bundle.manifest.precisions() == (Precision.FP32,):
        if reference is ReferenceName.RECORDED:
            raise UsageError(
                "got --reference recorded and a bundle with fp32 alone, expected a model to run; "
                "make one with 'edge-arm export --fp16' or 'edge-arm calibrate --data NAME'"
            )
        return None  # then there is nothing to do but to run it
    found = recorded_reference(bundle, index)
    if found is None and reference is ReferenceName.RECORDED:
        raise BundleError(
            f"got --reference recorded, the bundle {str(bundle.path)!r} has no "
            f"{reference_name(index.name, index.split)!r}; make it on a workstation with "
            f"'edge-arm measure --data {index.name} --record-reference'"
        )
    return found


def shared_part(bundle: Bundle, checkpoint: Path | None) -> tuple[SharedPart | None, str]:
    """What the FP32 baselines need from the checkpoint.

    Args:
        bundle: says by its hash which checkpoint.
        checkpoint: as the user named it; looked for beside the bundle if None.

    Returns:
        It and nothing to say, or None and why not.

    Raises:
        CheckpointError: if the user named one that is missing or not the bundle's.
        UsageError: if the user named one and nothing can read it.
    """
    from edge_arm.runtime.errors import CheckpointError, UsageError

    what = "FP32 by the paper's protocol"
    source = bundle.manifest.source
    if source.get("head") == "pool":
        return None, f"{what}: the model has no ARM, so there is one protocol only."
    expected = str(source.get("checkpoint_sha256", ""))
    path = checkpoint or bundle.path.resolve().parent / CHECKPOINT_NAME
    try:
        from edge_arm.model.shared_part import shared_part_from_checkpoint
    except ImportError as error:
        if checkpoint is not None:
            raise UsageError(
                f"got --checkpoint and found no {error.name!r} to read it with, expected the "
                "package safetensors; run: pip install 'edge-arm[workstation]', or leave it out"
            ) from error
        return None, f"{what}: it needs the checkpoint, and the package safetensors to read it."
    try:
        shared = shared_part_from_checkpoint(path, expected_sha256=expected)
    except CheckpointError:
        if checkpoint is not None:
            raise
        return None, (
            f"{what}: the checkpoint that the bundle was exported from is not beside it; name it "
            "with --checkpoint."
        )
    return shared, ""


def looks_of(
    calibration: CalibrationFaces, data: str, root: Path, bundle: Bundle
) -> CalibrationLooks:
    """How the calibration faces look: as the bundle notes it, else as their files on this machine.

    Args:
        calibration: the faces.
        data: name of the set that is measured on.
        root: its folder; another set is looked for where it was last.
        bundle: whose models take them.
    """
    from edge_arm.data.registry import face_index, resolve_root
    from edge_arm.runtime.errors import DataError, UsageError
    from edge_arm.runtime.leaks import CalibrationLooks, calibration_looks, noted_looks

    noted = noted_looks(calibration)
    if noted is not None:
        return noted
    name = calibration.data_name
    folder = root
    if name != data:
        try:
            folder = resolve_root(name, None)
        except (DataError, UsageError):
            # Their own advice is --root, which names the folder of the test faces here.
            return CalibrationLooks(
                None,
                f"found no folder of the data set {name!r} that they are from; put it at "
                f"{str(Path('data') / name)!r}, or set EDGE_ARM_DATA",
            )
    try:
        train_index = face_index(name, folder, calibration.split)
    except (DataError, UsageError) as error:
        return CalibrationLooks(None, str(error))
    return calibration_looks(calibration, train_index, bundle.manifest.preprocess)
