"""`attributes.csv`: anything that is known of the faces of a set, one row per face.

::

    sample_id,skin,glasses
    test_0001.jpg,deep,no

The first column is the sample's id, each other one an attribute with its values as words. Our own
form, for sets that bring nothing like RAF-DB's annotation, and for what a user wants to see apart.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from edge_arm.runtime.errors import DataError
from edge_arm.runtime.face_attributes import FaceAttribute, FaceAttributes

TABLE_NAME = "attributes.csv"
MAX_VALUES = 20
"""More groups than that are no groups (an age in years, a name) and could not be judged."""

_FIRST = "sample_id"


def table_attributes(folder: Path, sample_ids: Sequence[str]) -> FaceAttributes:
    """Read the attributes of some faces.

    Args:
        folder: of the data set.
        sample_ids: of the faces; rows of other faces are not looked at.

    Returns:
        One attribute per column, its values in the order of the alphabet; nothing if there is no
        such file.

    Raises:
        DataError: if the table is broken or lacks a face, naming file and row.
    """
    path = folder / TABLE_NAME
    if not path.exists():
        return ()
    header, rows = _read(path)
    missing = [sample_id for sample_id in sample_ids if sample_id not in rows]
    if missing:
        raise DataError(
            f"{str(path)!r} has no row for {missing[0]!r} ({len(missing)} of {len(sample_ids)} "
            "faces), expected one for every face; add the rows, or move the file away"
        )
    attributes = []
    for column, name in enumerate(header):
        by_sample = {sample_id: rows[sample_id][column] for sample_id in sample_ids}
        values = sorted(set(by_sample.values()))
        if len(values) > MAX_VALUES:
            raise DataError(
                f"{str(path)!r} has {len(values)} values of {name!r}, expected at most "
                f"{MAX_VALUES} groups; put values together, or take the column out"
            )
        attributes.append(FaceAttribute(name, tuple(values), by_sample))
    return tuple(attributes)


def _read(path: Path) -> tuple[list[str], dict[str, list[str]]]:
    """Names of the attributes, and their values by sample id."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = [(number, row) for number, row in enumerate(csv.reader(file), 1) if row]
    except OSError as error:
        raise DataError(
            f"cannot read {str(path)!r} ({error.strerror}), expected a table of attributes; "
            "restore it"
        ) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            f"{str(path)!r} is not a CSV table ({error}), expected one in UTF-8; save it as such"
        ) from error
    header = [name.strip() for name in lines[0][1]] if lines else []
    if len(header) < 2 or header[0] != _FIRST or not all(header) or len({*header}) < len(header):
        raise DataError(
            f"{str(path)!r} begins with {','.join(header)!r}, expected {_FIRST!r} and then a "
            "different name for each attribute; correct the first row"
        )
    rows: dict[str, list[str]] = {}
    for number, fields in lines[1:]:
        values = [field.strip() for field in fields]
        if len(values) != len(header) or not all(values):
            raise DataError(
                f"{str(path)!r}, row {number}: got {','.join(fields)!r}, expected {len(header)} "
                f"values ({', '.join(header)}); correct the row"
            )
        if values[0] in rows:
            raise DataError(
                f"{str(path)!r}, row {number}: {values[0]!r} has a row already, expected each face "
                "once; take one of the two out"
            )
        rows[values[0]] = values[1:]
    return header[1:], rows
