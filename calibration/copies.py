"""Files with the same bytes as a calibration face, found without reading all of a data set.

A copy under another name, or in the other split, would judge the ranges that it chose.
"""

from __future__ import annotations

from collections.abc import Iterable

from edge_arm.runtime.errors import DataError
from edge_arm.runtime.faces import FaceIndex, FaceSample
from edge_arm.runtime.storage import sha256_of_file

_NAMES_SHOWN = 3


def copies_of(calibration: FaceIndex, others: Iterable[FaceSample]) -> dict[str, str]:
    """Which of some faces have the bytes of a calibration face.

    Args:
        calibration: the faces that calibrate.
        others: the faces to look among.

    Returns:
        The id of the calibration face, by the id of its copy.

    Raises:
        DataError: if a file cannot be read.
    """
    try:
        # Only files of the size of a calibration face are read: no other can be a copy of one.
        sizes = {face.path.stat().st_size for face in calibration.samples}
        alike = [face for face in others if face.path.stat().st_size in sizes]
        if not alike:
            return {}
        names = {sha256_of_file(face.path): face.sample_id for face in calibration.samples}
        found = ((face.sample_id, names.get(sha256_of_file(face.path))) for face in alike)
        return {copy: original for copy, original in found if original is not None}
    except OSError as error:
        raise DataError(
            f"cannot read {str(error.filename)!r} ({error.strerror}), expected a face of "
            f"{calibration.name!r}; restore the file"
        ) from error


def require_untested(calibration: FaceIndex, test_index: FaceIndex) -> None:
    """Refuse calibration faces that are in the test split as well, whatever they are called there.

    `edge-arm measure` would refuse the bundle later; here nothing has been computed yet.

    Args:
        calibration: the faces that are about to calibrate.
        test_index: the faces that will be measured on.

    Raises:
        DataError: naming the first ones.
    """
    copies = copies_of(calibration, test_index.samples)
    if not copies:
        return
    shown = ", ".join(
        f"{original!r} (there {copy!r})" for copy, original in sorted(copies.items())[:_NAMES_SHOWN]
    )
    more = f" and {len(copies) - _NAMES_SHOWN} more" if len(copies) > _NAMES_SHOWN else ""
    raise DataError(
        f"{len(copies)} of the {len(calibration)} calibration faces are in the test split of "
        f"{test_index.name!r} too: {shown}{more}, expected no picture in both; remove them from "
        "one of the splits, or draw others with --seed"
    )
