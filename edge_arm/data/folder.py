"""A plain folder per class: ``ROOT/{train,test}/<expression>/*``.

Classes are told by the folders' names in any usual spelling ("happy", "Happiness"), never by
their order. A folder whose name is no expression, or that is empty, is a mistake in the set far
more often than a wish, so each is an error.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from edge_arm.data.listing import (
    SPLITS_ON_DISK,
    Listing,
    Problem,
    folder_entries,
    names_in_short,
)
from edge_arm.runtime.errors import DataError
from edge_arm.runtime.faces import FaceSample, Split
from edge_arm.runtime.images import IMAGE_SUFFIXES
from edge_arm.runtime.labels import RAFDB, LabelSet, canonical_name

EXPRESSIONS = (*RAFDB.classes, "contempt")
"""Class folders that are known, in the order of their class indices."""


@dataclass
class _Scan:
    """What has been met so far."""

    pictures: dict[Split, list[tuple[str, str, Path]]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)

    def ignore(self, folder: Path, names: list[str]) -> None:
        if names:
            self.ignored.append(
                f"{len(names)} files in {str(folder)!r} are no pictures or belong to no class: "
                f"{names_in_short(names)}"
            )


def looks_like_folder_set(root: Path) -> bool:
    """Whether a folder holds a folder for at least one split."""
    return root.is_dir() and bool(_split_folders(root))


def list_folder(root: Path, name: str = "folder") -> Listing:
    """Find the pictures of every class and split; none is opened.

    Args:
        root: the folder that holds train and test.
        name: of the data set.

    Returns:
        The listing. Its classes are those that any split has, in the order of `EXPRESSIONS`.

    Raises:
        DataError: if there is no folder for any split, or fewer than two classes in all.
    """
    found = folder_entries(root)
    split_folders = _split_folders(root)
    if not split_folders:
        below = [item for item, entry in found.items() if entry.is_dir()]
        nearer = next((item for item in below if _split_folders(root / item)), None)
        advice = f"; did you mean --root {str(root / nearer)!r}?" if nearer else ""
        raise DataError(
            f"{str(root)!r} holds {names_in_short(found)}, expected folders 'train' and 'test' "
            f"with a folder for each expression; point --root at the folder that holds them{advice}"
        )
    scan = _Scan()
    used = {path.name for path in split_folders.values()}
    scan.ignore(root, [item for item in found if item not in used])
    for split in SPLITS_ON_DISK:
        if split in split_folders:
            _scan_split(split, split_folders[split], scan)
        else:
            scan.problems.append(
                Problem(
                    f"{str(root)!r} has no folder {split.value!r}, expected one with a folder for "
                    f"each expression; add {str(root / split.value)!r}",
                    split,
                )
            )
    have = {expression for found in scan.pictures.values() for expression, _, _ in found}
    if len(have) < 2:
        first = f" (first problem: {scan.problems[0].text})" if scan.problems else ""
        raise DataError(
            f"{str(root)!r} has pictures of {names_in_short(have)}, expected at least 2 "
            f"expressions; add folders of others{first}"
        )
    labels = LabelSet(name, tuple(item for item in EXPRESSIONS if item in have))
    samples = {
        split: tuple(
            FaceSample(sample_id, path, labels.index(expression))
            for expression, sample_id, path in pictures
        )
        for split, pictures in scan.pictures.items()
    }
    return Listing(name, root, labels, samples, tuple(scan.problems), tuple(scan.ignored))


def _split_folders(root: Path) -> dict[Split, Path]:
    """The folders of the splits, whatever their case."""
    by_name = {split.value: split for split in SPLITS_ON_DISK}
    return {
        by_name[name.lower()]: root / name
        for name, entry in folder_entries(root).items()
        if name.lower() in by_name and entry.is_dir()
    }


def _scan_split(split: Split, folder: Path, scan: _Scan) -> None:
    entries = folder_entries(folder)
    scan.ignore(folder, [name for name, entry in entries.items() if not entry.is_dir()])
    pictures = scan.pictures.setdefault(split, [])
    folder_of: dict[str, str] = {}
    for name in (name for name, entry in entries.items() if entry.is_dir()):
        expression = canonical_name(name)
        if expression not in EXPRESSIONS:
            scan.problems.append(
                Problem(
                    f"got the class folder {str(folder / name)!r}, expected the name of an "
                    f"expression ({', '.join(EXPRESSIONS)}); rename it or move it away",
                    split,
                )
            )
        elif expression in folder_of:
            scan.problems.append(
                Problem(
                    f"{str(folder / name)!r} and {folder_of[expression]!r} are both "
                    f"{expression!r}, expected one folder for each expression; merge them",
                    split,
                )
            )
        else:
            folder_of[expression] = name
            names = _picture_names(split, folder / name, scan)
            pictures.extend(
                (expression, f"{split.value}/{expression}/{item}", folder / name / item)
                for item in names
            )
    if not folder_of:
        scan.problems.append(
            Problem(
                f"{str(folder)!r} has no class folder, expected one for each expression; "
                "move the pictures into folders such as 'happiness'",
                split,
            )
        )


def _picture_names(split: Split, folder: Path, scan: _Scan) -> list[str]:
    entries = folder_entries(folder)
    folders = [name for name, entry in entries.items() if entry.is_dir()]
    if folders:
        scan.problems.append(
            Problem(
                f"{str(folder)!r} holds the folders {names_in_short(folders)}, expected pictures "
                "only; move their pictures up or away",
                split,
            )
        )
    # A broken link with a picture's name stays on the list, and fails when it is read.
    names = [
        name
        for name in entries
        if name not in folders and Path(name).suffix.lower() in IMAGE_SUFFIXES
    ]
    scan.ignore(folder, sorted(set(entries) - set(names) - set(folders)))
    if not names:
        scan.problems.append(
            Problem(
                f"{str(folder)!r} has no picture ({', '.join(IMAGE_SUFFIXES)}), expected the faces "
                f"of {canonical_name(folder.name)!r}; add some or remove the folder",
                split,
            )
        )
    return names
