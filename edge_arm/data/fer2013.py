"""FER2013: 48 x 48 grey faces in one csv, or sorted into a folder per class.

::

    ROOT/fer2013.csv                              emotion,pixels,Usage
    ROOT/{train,validation,test}/<expression>/*   the re-sorted form

Training trains, PublicTest chooses the epoch, PrivateTest is the test split, as papers do. The
set holds exact copies across its parts (`edge-arm data describe` counts them).
"""

from __future__ import annotations

from pathlib import Path

from edge_arm.data.folder import list_folder, looks_like_folder_set
from edge_arm.data.listing import Listing, Problem, folder_entries, names_in_short
from edge_arm.data.pixel_csv import SPLIT_OF_USAGE, unpacked_faces
from edge_arm.runtime.errors import DataError
from edge_arm.runtime.faces import FaceSample, Split
from edge_arm.runtime.labels import RAFDB

CSV_NAMES = ("fer2013.csv", "icml_face_data.csv")
"""Kaggle's competition has published the same rows under both."""
_CLASSES = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
"""The position is the number in the csv."""


def pixel_csv_path(root: Path) -> Path | None:
    """FER2013's csv in a folder, if it is there."""
    return next((root / name for name in CSV_NAMES if (root / name).is_file()), None)


def looks_like_fer2013(root: Path) -> bool:
    """Whether a folder holds the csv or the sorted pictures."""
    return pixel_csv_path(root) is not None or looks_like_folder_set(root)


def list_fer2013(root: Path, name: str = "fer2013") -> Listing:
    """The faces of FER2013; those of a csv are unpacked into the workspace first.

    Args:
        root: the folder that holds the csv, or train and test.
        name: of the data set.

    Raises:
        DataError: if the folder has another layout, or its csv is none.
        StorageError: if the faces of the csv cannot be unpacked.
    """
    csv_path = pixel_csv_path(root)
    if csv_path is None:
        if looks_like_folder_set(root):
            return list_folder(root, name)
        raise DataError(
            f"{str(root)!r} holds {names_in_short(folder_entries(root))}, expected 'fer2013.csv', "
            "or folders 'train' and 'test' with a folder for each expression; point --root at the "
            "folder that holds them"
        )
    unpacked = unpacked_faces(csv_path)
    problems = list(unpacked.problems)
    samples: dict[Split, list[FaceSample]] = {split: [] for split in SPLIT_OF_USAGE.values()}
    for face in unpacked.faces:
        split = SPLIT_OF_USAGE[face.usage]
        # isdecimal alone accepts other scripts' digits.
        known = face.emotion.isascii() and face.emotion.isdecimal()
        if not known or int(face.emotion) >= len(_CLASSES):
            meanings = ", ".join(f"{code} {name}" for code, name in enumerate(_CLASSES))
            problems.append(
                Problem(
                    f"{str(csv_path)!r}, row {face.row}: got the emotion {face.emotion!r}, "
                    f"expected one of {meanings}; restore the row",
                    split,
                )
            )
            continue
        target = RAFDB.index(_CLASSES[int(face.emotion)])
        path = unpacked.folder / face.sample_id
        samples[split].append(FaceSample(face.sample_id, path, target))
    return Listing(
        name=name,
        root=root,
        labels=RAFDB,
        samples={split: tuple(found) for split, found in samples.items()},
        problems=tuple(problems),
        ignored=(),
    )
