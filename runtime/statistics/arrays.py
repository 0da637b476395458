"""What the statistics accept: labels and logits that can mean something.

Letters: N faces, C classes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_arm.runtime.errors import DataError

Labels = NDArray[np.int64]
Logits = NDArray[np.float64]


def checked_labels(labels: NDArray[Any], num_classes: int, name: str) -> Labels:
    """Class indices as int64, or an error that names the first face that has none.

    Args:
        labels: (N,) any integer type.
        num_classes: C.
        name: what they are, for the message ("targets").

    Returns:
        (N,) int64.

    Raises:
        DataError: if they are not integers, not one-dimensional, none, or outside 0..C-1.
    """
    if not np.issubdtype(labels.dtype, np.integer) or labels.ndim != 1:
        raise DataError(
            f"{name} are {labels.dtype} of shape {labels.shape}, expected integers of shape (N,); "
            "pass one class index per face"
        )
    if labels.size == 0:
        raise DataError(f"{name} of 0 faces, expected at least one; give a data set with faces")
    outside = (labels < 0) | (labels >= num_classes)
    if outside.any():
        face = int(outside.argmax())
        raise DataError(
            f"{name} hold class {int(labels[face])} for face {face}, expected 0 to "
            f"{num_classes - 1}; check that model and data set have the same label set"
        )
    return labels.astype(np.int64)


def checked_logits(logits: NDArray[Any], name: str) -> Logits:
    """Logits as float64, or an error that names the first face with NaN or infinity.

    A NaN must never become an accuracy: argmax takes it for the largest number.

    Args:
        logits: (N, C) any floating type.
        name: whose they are, for the message ("reference logits").

    Returns:
        (N, C) float64.

    Raises:
        DataError: if they are not floating, not (N, C) with N >= 1 and C >= 2, or not finite.
    """
    if not np.issubdtype(logits.dtype, np.floating) or logits.ndim != 2 or logits.shape[1] < 2:
        raise DataError(
            f"{name} are {logits.dtype} of shape {logits.shape}, expected floating point of shape "
            "(N, C) with at least two classes; pass one row per face"
        )
    if logits.shape[0] == 0:
        raise DataError(f"{name} of 0 faces, expected at least one; give a data set with faces")
    broken = ~np.isfinite(logits).all(axis=1)
    if broken.any():
        face = int(broken.argmax())
        raise DataError(
            f"{name} of face {face} are {logits[face].tolist()}, expected finite numbers; the "
            "model overflows or is broken, so no accuracy can be given"
        )
    return logits.astype(np.float64)


def check_same_faces(first: NDArray[Any], second: NDArray[Any], names: tuple[str, str]) -> None:
    """Refuse two arrays that cannot be about the same faces.

    Args:
        first: (N, ...).
        second: (N, ...).
        names: of both, for the message.

    Raises:
        DataError: if their first dimensions differ.
    """
    if first.shape[0] != second.shape[0]:
        raise DataError(
            f"{first.shape[0]} {names[0]} and {second.shape[0]} {names[1]}, expected one each for "
            "the same faces; run both over one list"
        )
