"""What each step from a JPEG to a label takes, by itself, one picture with one face at a time.

1. **decode**: the bytes of the picture to pixels.
2. **find**: the faces in it, by a detector; left out for faces that are cropped already.
3. **crop and resize**: the face to the model's size, which is all the preprocessing there is.
4. **copy in, compute, copy out**: the model. Only a backend that can wait between these tells them
   apart. On a CPU nothing is copied to a device; what a runtime library moves inside is its own and
   part of compute, so the copies have no figure there, not a zero.
5. **probabilities**: softmax of the logits by the model's temperature.

The steps are timed one after another on warm caches. In `edge-arm run` some of them overlap, so a
frame's way through it is shorter than their sum.

Shapes: N faces, S model input size, C classes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from edge_arm.runtime.backend import Backend, Float32Array, StagedBackend
from edge_arm.runtime.benchmark.latency_stats import LatencyStats, latency_stats
from edge_arm.runtime.crop import CropBox, cropped
from edge_arm.runtime.detection.detector import FaceDetector
from edge_arm.runtime.images import decode_image
from edge_arm.runtime.preprocess import Uint8Array, resize_face
from edge_arm.runtime.statistics import softmax

FEWEST_CALLS = 10
"""Of each step, however slow it is."""


@dataclass(frozen=True, eq=False)
class Picture:
    """What the steps before the model work on.

    Attributes:
        encoded: a JPEG.
        face: where its face is.
    """

    encoded: bytes
    face: CropBox


def picture_stages(
    picture: Picture, *, size: int, seconds: float, detector: FaceDetector | None = None
) -> dict[str, LatencyStats]:
    """The steps before the model, which are the same for all models.

    Args:
        picture: to work on.
        size: S.
        seconds: for all steps together.
        detector: that finds the face; None leaves the step out.

    Raises:
        ImageError: if the picture cannot be read.
    """
    image_hwc = decode_image(picture.encoded, "the picture of the benchmark")
    steps: dict[str, Callable[[], object]] = {
        "decode": lambda: decode_image(picture.encoded, "the picture of the benchmark")
    }
    if detector is not None:
        steps["find"] = lambda: detector.find(image_hwc)
    steps["crop and resize"] = lambda: resize_face(
        cropped(image_hwc, picture.face, "the picture of the benchmark"), size
    )
    return {name: _timed(step, seconds / len(steps)) for name, step in steps.items()}


def model_stages(
    model: Backend, images_nhwc: Uint8Array, *, seconds: float, temperature: float = 1.0
) -> dict[str, LatencyStats]:
    """The steps of one model and what follows it.

    Args:
        model: loaded and warm.
        images_nhwc: (N, S, S, 3) uint8.
        seconds: for all steps together.
        temperature: of the model.

    Raises:
        InferenceError: if the model fails.
    """
    logits: Float32Array = model.infer(images_nhwc)
    found = (
        _device_stages(model, images_nhwc, 0.8 * seconds)
        if isinstance(model, StagedBackend)
        else {"compute": _timed(lambda: model.infer(images_nhwc), 0.8 * seconds)}
    )
    found["probabilities"] = _timed(lambda: softmax(logits, temperature=temperature), 0.2 * seconds)
    return found


def _device_stages(
    model: StagedBackend, images_nhwc: Uint8Array, seconds: float
) -> dict[str, LatencyStats]:
    end = time.perf_counter() + seconds
    model.infer_in_stages(images_nhwc)
    taken: dict[str, list[float]] = {"copy in": [], "compute": [], "copy out": []}
    while len(taken["compute"]) < FEWEST_CALLS or time.perf_counter() < end:
        answer = model.infer_in_stages(images_nhwc)
        taken["copy in"].append(answer.copy_in_s)
        taken["compute"].append(answer.compute_s)
        taken["copy out"].append(answer.copy_out_s)
    return {name: latency_stats(calls) for name, calls in taken.items()}


def _timed(step: Callable[[], object], seconds: float) -> LatencyStats:
    end = time.perf_counter() + seconds
    step()
    calls: list[float] = []
    before = time.perf_counter()
    while len(calls) < FEWEST_CALLS or before < end:
        step()
        after = time.perf_counter()
        calls.append(after - before)
        before = after
    return latency_stats(calls)
