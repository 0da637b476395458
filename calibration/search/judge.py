"""Judges a candidate: its whole graph over all the gate's faces, against FP32 on the same.

Shapes: N faces, S model input size, C classes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_arm.calibration.search.cost import layer_costs, relative_latency
from edge_arm.calibration.search.layers import layers_of, plan_without
from edge_arm.calibration.search.mixed import Point
from edge_arm.calibration.search.sessions import Session
from edge_arm.calibration.search.subject import FaceBatches, Subject
from edge_arm.runtime.backend import Float32Array
from edge_arm.runtime.preprocess import Uint8Array
from edge_arm.runtime.statistics import (
    Gate,
    compare_answers,
    drop_interval,
    paired_counts,
    verdict_from_interval,
)

_BATCH_SIZE = 16
"""Faces decoded ahead at a time; it changes no result."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class LabelledBatches:
    """Faces with what they show.

    Attributes:
        batches: the faces.
        targets: (N,) int64 true classes.
    """

    batches: FaceBatches
    targets: npt.NDArray[np.int64]


class CandidateJudge:
    """Holds FP32's answers, and compares those of one candidate after another."""

    def __init__(self, subject: Subject, faces: LabelledBatches, gate: Gate) -> None:
        """Run FP32.

        Args:
            subject: the model and its INT8 form.
            faces: that neither calibrated it nor ranked its layers.
            gate: what a candidate is judged by.

        Raises:
            BackendError: if ONNX Runtime cannot run the model.
        """
        self._subject = subject
        self._faces = faces
        self._gate = gate
        self._costs = layer_costs(subject.model)
        self._layers = [layer.name for layer in layers_of(subject.plan, subject.model)]
        self._reference = self._answers(Session(subject.model).logits)

    def __call__(self, in_float: Sequence[str]) -> Point:
        """The candidate with these layers in float, as the main INT8 file has it.

        Its float layers run in FP32 here. FP16 differs from that a thousand times less than int8
        does; the typed file, where they are FP16, is checked when it is made.

        Args:
            in_float: names of layers.

        Raises:
            BackendError: if ONNX Runtime cannot run it.
            DataError: if it answers NaN or infinity.
        """
        subject = self._subject
        mixed = plan_without(subject.plan, subject.model, layers=in_float, reason="under test")
        return self._point(in_float, Session(subject.build(mixed)).logits)

    def half(self, infer: Callable[[Uint8Array], Float32Array]) -> Point:
        """The model with everything in FP16.

        Args:
            infer: its answers.

        Raises:
            DataError: if it answers NaN or infinity.
        """
        return self._point(self._layers, infer)

    def _answers(self, infer: Callable[[Uint8Array], Float32Array]) -> Float32Array:
        return np.concatenate([infer(images) for images in self._faces.batches(_BATCH_SIZE)])

    def _point(
        self, in_float: Collection[str], infer: Callable[[Uint8Array], Float32Array]
    ) -> Point:
        answers = self._answers(infer)
        agreement = compare_answers(self._reference, answers)
        targets = self._faces.targets
        counts = paired_counts(
            self._reference.argmax(axis=1) == targets, answers.argmax(axis=1) == targets
        )
        interval = drop_interval(counts, confidence=self._gate.confidence)
        point = Point(
            in_float=tuple(name for name in self._layers if name in in_float),
            latency=relative_latency(self._costs, int8_layers=self._layers, in_float=in_float),
            flips=len(agreement.flipped_faces),
            mean_kl=agreement.mean_kl,
            counts=counts,
            interval=interval,
            verdict=verdict_from_interval(interval, self._gate),
        )
        _log.info(
            "%d of %d layers in FP16: %d of %d answers changed, drop at most %.2f pp, limit %g: %s",
            len(point.in_float),
            len(self._layers),
            point.flips,
            counts.num_faces,
            100 * interval.high,
            100 * self._gate.max_drop,
            point.verdict.value.replace("_", " "),
        )
        return point
