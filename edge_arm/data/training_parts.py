"""The faces that a training learns from, and those that choose its epoch."""

from __future__ import annotations

from pathlib import Path

from edge_arm.data.registry import index_from_listing, list_faces
from edge_arm.data.split import split_validation
from edge_arm.runtime.errors import UsageError
from edge_arm.runtime.faces import FaceIndex, Split

DEFAULT_FRACTION = 0.1
"""Of each class of the training faces, where a set has no validation part of its own."""


def training_parts(
    name: str, root: Path, *, fraction: float | None = None, seed: int = 0
) -> tuple[FaceIndex, FaceIndex]:
    """The training and the validation faces of a data set.

    A validation part that the set comes with is used as it is, because published figures were
    chosen with it; other sets give up a share of their training part.

    Args:
        name: of the data set.
        root: its folder.
        fraction: share of the training faces that validates; 0.1 if None.
        seed: of the draw.

    Raises:
        UsageError: if the name is unknown, or a fraction is given for a set with its own part.
        DataError: if the folder has another layout, or a fault that concerns one of the two.
    """
    listing = list_faces(name, root)
    train_index = index_from_listing(listing, Split.TRAIN)
    if Split.VALIDATION not in listing.samples:
        return split_validation(
            train_index, DEFAULT_FRACTION if fraction is None else fraction, seed
        )
    if fraction is not None:
        raise UsageError(
            f"got --val-fraction {fraction:g}, and {name!r} has a validation part of "
            f"{len(listing.samples[Split.VALIDATION])} faces of its own, expected one of the two; "
            "leave the option out, or move the part away"
        )
    return train_index, index_from_listing(listing, Split.VALIDATION)


def own_validation_part(name: str, root: Path) -> FaceIndex | None:
    """The validation part that a data set comes with.

    Args:
        name: of the data set.
        root: its folder.

    Returns:
        None for a set without one.

    Raises:
        UsageError: if the name is unknown.
        DataError: if the folder has another layout, or a fault that concerns the part.
    """
    listing = list_faces(name, root)
    if Split.VALIDATION not in listing.samples:
        return None
    return index_from_listing(listing, Split.VALIDATION)
