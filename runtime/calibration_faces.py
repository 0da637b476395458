"""Which faces chose the INT8 ranges of a bundle, as its `calibration.json` lists them.

The pictures are not in the bundle; with the training split on disk they can be found again.

Shapes: N faces.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edge_arm.runtime.bundle_file import versioned_json
from edge_arm.runtime.errors import BundleError, DataError
from edge_arm.runtime.faces import FaceIndex, Split
from edge_arm.runtime.manifest import Bundle
from edge_arm.runtime.storage import sha256_of_file

CALIBRATION_NAME = "calibration.json"
SCHEMA_VERSION = 1


@dataclass(frozen=True)
class CalibrationFaces:
    """The faces of a calibration.

    Attributes:
        data_name: of the data set.
        split: that they were drawn from.
        sample_ids: N names, in order.
        sha256s: of the files, N hex strings.
        looks: N perceptual hashes as hex strings, see `perceptual_hashes`; none from a calibration
            by an edge-arm that did not note them.
    """

    data_name: str
    split: Split
    sample_ids: tuple[str, ...]
    sha256s: tuple[str, ...]
    looks: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.sample_ids)


def calibration_faces(bundle: Bundle) -> CalibrationFaces | None:
    """The calibration faces of a bundle; None if there were none.

    There are none if it was not calibrated, or if its ranges come from a TensorRT cache, which does
    not tell what it was made from.

    Args:
        bundle: whose `calibration.json` is verified and read.

    Raises:
        BundleError: if the file changed, or is not one that this version reads.
    """
    if CALIBRATION_NAME not in bundle.manifest.files:
        return None
    try:
        value = versioned_json(
            bundle,
            CALIBRATION_NAME,
            SCHEMA_VERSION,
            make="calibrate again with 'edge-arm calibrate --data NAME'",
        )
        if "cache" in value:
            return None
        return CalibrationFaces(
            data_name=str(value["data"]["name"]),
            split=Split(value["data"]["split"]),
            sample_ids=tuple(str(item["sample_id"]) for item in value["images"]),
            sha256s=tuple(_hex(item["sha256"]) for item in value["images"]),
            looks=_looks(value["images"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BundleError(
            f"{str(bundle.path / CALIBRATION_NAME)!r} does not say which faces calibrated "
            f"({type(error).__name__}: {error}), expected the table that 'edge-arm calibrate' "
            "writes; calibrate again"
        ) from error


def calibration_index(faces: CalibrationFaces, train_index: FaceIndex) -> FaceIndex:
    """The calibration faces on disk, each checked to be the file that calibrated.

    Args:
        faces: of a bundle.
        train_index: the split that they came from.

    Returns:
        The faces of `train_index`, in the order of `faces`.

    Raises:
        DataError: if one is missing or has other bytes.
    """
    position = {sample.sample_id: place for place, sample in enumerate(train_index.samples)}
    where = f"the {train_index.split.value} split of {train_index.name!r}"
    missing = [name for name in faces.sample_ids if name not in position]
    if missing:
        raise DataError(
            f"{where} has no {missing[0]!r}, expected all {len(faces)} faces that calibrated "
            f"({len(missing)} are missing); name the folder they came from with --root"
        )
    found = train_index.subset([position[name] for name in faces.sample_ids])
    for sample, expected in zip(found.samples, faces.sha256s, strict=True):
        try:
            actual = sha256_of_file(sample.path)
        except OSError as error:
            raise DataError(
                f"cannot read {str(sample.path)!r} ({error.strerror}), expected a face that "
                "calibrated; restore the file"
            ) from error
        if actual != expected:
            raise DataError(
                f"{str(sample.path)!r} has SHA-256 {actual[:12]}..., expected {expected[:12]}... "
                "as it had when it calibrated; name the folder the faces came from with --root"
            )
    return found


def _looks(images: list[Any]) -> tuple[str, ...]:
    found = [item.get("perceptual_hash") for item in images]
    if all(item is None for item in found):
        return ()
    return tuple(_hex(item) for item in found)


def _hex(value: Any) -> str:
    if not (isinstance(value, str) and len(value) == 64 and set(value) <= set("0123456789abcdef")):
        raise ValueError(f"{value!r} is no hash of 64 hex digits")
    return value
