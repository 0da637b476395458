"""One streaming pass of the FP32 model over the calibration faces.

Each face runs alone (batch 1). So a face's activations cannot depend on its neighbours or on how
the set is cut, and integer counts (histogram.py) do not depend on the order: the ranges are the
same to the bit for any batch size and any order. ONNX Runtime needs as long per face at batch 8 as
at batch 1.

Several faces run at once, each in one thread that counts its tensors too, while further faces are
decoded. That keeps all cores busy where the threads inside one small convolution wait for each
other, and memory does not grow with the set.

Shapes: N faces, S model input size, C classes, K channels of a tensor.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx

from edge_arm.calibration.exposure import Wanted, exposed_model, origins
from edge_arm.calibration.histogram import Histogram
from edge_arm.calibration.tally import FaceLook, Tally, look_at
from edge_arm.runtime.backend import Float32Array
from edge_arm.runtime.batches import FaceBatch
from edge_arm.runtime.errors import BackendError, CalibrationError
from edge_arm.runtime.preprocess import Uint8Array

MOST_AT_ONCE = 4
"""Faces that run at the same time; each holds its activations, at 224 pixels some 50 MB."""


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


@dataclass(frozen=True, eq=False)
class PlacedFace:
    """A face that is ready to run.

    Attributes:
        position: among all faces of the pass.
        image_hwc: (S, S, 3) uint8 RGB.
        sha256: of its file; empty if it has none.
    """

    position: int
    image_hwc: Uint8Array
    sha256: str


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

    A pass that can be interrupted and gone on with is `observe_faces` in resumable_pass.py.

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
        CalibrationError: if there are no faces, the model is quantized already, or a value is NaN,
            infinite or absurd.
        BackendError: if ONNX Runtime cannot run the model.
    """
    wanted = Wanted.of(tensors, extremes=extremes, channels=channels)
    tally = Tally(wanted)
    observer = Observer(model, wanted)

    def step() -> None:
        if progress is not None:
            progress(1)

    observer.run(placed_faces(batches), tally, step)
    return observation_from(tally, model)


def placed_faces(batches: Iterable[FaceBatch]) -> Iterator[PlacedFace]:
    """The faces of some batches one by one, numbered from 0."""
    position = 0
    for batch in batches:
        sha256s = batch.sha256s or ("",) * len(batch.images_nhwc)
        for image_hwc, sha256 in zip(batch.images_nhwc, sha256s, strict=True):
            yield PlacedFace(position, image_hwc, sha256)
            position += 1


def observation_from(tally: Tally, model: onnx.ModelProto) -> Observation:
    """The result of a pass over all faces.

    Args:
        tally: of the faces.
        model: that they ran through.

    Raises:
        CalibrationError: if there are no faces.
    """
    if not len(tally):
        raise CalibrationError(
            "got no faces to calibrate with, expected at least one of each class; "
            "name a data set with --data and --root"
        )
    positions = sorted(tally.logits)
    logits = np.stack([tally.logits[position] for position in positions])
    absmax = tally.absmax | {name: item.amax for name, item in tally.histograms.items()}
    absmax[model.graph.output[0].name] = float(np.abs(logits).max())
    return Observation(
        histograms=tally.histograms,
        absmax=absmax,
        channel_amax=tally.channel_amax,
        logits=logits,
        sha256s=tuple(filter(None, (tally.sha256s[position] for position in positions))),
    )


class Observer:
    """The FP32 model in ONNX Runtime, handing out the wanted tensors."""

    def __init__(self, model: onnx.ModelProto, wanted: Wanted) -> None:
        """Load the model.

        Args:
            model: the FP32 graph.
            wanted: tensors in it.

        Raises:
            CalibrationError: if the model is quantized already.
            BackendError: if ONNX Runtime cannot load it.
        """
        self._wanted = wanted
        self._origins = origins(model, wanted)
        self._exposed = list(dict.fromkeys(item.tensor for item in self._origins.values()))
        self._input, self._output = model.graph.input[0].name, model.graph.output[0].name
        cores = num_cores()
        self._at_once = min(cores, MOST_AT_ONCE)
        self._session = session_of(
            exposed_model(model, self._exposed), threads=cores // self._at_once
        )

    def run(self, faces: Iterable[PlacedFace], tally: Tally, step: Callable[[], None]) -> None:
        """Count all faces in.

        Whatever ends this early, the tally holds whole faces when it has ended.

        Args:
            faces: to run; they are taken as they are needed.
            tally: to add to.
            step: called in this thread after each face.

        Raises:
            CalibrationError: if a value is NaN, infinite or absurd.
            BackendError: if ONNX Runtime cannot run the model.
        """

        def count(face: PlacedFace) -> None:
            tally.add(face.position, face.sha256, self._look(face.image_hwc))

        with ThreadPoolExecutor(self._at_once, thread_name_prefix="calibrate") as pool:
            pending: deque[Future[None]] = deque()
            try:
                for face in faces:
                    pending.append(pool.submit(count, face))
                    if len(pending) > 2 * self._at_once:
                        pending.popleft().result()
                        step()
                while pending:
                    pending.popleft().result()
                    step()
            finally:
                for future in pending:
                    future.cancel()

    def _look(self, image_hwc: Uint8Array) -> FaceLook:
        try:
            logits, *values = self._session.run(
                [self._output, *self._exposed], {self._input: image_hwc[np.newaxis]}
            )
        except Exception as error:  # ONNX Runtime's exceptions share no public base class
            raise BackendError(
                f"ONNX Runtime cannot run the FP32 model ({_first_line(error)}), "
                "expected a model made by 'edge-arm export'; export it again"
            ) from error
        handed_out = dict(zip(self._exposed, values, strict=True))
        return look_at(handed_out, self._wanted, origins=self._origins, logits=logits)


def num_cores() -> int:
    """How many cores this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS knows no affinity
        return os.cpu_count() or 1


def session_of(exposed: onnx.ModelProto, *, threads: int) -> Any:
    """An ONNX Runtime session on CPUs for a model that hands out tensors.

    Raises:
        BackendError: if ONNX Runtime cannot load it.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads
    try:
        session: Any = onnxruntime.InferenceSession(
            exposed.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # ONNX Runtime's exceptions share no public base class
        raise BackendError(
            f"ONNX Runtime cannot load the FP32 model ({_first_line(error)}), "
            "expected a model made by 'edge-arm export'; export it again"
        ) from error
    return session


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
