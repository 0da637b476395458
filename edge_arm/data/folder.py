"""A plain folder per class: ``ROOT/{train,test}/<expression>/*``, and ``valid`` where there is one.

The third part may be called val, valid or validation. Where it is, it chooses the epoch of a
training in place of a share of the training faces.
"""

from __future__ import annotations

from pathlib import Path

from edge_arm.data.class_folders import ClassFolderScan, split_folders
from edge_arm.data.exclude_list import EXCLUDE_NAME, read_exclude_list
from edge_arm.data.listing import SPLITS_ON_DISK, Listing, folder_entries, names_in_short
from edge_arm.runtime.errors import DataError
from edge_arm.runtime.faces import Split

_SPELLINGS = {
    "train": Split.TRAIN,
    "val": Split.VALIDATION,
    "valid": Split.VALIDATION,
    "validation": Split.VALIDATION,
    "test": Split.TEST,
}


def looks_like_folder_set(root: Path) -> bool:
    """Whether a folder holds a folder for training or testing."""
    return root.is_dir() and _has_parts(root)


def list_folder(root: Path, name: str = "folder") -> Listing:
    """Find the pictures of every class and split; none is opened.

    Args:
        root: the folder that holds train and test.
        name: of the data set.

    Returns:
        The listing. Its classes are those that any split has, in the order of
        `class_folders.EXPRESSIONS`.

    Raises:
        DataError: if there is no folder for training or testing, two for one split, or fewer than
            two classes in all.
    """
    found = folder_entries(root)
    if not _has_parts(root):
        below = [item for item, entry in found.items() if entry.is_dir()]
        nearer = next((item for item in below if _has_parts(root / item)), None)
        advice = f"; did you mean --root {str(root / nearer)!r}?" if nearer else ""
        raise DataError(
            f"{str(root)!r} holds {names_in_short(found)}, expected folders 'train' and 'test' "
            f"with a folder for each expression; point --root at the folder that holds them{advice}"
        )
    parts = split_folders(root, _SPELLINGS)
    scan = ClassFolderScan(name, root, read_exclude_list(root))
    used = {path.name for paths in parts.values() for path in paths} | {EXCLUDE_NAME}
    scan.ignore(root, [item for item in found if item not in used])
    for split in Split:
        folders = parts.get(split, [])
        if len(folders) > 1:
            raise DataError(
                f"{str(root)!r} holds {names_in_short(path.name for path in folders)}, expected "
                f"one folder of the {split.value} split; merge them or move one away"
            )
        if folders:
            scan.add(split, folders[0])
        elif split in SPLITS_ON_DISK:
            scan.report(
                f"{str(root)!r} has no folder {split.value!r}, expected one with a folder for "
                f"each expression; add {str(root / split.value)!r}",
                split,
            )
    return scan.listing()


def _has_parts(root: Path) -> bool:
    return any(split in SPLITS_ON_DISK for split in split_folders(root, _SPELLINGS))
