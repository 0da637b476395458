"""Calibrate on one data set, measure on another: does a calibration travel?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from edge_arm.calibration.study.subject import HeldOut, Studied


@dataclass(frozen=True)
class Cell:
    """One pair of data sets.

    Attributes:
        calibrated_on: name of the set that chose the ranges.
        measured_on: name of the set whose held-out faces were answered.
        num_faces: of these.
        flips: with another answer than FP32's.
        agreement: share of the others.
        mean_kl: of the probabilities, in nats.
    """

    calibrated_on: str
    measured_on: str
    num_faces: int
    flips: int
    agreement: float
    mean_kl: float


def cross_matrix(
    studied: Studied,
    ranges: Mapping[str, Mapping[str, float]],
    held_out: Mapping[str, HeldOut],
    *,
    progress: Callable[[int], None],
) -> tuple[Cell, ...]:
    """Every pair, row by row.

    Args:
        studied: the model.
        ranges: that each set chose, by its name.
        held_out: faces of each set, by its name.
        progress: called with the number of faces answered since the last call.

    Raises:
        CalibrationError: if a model answers NaN or infinity.
    """
    cells = []
    for calibrated_on, chosen in ranges.items():
        candidate = studied.int8(chosen)
        for measured_on, faces in held_out.items():
            judged = faces.judged(candidate)
            progress(len(faces.faces))
            cells.append(
                Cell(
                    calibrated_on=calibrated_on,
                    measured_on=measured_on,
                    num_faces=len(faces.faces),
                    flips=len(judged.flipped_faces),
                    agreement=judged.agreement,
                    mean_kl=judged.mean_kl,
                )
            )
    return tuple(cells)
