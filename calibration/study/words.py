"""What the study says, in sentences that the command and the page share."""

from __future__ import annotations

from edge_arm.calibration.study.curve import Size
from edge_arm.calibration.study.study import Study

HOW = (
    "Spread: standard deviation of an activation's scale from draw to draw, by its mean. Draws are "
    "with replacement, from blocks of 16 faces that have the pool's mix of classes. All faces are "
    "training faces, and those that answer are not in the pool; weights are rounded to nearest. "
    "Compare the rows, and measure the drop on test faces with 'edge-arm measure'."
)


def enough_sentence(study: Study) -> str:
    """How many faces are enough, and by what measure."""
    curve = study.curve
    last = curve.sizes[-1]
    return (
        f"{curve.enough} faces are enough: from there on the agreement with FP32 is not below that "
        f"of {last.num_faces} faces by more than {100 * curve.tolerance:.2f} pp, which is what "
        f"{curve.held_out} held-out faces can tell apart at best."
    )


def cross_sentence(study: Study) -> str:
    """Where a calibration travels worst."""
    own = {
        cell.measured_on: cell.agreement
        for cell in study.cells
        if cell.calibrated_on == cell.measured_on
    }
    foreign = [cell for cell in study.cells if cell.calibrated_on != cell.measured_on]
    worst = max(foreign, key=lambda cell: own[cell.measured_on] - cell.agreement)
    lost = 100 * (own[worst.measured_on] - worst.agreement)
    if lost <= 0:
        return "No set loses agreement by being calibrated on another one."
    return (
        f"Most is lost by calibrating on {worst.calibrated_on!r} for {worst.measured_on!r}: "
        f"{lost:.2f} pp of agreement, of {worst.num_faces} faces."
    )


def agreement_text(size: Size) -> str:
    """Lowest and highest agreement of the draws that answered."""
    low, high = min(size.agreements), max(size.agreements)
    if low == high:
        return f"{100 * low:.2f} %"
    return f"{100 * low:.2f} to {100 * high:.2f} %"


def spread_text(spread: float) -> str:
    """A spread in per cent."""
    return f"{100 * spread:.2f} %"
