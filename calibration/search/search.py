"""The search: held-out training faces in, the plan to ship and what led to it out.

Faces that calibrate are kinder than new ones, and test faces would be spoiled, so both parts take
training faces that calibrated nothing: one draw ranks the layers, another judges the candidates.
The model has learned from all of them, so accuracies are too high and flips too few: the proof of
what is chosen here is `edge-arm measure` on the test split.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from edge_arm.calibration.placement import QuantPlan
from edge_arm.calibration.sample import held_out_sample
from edge_arm.calibration.search.cost import layer_costs, relative_latency
from edge_arm.calibration.search.judge import CandidateJudge, LabelledBatches
from edge_arm.calibration.search.layers import layers_of, plan_without
from edge_arm.calibration.search.mixed import (
    MixedPrecision,
    Outcome,
    certifiable_drop,
    fewest_in_float,
    least_faces,
)
from edge_arm.calibration.search.sensitivity import Sensitivity, sensitivity
from edge_arm.calibration.search.subject import FaceBatches, Subject
from edge_arm.runtime.backend import Float32Array
from edge_arm.runtime.batches import face_batches
from edge_arm.runtime.errors import UsageError
from edge_arm.runtime.faces import FaceIndex
from edge_arm.runtime.preprocess import PreprocessSpec, Uint8Array
from edge_arm.runtime.statistics import Gate

SENSITIVITY_FACES = 256
PASSES = 25
"""What 40 candidates of ResNet-18 took, measured; see `Sensitivity.fp32_passes`."""

LEAST_GATE_FACES = 1000
"""Where no number is asked for; more where the gate is narrow."""

LEAST_DROP = 5e-5
"""The narrowest gate; 74,000 faces show it, of a candidate that loses and wins none."""

_ROOM = 2
"""Twice the faces that certify a perfect candidate leave room for a few changed answers."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SearchConfig:
    """How to search.

    Attributes:
        gate: to pass with the fewest layers in FP16; None to measure the layers alone.
        num_faces: held-out faces that judge, or that the layers are measured on if there is no
            gate; None for as many as that asks for.
        seed: of the draw.
    """

    gate: Gate | None = None
    num_faces: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.num_faces is not None and self.num_faces < 1:
            raise UsageError(
                f"got --search-faces {self.num_faces}, expected at least 1; leave it out for as "
                "many as the search needs"
            )
        if self.gate is not None and self.gate.max_drop < LEAST_DROP:
            raise UsageError(
                f"got --max-drop {100 * self.gate.max_drop:g}, expected at least "
                f"{100 * LEAST_DROP:g} percentage points: less could not be shown with a hundred "
                "thousand faces; ask for 0.2 or more"
            )

    @property
    def gate_faces(self) -> int:
        """Faces that judge, if there are so many; 0 without a gate."""
        if self.gate is None:
            return 0
        return self.num_faces or max(LEAST_GATE_FACES, _ROOM * least_faces(self.gate))

    @property
    def sensitivity_faces(self) -> int:
        """Faces that the layers are measured on, if there are so many."""
        return SENSITIVITY_FACES if self.gate is not None else self.num_faces or SENSITIVITY_FACES


@dataclass(frozen=True)
class SearchFaces:
    """Training faces that did not calibrate; no face is in both.

    Attributes:
        ranking: that the layers are measured on.
        judging: that candidates are judged on; None without a gate.
    """

    ranking: FaceIndex
    judging: FaceIndex | None


@dataclass(frozen=True)
class SearchResult:
    """What the search came to.

    Attributes:
        plan: to ship.
        sensitivity: of the layers.
        latency: estimated, with each layer alone in FP16, by layer.
        mixed: how the goal was met or not; None without a gate.
        faces: that it was found on.
        config: of the search.
    """

    plan: QuantPlan
    sensitivity: Sensitivity
    latency: dict[str, float]
    mixed: MixedPrecision | None
    faces: SearchFaces
    config: SearchConfig

    @property
    def accepted(self) -> bool:
        """Whether the goal was met, or none was set."""
        return self.mixed is None or self.mixed.outcome is Outcome.MET


