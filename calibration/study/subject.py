"""What is studied: a model, its ranges from histograms, its INT8 form from ranges.

How ranges are chosen and weights rounded is the builder's business, as in the search.

Shapes: N faces, S model input size, C classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import onnx

from edge_arm.calibration.histogram import Histogram
from edge_arm.calibration.placement import QuantPlan
from edge_arm.calibration.qdq import int8_graph
from edge_arm.calibration.ranges import Method, amax_from_histogram
from edge_arm.calibration.search.sessions import Session
from edge_arm.runtime.backend import Float32Array
from edge_arm.runtime.batches import face_batches
from edge_arm.runtime.errors import CalibrationError
from edge_arm.runtime.faces import FaceIndex
from edge_arm.runtime.preprocess import PreprocessSpec, Uint8Array
from edge_arm.runtime.statistics import Agreement, compare_answers

_BATCH_SIZE = 16


@dataclass(frozen=True)
class Studied:
    """A model that is calibrated again and again.

    Attributes:
        model: the FP32 graph.
        plan: what is quantized.
        method: how a range is chosen.
    """

    model: onnx.ModelProto
    plan: QuantPlan
    method: Method

    @cached_property
    def tensors(self) -> tuple[str, ...]:
        """Whose histograms the ranges come from."""
        return tuple(dict.fromkeys(self.plan.ranges_from(self.model).values()))

    def ranges(self, histograms: Mapping[str, Histogram]) -> dict[str, float]:
        """The range of each of `tensors`.

        Args:
            histograms: by tensor.

        Raises:
            CalibrationError: if a tensor has one value everywhere.
        """
        return {
            name: amax_from_histogram(histograms[name], self.method, name) for name in self.tensors
        }

    def int8(self, ranges: Mapping[str, float]) -> Session:
        """The INT8 form, ready to run.

        Args:
            ranges: as `ranges` gives them.
        """
        source = self.plan.ranges_from(self.model)
        amax = {tensor: ranges[origin] for tensor, origin in source.items()}
        return Session(int8_graph(self.model, self.plan, amax))


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Faces to judge on, with FP32's answers to them.

    Attributes:
        faces: training faces outside the pool.
        images_nhwc: (N, S, S, 3) uint8.
        logits: (N, C) float32 of FP32.
    """

    faces: FaceIndex
    images_nhwc: Uint8Array
    logits: Float32Array

    @classmethod
    def of(cls, faces: FaceIndex, studied: Studied, spec: PreprocessSpec) -> HeldOut:
        """Decode them and run FP32.

        Args:
            faces: at least one.
            studied: whose FP32 model.
            spec: its input.

        Raises:
            ImageError: for a face that cannot be read.
        """
        images = np.concatenate(
            [batch.images_nhwc for batch in face_batches(faces, spec, _BATCH_SIZE)]
        )
        return cls(faces, images, Session(studied.model).logits(images))

    def judged(self, candidate: Session) -> Agreement:
        """How an INT8 form agrees with FP32.

        Raises:
            CalibrationError: if it answers NaN or infinity.
        """
        logits = candidate.logits(self.images_nhwc)
        if not np.isfinite(logits).all():
            raise CalibrationError(
                f"an INT8 model of the study answers NaN or infinity on the held-out faces of "
                f"{self.faces.name!r}, expected numbers; try another --method"
            )
        return compare_answers(self.logits, logits)
