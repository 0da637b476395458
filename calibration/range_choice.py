"""Which of several quantizations to keep: the one that stays closest to FP32 on unseen faces.

The candidates come from the same histograms, so only running them costs time. They are run on
training faces that did not calibrate; test faces would be spoilt for `edge-arm measure`. Closest
means the smallest error of the logits. On a few dozen faces candidates change the same number of
answers, mostly none; and the model has learned the training faces by heart, so that divergences of
its probabilities come down to the one or two faces that it still doubts. Faces that did not
calibrate matter: with few calibration faces, ranges that fit them well clip others, and equalized
channels, which all reach the range, clip most.

Shapes: N faces, C classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx

from edge_arm.calibration.ranges import Method
from edge_arm.calibration.search.sessions import Session
from edge_arm.runtime.backend import Float32Array
from edge_arm.runtime.errors import CalibrationError
from edge_arm.runtime.preprocess import Uint8Array
from edge_arm.runtime.statistics import compare_answers

CHOICE_FACES = 64
"""Faces that choose; all candidates answer the same ones, so few are enough."""
TENSORS_TRIED = 4
"""Tensors on which the runner-up differs most from the best, each tried with its range."""
LEAST_GAIN = 0.02
"""Share by which the error must fall for a tensor to keep another method's range."""

Ranges = Mapping[str, float]
Progress = Callable[[int], None]


@dataclass(frozen=True, eq=False)
class Candidate:
    """One way to quantize.

    Attributes:
        method: of its ranges.
        equalized: whether its channels are.
        ranges: of its quantized tensors.
        build: its INT8 graph with some ranges.
    """

    method: Method
    equalized: bool
    ranges: Ranges
    build: Callable[[Ranges], onnx.ModelProto]


@dataclass(frozen=True, order=True)
class Error:
    """How far a model is from FP32; the smaller the better, compared in this order.

    Attributes:
        logits: root of the mean square of the logits' differences, each face's mean taken out,
            which changes no probability.
        divergence: mean Kullback-Leibler divergence from FP32, in nats.
        flips: faces with another answer than FP32's.
    """

    logits: float
    divergence: float
    flips: int

    def to_json(self) -> dict[str, Any]:
        """For `calibration.json`."""
        return {"logit_error": self.logits, "mean_kl": self.divergence, "flips": self.flips}


@dataclass(frozen=True)
class Score:
    """One candidate on the faces that choose.

    Attributes:
        method: of its ranges.
        equalized: whether its channels are.
        error: of the logits, see `Error`.
    """

    method: Method
    equalized: bool
    error: Error


@dataclass(frozen=True)
class RangeChoice:
    """What was chosen, and from what.

    Attributes:
        scores: of all candidates, the best first.
        exceptions: tensors that take the range of another method.
        exceptions_method: that method: of the candidates that are equalized alike, the next best.
        error: of the model with the ranges that were chosen.
        adaptive_error: with adaptive rounding on top, if that was tried; it is kept if lower.
        num_faces: N.
        faces_sha256: of the list of faces that chose.
    """

    scores: tuple[Score, ...]
    exceptions: tuple[str, ...]
    exceptions_method: Method | None
    error: Error
    adaptive_error: Error | None
    num_faces: int
    faces_sha256: str

    def to_json(self) -> dict[str, Any]:
        """For `calibration.json`."""
        return {
            "faces": self.num_faces,
            "faces_sha256": self.faces_sha256,
            **self.error.to_json(),
            "adaptive_rounding": (
                None if self.adaptive_error is None else self.adaptive_error.to_json()
            ),
            "exceptions": {
                "method": None if self.exceptions_method is None else self.exceptions_method.value,
                "tensors": list(self.exceptions),
            },
            "candidates": [
                {
                    "method": item.method.value,
                    "equalized": item.equalized,
                    **item.error.to_json(),
                }
                for item in self.scores
            ],
        }


@dataclass(frozen=True, eq=False)
class ChoiceFaces:
    """The faces that choose.

    Attributes:
        images_nhwc: (N, S, S, 3) uint8.
        fp32: (N, C) logits of the FP32 model.
        sha256: of their list.
    """

    images_nhwc: Uint8Array
    fp32: Float32Array
    sha256: str


def choose_ranges(
    candidates: Sequence[Candidate], faces: ChoiceFaces, progress: Progress | None = None
) -> tuple[Candidate, RangeChoice]:
    """Run the candidates and keep the closest, then mend it tensor by tensor where that pays.

    Args:
        candidates: at least one.
        faces: that choose.
        progress: called with the number of faces done since the last call.

    Returns:
        The candidate with the ranges to use, and how it was chosen.

    Raises:
        CalibrationError: if every candidate answers NaN or infinity.
        BackendError: if ONNX Runtime cannot run a candidate.
    """
    results = [error_of(item.build(item.ranges), faces, progress) for item in candidates]
    order = sorted(range(len(results)), key=lambda at: results[at])
    best, least = candidates[order[0]], results[order[0]]
    if not np.isfinite(least.logits):
        raise CalibrationError(
            "the INT8 model answers NaN or infinity with the ranges of every method, expected "
            "numbers; the FP32 model is broken on the calibration faces: train or export it again"
        )
    others = [candidates[at] for at in order[1:] if candidates[at].equalized == best.equalized]
    ranges, exceptions = dict(best.ranges), []
    other = others[0].ranges if others else best.ranges
    apart = {name: abs(np.log(other[name] / ranges[name])) for name in ranges}
    for name in sorted(apart, key=lambda item: (-apart[item], item))[:TENSORS_TRIED]:
        if apart[name] == 0:
            break
        tried = error_of(best.build({**ranges, name: other[name]}), faces, progress)
        if tried.logits < least.logits * (1 - LEAST_GAIN):
            ranges[name], least = other[name], tried
            exceptions.append(name)
    choice = RangeChoice(
        scores=tuple(
            Score(candidates[at].method, candidates[at].equalized, results[at]) for at in order
        ),
        exceptions=tuple(exceptions),
        exceptions_method=others[0].method if exceptions else None,
        error=least,
        adaptive_error=None,
        num_faces=len(faces.images_nhwc),
        faces_sha256=faces.sha256,
    )
    return replace(best, ranges=ranges), choice


def error_of(graph: onnx.ModelProto, faces: ChoiceFaces, progress: Progress | None = None) -> Error:
    """How far a graph is from FP32; infinitely if it gives no numbers.

    Args:
        graph: from faces to logits.
        faces: to run.
        progress: called with the number of faces done since the last call.

    Raises:
        BackendError: if ONNX Runtime cannot run it.
    """
    answers = Session(graph).logits(faces.images_nhwc)
    if progress is not None:
        progress(len(answers))
    if not np.isfinite(answers).all():
        return Error(float("inf"), float("inf"), len(answers))
    agreement = compare_answers(faces.fp32, answers)
    apart = answers.astype(np.float64) - faces.fp32
    apart -= apart.mean(axis=1, keepdims=True)
    return Error(
        logits=float(np.sqrt(np.square(apart).mean())),
        divergence=agreement.mean_kl,
        flips=len(agreement.flipped_faces),
    )


def num_choice_runs(num_candidates: int) -> int:
    """How often at most `choose_ranges` runs the faces."""
    return num_candidates + TENSORS_TRIED
