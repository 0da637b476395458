"""A new engine answers the bundle's golden faces, or it does not come into use.

Kernels are chosen by timing: two builds of one file answer differently, and now and then one
answers wrongly. The golden faces carry the FP32 logits of ONNX Runtime from the workstation, so a
device needs neither the data set nor ONNX Runtime to tell.

Where the limit of a logit's error comes from::

    limit = 2 * measured + floor * spread + 1e-5 * largest golden logit

`measured` is what the very same file differed by in ONNX Runtime, from the manifest: quantization
itself, which an engine repeats. `spread`, the standard deviation of the golden logits between
faces, says what a logit is worth in this model; `floor` is the part that kernels may differ by:
order of summation in FP32, FP16 accumulation, a value that rounds to the next INT8 step. The last
term is FP32's own rounding. Not yet checked on a GPU: nothing but kernels goes into `floor`.

ONNX Runtime's CPU accumulates FP16 models in FP32, many of TensorRT's FP16 kernels in FP16. That
was simulated (a sum rounded to FP16 after each 16 products, as tensor cores add) on two trained
ResNet-18s: logits off by 0.041 spreads at 112 pixels and 0.037 at 224, against 0.008 with sums in
FP32; INT8 with FP16 around it stayed at 0.050. A broken engine is off by about one spread.

Shapes: N golden faces, S model input size, C classes.
"""

from __future__ import annotations

import math
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_arm.runtime.backend import Backend, Float32Array
from edge_arm.runtime.batch_invariance import check_invariance
from edge_arm.runtime.engine_record import BatchRange
from edge_arm.runtime.errors import BundleError
from edge_arm.runtime.manifest import Artifact, Precision
from edge_arm.runtime.preprocess import Uint8Array

FACTOR = 2.0
FLOORS = {Precision.FP32: 0.002, Precision.FP16: 0.1, Precision.INT8: 0.1}
ROUNDING = 1e-5
AGREEMENT = {Precision.FP32: 1.0, Precision.FP16: 1.0, Precision.INT8: 0.9}
"""Least share of equal top-1 among faces whose two best golden logits are not closer than the
limit; closer ones are ties at this precision."""

UNMEASURED = {Precision.FP32: 0.0, Precision.FP16: 0.05, Precision.INT8: 0.25}
"""Stands for `measured`, in spreads, where a manifest has no figure."""

CHECKS = ("golden_max_logit_difference", "fp32_difference")
"""Names in the manifest of what a file differs by from FP32, the golden faces' first."""

NOT_A_NUMBER = float(np.finfo(np.float32).max)
"""Stands for the error of a logit that is NaN."""

WARM_UP_RUNS = 5
TIMED_RUNS = 30


@dataclass(frozen=True)
class GoldenFaces:
    """The content of `golden.npz`.

    Attributes:
        images_nhwc: (N, S, S, 3) uint8.
        logits: (N, C) float32 of the FP32 model.
    """

    images_nhwc: Uint8Array
    logits: Float32Array


@dataclass(frozen=True)
class AcceptanceLimits:
    """How far an engine may be from the golden logits.

    Attributes:
        logit_error: largest error of a logit.
        batch_error: largest difference of a logit between batch sizes.
        agreement: least share of equal top-1 among the faces that are no ties.
    """

    logit_error: float
    batch_error: float
    agreement: float


@dataclass(frozen=True)
class Acceptance:
    """How an engine answered.

    Attributes:
        figures: what was measured, and each limit, by name.
        complaints: each limit that was not kept, in words; none if it is accepted.
    """

    figures: dict[str, float]
    complaints: tuple[str, ...]


def read_golden_faces(path: Path) -> GoldenFaces:
    """Read `golden.npz`; its hash must have been checked.

    Raises:
        BundleError: if it does not hold faces and their logits.
    """
    try:
        with np.load(path, allow_pickle=False) as content:
            images, logits = content["images"], content["logits"]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise BundleError(
            f"cannot read {str(path)!r} ({error}), expected golden faces and their logits; "
            "export the model again"
        ) from error
    if len(images) != len(logits) or len(images) < 2 or not np.isfinite(logits).all():
        raise BundleError(
            f"{str(path)!r} holds {len(images)} faces and {len(logits)} rows of logits, expected "
            "as many finite rows as faces, two or more; export the model again"
        )
    return GoldenFaces(images, logits)


def acceptance_limits(
    golden: GoldenFaces, precision: Precision, measured_by: Artifact
) -> AcceptanceLimits:
    """The limits of one engine; see above for the formula.

    Args:
        golden: faces.
        precision: of the engine.
        measured_by: file whose checks say what the precision itself costs.
    """
    spread = float(golden.logits.astype(np.float64).std(axis=0).mean())
    rounding = ROUNDING * float(np.abs(golden.logits).max())
    known = [measured_by.checks[name] for name in CHECKS if name in measured_by.checks]
    if precision is Precision.FP32:
        known = [0.0]  # the golden logits are this file's own
    measured = known[0] if known else UNMEASURED[precision] * spread
    kernels = FLOORS[precision] * spread + rounding
    return AcceptanceLimits(
        logit_error=FACTOR * measured + kernels,
        batch_error=kernels,
        agreement=AGREEMENT[precision],
    )


