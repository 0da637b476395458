"""FER+: FER2013's faces, labelled again by ten people each.

::

    ROOT/fer2013.csv        the pixels
    ROOT/fer2013new.csv     the votes, row by row of the same faces

or, as its own script writes the pictures out (also under ROOT/data)::

    ROOT/FER2013Train/fer0000000.png, label.csv    also FER2013Valid, FER2013Test

`ferplus` has the eight expressions, `ferplus7` leaves out those of contempt. The numbers in the
names of the pictures are no row numbers, so the two csv files are joined by the order of rows.
"""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from edge_arm.data.fer2013 import CSV_NAMES, pixel_csv_path
from edge_arm.data.ferplus_votes import ANSWERS, NOT_A_FACE, UNKNOWN, majority, votes_from_words
from edge_arm.data.listing import Listing, Problem, folder_entries, names_in_short
from edge_arm.data.pixel_csv import SPLIT_OF_USAGE, unpacked_faces
from edge_arm.runtime.errors import DataError
from edge_arm.runtime.faces import FaceSample, Split
from edge_arm.runtime.labels import RAFDB, LabelSet

EIGHT = LabelSet("ferplus", (*RAFDB.classes, "contempt"))
SEVEN_NAME = "ferplus7"

_VOTES_NAME = "fer2013new.csv"
_VOTES_HEADER = ("usage", "image name", *(name.lower() for name in ANSWERS))
_PICTURE_FOLDERS = {
    "FER2013Train": Split.TRAIN,
    "FER2013Valid": Split.VALIDATION,
    "FER2013Test": Split.TEST,
}
_LABELS_NAME = "label.csv"
_LEFT_OUT = {
    UNKNOWN: "faces on which no expression has more than half of the votes",
    NOT_A_FACE: "pictures that are no face, by their votes or for want of a name",
    "contempt": "faces of contempt, which is not among the seven",
}


@dataclass
class _Found:
    """What has been met so far."""

    labels: LabelSet
    samples: dict[Split, list[FaceSample]] = field(
        default_factory=lambda: {split: [] for split in Split}
    )
    problems: list[Problem] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)

    def add(self, split: Split, sample_id: str, path: Path, *, votes: tuple[int, ...]) -> None:
        answer = majority(votes)
        if answer in self.labels.classes:
            target = self.labels.index(answer)
            self.samples[split].append(FaceSample(sample_id, path, target))
        else:
            self.left_out[answer] += 1

    def listing(self, name: str, root: Path, notes: tuple[str, ...] = ()) -> Listing:
        ignored = [
            f"{self.left_out[key]} {text}" for key, text in _LEFT_OUT.items() if self.left_out[key]
        ]
        samples = {split: tuple(found) for split, found in self.samples.items()}
        return Listing(name, root, self.labels, samples, tuple(self.problems), (*ignored, *notes))


def looks_like_ferplus(root: Path) -> bool:
    """Whether a folder holds the votes beside the pixels, or the pictures with theirs."""
    pair = pixel_csv_path(root) is not None and (root / _VOTES_NAME).is_file()
    return pair or _pictures_home(root) is not None


def list_ferplus(root: Path, name: str = "ferplus") -> Listing:
    """The faces of FER+ by the label that most people gave.

    Args:
        root: the folder of one of the layouts above.
        name: "ferplus", or "ferplus7" for the seven expressions without contempt.

    Raises:
        DataError: if the folder has another layout, a csv is none, or the two have not the same
            number of rows.
        StorageError: if the faces of the csv cannot be unpacked.
    """
    labels = RAFDB if name == SEVEN_NAME else EIGHT
    pixels, votes_path = pixel_csv_path(root), root / _VOTES_NAME
    if pixels is not None and votes_path.is_file():
        return _list_csv_pair(root, name, labels, pixels=pixels)
    home = _pictures_home(root)
    if home is not None:
        return _list_pictures(root, name, labels, home=home)
    missing = f"{_VOTES_NAME!r} beside it" if pixels is not None else f"{CSV_NAMES[0]!r}"
    raise DataError(
        f"{str(root)!r} holds {names_in_short(folder_entries(root))}, expected {missing}: "
        f"{CSV_NAMES[0]!r} (FER2013) and {_VOTES_NAME!r} (FER+), or the folders "
        f"{', '.join(map(repr, _PICTURE_FOLDERS))} with a {_LABELS_NAME!r} in each; put them there"
    )


