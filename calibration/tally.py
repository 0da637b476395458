"""What a calibration pass has seen so far, face by face.

A face is looked at outside any lock and then counted in as a whole, so that at every moment the
tally is that of some whole faces: it can be kept, and gone on with (pass_state.py).

Shapes: N faces, C classes, K channels of a tensor.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from edge_arm.calibration.exposure import Origin, Wanted
from edge_arm.calibration.histogram import Extremes, Histogram, Part, counted
from edge_arm.runtime.backend import Float32Array
from edge_arm.runtime.errors import CalibrationError


@dataclass(frozen=True, eq=False)
class FaceLook:
    """What one face did.

    Attributes:
        parts: counts, by tensor.
        absmax: largest |x|, by tensor.
        channel_amax: (K,) float32, by tensor.
        logits: (C,) float32.
    """

    parts: dict[str, Part]
    absmax: dict[str, float]
    channel_amax: dict[str, Float32Array]
    logits: Float32Array


def look_at(
    values: Mapping[str, Float32Array],
    wanted: Wanted,
    *,
    origins: Mapping[str, Origin],
    logits: Float32Array,
) -> FaceLook:
    """Count the tensors of one face.

    Args:
        values: of the tensors that were handed out, (1, ...) float32.
        wanted: what to look at.
        origins: of the wanted tensors.
        logits: (1, C) float32.

    Raises:
        CalibrationError: if a value to be counted is NaN, infinite or absurd, or a channel is NaN
            or infinite.
    """
    extremes = {name: Extremes.of(value) for name, value in values.items()}
    parts, absmax = {}, {}
    for name in wanted.histograms:
        tensor, rectified = origins[name].tensor, origins[name].rectified
        parts[name] = counted(values[tensor], name, extremes[tensor], rectified=rectified)
    for name in wanted.extremes:
        found = extremes[origins[name].tensor]
        absmax[name] = (found.rectified() if origins[name].rectified else found).absmax
    channel_amax = {
        name: _channel_amax(values[origins[name].tensor], origins[name], name)
        for name in wanted.channels
    }
    return FaceLook(parts, absmax, channel_amax, np.asarray(logits[0], np.float32))


class Tally:
    """The sum over faces. Any thread may add to it.

    Attributes:
        histograms: by tensor.
        absmax: largest |x|, by tensor.
        channel_amax: (K,) float32, by tensor; empty before the first face.
        logits: (C,) float32, by position of the face.
        sha256s: of the face's file, by position.
        lock: held while a face is added; whoever reads all of it meanwhile has to hold it.
    """

    def __init__(self, wanted: Wanted) -> None:
        self.histograms = {name: Histogram() for name in wanted.histograms}
        self.absmax = dict.fromkeys(wanted.extremes, 0.0)
        self.channel_amax: dict[str, Float32Array] = {}
        self.logits: dict[int, Float32Array] = {}
        self.sha256s: dict[int, str] = {}
        self.lock = threading.Lock()

    def __len__(self) -> int:
        """Number of faces."""
        return len(self.logits)

    def add(self, position: int, sha256: str, look: FaceLook) -> None:
        """Count a face in.

        Args:
            position: of the face, each one once.
            sha256: of its file.
            look: what it did.
        """
        with self.lock:
            for name, part in look.parts.items():
                self.histograms[name].merge(part)
            for name, value in look.absmax.items():
                # np.maximum keeps NaN, which max() may lose.
                self.absmax[name] = float(np.maximum(self.absmax[name], value))
            for name, amax in look.channel_amax.items():
                before = self.channel_amax.get(name)
                self.channel_amax[name] = amax if before is None else np.maximum(before, amax)
            self.logits[position] = look.logits
            self.sha256s[position] = sha256


def _channel_amax(value: Float32Array, origin: Origin, tensor: str) -> Float32Array:
    rows = value.reshape(value.shape[1], -1)
    low = np.float32(0) if origin.rectified else -rows.min(axis=1)
    amax: Float32Array = np.maximum(rows.max(axis=1), low)
    if not np.isfinite(amax).all():
        raise CalibrationError(
            f"tensor {tensor!r} has channels that reach NaN or infinity, "
            "expected numbers; the FP32 model is broken on these faces: train or export it again"
        )
    return amax