def acceptance_of(
    backend: Backend, golden: GoldenFaces, limits: AcceptanceLimits, *, batch: BatchRange
) -> Acceptance:
    """Let an engine answer the golden faces at its smallest, best and largest batch.

    Args:
        backend: the engine.
        golden: faces.
        limits: to keep.
        batch: its optimization profile.

    Raises:
        InferenceError: if it cannot run at all.
    """
    answers = {
        size: _in_batches(backend, golden.images_nhwc, size)
        for size in (batch.min, batch.opt, batch.max)
    }
    reference = golden.logits.astype(np.float64)
    opt = answers[batch.opt].astype(np.float64)
    finite = all(bool(np.isfinite(logits).all()) for logits in answers.values())
    best = np.sort(reference, axis=1)
    decided = best[:, -1] - best[:, -2] > limits.logit_error
    same = opt.argmax(axis=1) == reference.argmax(axis=1)
    figures = {
        "num_faces": float(len(reference)),
        "num_decided_faces": float(decided.sum()),
        "logit_error": float(np.abs(opt - reference).max()) if finite else 0.0,
        "logit_error_limit": limits.logit_error,
        "batch_error": max(float(np.abs(logits - opt).max()) for logits in answers.values())
        if finite
        else 0.0,
        "batch_error_limit": limits.batch_error,
        "agreement": float(same[decided].mean()) if decided.any() else 1.0,
        "agreement_limit": limits.agreement,
    }
    return Acceptance(figures, tuple(_complaints(figures, finite=finite)))


def with_company(
    acceptance: Acceptance,
    backend: Backend,
    golden: GoldenFaces,
    *,
    precision: Precision,
    batch: BatchRange,
) -> Acceptance:
    """The same verdict, with the golden faces in every other company as well.

    One by one, sorted by answer, shuffled, twice, and beside black pictures, as `measure` does: a
    face's answer must not depend on its neighbours, and a kernel that is wrong for a full batch
    shows here.

    Args:
        acceptance: of the engine by itself.
        backend: the engine.
        golden: faces.
        precision: of the engine.
        batch: its optimization profile.

    Raises:
        InferenceError: if it cannot run.
    """
    if acceptance.complaints:
        return acceptance
    checks = check_invariance(
        backend, golden.images_nhwc, precision=precision, largest_batch=batch.max
    )
    # An engine for one face at a time has no company, and so no checks.
    moved = [0.0, *(check.max_logit_difference for check in checks)]
    figures = {
        **acceptance.figures,
        # JSON has no NaN, and a logit that is none is off by more than any limit.
        "company_error": max(NOT_A_NUMBER if math.isnan(error) else error for error in moved),
        "company_error_limit": acceptance.figures["batch_error_limit"],
    }
    return Acceptance(figures, tuple(_complaints(figures, finite=True)))


def latency_ms(backend: Backend, golden: GoldenFaces, batch_size: int) -> float:
    """Median time of a synchronised run, copies included.

    Args:
        backend: the engine; `infer` returns when the logits are there.
        golden: faces to run on, repeated as needed.
        batch_size: faces in a call.
    """
    images = _repeated(golden.images_nhwc, batch_size)[:batch_size]
    for _ in range(WARM_UP_RUNS):
        backend.infer(images)
    times_s = []
    for _ in range(TIMED_RUNS):
        start = time.perf_counter()
        backend.infer(images)
        times_s.append(time.perf_counter() - start)
    return float(np.median(times_s)) * 1e3


def _in_batches(backend: Backend, images_nhwc: Uint8Array, size: int) -> Float32Array:
    """Logits (N, C) from calls with exactly `size` faces; the last call is filled up."""
    filled = _repeated(images_nhwc, size)
    logits = [backend.infer(filled[at : at + size]) for at in range(0, len(filled), size)]
    return np.concatenate(logits)[: len(images_nhwc)]


def _repeated(images_nhwc: Uint8Array, size: int) -> Uint8Array:
    """The faces, followed by themselves until the number is a multiple of `size`."""
    number = len(images_nhwc)
    return images_nhwc[np.arange(-(-number // size) * size) % number]


def _complaints(figures: dict[str, float], *, finite: bool) -> list[str]:
    if not finite:
        return ["it answers NaN or infinity"]
    found = []
    for name, words in (
        ("logit_error", "its logits are off by"),
        ("batch_error", "the same face at another batch size is off by"),
        ("company_error", "the same face beside other faces is off by"),
    ):
        if name in figures and figures[name] > figures[f"{name}_limit"]:
            found.append(f"{words} {figures[name]:.3g}, at most {figures[f'{name}_limit']:.3g}")
    if figures["agreement"] < figures["agreement_limit"]:
        found.append(
            f"it gives the same label on {figures['agreement']:.1%} of the decided golden faces, "
            f"at least {figures['agreement_limit']:.0%}"
        )
    return found
