"""Pictures in a folder per class, one part of a data set after the other.

Classes are told by the folders' names in any usual spelling ("happy", "Happiness"), never by
their order. A folder whose name is no expression, or that is empty, is a mistake in the set far
more often than a wish, so each is an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edge_arm.data.exclude_list import ExcludeList, no_exclude_list
from edge_arm.data.listing import Listing, Problem, folder_entries, names_in_short
from edge_arm.runtime.errors import DataError
from edge_arm.runtime.faces import FaceSample, Split
from edge_arm.runtime.images import IMAGE_SUFFIXES
from edge_arm.runtime.labels import RAFDB, LabelSet, canonical_name

EXPRESSIONS = (*RAFDB.classes, "contempt")
"""Class folders that are known, in the order of their class indices."""


@dataclass
class ClassFolderScan:
    """What has been met so far; `add` is called once for each part, then `listing`.

    Attributes:
        name: of the data set.
        root: its folder.
        exclude: names that are left out on purpose.
    """

    name: str
    root: Path
    exclude: ExcludeList = field(default_factory=no_exclude_list)
    _pictures: dict[Split, list[tuple[str, str, Path]]] = field(default_factory=dict, init=False)
    _problems: list[Problem] = field(default_factory=list, init=False)
    _ignored: list[str] = field(default_factory=list, init=False)

    def report(self, text: str, split: Split | None = None) -> None:
        """Note something that makes the set, or one part of it, unusable."""
        self._problems.append(Problem(text, split))

    def ignore(self, folder: Path, names: list[str]) -> None:
        """Note files that are left out without harm."""
        if names:
            self._ignored.append(
                f"{len(names)} files in {str(folder)!r} are no pictures or belong to no class: "
                f"{names_in_short(names)}"
            )

    def note(self, text: str) -> None:
        """Note anything else that is left out without harm."""
        self._ignored.append(text)

    def add(self, split: Split, folder: Path) -> None:
        """Look through one part.

        Args:
            split: the part.
            folder: that holds a folder for each class.
        """
        entries = folder_entries(folder)
        self.ignore(folder, [name for name, entry in entries.items() if not entry.is_dir()])
        pictures = self._pictures.setdefault(split, [])
        folder_of: dict[str, str] = {}
        for name in (name for name, entry in entries.items() if entry.is_dir()):
            expression = canonical_name(name)
            if expression not in EXPRESSIONS:
                self.report(
                    f"got the class folder {str(folder / name)!r}, expected the name of an "
                    f"expression ({', '.join(EXPRESSIONS)}); rename it or move it away",
                    split,
                )
            elif expression in folder_of:
                self.report(
                    f"{str(folder / name)!r} and {folder_of[expression]!r} are both "
                    f"{expression!r}, expected one folder for each expression; merge them",
                    split,
                )
            else:
                folder_of[expression] = name
                pictures.extend(
                    (expression, f"{split.value}/{expression}/{item}", folder / name / item)
                    for item in self._picture_names(split, folder / name)
                )
        if not folder_of:
            self.report(
                f"{str(folder)!r} has no class folder, expected one for each expression; "
                "move the pictures into folders such as 'happiness'",
                split,
            )

    def listing(self, labels: LabelSet | None = None) -> Listing:
        """Everything that was found.

        Args:
            labels: of the data set; those expressions that any part has, in the order of
                `EXPRESSIONS`, if None.

        Raises:
            DataError: if there are fewer than two classes in all, or a picture is of none of
                `labels`.
        """
        have = {expression for found in self._pictures.values() for expression, _, _ in found}
        if len(have) < 2:
            first = f" (first problem: {self._problems[0].text})" if self._problems else ""
            raise DataError(
                f"{str(self.root)!r} has pictures of {names_in_short(have)}, expected at least 2 "
                f"expressions; add folders of others{first}"
            )
        labels = labels or LabelSet(self.name, tuple(item for item in EXPRESSIONS if item in have))
        samples = {
            split: tuple(
                FaceSample(sample_id, path, labels.index(expression))
                for expression, sample_id, path in pictures
            )
            for split, pictures in self._pictures.items()
        }
        problems = (*self._problems, *self.exclude.problems())
        ignored = (*self._ignored, *self.exclude.notes())
        return Listing(self.name, self.root, labels, samples, problems, ignored)

    def _picture_names(self, split: Split, folder: Path) -> list[str]:
        entries = folder_entries(folder)
        folders = [name for name, entry in entries.items() if entry.is_dir()]
        if folders:
            self.report(
                f"{str(folder)!r} holds the folders {names_in_short(folders)}, expected pictures "
                "only; move their pictures up or away",
                split,
            )
        # A broken link with a picture's name stays on the list, and fails when it is read.
        names = [
            name
            for name in entries
            if name not in folders and Path(name).suffix.lower() in IMAGE_SUFFIXES
        ]
        self.ignore(folder, sorted(set(entries) - set(names) - set(folders)))
        if not names:
            self.report(
                f"{str(folder)!r} has no picture ({', '.join(IMAGE_SUFFIXES)}), expected the faces "
                f"of {canonical_name(folder.name)!r}; add some or remove the folder",
                split,
            )
        return [name for name in names if not self.exclude.has(name)]


def split_folders(root: Path, spellings: Mapping[str, Split]) -> dict[Split, list[Path]]:
    """The folders of the parts, whatever the case of their names.

    Args:
        root: the folder that may hold them.
        spellings: parts by the lower-case names that their folders may have.

    Returns:
        By part; several folders for one part are the caller's to refuse.
    """
    found: dict[Split, list[Path]] = {}
    for name, entry in folder_entries(root).items():
        split = spellings.get(name.lower())
        if split is not None and entry.is_dir():
            found.setdefault(split, []).append(root / name)
    return found
