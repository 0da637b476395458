"""FER2013 and FER+ in their exact layout, with a few drawn pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

SIDE = 48
USAGES = ("Training", "PublicTest", "PrivateTest")
VOTES_HEADER = (
    "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"
)


def grey(number: int) -> np.ndarray:
    """(48, 48) uint8 pixels of one face; no two are alike."""
    return np.random.default_rng(number).integers(0, 256, (SIDE, SIDE)).astype(np.uint8)


def pixel_row(number: int, emotion: object, usage: str) -> str:
    """One line of fer2013.csv."""
    return f"{emotion},{' '.join(map(str, grey(number).ravel()))},{usage}"


def write_fer2013(root: Path, rows: Sequence[str] | None = None) -> Path:
    """fer2013.csv; by default emotions 0..6 once for each Usage, in the order of the real file."""
    if rows is None:
        rows = [
            pixel_row(7 * part + emotion, emotion, usage)
            for part, usage in enumerate(USAGES)
            for emotion in range(7)
        ]
    root.mkdir(parents=True, exist_ok=True)
    path = root / "fer2013.csv"
    path.write_text("\n".join(["emotion,pixels,Usage", *rows]) + "\n")
    return path


def write_votes(root: Path, rows: Sequence[str]) -> Path:
    """fer2013new.csv, which has Windows line ends."""
    path = root / "fer2013new.csv"
    path.write_text("\r\n".join([VOTES_HEADER, *rows]) + "\r\n", newline="")
    return path
