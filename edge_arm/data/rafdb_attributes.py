"""RAF-DB's annotation of the people: gender, race and age group of every face.

::

    ROOT/Annotation/manual/train_00001_manu_attri.txt

Eight lines: five landmarks "x y" (left eye, right eye, nose, left and right mouth corner), then
gender 0..2, race 0..2 and age group 0..4. The numbers' meanings are those of RAF-DB's read-me. A
file that is missing or broken is an error: slices over some of the faces would look like slices
over all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from edge_arm.data.listing import folder_entries
from edge_arm.runtime.errors import DataError
from edge_arm.runtime.face_attributes import FaceAttribute, FaceAttributes

FOLDER = Path("Annotation/manual")
NUM_LANDMARKS = 5
_VALUES = {
    "gender": ("male", "female", "unsure"),
    "race": ("Caucasian", "African-American", "Asian"),
    "age": ("0-3", "4-19", "20-39", "40-69", "70+"),
}
"""By attribute, in the order of the file's lines; the position is the number in the file."""
_NUM_LINES = NUM_LANDMARKS + len(_VALUES)
_RESTORE = "restore it from RAF-DB, or move the folder away to go on without these attributes"


def rafdb_attributes(folder: Path, sample_ids: Sequence[str]) -> FaceAttributes:
    """Read the annotation of some faces.

    Args:
        folder: that holds "Annotation".
        sample_ids: as on RAF-DB's list, such as "train_00001.jpg".

    Returns:
        Gender, race and age; nothing if the set has no such folder.

    Raises:
        DataError: if a file is missing or not as described above, naming file and line.
    """
    annotations = folder / FOLDER
    if not annotations.is_dir():
        return ()
    present = folder_entries(annotations)
    codes: dict[str, list[int]] = {}
    for sample_id in sample_ids:
        name = annotation_path(folder, sample_id).name
        if name not in present:
            raise DataError(
                f"{str(annotations)!r} has no {name!r}, expected one for every face; {_RESTORE}"
            )
        codes[sample_id] = _codes(annotations / name)
    return tuple(
        FaceAttribute(
            attribute,
            values,
            {sample_id: values[found[place]] for sample_id, found in codes.items()},
        )
        for place, (attribute, values) in enumerate(_VALUES.items())
    )


def annotation_path(folder: Path, sample_id: str) -> Path:
    """Where the annotation of a face lies.

    Args:
        folder: that holds "Annotation".
        sample_id: as on RAF-DB's list, with or without a face box behind it.
    """
    return folder / FOLDER / f"{Path(sample_id).stem}_manu_attri.txt"


def annotation_lines(path: Path) -> list[str]:
    """The lines of one annotation, of which the first five are points.

    Args:
        path: of the file.

    Raises:
        DataError: if it cannot be read, has another number of lines, or a landmark is none.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").rstrip().splitlines()
    except OSError as error:
        raise DataError(
            f"cannot read {str(path)!r} ({error.strerror}), expected an annotation; {_RESTORE}"
        ) from error
    except UnicodeDecodeError as error:
        raise DataError(
            f"{str(path)!r} is not text (byte {error.start}), expected an annotation; {_RESTORE}"
        ) from error
    if len(lines) != _NUM_LINES:
        raise DataError(
            f"{str(path)!r} has {len(lines)} lines, expected {_NUM_LINES} ({NUM_LANDMARKS} "
            f"landmarks, then {', '.join(_VALUES)}); {_RESTORE}"
        )
    for number, line in enumerate(lines[:NUM_LANDMARKS], start=1):
        # Checked for the attributes too: a file that lost one of these lines would give its
        # coordinates as a gender.
        if not _is_point(line):
            raise DataError(
                f"{str(path)!r}, line {number}: got {line!r}, expected a landmark 'x y'; {_RESTORE}"
            )
    return lines


def _codes(path: Path) -> list[int]:
    lines = annotation_lines(path)
    return [
        _code(path, number, line, attribute)
        for (number, line), attribute in zip(
            enumerate(lines[NUM_LANDMARKS:], start=NUM_LANDMARKS + 1), _VALUES, strict=True
        )
    ]


def _is_point(line: str) -> bool:
    fields = line.split()
    try:
        return len(fields) == 2 and all(math.isfinite(float(field)) for field in fields)
    except ValueError:
        return False


def _code(path: Path, number: int, line: str, attribute: str) -> int:
    values = _VALUES[attribute]
    text = line.strip()
    # isdecimal alone accepts other scripts' digits.
    if not (text.isascii() and text.isdecimal()) or int(text) >= len(values):
        meanings = ", ".join(f"{code} {value}" for code, value in enumerate(values))
        raise DataError(
            f"{str(path)!r}, line {number}: got the {attribute} {line!r}, expected one of "
            f"{meanings}; {_RESTORE}"
        )
    return int(text)
