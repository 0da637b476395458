"""AffectNet's release of 2021: faces already cut out, with a .npy file for each label.

::

    train_set/images/12.jpg    train_set/annotations/12_exp.npy  12_val.npy  12_aro.npy  12_lnd.npy
    val_set/images/...         val_set/annotations/...

The number of the expression is the only thing that is read, from 287,651 files of 128 to 136 bytes,
so the format's header is decoded once for each kind of file and not by `numpy.load` for each.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from edge_arm.data.affectnet_faces import AffectNetFaces, expression_number
from edge_arm.data.listing import SPLITS_ON_DISK, folder_entries, names_in_short
from edge_arm.runtime.faces import FaceSample, Split
from edge_arm.runtime.images import IMAGE_SUFFIXES

PART_FOLDERS = {Split.TRAIN: "train_set", Split.TEST: "val_set"}
_SUFFIX = "_exp.npy"
_CHUNK = 512
_THREADS = 8
"""More than processors: on a network drive each of the small files is a wait."""

_MAGIC = b"\x93NUMPY\x01\x00"


def has_annotations_release(home: Path) -> bool:
    """Whether a folder holds a part of this release."""
    return any((home / name / "annotations").is_dir() for name in PART_FOLDERS.values())


def read_annotations_release(home: Path, faces: AffectNetFaces) -> None:
    """Read the labels and compare them with the pictures; no picture is opened.

    Args:
        home: the folder that holds train_set and val_set.
        faces: takes what is found.

    Raises:
        DataError: if a folder cannot be read.
    """
    for split in SPLITS_ON_DISK:
        part = home / PART_FOLDERS[split]
        missing = [part / name for name in ("images", "annotations") if not (part / name).is_dir()]
        if missing:
            faces.report(
                f"{str(missing[0])!r} is missing, expected a folder of AffectNet's "
                f"{PART_FOLDERS[split]}; unpack it there",
                split,
            )
            continue
        _read_part(part, split, faces)


def _read_part(part: Path, split: Split, faces: AffectNetFaces) -> None:
    pictures, annotations = part / "images", part / "annotations"
    name_of: dict[str, str] = {}
    for name in folder_entries(pictures):
        stem, suffix = Path(name).stem, Path(name).suffix.lower()
        if suffix not in IMAGE_SUFFIXES or name.startswith("."):
            continue
        if stem in name_of:
            faces.report(
                f"{str(pictures / name)!r} and {name_of[stem]!r} have one annotation, expected one "
                "picture for each; move one away",
                split,
            )
            continue
        name_of[stem] = name
    labelled = {
        name.removesuffix(_SUFFIX)
        for name in folder_entries(annotations)
        if name.endswith(_SUFFIX) and not name.startswith(".")
    }
    for what, stems, place, ending in (
        ("picture", set(name_of) - labelled, annotations, _SUFFIX),
        ("annotation", labelled - set(name_of), pictures, ".jpg"),
    ):
        if stems:
            first = min(stems)
            faces.report(
                f"{str(place / (first + ending))!r} is missing, and there is the {what} of it "
                f"({len(stems)} in all: {names_in_short(stems)}), expected both; restore the file "
                f"or move the {what} away",
                split,
            )
    stems_in_order = sorted(set(name_of) & labelled, key=lambda stem: (len(stem), stem))
    stems_in_order = [stem for stem in stems_in_order if not faces.exclude.has(name_of[stem])]
    numbers = _read_numbers([annotations / f"{stem}{_SUFFIX}" for stem in stems_in_order])
    for stem, number in zip(stems_in_order, numbers, strict=True):
        if isinstance(number, str):
            faces.report(f"{str(annotations / (stem + _SUFFIX))!r}: {number}; restore it", split)
            continue
        target = faces.target(number, split)
        if target is not None:
            name = name_of[stem]
            faces.samples[split].append(FaceSample(f"{part.name}/{name}", pictures / name, target))


def _read_numbers(paths: Sequence[Path]) -> list[int | str]:
    """The number in each file, or what is wrong with it."""
    chunks = [paths[start : start + _CHUNK] for start in range(0, len(paths), _CHUNK)]
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="labels") as pool:
        return [item for chunk in pool.map(_read_chunk, chunks) for item in chunk]


def _read_chunk(paths: Sequence[Path]) -> list[int | str]:
    found: list[int | str] = []
    for path in paths:
        try:
            found.append(number_from_npy(path.read_bytes()))
        except OSError as error:
            found.append(f"cannot be read ({error.strerror}), expected the number of an expression")
        except ValueError as error:
            found.append(str(error))
    return found


def number_from_npy(content: bytes) -> int:
    """The number of an expression, in an array of one text or number.

    Args:
        content: the whole file.

    Raises:
        ValueError: saying what is wrong.
    """
    expected = "one number of an expression as numpy.save writes it"
    if not content.startswith(_MAGIC):
        raise ValueError(f"got {len(content)} bytes that are no .npy array, expected {expected}")
    end = len(_MAGIC) + 2 + int.from_bytes(content[len(_MAGIC) : len(_MAGIC) + 2], "little")
    dtype = _dtype(content[:end])
    if dtype is None or len(content) - end != dtype.itemsize:
        raise ValueError(f"got an array of another form, expected {expected}")
    value = np.frombuffer(content, dtype, 1, end)[0].item()
    if isinstance(value, bytes):
        value = value.decode("ascii", "replace")
    text = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
    return expression_number(text.strip())


@lru_cache(maxsize=64)
def _dtype(header: bytes) -> np.dtype[Any] | None:
    """What a file with this beginning holds one of; None if it holds something else."""
    file = BytesIO(header)
    try:
        np.lib.format.read_magic(file)
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    except ValueError:
        return None
    # "O" would mean to run what is in the file (pickle).
    return dtype if shape in ((), (1,)) and dtype.kind in "USiuf" else None
