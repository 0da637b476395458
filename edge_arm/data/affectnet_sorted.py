"""AffectNet's faces sorted into a folder for each number, as training code often leaves them.

::

    train/0/*.jpg ... train/7/*.jpg      val/0/*.jpg ... val/7/*.jpg

The numbers are AffectNet's own (0 is neutral), not the order of anybody's labels.
"""

from __future__ import annotations

from pathlib import Path

from edge_arm.data.affectnet_faces import AffectNetFaces, expression_number
from edge_arm.data.listing import SPLITS_ON_DISK, folder_entries, names_in_short
from edge_arm.runtime.faces import FaceSample, Split
from edge_arm.runtime.images import IMAGE_SUFFIXES

PART_FOLDERS = {Split.TRAIN: "train", Split.TEST: "val"}


def has_sorted_faces(home: Path) -> bool:
    """Whether a folder holds a part in this form."""
    return any(
        (home / name / "0").is_dir() and (home / name / "1").is_dir()
        for name in PART_FOLDERS.values()
    )


def read_sorted_faces(home: Path, faces: AffectNetFaces) -> None:
    """Find the pictures; none is opened.

    Args:
        home: the folder that holds train and val.
        faces: takes what is found.

    Raises:
        DataError: if a folder cannot be read.
    """
    for split in SPLITS_ON_DISK:
        part = home / PART_FOLDERS[split]
        if not part.is_dir():
            faces.report(
                f"{str(part)!r} is missing, expected the folders 0 to 7 of AffectNet's faces in "
                "it; add it",
                split,
            )
            continue
        folders = [name for name, entry in folder_entries(part).items() if entry.is_dir()]
        for name in sorted(folders, key=lambda name: (len(name), name)):
            try:
                number = expression_number(name)
            except ValueError as error:
                faces.report(f"{str(part / name)!r}: {error}; rename it or move it away", split)
                continue
            _read_folder(part / name, number, split, faces=faces)
    others = [name for name in folder_entries(home) if name not in PART_FOLDERS.values()]
    if others:
        faces.notes.append(f"{names_in_short(others)}: no part of AffectNet sorted by number")


def _read_folder(folder: Path, number: int, split: Split, *, faces: AffectNetFaces) -> None:
    for name in folder_entries(folder):
        if Path(name).suffix.lower() not in IMAGE_SUFFIXES or name.startswith("."):
            continue
        if faces.exclude.has(name):
            continue
        target = faces.target(number, split)
        if target is not None:
            sample_id = f"{folder.parent.name}/{folder.name}/{name}"
            faces.samples[split].append(FaceSample(sample_id, folder / name, target))
