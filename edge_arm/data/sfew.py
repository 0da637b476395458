"""SFEW 2.0: frames of films, aligned faces in a folder per class.

::

    ROOT/Train_Aligned_Faces/Angry/Airheads_000519240_00000005.png
    ROOT/Val_Aligned_Faces_new/Happy/*.png
    ROOT/Test_Aligned_Faces/*.png                no labels were ever published

The archives unpack to that, and it is also met as ``Train/Train_Aligned_Faces/<Class>`` and
``Train/<Class>``. Papers report the Val part, so it is the test split here, and the validation
part that chooses an epoch is split off Train. Frames of one film are only in one of the two.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from edge_arm.data.class_folders import ClassFolderScan
from edge_arm.data.exclude_list import EXCLUDE_NAME, read_exclude_list
from edge_arm.data.listing import SPLITS_ON_DISK, Listing, folder_entries, names_in_short
from edge_arm.runtime.errors import DataError
from edge_arm.runtime.faces import Split
from edge_arm.runtime.labels import RAFDB, canonical_name

_ON_DISK = {Split.TRAIN: "Train", Split.TEST: "Val"}
_EXAMPLE = {Split.TRAIN: "Train_Aligned_Faces", Split.TEST: "Val_Aligned_Faces_new"}
_UNLABELLED = "test"
_DEEPEST = 3
"""Train/Train_Aligned_Faces/Train_Aligned_Faces: an archive unpacked into a folder of its name."""


def looks_like_sfew(root: Path) -> bool:
    """Whether a folder has this layout, itself or one level down."""
    return root.is_dir() and _home(root) is not None


def list_sfew(root: Path, name: str = "sfew") -> Listing:
    """Find the aligned faces; none is opened.

    Args:
        root: the folder that holds the parts, or the folder above it. A file `exclude.txt` in it
            names pictures to leave out.
        name: of the data set.

    Returns:
        The listing: Train as the training split, Val as the test split, classes in the order of
        `RAFDB`.

    Raises:
        DataError: if the folder has another layout.
    """
    home = _home(root)
    if home is None:
        raise DataError(
            f"{str(root)!r} holds {names_in_short(folder_entries(root))}, expected SFEW 2.0's "
            "'Train_Aligned_Faces' and 'Val_Aligned_Faces' with the folders Angry ... Surprise in "
            "them; unpack the three aligned archives there, or point --root at the folder that "
            "holds them"
        )
    entries = folder_entries(home)
    scan = ClassFolderScan(name, home, read_exclude_list(home))
    used = {EXCLUDE_NAME}
    for split in SPLITS_ON_DISK:
        folders = _part_folders(home, _ON_DISK[split])
        used |= {folder.name for folder in folders}
        if len(folders) > 1:
            raise DataError(
                f"{str(home)!r} holds {names_in_short(folder.name for folder in folders)}, "
                f"expected one folder of the {_ON_DISK[split]} part; move one away"
            )
        if not folders:
            scan.report(
                f"{str(home)!r} has no folder of SFEW's {_ON_DISK[split]} part, expected "
                f"{_EXAMPLE[split]!r}; unpack its archive there",
                split,
            )
            continue
        scan.add(split, _with_classes(folders[0]) or folders[0])
    unlabelled = [item for item in entries if item.lower().startswith(_UNLABELLED)]
    if unlabelled:
        scan.note(f"{names_in_short(unlabelled)}: SFEW's Test part, whose labels are not published")
    rest = [item for item in entries if item not in used and item not in unlabelled]
    scan.ignore(home, rest)
    return replace(scan.listing(RAFDB), root=root)


def _home(root: Path) -> Path | None:
    """The folder that holds a part with classes: this one, else the only one below."""
    if _has_a_part(root):
        return root
    below = [
        root / name
        for name, entry in folder_entries(root).items()
        if entry.is_dir() and _has_a_part(root / name)
    ]
    return below[0] if len(below) == 1 else None


def _has_a_part(folder: Path) -> bool:
    return any(
        _with_classes(part) is not None
        for name in _ON_DISK.values()
        for part in _part_folders(folder, name)
    )


def _part_folders(home: Path, part: str) -> list[Path]:
    """Folders called Train, Train_Aligned_Faces or Train_Aligned_Faces_new, in any case."""
    lowered = part.lower()
    return [
        home / name
        for name, entry in folder_entries(home).items()
        if entry.is_dir()
        and (name.lower() == lowered or name.lower().startswith(f"{lowered}_aligned"))
    ]


def _with_classes(folder: Path, depth: int = 1) -> Path | None:
    """The folder that holds the class folders: this one, or one inside it of a like name."""
    folders = [name for name, entry in folder_entries(folder).items() if entry.is_dir()]
    if any(canonical_name(name) in RAFDB.classes for name in folders):
        return folder
    if len(folders) == 1 and depth < _DEEPEST and "aligned" in folders[0].lower():
        return _with_classes(folder / folders[0], depth + 1)
    return None
