"""From a data set's name and folder to its faces.

The name chooses the reader; the folder is found once and remembered, so that after
``edge-arm train --data rafdb --root DIR`` the later commands need no ``--root``.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edge_arm.data.affectnet import list_affectnet, looks_like_affectnet
from edge_arm.data.affectnet_faces import EIGHT_NAME as AFFECTNET_EIGHT
from edge_arm.data.affectnet_faces import SEVEN_NAME as AFFECTNET_SEVEN
from edge_arm.data.attribute_table import TABLE_NAME, table_attributes
from edge_arm.data.fer2013 import list_fer2013, looks_like_fer2013
from edge_arm.data.ferplus import SEVEN_NAME, list_ferplus, looks_like_ferplus
from edge_arm.data.folder import list_folder, looks_like_folder_set
from edge_arm.data.listing import SPLITS_ON_DISK, Listing
from edge_arm.data.rafdb import (
    ORIGINAL_NAME,
    list_rafdb,
    looks_like_rafdb,
    looks_like_rafdb_original,
    rafdb_folder,
)
from edge_arm.data.rafdb_attributes import rafdb_attributes
from edge_arm.data.sfew import list_sfew, looks_like_sfew
from edge_arm.runtime.errors import DataError, UsageError
from edge_arm.runtime.face_attributes import FaceAttributes
from edge_arm.runtime.faces import FaceIndex, Split
from edge_arm.runtime.storage import write_json

_log = logging.getLogger(__name__)

ENVIRONMENT_VARIABLE = "EDGE_ARM_DATA"
ROOTS_NAME = "data-roots.json"
ROOTS_SCHEMA_VERSION = 1


@dataclass(frozen=True)
class DataSet:
    """A layout that can be read.

    Attributes:
        read: from a root and the set's name to everything that is there.
        recognizes: whether a folder has this layout.
    """

    read: Callable[[Path, str], Listing]
    recognizes: Callable[[Path], bool]


DATA_SETS = {
    "rafdb": DataSet(list_rafdb, looks_like_rafdb),
    ORIGINAL_NAME: DataSet(list_rafdb, looks_like_rafdb_original),
    AFFECTNET_SEVEN: DataSet(list_affectnet, looks_like_affectnet),
    AFFECTNET_EIGHT: DataSet(list_affectnet, looks_like_affectnet),
    "sfew": DataSet(list_sfew, looks_like_sfew),
    "fer2013": DataSet(list_fer2013, looks_like_fer2013),
    "ferplus": DataSet(list_ferplus, looks_like_ferplus),
    SEVEN_NAME: DataSet(list_ferplus, looks_like_ferplus),
    "folder": DataSet(list_folder, looks_like_folder_set),
    "synthetic": DataSet(list_rafdb, looks_like_rafdb),
}
"""The data sets by the name that ``--data`` takes."""


def list_faces(name: str, root: Path) -> Listing:
    """Everything a data set holds, with its faults.

    Args:
        name: a key of `DATA_SETS`.
        root: its folder.

    Raises:
        UsageError: if the name is unknown.
        DataError: if the folder has another layout.
    """
    return _data_set(name).read(root, name)


def face_index(name: str, root: Path, split: Split) -> FaceIndex:
    """The faces of one split of a data set; nothing is skipped.

    Args:
        name: a key of `DATA_SETS`.
        root: its folder.
        split: training or test; validation for a set that comes with such a part.

    Raises:
        UsageError: if the name is unknown, or the set has no validation part of its own.
        DataError: if the folder has another layout or a fault that concerns this split.
    """
    listing = list_faces(name, root)
    if split not in SPLITS_ON_DISK and split not in listing.samples:
        raise UsageError(
            f"got the split {split.value!r}, expected 'train' or 'test'; "
            "split_validation makes a validation part from the training part"
        )
    return index_from_listing(listing, split)


def index_from_listing(listing: Listing, split: Split) -> FaceIndex:
    """The faces of one split; nothing is skipped.

    Args:
        listing: of a data set.
        split: one that it has.

    Raises:
        DataError: if there is a fault that concerns this split.
    """
    name, root = listing.name, listing.root
    problems = [problem for problem in listing.problems if problem.concerns(split)]
    if problems:
        more = len(problems) - 1
        advice = f"edge-arm data describe --data {name} --root {root}"
        raise DataError(
            problems[0].text + (f" (and {more} more, shown by '{advice}')" if more else "")
        )
    index = listing.index(split)
    if listing.ignored:
        more = len(listing.ignored) - 1
        _log.warning(
            "data %s: left out: %s%s", name, listing.ignored[0], f" (+{more})" if more else ""
        )
    _log.info("data %s: %d faces, %s split", name, len(index), split.value)
    return index


def face_attributes(root: Path, index: FaceIndex) -> FaceAttributes:
    """What the data set says about the people on its pictures, for slices.

    RAF-DB's own annotation where it is, and the columns of `attributes.csv` where that is.

    Args:
        root: the folder that `index` was read from.
        index: the faces.

    Returns:
        The attributes, each known for every face; empty where the set says nothing.

    Raises:
        DataError: if an annotation is broken or lacks a face, or both name the same attribute.
    """
    ids = [sample.sample_id for sample in index.samples]
    is_rafdb = _data_set(index.name).read is list_rafdb
    folder = rafdb_folder(root, index.name) if is_rafdb else root
    own = rafdb_attributes(folder, ids) if is_rafdb else ()
    added = table_attributes(folder, ids)
    twice = {item.name for item in own} & {item.name for item in added}
    if twice:
        raise DataError(
            f"{str(folder / TABLE_NAME)!r} has the column {min(twice)!r}, which RAF-DB's "
            "annotation has as well, expected each attribute once; rename or remove the column"
        )
    return (*own, *added)


def resolve_root(name: str, root: Path | None, workspace: Path = Path("build")) -> Path:
    """The folder of a data set, by the first of these that applies.

    1. `root`, 2. the folder called after the set in EDGE_ARM_DATA, or EDGE_ARM_DATA itself if it
    is such a set, 3. ``data/<name>``, 4. what `remember_root` wrote.

    Args:
        name: a key of `DATA_SETS`.
        root: what the user gave, if anything; it is never replaced by another place.
        workspace: where roots are remembered.

    Raises:
        UsageError: if the name is unknown.
        DataError: if there is no such folder, with the places that were looked at.
    """
    data_set = _data_set(name)
    if root is not None:
        if not root.is_dir():
            raise DataError(
                f"got --root {str(root)!r}, which is no folder, expected the folder of the data "
                f"set {name!r}; correct the path"
            )
        return root
    looked_at: list[str] = []
    if environment := os.environ.get(ENVIRONMENT_VARIABLE):  # rule 2
        base = Path(environment)
        if not base.is_dir():
            raise DataError(
                f"{ENVIRONMENT_VARIABLE} is {environment!r}, which is no folder, expected the "
                "folder of your data sets; correct or unset it"
            )
        if (base / name).is_dir():
            return _found(name, base / name, ENVIRONMENT_VARIABLE)
        if data_set.recognizes(base):
            return _found(name, base, ENVIRONMENT_VARIABLE)
        looked_at += [
            f"{str(base / name)!r} and {environment!r} itself ({ENVIRONMENT_VARIABLE})",
        ]
    default = Path("data") / name  # rule 3
    if default.is_dir():
        return _found(name, default, "default place")
    looked_at.append(f"{str(default)!r} (default place)")
    memory = workspace / ROOTS_NAME  # rule 4
    remembered = _remembered(memory).get(name)
    if remembered is not None:
        if Path(remembered).is_dir():
            return _found(name, Path(remembered), f"used before, {memory}")
        looked_at.append(f"{remembered!r} (used before, now gone)")
    raise DataError(
        f"found no folder of the data set {name!r}, looked at {', '.join(looked_at)}; "
        f"name it with --root DIR, or set {ENVIRONMENT_VARIABLE} ('edge-arm data --help' says "
        "where the set comes from)"
    )


def remember_root(name: str, root: Path, workspace: Path = Path("build")) -> None:
    """Note where a data set is, for commands without ``--root``.

    Args:
        name: a key of `DATA_SETS`.
        root: its folder; kept as an absolute path, as later commands may run elsewhere.
        workspace: holds the note.

    Raises:
        UsageError: if the name is unknown.
        DataError: if there is a note already that cannot be read.
        StorageError: if the note cannot be written.
    """
    _data_set(name)
    memory = workspace / ROOTS_NAME
    roots = {**_remembered(memory), name: str(root.resolve())}
    write_json(
        memory, {"schema_version": ROOTS_SCHEMA_VERSION, "roots": dict(sorted(roots.items()))}
    )


def _data_set(name: str) -> DataSet:
    if name not in DATA_SETS:
        raise UsageError(
            f"got the data set {name!r}, expected one of {', '.join(sorted(DATA_SETS))}; "
            "choose with --data"
        )
    return DATA_SETS[name]


def _found(name: str, root: Path, source: str) -> Path:
    _log.info("data %s: %s (%s)", name, root, source)
    return root


def _remembered(memory: Path) -> dict[str, str]:
    try:
        text = memory.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise DataError(
            f"cannot read {str(memory)!r} ({error.strerror}), expected the folders of data sets; "
            "remove it or use --root"
        ) from error
    except UnicodeDecodeError:
        text = ""
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    roots = value.get("roots") if isinstance(value, dict) else None
    if (
        not isinstance(value, dict)
        or value.get("schema_version") != ROOTS_SCHEMA_VERSION
        or not isinstance(roots, dict)
        or not all(isinstance(item, str) for item in roots.values())
    ):
        raise DataError(
            f"{str(memory)!r} is not a note of data folders (schema version "
            f"{ROOTS_SCHEMA_VERSION}), expected the one this version writes; remove it"
        )
    return dict(roots)
