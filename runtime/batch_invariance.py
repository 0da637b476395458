"""Whether a face's answer depends on the faces beside it; it must not.

The authors' ARM fails this by design (its batch mean), a wrong engine by accident (kernels that are
chosen by batch size, padding that leaks into its neighbours). Accuracy does not show it: a leaking
model can be *better* on a sorted test set.

Shapes: N faces, S model input size, C classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_arm.runtime.backend import Backend, Float32Array
from edge_arm.runtime.batches import FaceBatch
from edge_arm.runtime.errors import InferenceError, UsageError
from edge_arm.runtime.manifest import MAIN_VARIANT, Precision
from edge_arm.runtime.preprocess import Uint8Array

SMALL_BATCH = 8
LARGE_BATCH = 64
MOST_FACES = 64
FEWEST_FACES = 8
_ORDER_SEED = 0
_SAMPLE_SEED = 0
_BLACK = -1  # in an arrangement, where a black picture stands in for a face

_SHARE = 0.03
"""Of the faces of a measurement, what the check may cost in inferences of each model. `measure` may
take 5 % longer than running the models does, and the statistics need some of it."""

_ORDINARY_LOGIT = 10.0
_ON_A_CPU = frozenset({"onnxruntime/cpu", "openvino/cpu"})
_CPU_LIMITS = {Precision.FP32: 1e-4, Precision.FP16: 1e-2, Precision.INT8: 0.1}
_OTHER_LIMITS = {Precision.FP32: 1e-2, Precision.FP16: 5e-2, Precision.INT8: 0.1}


@dataclass(frozen=True)
class InvarianceCheck:
    """One arrangement of the same faces against the first one (one by one).

    Attributes:
        precision: of the model.
        backend: that ran it.
        arrangement: such as "batch 64, shuffled".
        batch_size: faces per call.
        num_faces: N.
        max_logit_difference: the largest move of any logit; NaN if one is no number.
        changed_answers: faces with another top-1.
        limit: that the largest move must not exceed; depends on backend and precision.
        variant: of the model file, see `Artifact`.
    """

    precision: Precision
    backend: str
    arrangement: str
    batch_size: int
    num_faces: int
    max_logit_difference: float
    changed_answers: int
    limit: float
    variant: str = MAIN_VARIANT

    @property
    def holds(self) -> bool:
        """Whether nothing moved by more than the limit."""
        return self.max_logit_difference <= self.limit


@dataclass(frozen=True, eq=False)
class AsMeasured:
    """What a measurement that is over answered to the same faces: one more arrangement, for free.

    Attributes:
        logits: (N, C) float32.
        batch_size: faces per call.
    """

    logits: Float32Array
    batch_size: int


def invariance_limit(backend: str, precision: Precision, largest_logit: float) -> float:
    """How far a logit may move before it is called a fault and not rounding.

    Another batch size may choose kernels that add up in another order. How much that can move a
    logit was measured as the same file with its graph optimizations on and off (ResNet-18 + ARM,
    112 pixels, 256 faces, logits up to 6.6): 2e-6 in FP32, 5e-4 in FP16, where a last digit more or
    less can tip the rounding of an activation, and 0.03 in INT8, where it tips a whole step.
    Changing nothing but the batch moved ONNX Runtime's CPU logits by exactly 0 in all three.

    1. On ONNX Runtime's CPU provider the limit is 1e-4, 0.01 and 0.1: above the first figures by
       some times, and the batch mean of the authors' code moves logits by 0.2 to 4 there. On
       OpenVINO too, which is asked for FP32; there as well the batch alone moved nothing.
    2. Elsewhere FP32 may be TF32, and FP16 may also be summed in FP16: 0.01, 0.05 and 0.1.
    3. Rounding grows with what is rounded: beyond logits of 10 the limit grows in proportion.

    Args:
        backend: `BackendInfo.name`.
        precision: of the model.
        largest_logit: in magnitude.
    """
    limits = _CPU_LIMITS if backend in _ON_A_CPU else _OTHER_LIMITS  # rules 1 and 2
    return limits[precision] * max(1.0, largest_logit / _ORDINARY_LOGIT)  # rule 3


def check_invariance(
    backend: Backend,
    images_nhwc: Uint8Array,
    *,
    precision: Precision,
    variant: str = MAIN_VARIANT,
    measured: AsMeasured | None = None,
    largest_batch: int = LARGE_BATCH,
) -> tuple[InvarianceCheck, ...]:
    """The same faces one by one and in every other company.

    They are arranged in batches of 8, in batches of 64 sorted by answer (so that a batch holds one
    expression) and shuffled, and each face twice in a batch of 64 that is filled up with black, as
    a fixed batch size pads. Fewer faces than a batch are the batch.

    Args:
        backend: the model.
        images_nhwc: (N, S, S, 3) uint8, N >= 1; up to 64 are of use.
        precision: of the model.
        variant: of its file.
        measured: its answers to these faces in a measurement, if there was one.
        largest_batch: in place of 64, for an engine that takes fewer.

    Returns:
        A check for each arrangement; whether all is well is for the caller to ask.

    Raises:
        InferenceError: if the model fails or there is no face.
        UsageError: if the largest batch is below 1.
    """
    if largest_batch < 1:
        raise UsageError(f"got a largest batch of {largest_batch}, expected at least 1; pass 64")
    if not len(images_nhwc):
        raise InferenceError(
            "got no faces to check batch invariance with, expected at least one; pass some"
        )
    alone = _arranged(backend, images_nhwc, np.arange(len(images_nhwc)), 1)  # (N, C)
    limit = invariance_limit(backend.info.name, precision, float(np.abs(alone).max()))

    def check(
        name: str, batch_size: int, order: npt.NDArray[np.int64], logits: Float32Array
    ) -> InvarianceCheck:
        faces = order != _BLACK
        expected, got = alone[order[faces]], logits[faces]
        # float64, so that the difference of two infinities is no number and not zero
        moved = np.abs(got.astype(np.float64) - expected)
        return InvarianceCheck(
            precision=precision,
            backend=backend.info.name,
            arrangement=name,
            batch_size=batch_size,
            num_faces=int(np.unique(order[faces]).size),
            max_logit_difference=float(moved.max()),
            changed_answers=int((got.argmax(axis=1) != expected.argmax(axis=1)).sum()),
            limit=limit,
            variant=variant,
        )

    checks = []
    if measured is not None:
        name = f"batch {measured.batch_size}, as measured"
        order = np.arange(len(images_nhwc))
        checks.append(check(name, measured.batch_size, order, measured.logits))
    for name, batch_size, order in _arrangements(alone, largest_batch):
        logits = _arranged(backend, images_nhwc, order, batch_size)
        checks.append(check(name, batch_size, order, logits))
    return tuple(checks)


def _arrangements(
    alone: Float32Array, largest_batch: int
) -> Iterator[tuple[str, int, npt.NDArray[np.int64]]]:
    """Name, faces per call and order of the faces, with `_BLACK` for a black picture."""
    count = len(alone)
    listed = np.arange(count)
    batch = min(count, largest_batch)
    if batch > SMALL_BATCH:
        yield f"batch {SMALL_BATCH}", SMALL_BATCH, listed
    if batch > 1:
        by_answer = np.argsort(alone.argmax(axis=1), kind="stable")
        yield f"batch {batch}, sorted by answer", batch, by_answer
        shuffled = np.random.default_rng(_ORDER_SEED).permutation(count)
        yield f"batch {batch}, shuffled", batch, shuffled
    if largest_batch > 1:
        inside = min(count, max(1, largest_batch // 4))
        filled = np.full(largest_batch, _BLACK)
        filled[: 2 * inside] = np.repeat(listed[:inside], 2)
        yield f"batch {largest_batch}, faces twice, rest black", largest_batch, filled


def _arranged(
    backend: Backend, images_nhwc: Uint8Array, order: npt.NDArray[np.int64], batch_size: int
) -> Float32Array:
    """Logits (len(order), C) of pictures in an order."""
    parts = []
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        batch = images_nhwc[chosen]
        batch[chosen == _BLACK] = 0
        parts.append(backend.infer(batch))
    return np.concatenate(parts)


def invariance_positions(num_faces: int) -> npt.NDArray[np.int64]:
    """Which faces of a measurement are checked: a seeded sample, as large as its cost allows.

    64 of 10,700 faces or more, 8 of 3,000 or fewer; a check by itself costs no more than a few
    seconds, so even a small set has one.

    Args:
        num_faces: of the measurement, at least 1.

    Returns:
        (N,) int64, rising.
    """
    count = FEWEST_FACES
    while count < MOST_FACES and _inferences(2 * count) <= _SHARE * num_faces:
        count *= 2
    chosen = np.random.default_rng(_SAMPLE_SEED).permutation(num_faces)[:count]
    return np.sort(chosen)


def _inferences(count: int) -> int:
    """Pictures that `check_invariance` runs for this many faces."""
    orders = _arrangements(np.zeros((count, 1), np.float32), LARGE_BATCH)
    return count + sum(len(order) for _, _, order in orders)


class PixelKeeper:
    """Keeps the pixels of some faces while a measurement decodes all of them.

    Attributes:
        positions: of these faces in the index that is measured.
    """

    def __init__(self, positions: npt.NDArray[np.int64]) -> None:
        """Choose the faces.

        Args:
            positions: (N,) int64 in the index that is measured, rising.
        """
        self.positions = positions
        self._kept: list[Uint8Array] = []

    def watch(self, batch: FaceBatch) -> None:
        """Look at the next batch; see `predictions.predict_models`.

        Args:
            batch: of the measurement, in order.
        """
        last = batch.start + len(batch.sha256s)
        inside = (self.positions >= batch.start) & (self.positions < last)
        if inside.any():
            self._kept.append(batch.images_nhwc[self.positions[inside] - batch.start])

    @property
    def images_nhwc(self) -> Uint8Array:
        """(N, S, S, 3) uint8, in the order of the positions, once all batches were seen."""
        return np.concatenate(self._kept)
