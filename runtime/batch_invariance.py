"""Whether a face's answer depends on the faces beside it; it must not.

Shapes: N faces, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass

from edge_arm.runtime.manifest import Precision


@dataclass(frozen=True)
class InvarianceCheck:
    """One arrangement of the same faces against the first one (one by one).

    Attributes:
        precision: of the model.
        backend: that ran it.
        arrangement: such as "batch 64, shuffled".
        batch_size: faces per call.
        num_faces: N.
        max_logit_difference: the largest move of any logit.
        changed_answers: faces with another top-1.
        limit: that the largest move must not exceed; depends on backend and precision.
    """

    precision: Precision
    backend: str
    arrangement: str
    batch_size: int
    num_faces: int
    max_logit_difference: float
    changed_answers: int
    limit: float

    @property
    def holds(self) -> bool:
        """Whether nothing moved by more than the limit."""
        return self.max_logit_difference <= self.limit
