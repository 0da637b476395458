"""The drop in parts of the test set that people differ by: gender, age, race as annotated.

Shapes: N faces.
"""

from __future__ import annotations

from dataclasses import dataclass

from edge_arm.runtime.manifest import Precision
from edge_arm.runtime.statistics import Interval, PairedCounts


@dataclass(frozen=True)
class SliceDrop:
    """A candidate against the reference on the faces of one slice.

    Attributes:
        precision: of the candidate.
        attribute: such as "gender".
        value: such as "female".
        counts: who is right where, on these faces.
        interval: of the drop, as a fraction, not corrected for the number of slices.
        drop_p: Holm-adjusted over all slices of the precision, of "there is no drop".
        too_small: too few faces to show a drop of the size that a class is judged by.
    """

    precision: Precision
    attribute: str
    value: str
    counts: PairedCounts
    interval: Interval
    drop_p: float
    too_small: bool
