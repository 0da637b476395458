"""INT8 models of two calibrations beside each other, on training faces that calibrated neither.

Which calibration to keep is a choice, and choosing on test faces would spoil them for `edge-arm
measure`. So it is made on training faces: all models have learned from them, which makes every
accuracy too high, and all alike.

Shapes: N faces, C classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge_arm.runtime.backend import Float32Array
from edge_arm.runtime.batches import face_batches
from edge_arm.runtime.errors import CalibrationError
from edge_arm.runtime.faces import FaceIndex
from edge_arm.runtime.preprocess import PreprocessSpec, Uint8Array
from edge_arm.runtime.statistics import Interval, compare_answers, drop_interval, paired_counts

HELD_OUT_FACES = 1000
"""Enough to see a difference of one or two points, in a few minutes on two CPU cores."""

_BATCH_SIZE = 8


@dataclass(frozen=True)
class Score:
    """One model on the held-out faces, against FP32.

    Attributes:
        name: of the model.
        accuracy: share of the faces answered rightly.
        agreement: share of the faces with FP32's answer.
        flips: faces with another answer.
        lost: faces that FP32 alone answers rightly.
        won: faces that this model alone answers rightly.
        drop: interval of FP32's accuracy minus this one's, paired.
    """

    name: str
    accuracy: float
    agreement: float
    flips: int
    lost: int
    won: int
    drop: Interval


@dataclass(frozen=True)
class Comparison:
    """What came out.

    Attributes:
        faces: that were run.
        fp32_accuracy: of the FP32 model.
        scores: of the others, in the order given.
    """

    faces: FaceIndex
    fp32_accuracy: float
    scores: tuple[Score, ...]

    def to_json(self) -> dict[str, Any]:
        """For `calibration.json`."""
        return {
            "data": {
                "name": self.faces.name,
                "split": self.faces.split.value,
                "held_out": len(self.faces),
                "sha256": self.faces.sha256,
            },
            "fp32_accuracy": self.fp32_accuracy,
            "models": {
                score.name: {
                    "accuracy": score.accuracy,
                    "agreement": score.agreement,
                    "flips": score.flips,
                    "lost": score.lost,
                    "won": score.won,
                    "drop_low": score.drop.low,
                    "drop_high": score.drop.high,
                }
                for score in self.scores
            },
        }


def num_held_out(population: int, num_images: int) -> int:
    """How many faces are compared on; fewer where the training split has copies of one face."""
    return min(HELD_OUT_FACES, max(population - num_images, 0))


def compare_models(
    fp32: Callable[[Uint8Array], Float32Array],
    others: Mapping[str, Callable[[Uint8Array], Float32Array]],
    *,
    faces: FaceIndex,
    spec: PreprocessSpec,
    progress: Callable[[int], None] | None = None,
) -> Comparison:
    """Run all models over the same decoded faces.

    Args:
        fp32: answers of the reference, (N, S, S, 3) uint8 to (N, C) float32.
        others: answers of the models to compare, by name.
        faces: see `held_out_sample`.
        spec: the models' input.
        progress: called with the number of faces after each call of each model.

    Raises:
        ImageError: for a face that cannot be read.
        CalibrationError: if a model answers NaN or infinity.
    """
    logits: dict[str, list[Float32Array]] = {name: [] for name in ("FP32", *others)}
    for batch in face_batches(faces, spec, _BATCH_SIZE):
        for name, infer in (("FP32", fp32), *others.items()):
            answer = infer(batch.images_nhwc)
            if not np.isfinite(answer).all():
                raise CalibrationError(
                    f"the model {name!r} answers NaN or infinity on the held-out faces, expected "
                    "numbers; nothing was measured: calibrate anew with another --method"
                )
            logits[name].append(answer)
            if progress is not None:
                progress(len(answer))
    reference = np.concatenate(logits["FP32"])
    right = reference.argmax(axis=1) == faces.targets
    return Comparison(
        faces=faces,
        fp32_accuracy=float(right.mean()),
        scores=tuple(
            _score(name, reference, np.concatenate(logits[name]), faces) for name in others
        ),
    )


def _score(name: str, reference: Float32Array, candidate: Float32Array, faces: FaceIndex) -> Score:
    right = reference.argmax(axis=1) == faces.targets
    counts = paired_counts(right, candidate.argmax(axis=1) == faces.targets)
    agreement = compare_answers(reference, candidate)
    return Score(
        name=name,
        accuracy=counts.candidate_accuracy,
        agreement=agreement.agreement,
        flips=len(agreement.flipped_faces),
        lost=counts.reference_only_right,
        won=counts.candidate_only_right,
        drop=drop_interval(counts),
    )
