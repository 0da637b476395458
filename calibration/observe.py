"""One streaming pass of the FP32 model over the calibration faces.

Each face runs alone (batch 1). So a face's activations cannot depend on its neighbours or on how
the set is cut, and integer counts (histogram.py) do not depend on the order: the ranges are the
same to the bit for any batch size and any order. It costs no time, because ONNX Runtime needs as
long per face at batch 8 as at batch 1, and memory does not grow with the set.

Shapes: N faces, S model input size, C classes, K channels of a tensor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import helper

from edge_arm.calibration.histogram import Histogram
from edge_arm.runtime.backend import Float32Array
from edge_arm.runtime.batches import FaceBatch
from edge_arm.runtime.errors import BackendError, CalibrationError


@dataclass(frozen=True, eq=False)
class Observation:
    """What the calibration faces did in the FP32 model.

    Attributes:
        histograms: of |x|, by tensor.
        absmax: largest |x| of the tensors of which only that was asked, of those above, and of the
            logits.
        channel_amax: largest |x| of each channel of the tensors of which that was asked, (K,)
            float32.
        logits: (N, C) float32.
        sha256s: of each face's file, N hex strings.
    """

    histograms: dict[str, Histogram]
    absmax: dict[str, float]
    channel_amax: dict[str, Float32Array]
    logits: Float32Array
    sha256s: tuple[str, ...]


def observe(
    model: onnx.ModelProto,
    tensors: Iterable[str],
    batches: Iterable[FaceBatch],
    *,
    extremes: Iterable[str] = (),
    channels: Iterable[str] = (),
    progress: Callable[[int], None] | None = None,
) -> Observation:
    """Run the faces and count every value of the tensors.

    Args:
        model: the FP32 graph, uint8 (N, S, S, 3) to float32 (N, C).
        tensors: float tensors inside it.
        batches: the faces; how they are cut changes nothing.
        extremes: more of them, of which only the largest |x| is kept, be it NaN or infinity.
        channels: tensors (1, K, ...), those above or others, of which the largest |x| of each
            channel is kept.
        progress: called with the number of faces done since the last call.

    Returns:
        The histograms, and the logits in the order of the faces.

    Raises:
        CalibrationError: if there are no faces, or a value is NaN, infinite or absurd.
        BackendError: if ONNX Runtime cannot run the model.
    """
    wanted = list(tensors)
    absmax = dict.fromkeys((name for name in extremes if name not in set(wanted)), 0.0)
    channel_amax: dict[str, Float32Array] = {}
    by_channel = tuple(channels)
    asked = list(dict.fromkeys([*wanted, *absmax, *by_channel]))
    session = _session(model, asked)
    source = model.graph.input[0].name
    histograms = {name: Histogram() for name in wanted}
    logits: list[Float32Array] = []
    sha256s: list[str] = []
    for batch in batches:
        for image_hwc in batch.images_nhwc:
            answer, *values = session.run(
                [model.graph.output[0].name, *asked], {source: image_hwc[np.newaxis]}
            )
            for name, value in zip(asked, values, strict=True):
                if name in by_channel:
                    channel_amax[name] = _channel_amax(value, channel_amax.get(name), name)
                if name in histograms:
                    histograms[name].add(value, name)
                elif name in absmax:
                    # np.maximum keeps NaN, which max() may lose.
                    absmax[name] = float(np.maximum(absmax[name], np.abs(value).max()))
            logits.append(answer[0])
        sha256s.extend(batch.sha256s)
        if progress is not None:
            progress(len(batch.images_nhwc))
    if not logits:
        raise CalibrationError(
            "got no faces to calibrate with, expected at least one of each class; "
            "name a data set with --data and --root"
        )
    answers = np.stack(logits).astype(np.float32)
    absmax |= {name: histogram.amax for name, histogram in histograms.items()}
    absmax[model.graph.output[0].name] = float(np.abs(answers).max())
    return Observation(histograms, absmax, channel_amax, answers, tuple(sha256s))


def _channel_amax(value: Float32Array, before: Float32Array | None, tensor: str) -> Float32Array:
    rows = value.reshape(value.shape[1], -1)
    amax: Float32Array = np.maximum(rows.max(axis=1), -rows.min(axis=1))
    if not np.isfinite(amax).all():
        raise CalibrationError(
            f"tensor {tensor!r} has channels that reach NaN or infinity, "
            "expected numbers; the FP32 model is broken on these faces: train or export it again"
        )
    return amax if before is None else np.maximum(before, amax)


def _session(model: onnx.ModelProto, tensors: list[str]) -> Any:
    import onnxruntime

    extended = onnx.ModelProto()
    extended.CopyFrom(model)
    present = {item.name for item in extended.graph.output}
    extended.graph.output.extend(
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
        for name in tensors
        if name not in present
    )
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    try:
        session: Any = onnxruntime.InferenceSession(
            extended.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # ONNX Runtime's exceptions share no public base class
        raise BackendError(
            f"ONNX Runtime cannot load the FP32 model ({str(error).strip().splitlines()[0]}), "
            "expected a model made by 'edge-arm export'; export it again"
        ) from error
    return session
