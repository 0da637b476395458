"""AffectNet's release of 2017: whole photographs, with a face box for each row of two csv files.

::

    Manually_Annotated_Images/459/8145...10c.jpg
    Manually_Annotated_file_lists/training.csv, validation.csv

    subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,...
    459/8145...10c.jpg,134,134,899,899,181.64;530.91;...,1,0.785714,-0.055556

The folder of pictures and the two csv files are met in three arrangements, see `_PICTURES` and
`_LISTS`. training.csv has 414,799 rows and half a gigabyte, so rows are read one at a time, and the
pictures are looked for by folder and not one by one.

1. The published training.csv has one row that cannot be used, so one bad row there is left out and
   named; a second one, or one in validation.csv, is a fault of the copy.
2. A row without a face box (a negative width) has nothing to crop and is left out, counted, as
   everybody does. A box over the picture's edge is cut there, when the picture is read.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edge_arm.data.affectnet_faces import NO_BOX, PART_NAME, AffectNetFaces, expression_number
from edge_arm.data.listing import SPLITS_ON_DISK, folder_entries
from edge_arm.runtime.crop import CropBox
from edge_arm.runtime.errors import DataError
from edge_arm.runtime.faces import FaceSample, Split

_PICTURES = ("Manually_Annotated_Images", "Manually_Annotated/Manually_Annotated_Images")
_LISTS = (
    "Manually_Annotated_file_lists",
    ".",
    "Manually_Annotated",
    "Manually_Annotated/Manually_Annotated_file_lists",
)
_LIST_NAMES = {split: f"{PART_NAME[split]}.csv" for split in SPLITS_ON_DISK}
_BY_PROGRAM = "Automatically_Annotated"

_COLUMNS = (
    "subDirectory_filePath",
    "face_x",
    "face_y",
    "face_width",
    "face_height",
    "facial_landmarks",
    "expression",
    "valence",
    "arousal",
)
_UNUSED = {"facial_landmarks", "valence", "arousal"}


@dataclass(frozen=True)
class CsvRelease:
    """Where the parts of a copy lie.

    Attributes:
        home: the folder that holds them.
        pictures: folder of the pictures' folders.
        lists: csv file of each part that is there.
    """

    home: Path
    pictures: Path
    lists: Mapping[Split, Path]


@dataclass(frozen=True)
class _Columns:
    """Where the values of a row are."""

    path: int
    box: tuple[int, int, int, int]
    expression: int
    count: int


@dataclass
class _Pictures:
    """The names in the pictures' folders, each folder looked through once."""

    folder: Path
    _known: dict[str, tuple[Path, frozenset[str]]] = field(default_factory=dict)

    def place(self, directory: str, name: str) -> Path:
        """Where a picture is; a ValueError says that it is not there."""
        known = self._known.get(directory)
        if known is None:
            folder = self.folder / directory
            found = folder_entries(folder) if folder.is_dir() else ()
            known = self._known[directory] = folder, frozenset(found)
        folder, names = known
        path = folder / name
        if name not in names:
            raise ValueError(f"the picture {str(path)!r} is missing, expected it there")
        return path


def find_csv_release(home: Path) -> CsvRelease | None:
    """The parts of this release in a folder; None if there are no pictures or no list.

    Raises:
        DataError: if a list is there twice.
    """
    pictures = next((home / name for name in _PICTURES if (home / name).is_dir()), None)
    lists: dict[Split, Path] = {}
    for split, name in _LIST_NAMES.items():
        found = [home / place / name for place in _LISTS if (home / place / name).is_file()]
        if len(found) > 1:
            raise DataError(
                f"{str(found[0])!r} and {str(found[1])!r} are both there, expected one list of the "
                f"{PART_NAME[split]} part; move one away"
            )
        if found:
            lists[split] = found[0]
    return CsvRelease(home, pictures, lists) if pictures is not None and lists else None


