"""What each layer costs in int8: quantized alone, and kept in float alone.

Two questions that differ. Alone in int8, a layer shows its own error; alone in float, it shows what
it would win in the company of the others, and that is what decides which layers to keep in FP16.

1. Candidates share all nodes before the first that they write differently (cuts.py). What those
   nodes give is computed once and kept for all faces, and each candidate runs the rest.
2. The kept tensors move along with the layers, so that no node runs twice for them.
3. Memory: at most `CACHE_BYTES` of kept tensors for `CHUNK_FACES` faces at a time, plus a few
   copies of the model. Where the tensors of a cut are larger, the cut moves up.

ResNet-18 has 20 layers, so 40 candidates, which run half of the network on average: about 20 passes
over the faces, where running each whole would be 40.

Shapes: N faces, S model input size, C classes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx

from edge_arm.calibration.placement import QuantPlan
from edge_arm.calibration.search.cuts import Cuts, shared_nodes
from edge_arm.calibration.search.layers import layers_of, plan_only, plan_without
from edge_arm.calibration.search.sessions import Session, Tensors
from edge_arm.calibration.search.subject import FaceBatches, Subject
from edge_arm.runtime.backend import Float32Array
from edge_arm.runtime.errors import CalibrationError
from edge_arm.runtime.preprocess import Uint8Array
from edge_arm.runtime.statistics import compare_answers

CACHE_BYTES = 256 * 2**20
CHUNK_FACES = 256


@dataclass(frozen=True)
class Effect:
    """How far answers are from FP32's on the same faces.

    Attributes:
        flips: faces with another answer.
        mean_kl: mean of KL(FP32 || candidate) in nats, in float64.
    """

    flips: int
    mean_kl: float


@dataclass(frozen=True)
class LayerSensitivity:
    """One layer.

    Attributes:
        layer: name of its weighted node.
        alone: this layer in int8, all others in float.
        without: this layer in float, all others in int8.
    """

    layer: str
    alone: Effect
    without: Effect


@dataclass(frozen=True)
class Sensitivity:
    """All layers.

    Attributes:
        num_faces: N.
        together: all layers in int8.
        layers: in graph order.
        fp32_passes: what it took, in multiples of one FP32 run of the same faces in the same kind
            of session, decoding left out.
        seconds: what it took.
    """

    num_faces: int
    together: Effect
    layers: tuple[LayerSensitivity, ...]
    fp32_passes: float
    seconds: float

    def gain(self, layer: LayerSensitivity) -> float:
        """KL that goes away when this layer alone is kept in float; below 0 if it grows."""
        return self.together.mean_kl - layer.without.mean_kl

    def ranked(self) -> tuple[LayerSensitivity, ...]:
        """The layers, the largest gain first; equal ones in graph order."""
        return tuple(sorted(self.layers, key=self.gain, reverse=True))


def sensitivity(
    subject: Subject, faces: FaceBatches, progress: Callable[[int], None] | None = None
) -> Sensitivity:
    """Measure every layer.

    The result does not depend on how the faces are cut into batches.

    Args:
        subject: the model and its INT8 form.
        faces: that did not calibrate it.
        progress: called with the number of candidates done since the last call, for each chunk of
            faces; see `num_candidates`.

    Raises:
        CalibrationError: if there are no faces, or the builder's graphs are not of the model.
        BackendError: if ONNX Runtime cannot run a candidate.
        DataError: if a candidate answers NaN or infinity.
    """
    cuts = Cuts(subject.model)
    names = [layer.name for layer in layers_of(subject.plan, subject.model)]
    answers: dict[_Key, list[Float32Array]] = {}
    reference: list[Float32Array] = []
    seconds = fp32_seconds = 0.0
    for images_nhwc in faces(CHUNK_FACES):
        started = time.perf_counter()
        plain = Session(subject.model)
        loaded = time.perf_counter()
        reference.append(plain.logits(images_nhwc))
        fp32_seconds += time.perf_counter() - loaded
        del plain
        for alone in (True, False):
            walk = _Walk(cuts, subject.build(_base(subject, alone=alone)), images_nhwc)
            for name in names:
                candidate = subject.build(_candidate(subject, name, alone=alone))
                answers.setdefault((name, alone), []).append(walk.answers(candidate))
                if progress is not None:
                    progress(1)
            if not alone:
                answers.setdefault(_TOGETHER, []).append(walk.finish())
        seconds += time.perf_counter() - started
    if not reference:
        raise CalibrationError(
            "got no faces to measure the layers on, expected training faces that did not "
            "calibrate; ask for fewer --images, or leave the search out with --no-sensitivity"
        )
    fp32 = np.concatenate(reference)
    found = {key: _effect(fp32, np.concatenate(parts)) for key, parts in answers.items()}
    return Sensitivity(
        num_faces=len(fp32),
        together=found[_TOGETHER],
        layers=tuple(
            LayerSensitivity(name, found[name, True], found[name, False]) for name in names
        ),
        fp32_passes=seconds / fp32_seconds,
        seconds=seconds,
    )


def num_candidates(subject: Subject) -> int:
    """What `progress` adds up to for one chunk of faces: each layer in both forms."""
    return 2 * len(layers_of(subject.plan, subject.model))


_Key = tuple[str, bool]
_TOGETHER: _Key = ("", False)


def _base(subject: Subject, *, alone: bool) -> QuantPlan:
    return plan_only(subject.plan, subject.model, layers=()) if alone else subject.plan


def _candidate(subject: Subject, layer: str, *, alone: bool) -> QuantPlan:
    if alone:
        return plan_only(subject.plan, subject.model, layers=[layer])
    return plan_without(subject.plan, subject.model, layers=[layer], reason="under test")


def _effect(fp32: Float32Array, candidate: Float32Array) -> Effect:
    agreement = compare_answers(fp32, candidate)
    return Effect(len(agreement.flipped_faces), agreement.mean_kl)


class _Walk:
    """The kept tensors of a base graph at one cut, for every face (rules 1 and 2)."""

    def __init__(self, cuts: Cuts, base: onnx.ModelProto, images_nhwc: Uint8Array) -> None:
        self._cuts = cuts
        self._base = base
        self._written = cuts.written(base)
        self._images = images_nhwc
        self._limit = CACHE_BYTES // len(images_nhwc)
        self._restart()

    def answers(self, candidate: onnx.ModelProto) -> Float32Array:
        """Logits (N, C) of a candidate."""
        shared = shared_nodes(self._written, self._cuts.written(candidate))
        position = min(shared, len(self._written) - 1)
        self._move_to(self._cuts.cheap_position(position, self._limit))  # rule 3
        return self._rest_of(candidate)

    def finish(self) -> Float32Array:
        """Logits (N, C) of the base graph itself."""
        return self._rest_of(self._base)

    def _rest_of(self, graph: onnx.ModelProto) -> Float32Array:
        output = self._cuts.output
        session = Session(self._cuts.part(graph, self._cuts.tensors(self._position), [output]))
        return np.concatenate([session.run(face)[output] for face in self._kept]).astype(np.float32)

    def _restart(self) -> None:
        source = self._cuts.input
        self._position = 0
        self._kept: list[Tensors] = [{source: face[np.newaxis]} for face in self._images]

    def _move_to(self, position: int) -> None:
        if position < self._position:
            # Layers come in graph order, but a builder may change what lies before its layer.
            self._restart()
        given, wanted = (self._cuts.tensors(at) for at in (self._position, position))
        new = [name for name in wanted if name not in given]
        self._position = position
        if not new:
            return
        session = Session(self._cuts.part(self._base, given, new))
        for at, face in enumerate(self._kept):
            made = {**face, **session.run(face)}
            self._kept[at] = {name: made[name] for name in wanted}