def search_faces(
    population: FaceIndex, calibration: FaceIndex, config: SearchConfig
) -> SearchFaces:
    """Draw the faces.

    Args:
        population: the training split.
        calibration: the faces of it that calibrate.
        config: how many.

    Raises:
        UsageError: if too few are left.
    """
    left = held_out_sample(population, calibration, num_images=len(population), seed=config.seed)
    if config.gate is None:
        few = held_out_sample(
            population, calibration, num_images=config.sensitivity_faces, seed=config.seed
        )
        return SearchFaces(few, None)
    # A quarter at most: more faces judge better, and an order needs no more than 256.
    num_ranking = min(config.sensitivity_faces, len(left) // 4)
    if num_ranking == 0:
        raise UsageError(
            f"got --images {len(calibration)} of {len(population)} training faces, expected at "
            f"least four to be left to search on, found {len(left)}; ask for fewer"
        )
    ranking = held_out_sample(population, calibration, num_images=num_ranking, seed=config.seed)
    used = replace(calibration, samples=(*calibration.samples, *ranking.samples))
    judging = held_out_sample(population, used, num_images=config.gate_faces, seed=config.seed)
    floor = certifiable_drop(len(judging), config.gate.confidence)
    if floor >= config.gate.max_drop:
        _log.warning(
            "%d faces can certify no drop below %.2f pp, and %g was asked for: %d would be needed",
            len(judging),
            100 * floor,
            100 * config.gate.max_drop,
            least_faces(config.gate),
        )
    return SearchFaces(ranking, judging)


def search_layers(
    subject: Subject,
    faces: SearchFaces,
    config: SearchConfig,
    *,
    spec: PreprocessSpec,
    half: Callable[[Uint8Array], Float32Array] | None = None,
    progress: Callable[[int], None] | None = None,
) -> SearchResult:
    """Measure every layer, then find the fewest that have to stay in FP16, if a gate is given.

    Args:
        subject: the model and its INT8 form.
        faces: see `search_faces`.
        config: how.
        spec: the model's input.
        half: answers of the FP16 model, if there is one.
        progress: see `sensitivity`.

    Raises:
        ImageError: for a face that cannot be read.
        CalibrationError, BackendError, DataError: see `sensitivity`.
    """
    _log.info(
        "measuring %d layers on %d held-out faces takes about as long as %d FP32 runs of them",
        len(layers_of(subject.plan, subject.model)),
        len(faces.ranking),
        PASSES,
    )
    found = sensitivity(subject, _batches(faces.ranking, spec), progress)
    names = [layer.layer for layer in found.layers]
    costs = layer_costs(subject.model)
    mixed = None
    plan = subject.plan
    if config.gate is not None and faces.judging is not None:
        labelled = LabelledBatches(_batches(faces.judging, spec), faces.judging.targets)
        judge = CandidateJudge(subject, labelled, config.gate)
        mixed = fewest_in_float(
            [layer.layer for layer in found.ranked()],
            judge,
            config.gate,
            half=None if half is None else lambda: judge.half(half),
        )
        plan = _shipped(subject, mixed)
    return SearchResult(
        plan=plan,
        sensitivity=found,
        latency={
            name: relative_latency(costs, int8_layers=names, in_float=[name]) for name in names
        },
        mixed=mixed,
        faces=faces,
        config=config,
    )


def _shipped(subject: Subject, mixed: MixedPrecision) -> QuantPlan:
    if not mixed.chosen:
        return subject.plan
    reason = (
        f"kept in float so that the drop stays below {100 * mixed.gate.max_drop:g} pp on "
        f"{mixed.num_faces} held-out training faces"
    )
    return plan_without(subject.plan, subject.model, layers=mixed.chosen, reason=reason)


def _batches(index: FaceIndex, spec: PreprocessSpec) -> FaceBatches:
    def batches(size: int) -> Iterator[Uint8Array]:
        return (batch.images_nhwc for batch in face_batches(index, spec, size))

    return batches
