"""The stage: a bundle and the training faces of one or more data sets in, a study out.

It is about the ranges, which are what faces choose: weights are rounded to nearest and channels
stay as they are. Nothing is written.

All faces are training faces: the pool that calibrates, and others, none of which is in the pool or
a copy of one that is, that answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import onnx

from edge_arm.calibration.placement_rules import plan_from_structure
from edge_arm.calibration.ranges import Method
from edge_arm.calibration.sample import Balance, calibration_sample, held_out_sample
from edge_arm.calibration.study.blocks import BLOCK_FACES, FaceBlocks, dealt, observe_blocks
from edge_arm.calibration.study.cross import Cell, cross_matrix
from edge_arm.calibration.study.curve import Curve, Draws, faces_curve, sizes_of
from edge_arm.calibration.study.subject import HeldOut, Studied
from edge_arm.runtime.errors import UsageError
from edge_arm.runtime.faces import FaceIndex
from edge_arm.runtime.manifest import Bundle, Precision

LEAST_FACES = 64
"""A pool of three blocks and a quarter of the faces to answer."""


@dataclass(frozen=True)
class StudyConfig:
    """What to study.

    Attributes:
        num_images: faces of the calibrations that are measured on other sets.
        method: how a range is chosen; None for the one that agrees best with FP32 on the held-out
            faces when the whole pool calibrates.
        seed: of all draws of faces.
        balance: of the classes in the pools.
        pool: most faces to draw from.
        held_out: most faces of each set to answer.
        draws: of each size.
    """

    num_images: int = 512
    method: Method | None = None
    seed: int = 0
    balance: Balance = Balance.STRATIFIED
    pool: int = 1024
    held_out: int = 256
    draws: Draws = Draws()

    def pool_faces(self, index: FaceIndex, *, first: bool) -> int:
        """Faces of a set that calibrate: whole blocks, and a quarter of the set is left."""
        wanted = -(-self.num_images // BLOCK_FACES) * BLOCK_FACES
        most = max(self.pool, wanted) if first else wanted
        return min(most, len(index) - len(index) // 4) // BLOCK_FACES * BLOCK_FACES

    def held_out_faces(self, index: FaceIndex) -> int:
        """Faces of a set that answer, unless it has copies of one face."""
        return min(self.held_out, len(index) // 4)

    def num_steps(self, sets: Mapping[str, FaceIndex]) -> int:
        """What `progress` adds up to.

        Args:
            sets: as `study_calibration` gets them.
        """
        indices = list(sets.values())
        pools = [self.pool_faces(item, first=not place) for place, item in enumerate(indices)]
        answering = [self.held_out_faces(item) for item in indices]
        curve = len(sizes_of(pools[0])) * self.draws.answers * answering[0]
        cross = len(indices) * sum(answering) if len(indices) > 1 else 0
        choice = len(Method) * answering[0] if self.method is None else 0
        return sum(pools) + sum(answering) + choice + curve + cross


@dataclass(frozen=True)
class StudiedSet:
    """The faces of one data set.

    Attributes:
        label: its name in the study.
        pool: faces that calibrate.
        held_out: faces that answer.
    """

    label: str
    pool: FaceIndex
    held_out: FaceIndex


@dataclass(frozen=True)
class Study:
    """What came out.

    Attributes:
        config: of it.
        model_sha256: of the FP32 model.
        method: that chose every range.
        sets: the first is the one that the curve is about.
        curve: how many faces are needed.
        cells: every pair of sets; empty for one set alone.
    """

    config: StudyConfig
    model_sha256: str
    method: Method
    sets: tuple[StudiedSet, ...]
    curve: Curve
    cells: tuple[Cell, ...]


def study_calibration(
    bundle: Bundle,
    sets: Mapping[str, FaceIndex],
    config: StudyConfig,
    progress: Callable[[int], None] = lambda _: None,
) -> Study:
    """Study the calibration set of a model.

    Args:
        bundle: with the FP32 model.
        sets: training splits by label; the curve is about the first.
        config: what to do.
        progress: called with the number of faces done since the last call; see `num_steps`.

    Raises:
        UsageError: if a set has too few faces.
        DataError: if a set has a class that the model does not know, or none of one of its own.
        BundleError: if the bundle has no FP32 model.
        CalibrationError: if no usable ranges or models come out.
    """
    manifest = bundle.manifest
    path, fp32 = bundle.model(Precision.FP32)
    for label, index in sets.items():
        index.relabelled(manifest.labels)  # a class that the model does not know is refused
        _require_enough(label, index)
    drawn = tuple(
        _drawn(label, index, config, first=not place)
        for place, (label, index) in enumerate(sets.items())
    )
    model = onnx.load(path)
    spec = manifest.preprocess
    plan = plan_from_structure(model)
    studied = Studied(model, plan, config.method or Method.MAX)
    pools, held_out = {}, {}
    for item in drawn:
        blocks = dealt(item.pool, config.seed)
        counts = observe_blocks(model, studied.tensors, blocks, spec=spec, progress=progress)
        pools[item.label] = FaceBlocks(item.pool, counts)
        held_out[item.label] = HeldOut.of(item.held_out, studied, spec)
        progress(len(item.held_out))
    start = drawn[0].label
    if config.method is None:
        studied = _with_best_method(studied, pools[start], held_out[start], progress)
    curve = faces_curve(
        studied,
        pools[start],
        held_out[start],
        draws=config.draws,
        seed=config.seed,
        progress=progress,
    )
    cells: tuple[Cell, ...] = ()
    if len(drawn) > 1:
        wanted = -(-config.num_images // BLOCK_FACES)
        ranges = {
            label: studied.ranges(pool.merged(range(min(wanted, len(pool.blocks)))))
            for label, pool in pools.items()
        }
        cells = cross_matrix(studied, ranges, held_out, progress=progress)
    return Study(config, fp32.sha256, studied.method, drawn, curve, cells)


def _with_best_method(
    studied: Studied, pool: FaceBlocks, held_out: HeldOut, progress: Callable[[int], None]
) -> Studied:
    histograms = pool.merged(range(len(pool.blocks)))
    divergences = {}
    for method in Method:
        candidate = replace(studied, method=method)
        judged = held_out.judged(candidate.int8(candidate.ranges(histograms)))
        divergences[method] = judged.mean_kl
        progress(len(held_out.faces))
    return replace(studied, method=min(divergences, key=lambda method: divergences[method]))


def _require_enough(label: str, index: FaceIndex) -> None:
    if len(index) < LEAST_FACES:
        raise UsageError(
            f"got {len(index)} training faces of {label!r}, expected at least {LEAST_FACES} to "
            "draw from and to answer; study a larger set"
        )


def _drawn(label: str, index: FaceIndex, config: StudyConfig, *, first: bool) -> StudiedSet:
    pool = calibration_sample(
        index,
        num_images=config.pool_faces(index, first=first),
        seed=config.seed,
        balance=config.balance,
    )
    answering = held_out_sample(
        index, pool, num_images=config.held_out_faces(index), seed=config.seed
    )
    return StudiedSet(label, pool, answering)
