"""RAF-DB's layout on disk: the single-label ("basic") part, and sets that copy it.

::

    ROOT/EmoLabel/list_patition_label.txt     "train_00001.jpg 5", RAF-DB's own spelling
    ROOT/Image/aligned/train_00001_aligned.jpg
    ROOT/Image/original/train_00001.jpg       the whole photograph, read as `rafdb-original`: the
                                              face is cut out by its landmarks (rafdb_face_box.py)

The list names ``x.jpg`` and the aligned file is ``x_aligned.jpg``; the prefix is the split; labels
are 1..7 in the order of `RAFDB`. Public loaders drop rows with another prefix without a word and
let a label 0 become class -1; here each is an error that names its row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_arm.data.listing import (
    SPLITS_ON_DISK,
    Listing,
    Problem,
    folder_entries,
    names_in_short,
)
from edge_arm.data.rafdb_attributes import annotation_path
from edge_arm.data.rafdb_face_box import face_box
from edge_arm.runtime.errors import DataError
from edge_arm.runtime.faces import FaceSample, Split
from edge_arm.runtime.images import IMAGE_SUFFIXES
from edge_arm.runtime.labels import RAFDB

_LISTS = ("EmoLabel/list_patition_label.txt", "list_patition_label.txt")
ORIGINAL_NAME = "rafdb-original"
_POINT_AT = "point --root at the folder that holds EmoLabel and Image (RAF-DB's 'basic')"
_QUOTED_CHARACTERS = 60


@dataclass(frozen=True)
class _Form:
    """In which of its two forms the pictures are read.

    Attributes:
        kind: name of their folder.
        suffix: what the file's name has behind the listed one.
    """

    kind: str
    suffix: str

    @property
    def folders(self) -> tuple[str, str]:
        """Where they lie: in RAF-DB, and in copies that leave the folder above out."""
        return f"Image/{self.kind}", self.kind

    def file_name(self, listed: str) -> str:
        """Of the picture that the list calls by this name."""
        name = Path(listed)
        return f"{name.stem}{self.suffix}{name.suffix}"


_ALIGNED = _Form("aligned", "_aligned")
_ORIGINAL = _Form("original", "")


@dataclass(frozen=True)
class _Layout:
    """Where the parts of a set lie."""

    folder: Path
    list_path: Path
    pictures: Path


@dataclass(frozen=True)
class _Row:
    """One good line of the list."""

    number: int
    name: str
    split: Split
    target: int


def looks_like_rafdb(root: Path) -> bool:
    """Whether a folder has this layout, itself, above or one level down."""
    return root.is_dir() and bool(_layouts(root, _ALIGNED))


def looks_like_rafdb_original(root: Path) -> bool:
    """Whether a folder has the list and the photographs that the aligned faces were cut from."""
    return root.is_dir() and bool(_layouts(root, _ORIGINAL))


def list_rafdb(root: Path, name: str = "rafdb") -> Listing:
    """Read the list and compare it with the pictures; no picture is opened.

    Args:
        root: the folder that holds EmoLabel and Image, the folder above it, or one of the two.
        name: of the data set; "rafdb-original" reads the photographs and cuts faces out by their
            landmarks, which every face then needs.

    Raises:
        DataError: if the folder has another layout, or its list is no text.
    """
    form = _form(name)
    layout = _only_layout(root, form)
    rows, problems = _rows(layout.list_path)
    present = folder_entries(layout.pictures)
    samples: dict[Split, list[FaceSample]] = {split: [] for split in SPLITS_ON_DISK}
    for row in rows:
        path = layout.pictures / form.file_name(row.name)
        if path.name in present:
            try:
                samples[row.split].append(_sample(row, path, layout, form))
            except DataError as error:
                place = f"{str(layout.list_path)!r}, row {row.number}"
                problems.append(Problem(f"{place}: {error}", row.split))
        else:
            problems.append(
                Problem(
                    f"{str(layout.list_path)!r}, row {row.number}: the list names "
                    f"{row.name!r}, expected the picture {str(path)!r}, "
                    "which is missing; restore the picture or take the row out",
                    row.split,
                )
            )
    for split in SPLITS_ON_DISK:
        if not any(row.split is split for row in rows):
            problems.append(
                Problem(
                    f"{str(layout.list_path)!r} has no row for the {split.value} split, expected "
                    f"names such as '{split.value}_00001.jpg'; use the whole list",
                    split,
                )
            )
    listed = {form.file_name(row.name) for row in rows}
    unlisted = [
        item
        for item in present
        if item not in listed and Path(item).suffix.lower() in IMAGE_SUFFIXES
    ]
    ignored = []
    if unlisted and not any(problem.split is None for problem in problems):
        ignored.append(
            f"{len(unlisted)} pictures in {str(layout.pictures)!r} are not on the list: "
            f"{names_in_short(unlisted)}"
        )
    return Listing(
        name=name,
        root=root,
        labels=RAFDB,
        samples={split: tuple(found) for split, found in samples.items()},
        problems=tuple(problems),
        ignored=tuple(ignored),
    )


def _sample(row: _Row, path: Path, layout: _Layout, form: _Form) -> FaceSample:
    if form is _ALIGNED:
        return FaceSample(row.name, path, row.target)
    box = face_box(annotation_path(layout.folder, row.name))
    return FaceSample(row.name + box.fragment, path, row.target, box)


def rafdb_folder(root: Path, name: str = "rafdb") -> Path:
    """The folder that holds the list and everything else of a set.

    Args:
        root: as for `list_rafdb`.
        name: as for `list_rafdb`.

    Raises:
        DataError: if the folder has another layout.
    """
    return _only_layout(root, _form(name)).folder


def _form(name: str) -> _Form:
    return _ORIGINAL if name == ORIGINAL_NAME else _ALIGNED


def _layouts(root: Path, form: _Form) -> list[_Layout]:
    """The layouts at a folder, else above it, else one level down."""
    if here := _layout_at(root, form):
        return [here]
    absolute = root.resolve()  # "." has no name to look at
    inside = absolute.parent if absolute.name == form.kind else absolute
    if inside.name in ("EmoLabel", "Image") and (above := _layout_at(inside.parent, form)):
        return [above]
    return [
        layout
        for entry in folder_entries(root).values()
        if entry.is_dir() and (layout := _layout_at(root / entry.name, form))
    ]


def _layout_at(folder: Path, form: _Form) -> _Layout | None:
    list_path = _first_existing(folder, _LISTS)
    pictures = _first_existing(folder, form.folders)
    if list_path is None or pictures is None or not list_path.is_file() or not pictures.is_dir():
        return None
    return _Layout(folder, list_path, pictures)


def _first_existing(folder: Path, names: Sequence[str]) -> Path | None:
    return next((folder / name for name in names if (folder / name).exists()), None)


def _only_layout(root: Path, form: _Form) -> _Layout:
    found = folder_entries(root)
    layouts = _layouts(root, form)
    if len(layouts) == 1:
        return layouts[0]
    if layouts:
        places = ", ".join(repr(str(layout.list_path)) for layout in layouts)
        raise DataError(
            f"{str(root)!r} holds {len(layouts)} data sets with RAF-DB's layout ({places}), "
            "expected one; point --root at one of them"
        )
    list_path = _first_existing(root, _LISTS)
    if list_path is not None:
        raise DataError(
            f"{str(list_path)!r} is there, but no folder {str(root / form.folders[0])!r}, expected "
            f"the {form.kind} pictures in it; unpack RAF-DB's {form.kind}.zip there"
        )
    raise DataError(
        f"{str(root)!r} holds {names_in_short(found)}, expected {_LISTS[0]!r} and "
        f"'{form.folders[0]}/' in it; {_POINT_AT}"
    )


def _rows(list_path: Path) -> tuple[list[_Row], list[Problem]]:
    try:
        # utf-8-sig: an editor on Windows puts a mark before the first name.
        lines = list_path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise DataError(
            f"cannot read {str(list_path)!r} ({error.strerror}), expected RAF-DB's list of "
            "labels; restore it"
        ) from error
    except UnicodeDecodeError as error:
        raise DataError(
            f"{str(list_path)!r} is not text (byte {error.start}), expected RAF-DB's list of "
            "labels; restore it"
        ) from error
    rows: list[_Row] = []
    problems: list[Problem] = []
    first_row: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        place = f"{str(list_path)!r}, row {number}"
        try:
            row = _row(line, number)
            if row.name in first_row:
                raise ValueError(
                    f"{row.name!r} was already in row {first_row[row.name]}, expected each "
                    "picture once; take one of the two rows out"
                )
        except ValueError as error:
            problems.append(Problem(f"{place}: {error}"))
            continue
        first_row[row.name] = number
        rows.append(row)
    return rows, problems


def _row(line: str, number: int) -> _Row:
    """One line of the list; a ValueError says what is wrong with it."""
    fields = line.split()
    if len(fields) != 2:
        shown = line if len(line) <= _QUOTED_CHARACTERS else line[:_QUOTED_CHARACTERS] + "..."
        raise ValueError(
            f"got {shown!r}, expected a file name and a label such as 'train_00001.jpg 5'; "
            "correct the row"
        )
    name, label = fields
    split = next((item for item in SPLITS_ON_DISK if name.startswith(f"{item.value}_")), None)
    if split is None or Path(name).name != name:
        raise ValueError(
            f"got the name {name!r}, expected one that starts with 'train_' or 'test_'; "
            "correct the row"
        )
    # isdecimal alone accepts other scripts' digits.
    if not (label.isascii() and label.isdecimal()) or not 1 <= int(label) <= len(RAFDB):
        raise ValueError(
            f"got the label {label!r}, expected 1 to {len(RAFDB)} "
            f"(1 {RAFDB.classes[0]} ... {len(RAFDB)} {RAFDB.classes[-1]}); correct the row"
        )
    return _Row(number, name, split, int(label) - 1)
