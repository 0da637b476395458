"""`exclude.txt`: names of pictures that are left out on purpose, one a line.

Aligned releases hold crops without a face (SFEW's has about a hundred), and which those are is the
user's knowledge or somebody's published list, not ours to copy. A name on the list that no picture
has is an error: it would leave nothing out and look as if it had.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from edge_arm.data.listing import Problem, names_in_short
from edge_arm.runtime.errors import DataError

EXCLUDE_NAME = "exclude.txt"


@dataclass
class ExcludeList:
    """The names to leave out, and which of them were met.

    Attributes:
        path: of the list.
        rows: row by name, without any folder.
    """

    path: Path
    rows: dict[str, int]
    _met: dict[str, int] = field(default_factory=dict, init=False)

    def has(self, name: str) -> bool:
        """Whether a picture is left out; remembers that it was asked for.

        Args:
            name: of the picture's file.
        """
        if name not in self.rows:
            return False
        self._met[name] = self._met.get(name, 0) + 1
        return True

    def problems(self) -> tuple[Problem, ...]:
        """Names that no picture has."""
        return tuple(
            Problem(
                f"{str(self.path)!r}, row {row}: no picture is called {name!r}, expected the name "
                "of one to leave out; correct the row or take it out"
            )
            for name, row in self.rows.items()
            if name not in self._met
        )

    def notes(self) -> tuple[str, ...]:
        """What was left out, in a line."""
        if not self._met:
            return ()
        return (
            f"{sum(self._met.values())} pictures that {str(self.path)!r} names: "
            f"{names_in_short(self._met)}",
        )


def no_exclude_list() -> ExcludeList:
    """A list that leaves nothing out."""
    return ExcludeList(Path(EXCLUDE_NAME), {})


def read_exclude_list(root: Path) -> ExcludeList:
    """The list of a data set, if it has one.

    Args:
        root: folder of the set; the list is `exclude.txt` in it. Empty rows and those that begin
            with '#' are skipped; of a path only the last part counts.

    Raises:
        DataError: if it cannot be read as text, or names a picture twice.
    """
    path = root / EXCLUDE_NAME
    if not path.is_file():
        return no_exclude_list()
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"cannot read {str(path)!r} ({error}), expected names of pictures, one a line; "
            "save it as text or move it away"
        ) from error
    rows: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        name = line.strip().replace("\\", "/").rsplit("/", 1)[-1]
        if not name or line.lstrip().startswith("#"):
            continue
        if name in rows:
            raise DataError(
                f"{str(path)!r}, row {number}: {name!r} was already in row {rows[name]}, expected "
                "each picture once; take one of the two rows out"
            )
        rows[name] = number
    return ExcludeList(path, rows)