def read_csv_release(release: CsvRelease, faces: AffectNetFaces) -> None:
    """Read both lists and compare them with the pictures; no picture is opened.

    Args:
        release: where everything is.
        faces: takes what is found.

    Raises:
        DataError: if a list is no such csv.
    """
    pictures = _Pictures(release.pictures)
    first_row: dict[str, str] = {}
    for split, name in _LIST_NAMES.items():
        path = release.lists.get(split)
        if path is None:
            beside = next(iter(release.lists.values())).parent / name
            faces.report(f"{str(beside)!r} is missing, expected AffectNet's list; add it", split)
            continue
        bad: list[str] = []
        columns, rows = _open_list(path)
        for row, values in rows:
            try:
                sample = _sample(values, columns, faces, split=split, pictures=pictures)
                if sample is None:
                    continue
                if sample.sample_id in first_row:
                    raise ValueError(
                        f"the face {sample.sample_id!r} was already in "
                        f"{first_row[sample.sample_id]}, expected each face once"
                    )
            except ValueError as error:
                bad.append(f"{str(path)!r}, row {row}: {error}")
                continue
            first_row[sample.sample_id] = f"row {row} of {name!r}"
            faces.samples[split].append(sample)
        if len(bad) == 1 and split is Split.TRAIN:  # rule 1
            faces.notes.append(f"the one bad row that AffectNet's list is known for: {bad[0]}")
            continue
        for text in bad:
            faces.report(f"{text}; correct the row, take it out, or restore its picture", split)
    if by_program := [
        name for name in folder_entries(release.home) if name.startswith(_BY_PROGRAM)
    ]:
        faces.notes.append(f"{', '.join(map(repr, by_program))}: labelled by a program, not people")


def _sample(
    values: list[str],
    columns: _Columns,
    faces: AffectNetFaces,
    *,
    split: Split,
    pictures: _Pictures,
) -> FaceSample | None:
    """The face of one row; None if it is left out, a ValueError says what is wrong with it."""
    if len(values) != columns.count:
        raise ValueError(f"got {len(values)} fields, expected {columns.count} as in the first row")
    relative = values[columns.path].strip().replace("\\", "/")
    directory, _, name = relative.rpartition("/")
    # Before anything is left out for another reason: one list of names serves 7 and 8 expressions.
    if faces.exclude.has(name):
        return None
    number = expression_number(values[columns.expression].strip())
    target = faces.target(number, split)
    if target is None:
        return None
    if not name or relative.startswith("/") or ".." in directory.split("/"):
        raise ValueError(
            f"got the picture {relative[:80]!r}, expected a path such as '459/8145...10c.jpg'"
        )
    x, y, width, height = (_pixels(values[column], column, columns) for column in columns.box)
    if width < 1 or height < 1:  # rule 2
        faces.leave_out(NO_BOX, split)
        return None
    crop = CropBox(x, y, width, height)
    return FaceSample(relative + crop.fragment, pictures.place(directory, name), target, crop)


def _pixels(text: str, column: int, columns: _Columns) -> int:
    try:
        return int(text)
    except ValueError:
        pass
    try:
        value = float(text)  # "134.0": a table program has saved the list
        if value.is_integer():
            return int(value)
    except (ValueError, OverflowError):
        pass
    name = _COLUMNS[1 + columns.box.index(column)]
    raise ValueError(f"got {name} {text[:20]!r}, expected a whole number of pixels")


def _open_list(path: Path) -> tuple[_Columns, Iterator[tuple[int, list[str]]]]:
    """Where the values are, and the rows with their numbers, one at a time."""
    rows = _rows(path)
    number, first = next(rows, (0, []))
    header = [name.strip().lower() for name in first]
    expected = [name.lower() for name in _COLUMNS]
    if _is_face_row(first):  # a copy whose first row was taken off
        return _columns(expected, len(first)), _again(number, first, rows)
    needed = [name for name in _COLUMNS if name not in _UNUSED]
    missing = [name for name in needed if name.lower() not in header]
    if missing:
        raise DataError(
            f"{str(path)!r} begins with {','.join(first)[:80]!r}, expected AffectNet's columns; "
            f"there is no {missing[0]!r} ({', '.join(needed)} are needed); take the list as it was "
            "published"
        )
    return _columns(header, len(header)), rows


def _again(
    number: int, first: list[str], rows: Iterator[tuple[int, list[str]]]
) -> Iterator[tuple[int, list[str]]]:
    yield number, first
    yield from rows


def _is_face_row(values: list[str]) -> bool:
    if len(values) != len(_COLUMNS):
        return False
    return all(values[place].strip().lstrip("-").isdecimal() for place in (1, 2, 3, 4, 6))


def _columns(header: list[str], count: int) -> _Columns:
    place = {name: header.index(name.lower()) for name in _COLUMNS if name not in _UNUSED}
    x, y, width, height = (place[name] for name in _COLUMNS[1:5])
    return _Columns(place[_COLUMNS[0]], (x, y, width, height), place["expression"], count)


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Row numbers and fields, empty rows left out."""
    row = 0
    try:
        # utf-8-sig: an editor on Windows puts a mark before the first name.
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            for values in reader:
                row = reader.line_num
                if values:
                    yield row, values
    except OSError as error:
        raise DataError(
            f"cannot read {str(path)!r} ({error.strerror}), expected AffectNet's list; restore it"
        ) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            f"{str(path)!r} is no csv table after row {row} ({error}), expected AffectNet's list; "
            "restore it"
        ) from error
