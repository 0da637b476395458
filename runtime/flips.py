"""The faces whose answer changed, and how close a call each of them was.

Shapes: N faces, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge_arm.runtime.manifest import Precision


@dataclass(frozen=True)
class FlippedFace:
    """One face with two answers.

    Attributes:
        precision: of the model that answered differently from the reference.
        sample_id: of the face.
        path: of its picture on this machine.
        target: true class index.
        reference_answer: class index.
        candidate_answer: class index.
        reference_margin: top probability minus the second, before; 0 is a coin toss.
        candidate_margin: the same, after.
    """

    precision: Precision
    sample_id: str
    path: Path
    target: int
    reference_answer: int
    candidate_answer: int
    reference_margin: float
    candidate_margin: float
