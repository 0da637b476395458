"""Small files that the kernel answers with a word or a number.

They come and go with drivers, power states and containers, and a read may be refused for the moment
(the thermal zone of a sleeping GPU answers EAGAIN). So what cannot be read is None, never an error.
"""

from __future__ import annotations

import re
from pathlib import Path


def word_in(path: Path) -> str | None:
    """The text of a file without the space around it; None if it cannot be read or is empty."""
    try:
        return path.read_bytes().decode("utf-8", errors="replace").strip("\0\n\t ") or None
    except OSError:
        return None


def number_in(path: Path) -> int | None:
    """The whole number in a file; None if it cannot be read or holds something else."""
    word = word_in(path)
    return int(word) if word is not None and re.fullmatch(r"-?\d{1,19}", word) else None


def in_order(folder: Path, pattern: str) -> list[Path]:
    """The entries of a folder by the numbers in their names: hwmon2 before hwmon10."""
    found = folder.glob(pattern)
    return sorted(found, key=lambda path: ([int(n) for n in re.findall(r"\d+", path.name)], path))
