"""Two models on the same faces: the paired 2 x 2 table and McNemar's exact test.

Everything that can be said about the difference of two accuracies on the same faces is in the
faces that only one of the models gets right. Comparing two separate intervals throws that away
and finds nothing where there is something to find.

Letters, as in the literature: n faces, b right by the reference only, c right by the candidate
only; drop = (b - c) / n = reference accuracy - candidate accuracy, positive when the candidate
is worse.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_arm.runtime.errors import DataError
from edge_arm.runtime.statistics.binomial import binomial_lower_tail


@dataclass(frozen=True)
class PairedCounts:
    """How often each of two models is right on the same faces.

    Attributes:
        num_faces: n, at least 1.
        both_right: faces that both answer rightly.
        reference_only_right: b, lost by the candidate.
        candidate_only_right: c, won by the candidate.
        both_wrong: faces that both answer wrongly, with the same answer or not.
    """

    num_faces: int
    both_right: int
    reference_only_right: int
    candidate_only_right: int
    both_wrong: int

    def __post_init__(self) -> None:
        cells = (
            self.both_right,
            self.reference_only_right,
            self.candidate_only_right,
            self.both_wrong,
        )
        if self.num_faces < 1:
            raise DataError(
                f"a comparison of {self.num_faces} faces, expected at least one; "
                "give a data set with faces"
            )
        if min(cells) < 0 or sum(cells) != self.num_faces:
            raise DataError(
                f"paired counts {list(cells)} for {self.num_faces} faces, expected four counts "
                "from 0 that add up to the number of faces; check the counts"
            )

    @property
    def num_discordant(self) -> int:
        """Faces that exactly one of the models answers rightly, b + c."""
        return self.reference_only_right + self.candidate_only_right

    @property
    def drop(self) -> float:
        """Reference accuracy minus candidate accuracy, -1..1; positive: the candidate is worse."""
        return (self.reference_only_right - self.candidate_only_right) / self.num_faces

    @property
    def reference_accuracy(self) -> float:
        """Share of the faces the reference answers rightly, 0..1."""
        return (self.both_right + self.reference_only_right) / self.num_faces

    @property
    def candidate_accuracy(self) -> float:
        """Share of the faces the candidate answers rightly, 0..1."""
        return (self.both_right + self.candidate_only_right) / self.num_faces


def paired_counts(reference_right: NDArray[Any], candidate_right: NDArray[Any]) -> PairedCounts:
    """Count the four cells of the paired table.

    Args:
        reference_right: (N,) bool, whether the reference answers each face rightly.
        candidate_right: (N,) bool, the same faces in the same order.

    Raises:
        DataError: if the arrays are not boolean, not one-dimensional, empty, or of two lengths.
    """
    for name, right in (("reference", reference_right), ("candidate", candidate_right)):
        if right.dtype != np.bool_ or right.ndim != 1:
            raise DataError(
                f"right answers of the {name} are {right.dtype} of shape {right.shape}, expected "
                "bool of shape (N,); pass predictions == targets"
            )
    if reference_right.shape != candidate_right.shape:
        raise DataError(
            f"{reference_right.size} answers of the reference and {candidate_right.size} of the "
            "candidate, expected the same faces for both; run both over one list"
        )
    return PairedCounts(
        num_faces=reference_right.size,
        both_right=int(np.count_nonzero(reference_right & candidate_right)),
        reference_only_right=int(np.count_nonzero(reference_right & ~candidate_right)),
        candidate_only_right=int(np.count_nonzero(~reference_right & candidate_right)),
        both_wrong=int(np.count_nonzero(~reference_right & ~candidate_right)),
    )


def mcnemar_exact_p(counts: PairedCounts) -> float:
    """McNemar's exact two-sided p for "the two accuracies are equal".

    Without a difference, b of the b + c discordant faces is binomial with probability 1/2
    (Q. McNemar, Psychometrika 12 (1947) 153-157); the smaller tail is doubled. It says whether
    there is a difference, never that there is none: a large p on a small set is no proof of
    equality. That is what `noninferiority_p` is for.

    Args:
        counts: the paired table.

    Returns:
        p, 0..1; 1 if no face is discordant.
    """
    smaller = min(counts.reference_only_right, counts.candidate_only_right)
    return min(1.0, 2.0 * binomial_lower_tail(smaller, counts.num_discordant, 0.5))
