"""Which pictures a folder or a pattern names.

Rules:

1. Pictures are told by name (`IMAGE_SUFFIXES`), because opening every file of a folder is slow.
2. A folder is read with its sub-folders: pictures sorted by class or by day are the usual case, and
   leaving them out without a word would not be noticed. Links to folders are not followed.
3. Names that begin with a dot are left alone, as the shell does it: thumbnails, half-made copies.
4. The order is that of the paths, compared part by part, the same on every file system.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from edge_arm.runtime.errors import DataError
from edge_arm.runtime.images import IMAGE_SUFFIXES


@dataclass(frozen=True)
class PictureList:
    """The pictures of a folder or of a pattern.

    Attributes:
        paths: sorted.
        left_alone: how many other files there were, hidden ones not counted.
    """

    paths: tuple[Path, ...]
    left_alone: int


def pictures_of_folder(folder: Path) -> PictureList:
    """The pictures in a folder and below.

    Raises:
        DataError: if it cannot be listed or there is none.
    """
    files: list[Path] = []

    def refuse(error: OSError) -> None:
        raise DataError(
            f"cannot list {str(error.filename)!r} ({error.strerror}), expected a folder of "
            "pictures; make it readable or name a folder beside it"
        ) from error

    for parent, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]  # rules 2 and 3
        files += [Path(parent, name) for name in names if not name.startswith(".")]
    return _pictures_among(files, f"the folder {str(folder)!r}")


def pictures_of_pattern(pattern: str) -> PictureList:
    """The pictures that a quoted pattern matches; `**` stands for any depth of folders.

    Raises:
        DataError: if it matches no picture.
    """
    # Patterns do not match names that begin with a dot: rule 3.
    # Path.glob would refuse an absolute pattern.
    matches = (Path(name) for name in glob.iglob(pattern, recursive=True))  # noqa: PTH207
    return _pictures_among((path for path in matches if path.is_file()), f"{pattern!r}")


def _pictures_among(files: Iterable[Path], where: str) -> PictureList:
    pictures: set[Path] = set()
    others = 0
    for path in files:
        if path.suffix.lower() in IMAGE_SUFFIXES:  # rule 1
            pictures.add(path)
        else:
            others += 1
    if not pictures:
        found = f"{others} files of other kinds" if others else "no file"
        raise DataError(
            f"found {found} and no picture in {where}, expected names that end in "
            f"{', '.join(IMAGE_SUFFIXES)}; name another place, or a video by itself"
        )
    return PictureList(tuple(sorted(pictures)), others)  # rule 4