def _list_csv_pair(root: Path, name: str, labels: LabelSet, *, pixels: Path) -> Listing:
    path = root / _VOTES_NAME
    rows = _read_csv(path)
    header = tuple(value.strip().lower() for value in rows[0][1]) if rows else ()
    if header != _VOTES_HEADER:
        raise DataError(
            f"{str(path)!r} begins with {','.join(header)[:100]!r}, expected "
            f"Usage,Image name,{','.join(ANSWERS)}; take FER+'s own {_VOTES_NAME}"
        )
    rows = rows[1:]
    unpacked = unpacked_faces(pixels)
    if len(rows) != unpacked.num_rows:
        raise DataError(
            f"{str(path)!r} has {len(rows)} rows and {str(pixels)!r} {unpacked.num_rows}, expected "
            "the same faces row by row; take both files whole, as they were published"
        )
    found = _Found(labels, problems=list(unpacked.problems))
    for face in unpacked.faces:
        number, values = rows[face.number]
        place = f"{str(path)!r}, row {number}"
        split = SPLIT_OF_USAGE[face.usage]
        if values[0].strip() != face.usage:
            found.problems.append(
                Problem(
                    f"{place}: got the Usage {values[0]!r}, expected {face.usage!r} as in row "
                    f"{face.row} of {str(pixels)!r}; take both files as they were published"
                )
            )
            continue
        try:
            votes = votes_from_words(values[2:])
        except ValueError as error:
            found.problems.append(Problem(f"{place}: {error}", split))
            continue
        if not values[1].strip():  # FER+'s own script writes out only pictures with a name
            found.left_out[NOT_A_FACE] += 1
            continue
        found.add(split, face.sample_id, unpacked.folder / face.sample_id, votes=votes)
    return found.listing(name, root)


def _pictures_home(root: Path) -> Path | None:
    """The folder with the three picture folders: this one, or "data" in it."""
    return next(
        (
            home
            for home in (root, root / "data")
            if any((home / name / _LABELS_NAME).is_file() for name in _PICTURE_FOLDERS)
        ),
        None,
    )


def _list_pictures(root: Path, name: str, labels: LabelSet, *, home: Path) -> Listing:
    found = _Found(labels)
    notes: list[str] = []
    for folder_name, split in _PICTURE_FOLDERS.items():
        folder = home / folder_name
        path = folder / _LABELS_NAME
        if not path.is_file():
            found.problems.append(
                Problem(
                    f"{str(path)!r} is missing, expected the votes on the pictures beside it; "
                    "write them again with FER+'s script",
                    split,
                )
            )
            continue
        present = folder_entries(folder)
        rows = [(number, values) for number, values in _read_csv(path) if values[0].strip()]
        # A name that comes twice was written twice, and the later picture is what is there.
        last = {values[0].strip(): number for number, values in rows}
        twice = len(rows) - len(last)
        if twice:
            notes.append(f"{twice} rows of {str(path)!r} whose picture a later row replaced")
        for number, values in rows:
            picture = values[0].strip()
            if last[picture] != number:
                continue
            place = f"{str(path)!r}, row {number}"
            try:
                votes = votes_from_words(values[2:])
            except ValueError as error:
                found.problems.append(Problem(f"{place}: {error}", split))
                continue
            if picture not in present:
                found.problems.append(
                    Problem(
                        f"{place}: the list names {picture!r}, expected the picture "
                        f"{str(folder / picture)!r}, which is missing; write the pictures again "
                        "with FER+'s script",
                        split,
                    )
                )
                continue
            found.add(split, f"{folder_name}/{picture}", folder / picture, votes=votes)
    return found.listing(name, root, tuple(notes))


def _read_csv(path: Path) -> list[tuple[int, list[str]]]:
    """Row numbers and fields, empty rows left out."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            return [(reader.line_num, values) for values in reader if values]
    except OSError as error:
        raise DataError(
            f"cannot read {str(path)!r} ({error.strerror}), expected FER+'s votes; restore it"
        ) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            f"{str(path)!r} is not a CSV table ({error}), expected FER+'s votes; restore it"
        ) from error
