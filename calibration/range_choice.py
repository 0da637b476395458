"""Which method chooses the ranges: the one whose model stays closest to FP32 on unseen faces.

The candidates all come from the same histograms, so only running them costs time. They are run on
training faces that did not calibrate; test faces would be spoilt for `edge-arm measure`. Closest
means the smallest mean Kullback-Leibler divergence of the answers' probabilities: on a few dozen
faces it tells candidates apart that change the same number of answers, mostly none.

Shapes: N faces, C classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx

from edge_arm.calibration.ranges import Method
from edge_arm.calibration.search.sessions import Session
from edge_arm.runtime.backend import Float32Array
from edge_arm.runtime.errors import CalibrationError
from edge_arm.runtime.preprocess import Uint8Array

CHOICE_FACES = 64
"""Faces that choose; the divergences of the same faces are compared, so few are enough."""
TENSORS_TRIED = 4
"""Tensors on which the runner-up differs most from the best, each tried with its range."""
LEAST_GAIN = 0.02
"""Share by which the divergence must fall for a tensor to keep the runner-up's range."""

Ranges = Mapping[str, float]
Progress = Callable[[int], None]


@dataclass(frozen=True)
class MethodScore:
    """One candidate on the faces that choose.

    Attributes:
        method: of its ranges.
        divergence: mean Kullback-Leibler divergence from FP32, in nats.
        flips: faces with another answer than FP32's.
    """

    method: Method
    divergence: float
    flips: int


@dataclass(frozen=True)
class RangeChoice:
    """What was chosen, and from what.

    Attributes:
        scores: of all methods, the best first, then the runner-up.
        exceptions: tensors that take the runner-up's range.
        divergence: of the model with the ranges that were chosen.
        num_faces: N.
        faces_sha256: of the list of faces that chose.
    """

    scores: tuple[MethodScore, ...]
    exceptions: tuple[str, ...]
    divergence: float
    num_faces: int
    faces_sha256: str

    @property
    def method(self) -> Method:
        """The best one."""
        return self.scores[0].method

    def to_json(self) -> dict[str, Any]:
        """For `calibration.json`."""
        return {
            "faces": self.num_faces,
            "faces_sha256": self.faces_sha256,
            "mean_kl": self.divergence,
            "runner_up_ranges": list(self.exceptions),
            "methods": [
                {"method": item.method.value, "mean_kl": item.divergence, "flips": item.flips}
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
    candidates: Mapping[Method, Ranges],
    build: Callable[[Ranges], onnx.ModelProto],
    faces: ChoiceFaces,
    progress: Progress | None = None,
) -> tuple[dict[str, float], RangeChoice]:
    """Run the candidates and keep the closest, then mend it tensor by tensor where that pays.

    Args:
        candidates: ranges by method, at least two, all of the same tensors.
        build: the INT8 graph with some ranges.
        faces: that choose.
        progress: called with the number of faces done since the last call.

    Returns:
        The ranges, and how they were chosen.

    Raises:
        CalibrationError: if every candidate answers NaN or infinity.
        BackendError: if ONNX Runtime cannot run a candidate.
    """

    def score(ranges: Ranges) -> tuple[float, int]:
        answers = Session(build(ranges)).logits(faces.images_nhwc)
        if progress is not None:
            progress(len(answers))
        if not np.isfinite(answers).all():
            return float("inf"), len(answers)
        flips = int((answers.argmax(axis=1) != faces.fp32.argmax(axis=1)).sum())
        return _divergence(faces.fp32, answers), flips

    scores = [MethodScore(method, *score(ranges)) for method, ranges in candidates.items()]
    scores.sort(key=lambda item: (item.divergence, item.flips))
    if not np.isfinite(scores[0].divergence):
        raise CalibrationError(
            "the INT8 model answers NaN or infinity with the ranges of every method, expected "
            "numbers; the FP32 model is broken on the calibration faces: train or export it again"
        )
    best, other = (candidates[item.method] for item in scores[:2])
    ranges, least, exceptions = dict(best), scores[0].divergence, []
    apart = {name: abs(np.log(other[name] / best[name])) for name in best}
    for name in sorted(apart, key=lambda item: (-apart[item], item))[:TENSORS_TRIED]:
        if apart[name] == 0:
            break
        tried, _ = score({**ranges, name: other[name]})
        if tried < least * (1 - LEAST_GAIN):
            ranges[name], least = other[name], tried
            exceptions.append(name)
    choice = RangeChoice(
        tuple(scores), tuple(exceptions), least, len(faces.images_nhwc), faces.sha256
    )
    return ranges, choice


def num_choice_runs(num_methods: int = len(Method)) -> int:
    """How often at most `choose_ranges` runs the faces."""
    return num_methods + TENSORS_TRIED


def _divergence(fp32: Float32Array, answers: Float32Array) -> float:
    log_p, log_q = _log_softmax(fp32), _log_softmax(answers)
    return float((np.exp(log_p) * (log_p - log_q)).sum(axis=1).mean())


def _log_softmax(logits: Float32Array) -> Any:
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
