"""What a data set really holds: every picture is decoded, and all faults are listed at once."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_arm.data.listing import Listing
from edge_arm.runtime.errors import ImageError
from edge_arm.runtime.faces import FaceSample, Split
from edge_arm.runtime.images import read_image
from edge_arm.runtime.labels import LabelSet


@dataclass(frozen=True)
class SizeCount:
    """How many faces have one size in pixels.

    That of the face box where the set has boxes, else of the whole picture, after any rotation
    that its EXIF asks for.
    """

    width: int
    height: int
    count: int


@dataclass(frozen=True)
class SplitDescription:
    """One part of a data set.

    Attributes:
        split: the part.
        counts: faces on the list by class, in the order of the labels; unreadable ones included.
        sha256: of ids and labels in order, as in every report on these faces.
    """

    split: Split
    counts: tuple[int, ...]
    sha256: str


@dataclass(frozen=True)
class Description:
    """A data set, looked at in full.

    Attributes:
        name: of the data set.
        root: its folder.
        labels: its classes.
        splits: its parts.
        sizes: of the readable pictures, the most frequent first.
        problems: what is missing or broken, one line each; empty if all is well.
        notes: what does no harm but should be known, one line each.
    """

    name: str
    root: Path
    labels: LabelSet
    splits: tuple[SplitDescription, ...]
    sizes: tuple[SizeCount, ...]
    problems: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Seen:
    """What became of one picture: size of the face, hash of file and box, or why it is unreadable.

    Two faces of one photograph are two faces, so the box belongs to what tells copies.
    """

    size: tuple[int, int] | None
    face: str
    problem: str


def describe(
    listing: Listing, *, progress: Callable[[int], None] | None = None, workers: int | None = None
) -> Description:
    """Decode every picture of a data set.

    Args:
        listing: what its reader found.
        progress: called with 1 after each picture.
        workers: decoding threads; one per core when None.

    Returns:
        Counts, sizes, and everything that is missing or broken.
    """
    problems = [problem.text for problem in listing.problems]
    sizes: Counter[tuple[int, int]] = Counter()
    faces: dict[Split, list[str]] = {split: [] for split in listing.parts}
    splits = []
    with ThreadPoolExecutor(workers or os.cpu_count() or 1, thread_name_prefix="decode") as pool:
        for split in listing.parts:
            index = listing.index(split)
            for seen in pool.map(_look_at, index.samples):
                if seen.size is None:
                    problems.append(seen.problem)
                else:
                    sizes[seen.size] += 1
                    faces[split].append(seen.face)
                if progress is not None:
                    progress(1)
            counts = tuple(index.counts().tolist())
            splits.append(SplitDescription(split, counts, index.sha256))
            if index.samples:
                problems += [
                    f"no face of {name!r} in the {split.value} split, expected some of each "
                    "class; add faces of that class"
                    for name, count in zip(listing.labels.classes, counts, strict=True)
                    if not count
                ]
    return Description(
        name=listing.name,
        root=listing.root,
        labels=listing.labels,
        splits=tuple(splits),
        sizes=tuple(
            SizeCount(width, height, count)
            for (width, height), count in sorted(
                sizes.items(), key=lambda item: (-item[1], item[0])
            )
        ),
        problems=tuple(problems),
        notes=(*listing.ignored, *_copies(faces)),
    )


def description_to_json(description: Description) -> dict[str, Any]:
    """The JSON form, for programs."""
    classes = description.labels.classes
    return {
        "schema_version": 1,
        "name": description.name,
        "root": str(description.root),
        "classes": list(classes),
        "splits": {
            part.split.value: {
                "num_images": sum(part.counts),
                "counts": dict(zip(classes, part.counts, strict=True)),
                "sha256": part.sha256,
            }
            for part in description.splits
        },
        "sizes": [
            {"width": size.width, "height": size.height, "count": size.count}
            for size in description.sizes
        ],
        "problems": list(description.problems),
        "notes": list(description.notes),
    }


def _look_at(sample: FaceSample) -> _Seen:
    try:
        decoded = read_image(sample.path, sample.crop)
    except ImageError as error:
        return _Seen(None, "", str(error))
    height, width = decoded.image_hwc.shape[:2]
    box = sample.crop.fragment if sample.crop is not None else ""
    return _Seen((width, height), decoded.sha256 + box, "")


def _copies(faces: dict[Split, list[str]]) -> list[str]:
    """A test picture that was trained on makes the accuracy too high, so it is worth a line."""
    notes = []
    trained_on = {_file(face) for face in faces[Split.TRAIN]}
    leaked = sum(_file(face) in trained_on for face in faces[Split.TEST])
    if leaked:
        notes.append(f"{leaked} test pictures are byte for byte in the training split too")
    for split, found in faces.items():
        if twice := len(found) - len(set(found)):
            notes.append(f"{twice} {split.value} pictures repeat another one of their split")
    return notes


def _file(face: str) -> str:
    return face.partition("#")[0]
