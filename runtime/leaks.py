"""Faces that calibration and test set share, exactly or nearly.

A near duplicate (another crop or encoding of the same photograph, the next frame of a film) makes a
test kinder without anybody having cheated, so they are counted and listed. The same file in both is
an error: a face that chose the ranges must not judge them.

How to call it::

    faces = calibration_faces(bundle)
    require_unseen(index, faces)                        # at once, for the plain mistake
    seen = FingerprintCollector(index)
    predictions = predict_all(..., watch=seen.add)
    check = leak_check(seen.fingerprints(), faces, looks)    # looks: `calibration_looks`
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_arm.runtime.calibration_faces import CalibrationFaces, calibration_index
from edge_arm.runtime.errors import DataError, UsageError
from edge_arm.runtime.faces import FaceIndex
from edge_arm.runtime.fingerprints import Fingerprints, fingerprints_of
from edge_arm.runtime.perceptual_hash import HASH_BITS, HASH_BYTES, near_pairs
from edge_arm.runtime.preprocess import PreprocessSpec
from edge_arm.runtime.storage import sha256_of_file

DEFAULT_MAX_DISTANCE = 48
"""Of 256 bits. Measured on 13,556 photographs of 5,614 people: the 7 pairs of differently named
people up to here are one photograph under two names each; the first pair that is not lies at 56."""

_NAMES_SHOWN = 3


@dataclass(frozen=True)
class Duplicate:
    """A test face and the calibration face that it repeats.

    Attributes:
        test_id: sample id in the test set.
        calibration_id: sample id in the calibration set.
        distance: bits in which their perceptual hashes differ; None for the same file.
    """

    test_id: str
    calibration_id: str
    distance: int | None


@dataclass(frozen=True)
class LeakCheck:
    """What was looked for and found.

    Attributes:
        num_calibration: calibration faces that were compared.
        num_test: test faces that were compared.
        max_distance: bits up to which two faces count as near duplicates.
        duplicates: sorted by test id; the exact ones have no distance.
        excluded: whether the near ones were left out of the measurement.
        not_checked: what was not compared and why (no calibration, no training split on this
            machine); empty if everything was.
        hash_bits: of a perceptual hash, what `max_distance` is out of.
    """

    num_calibration: int
    num_test: int
    max_distance: int
    duplicates: tuple[Duplicate, ...]
    excluded: bool = False
    not_checked: str = ""
    hash_bits: int = HASH_BITS

    @property
    def test_ids(self) -> tuple[str, ...]:
        """Each test face that repeats a calibration face, once, sorted."""
        return tuple(sorted({item.test_id for item in self.duplicates}))


@dataclass(frozen=True, eq=False)
class CalibrationLooks:
    """How the calibration faces look, or why nobody can tell here.

    Attributes:
        fingerprints: None if the pictures are not on this machine.
        reason: why not; empty otherwise.
    """

    fingerprints: Fingerprints | None
    reason: str = ""


def calibration_looks(
    faces: CalibrationFaces, train_index: FaceIndex, spec: PreprocessSpec
) -> CalibrationLooks:
    """Look at the calibration faces on disk, at about a millisecond each.

    For bundles that do not note it themselves, see `noted_looks`. A machine that only measures
    need not have the pictures, so their absence is no error; the check then says that it compared
    files alone.

    Args:
        faces: of the bundle.
        train_index: the split they were drawn from, as far as it is here.
        spec: the model's input, as the test faces are looked at.

    Raises:
        ImageError: if one is the right file and cannot be read.
    """
    try:
        found = calibration_index(faces, train_index)
    except DataError as error:
        return CalibrationLooks(None, str(error))
    return CalibrationLooks(fingerprints_of(found, spec))


def noted_looks(faces: CalibrationFaces) -> CalibrationLooks | None:
    """How the calibration faces looked when they calibrated; no picture is needed.

    Args:
        faces: of the bundle.

    Returns:
        None if the calibration did not note it.
    """
    if not faces.looks:
        return None
    hashes = np.frombuffer(bytes.fromhex("".join(faces.looks)), np.uint8)
    return CalibrationLooks(
        Fingerprints(faces.sample_ids, faces.sha256s, hashes.reshape(len(faces), HASH_BYTES))
    )


def require_unseen(index: FaceIndex, faces: CalibrationFaces | None) -> None:
    """Refuse test faces that calibrated, before any model runs.

    Only files of the same name are looked at, which catches the plain mistake (measuring on the
    training split) at once; `leak_check` finds the others.

    Args:
        index: the faces to measure on.
        faces: of the bundle; None if it was not calibrated.

    Raises:
        DataError: naming the first files.
    """
    if faces is None:
        return
    expected = dict(zip(faces.sample_ids, faces.sha256s, strict=True))
    _refuse_exact(
        [
            Duplicate(sample.sample_id, sample.sample_id, None)
            for sample in index.samples
            if sample.sample_id in expected
            and sample.path.is_file()  # that it is missing, the reader will say
            and sha256_of_file(sample.path) == expected[sample.sample_id]
        ],
        faces,
    )


def leak_check(
    test: Fingerprints,
    faces: CalibrationFaces | None,
    looks: CalibrationLooks | None = None,
    *,
    max_distance: int = DEFAULT_MAX_DISTANCE,
) -> LeakCheck:
    """Compare every test face with every calibration face.

    Args:
        test: fingerprints of the faces that are measured on.
        faces: of the bundle; None if it was not calibrated.
        looks: of the same faces; None compares files alone.
        max_distance: bits up to which two faces count as near duplicates.

    Raises:
        DataError: if a test face is a calibration face, naming the first files.
        UsageError: if the distance is out of range.
    """
    if not 0 <= max_distance < HASH_BITS:
        raise UsageError(
            f"got the largest distance {max_distance}, expected 0 to {HASH_BITS - 1} bits; "
            "leave it out"
        )
    if faces is None:
        return LeakCheck(
            num_calibration=0,
            num_test=len(test),
            max_distance=max_distance,
            duplicates=(),
            not_checked=(
                "the bundle names no faces that calibrated it; it was not calibrated, or from a "
                "TensorRT cache"
            ),
        )
    names = dict(zip(faces.sha256s, faces.sample_ids, strict=True))
    _refuse_exact(
        [
            Duplicate(test_id, names[digest], None)
            for test_id, digest in zip(test.sample_ids, test.sha256s, strict=True)
            if digest in names
        ],
        faces,
    )
    duplicates: list[Duplicate] = []
    not_checked = ""
    if looks is None or looks.fingerprints is None:
        reason = "nobody looked at the calibration faces" if looks is None else looks.reason
        not_checked = f"near duplicates were not looked for: {reason}"
    else:
        calibration = looks.fingerprints
        duplicates = [
            Duplicate(test.sample_ids[row], calibration.sample_ids[column], distance)
            for row, column, distance in near_pairs(
                test.hashes, calibration.hashes, max_distance
            ).tolist()
        ]
    return LeakCheck(
        num_calibration=len(faces),
        num_test=len(test),
        max_distance=max_distance,
        duplicates=tuple(
            sorted(duplicates, key=lambda item: (item.test_id, item.distance, item.calibration_id))
        ),
        not_checked=not_checked,
    )


def _refuse_exact(shared: list[Duplicate], faces: CalibrationFaces) -> None:
    if not shared:
        return
    shown = ", ".join(
        repr(item.test_id)
        + ("" if item.test_id == item.calibration_id else f" (there {item.calibration_id!r})")
        for item in shared[:_NAMES_SHOWN]
    )
    more = f" and {len(shared) - _NAMES_SHOWN} more" if len(shared) > _NAMES_SHOWN else ""
    raise DataError(
        f"{len(shared)} of the faces to measure on chose the INT8 ranges: {shown}{more}, expected "
        f"none of the {len(faces)} calibration faces (from the {faces.split.value} split of "
        f"{faces.data_name!r}); measure with --split test, take them out, or calibrate with others"
    )
