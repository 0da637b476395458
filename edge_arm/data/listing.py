"""What a reader found on disk, faults included.

A reader of a data set collects everything that is wrong instead of stopping at the first fault:
`face_index` refuses at the first one that concerns its split, and `edge-arm data describe` shows
them all, from the same pass over the same files.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from edge_arm.runtime.errors import DataError
from edge_arm.runtime.faces import FaceIndex, FaceSample, Split
from edge_arm.runtime.labels import LabelSet

SPLITS_ON_DISK = (Split.TRAIN, Split.TEST)
"""The parts that every data set comes in; few have one for validation too."""

_NAMES_SHOWN = 8


@dataclass(frozen=True)
class Problem:
    """Something that makes a data set, or one part of it, unusable.

    Attributes:
        text: one line, with the file and row where there is one.
        split: the part that it spoils; None spoils all of them.
    """

    text: str
    split: Split | None = None

    def concerns(self, split: Split) -> bool:
        """Whether this part cannot be used."""
        return self.split is None or self.split is split


@dataclass(frozen=True)
class Listing:
    """The labelled faces of a data set by part, and what is wrong with it.

    Attributes:
        name: of the data set.
        root: folder that was read.
        labels: what the targets mean.
        samples: by part, in order.
        problems: in the order in which they were met.
        ignored: one line for each kind of thing that was left out without harm.
    """

    name: str
    root: Path
    labels: LabelSet
    samples: Mapping[Split, tuple[FaceSample, ...]]
    problems: tuple[Problem, ...]
    ignored: tuple[str, ...]

    def __len__(self) -> int:
        return sum(len(samples) for samples in self.samples.values())

    @property
    def parts(self) -> tuple[Split, ...]:
        """Training and test, with the validation part between them if the set has its own."""
        return tuple(item for item in Split if item in SPLITS_ON_DISK or item in self.samples)

    def index(self, split: Split) -> FaceIndex:
        """The faces of one part, faulty or not."""
        return FaceIndex(self.name, split, self.labels, self.samples.get(split, ()))


def folder_entries(folder: Path) -> dict[str, os.DirEntry[str]]:
    """The content of a folder by name, sorted, in one system call for all of it.

    Fifteen thousand separate look-ups take minutes on a network drive.

    Raises:
        DataError: if it is no folder or cannot be read.
    """
    try:
        with os.scandir(folder) as entries:
            return {entry.name: entry for entry in sorted(entries, key=lambda entry: entry.name)}
    except OSError as error:
        raise DataError(
            f"cannot read the folder {str(folder)!r} ({error.strerror}), expected a data set; "
            "name its folder with --root"
        ) from error


def names_in_short(names: Iterable[str]) -> str:
    """Some names for a message, not all fifteen thousand."""
    ordered = sorted(names)
    if not ordered:
        return "nothing"
    shown = ", ".join(repr(name) for name in ordered[:_NAMES_SHOWN])
    more = len(ordered) - _NAMES_SHOWN
    return f"{shown} and {more} more" if more > 0 else shown
