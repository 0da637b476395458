"""Does a written file compute what PyTorch computes? Measured, never assumed.

All figures are the largest absolute difference of two logits. The limit is 1e-4 for logits of an
ordinary size, up to 10: two correct float32 implementations of this network then differ by some
1e-6, a wrong padding or a forgotten BatchNorm by far more than 1e-2. Rounding errors grow with the
numbers that are rounded, so where a model gives larger logits (a badly trained one, on noise) the
limit grows in proportion: it stays 1e-5 of the largest logit.

Shapes: N faces, S model input size, C classes.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from edge_arm.export.check_images import CheckImages
from edge_arm.runtime.backend import Backend, Float32Array
from edge_arm.runtime.errors import ExportError
from edge_arm.runtime.onnxruntime_backend import OnnxRuntimeBackend
from edge_arm.runtime.preprocess import Uint8Array

LOGIT_LIMIT = 1e-4
ORDINARY_LOGIT = 10.0
NUM_BATCH_CHECK = 32
_BATCH_SIZE = 32

Progress = Callable[[int], None] | None


def batched_logits(
    infer: Callable[[Uint8Array], Float32Array],
    images_nhwc: Uint8Array,
    batch_size: int = _BATCH_SIZE,
    progress: Progress = None,
) -> Float32Array:
    """Logits of any number of pictures, some at a time.

    Args:
        infer: a backend's, or PyTorch's.
        images_nhwc: (N, S, S, 3) uint8.
        batch_size: pictures per call.
        progress: called with the number of pictures done.

    Returns:
        (N, C) float32.
    """
    parts = []
    for start in range(0, len(images_nhwc), batch_size):
        batch = images_nhwc[start : start + batch_size]
        parts.append(infer(batch))
        if progress is not None:
            progress(len(batch))
    return np.concatenate(parts)


def onnx_logits(path: Path, images_nhwc: Uint8Array, progress: Progress = None) -> Float32Array:
    """Logits (N, C) of a model file, by ONNX Runtime on the CPU.

    Args:
        path: the ONNX file.
        images_nhwc: (N, S, S, 3) uint8.
        progress: called with the number of pictures done.
    """
    with OnnxRuntimeBackend(path) as backend:
        return batched_logits(backend.infer, images_nhwc, progress=progress)


def pytorch_checks(
    name: str, logits: Float32Array, reference: Float32Array, images: CheckImages
) -> dict[str, float]:
    """Differences between a file and PyTorch, by kind of picture.

    Args:
        name: of the file, for the message.
        logits: (N, C) of the file on `images.all`.
        reference: (N, C) of PyTorch on the same.
        images: the pictures.

    Raises:
        ExportError: if a difference is above the limit or not a number.
    """
    first_drawn = len(images.random)
    checks = {
        "pytorch_difference_random": _difference(logits[:first_drawn], reference[:first_drawn]),
        "pytorch_difference_faces": _difference(logits[first_drawn:], reference[first_drawn:]),
    }
    for kind, difference in checks.items():
        _require(name, f"PyTorch ({kind.rsplit('_', 1)[1]} pictures)", difference, reference)
    return checks


def head_checks(name: str, logits: Float32Array, other: Float32Array) -> dict[str, float]:
    """Difference between the folded and the explicit head on the same pictures.

    Args:
        name: of the file, for the message.
        logits: (N, C) of the file.
        other: (N, C) of the file with the other head.

    Raises:
        ExportError: if it is above the limit or not a number.
    """
    difference = _difference(logits, other)
    _require(name, "the other form of the head", difference, other)
    return {"other_head_difference": difference}


def batch_checks(
    name: str, backend: Backend, images: CheckImages, progress: Progress = None
) -> dict[str, float]:
    """Is the answer for a face independent of the faces beside it?

    Args:
        name: of the file, for the message.
        backend: with the file loaded.
        images: the pictures; 32 of them are used.
        progress: called with the number of pictures done.

    Raises:
        ExportError: if a difference is above the limit or not a number.
    """
    pictures = images.mixed(NUM_BATCH_CHECK)
    order = np.random.default_rng(0).permutation(len(pictures))
    together = batched_logits(backend.infer, pictures, progress=progress)
    alone = batched_logits(backend.infer, pictures, 1, progress)
    shuffled = batched_logits(backend.infer, pictures[order], progress=progress)
    checks = {
        "batch_1_difference": _difference(alone, together),
        "shuffled_difference": _difference(shuffled, together[order]),
    }
    _require(name, "itself on batches of 1", checks["batch_1_difference"], together)
    _require(name, "itself on a shuffled batch", checks["shuffled_difference"], together)
    return checks


def _difference(got: Float32Array, expected: Float32Array) -> float:
    return float(np.abs(got.astype(np.float64) - expected).max())


def _require(name: str, other: str, difference: float, reference: Float32Array) -> None:
    limit = LOGIT_LIMIT * max(1.0, float(np.abs(reference).max()) / ORDINARY_LOGIT)
    if not (np.isfinite(difference) and difference <= limit):
        raise ExportError(
            f"the logits of {name!r} differ from {other} by up to {difference:.3g}, expected at "
            f"most {limit:.3g}; nothing was kept, report this with the checkpoint"
        )
