"""How an INT8 file answers the test faces, against the FP32 file's answers.

Shapes: N faces, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from edge_arm.runtime.backend import Float32Array
from edge_arm.runtime.batches import face_batches
from edge_arm.runtime.faces import FaceIndex
from edge_arm.runtime.onnxruntime_backend import OnnxRuntimeBackend
from edge_arm.runtime.preprocess import PreprocessSpec
from edge_arm.runtime.statistics import compare_answers, drop_interval, paired_counts
from edge_arm.runtime.storage import sha256_of_file

_BATCH_SIZE = 8


@dataclass(frozen=True)
class Scores:
    """One model against FP32.

    Attributes:
        flips: faces with another answer.
        agreement: share of the faces with the same.
        drop: FP32's accuracy minus this one's.
        drop_low: lower limit of its paired 95 % interval.
        drop_high: upper limit.
        mean_kl: of the probabilities, in nats.
    """

    flips: int
    agreement: float
    drop: float
    drop_low: float
    drop_high: float
    mean_kl: float


class TestFaces:
    """The faces to judge on; FP32 answers them once."""

    __test__ = False  # the name is not pytest's

    def __init__(self, index: FaceIndex, spec: PreprocessSpec, float32: Path) -> None:
        self.index = index
        self._spec = spec
        self._float32 = float32

    def __len__(self) -> int:
        return len(self.index)

    @cached_property
    def model_sha256(self) -> str:
        """Of the FP32 file."""
        return sha256_of_file(self._float32)

    @cached_property
    def reference(self) -> Float32Array:
        """(N, C) logits of FP32."""
        return self.logits_of(self._float32)

    @property
    def accuracy(self) -> float:
        """Share that FP32 answers rightly."""
        return float((self.reference.argmax(axis=1) == self.index.targets).mean())

    def logits_of(self, path: Path) -> Float32Array:
        """(N, C) logits of a model file, by ONNX Runtime's CPU provider."""
        with OnnxRuntimeBackend(path) as backend:
            batches = face_batches(self.index, self._spec, _BATCH_SIZE)
            return np.concatenate([backend.infer(batch.images_nhwc) for batch in batches])

    def scores_of(self, path: Path) -> Scores:
        """Run an INT8 file and compare."""
        logits = self.logits_of(path)
        answers = compare_answers(self.reference, logits)
        counts = paired_counts(
            self.reference.argmax(axis=1) == self.index.targets,
            logits.argmax(axis=1) == self.index.targets,
        )
        interval = drop_interval(counts)
        return Scores(
            flips=len(answers.flipped_faces),
            agreement=answers.agreement,
            drop=counts.drop,
            drop_low=interval.low,
            drop_high=interval.high,
            mean_kl=answers.mean_kl,
        )
