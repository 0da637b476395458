"""The faces whose answer changed, and how close a call each of them was.

Shapes: N faces, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge_arm.runtime.crop import CropBox
from edge_arm.runtime.errors import DataError
from edge_arm.runtime.faces import FaceIndex
from edge_arm.runtime.manifest import MAIN_VARIANT, Precision
from edge_arm.runtime.predictions import Predictions
from edge_arm.runtime.statistics import compare_answers, softmax, top_margins


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
        crop: the face in the picture; None if it is the whole picture.
        variant: of the model file, see `Artifact`.
    """

    precision: Precision
    sample_id: str
    path: Path
    target: int
    reference_answer: int
    candidate_answer: int
    reference_margin: float
    candidate_margin: float
    crop: CropBox | None = None
    variant: str = MAIN_VARIANT


def flipped_faces(
    reference: Predictions, candidate: Predictions, index: FaceIndex
) -> tuple[FlippedFace, ...]:
    """The faces that two models answer differently, right or wrong.

    Args:
        reference: of the higher precision.
        candidate: over the same faces, see `accuracy_drop.compare`.
        index: the same faces, for their pictures.

    Returns:
        Largest margin of the reference first: a coin toss may fall the other way in any
        arithmetic, but where the reference was sure something broke.

    Raises:
        DataError: if the index holds other faces, or logits cannot be used.
    """
    ids = tuple(sample.sample_id for sample in index.samples)
    if ids != reference.sample_ids:
        raise DataError(
            f"got predictions of {len(reference)} faces and an index of {len(ids)} others, "
            "expected the index that the models ran over; pass that one"
        )
    positions = compare_answers(reference.logits, candidate.logits).flipped_faces
    if not positions.size:
        return ()
    answers, new_answers = reference.answers[positions], candidate.answers[positions]
    before = top_margins(softmax(reference.logits[positions]))
    after = top_margins(softmax(candidate.logits[positions]))
    flipped = [
        FlippedFace(
            precision=candidate.precision,
            sample_id=index.samples[position].sample_id,
            path=index.samples[position].path,
            target=int(reference.targets[position]),
            reference_answer=int(answers[row]),
            candidate_answer=int(new_answers[row]),
            reference_margin=float(before[row]),
            candidate_margin=float(after[row]),
            crop=index.samples[position].crop,
            variant=candidate.variant,
        )
        for row, position in enumerate(positions.tolist())
    ]
    return tuple(sorted(flipped, key=lambda face: (-face.reference_margin, face.sample_id)))
