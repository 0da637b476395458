"""The calibration stage: a bundle and training faces in, the same bundle with INT8 models out.

Shapes: N faces, C classes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import onnx

from edge_arm.calibration.bundle_update import (
    Int8Update,
    add_to_bundle,
    staging_folder,
    tool_versions,
)
from edge_arm.calibration.calibrated_model import (
    CalibratedModel,
    CalibrationFaces,
    Recipe,
    calibrate_on,
)
from edge_arm.calibration.copies import require_untested
from edge_arm.calibration.int8_models import CPU_NAME, INT8_NAME, difference, int8_models
from edge_arm.calibration.pass_state import pass_state
from edge_arm.calibration.placement_rules import plan_from_structure
from edge_arm.calibration.prepared_model import Rounding
from edge_arm.calibration.range_choice import CHOICE_FACES
from edge_arm.calibration.ranges import Method
from edge_arm.calibration.sample import Balance, calibration_sample, held_out_sample
from edge_arm.calibration.search.hook import ChoosePlan
from edge_arm.calibration.search.subject import Subject
from edge_arm.calibration.table import CALIBRATION_NAME, CalibrationTable, write_table
from edge_arm.calibration.tensorrt_cache import CACHE_NAME, cache_text
from edge_arm.calibration.trained_amax import trained_amax, trained_implicit_amax
from edge_arm.calibration.typed_reference import TypedReference
from edge_arm.runtime.backend import Float32Array
from edge_arm.runtime.batches import face_batches
from edge_arm.runtime.errors import UsageError
from edge_arm.runtime.faces import FaceIndex
from edge_arm.runtime.fingerprints import fingerprints_of
from edge_arm.runtime.manifest import Bundle, Manifest, Precision
from edge_arm.runtime.onnxruntime_backend import OnnxRuntimeBackend
from edge_arm.runtime.preprocess import Uint8Array
from edge_arm.runtime.trained_ranges import TrainedRanges

GOLDEN_NAME = "golden.npz"
BATCH_SIZE = 8
"""Faces decoded ahead at a time; it changes no result."""

TYPED_FACES = 64
"""Calibration faces that the typed model answers too. It differs from the other INT8 model by FP16
roundings alone, so these show what all would, and it is the slowest of all on a CPU."""

_CHOICE_SEED = 1

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CalibrationConfig:
    """How to calibrate.

    Attributes:
        num_images: calibration faces, drawn from the training split.
        recipe: how the model is quantized.
        seed: of the draw.
        balance: of the classes in the draw.
        trained: ranges that came with the weights (train --qat), in the place of the recipe's.
            Such weights were trained to be rounded to nearest as they are, so that the recipe's
            equalization and rounding are left out.
    """

    num_images: int = 512
    recipe: Recipe = Recipe()
    seed: int = 0
    balance: Balance = Balance.STRATIFIED
    trained: TrainedRanges | None = None

    def __post_init__(self) -> None:
        if self.num_images < 1:
            raise UsageError(
                f"got --images {self.num_images}, expected at least one per class; ask for 512"
            )
        if self.seed < 0:
            raise UsageError(f"got --seed {self.seed}, expected 0 or more; choose another")

    @property
    def num_steps(self) -> int:
        """What `progress` adds up to at most: the recipe, then the finished models on the faces."""
        models = 2 * self.num_images + min(self.num_images, TYPED_FACES)
        return self.used_recipe.num_steps(self.num_images) + models

    @property
    def used_recipe(self) -> Recipe:
        """The recipe, or what is left of it for a trained model."""
        if self.trained is None:
            return self.recipe
        method = self.recipe.method or Method.ENTROPY  # of implicit INT8, for a DLA
        return Recipe(method=method, rounding=Rounding.NEAREST, equalize=False)


def int8_from_bundle(
    bundle: Bundle,
    train_index: FaceIndex,
    config: CalibrationConfig,
    progress: Callable[[int], None] | None = None,
    *,
    test_index: FaceIndex | None = None,
    choose_plan: ChoosePlan | None = None,
) -> Bundle:
    """Calibrate the FP32 model of a bundle and add the INT8 models to it.

    Nothing in the bundle is touched before the new files are complete and checked.

    Args:
        bundle: with an FP32 model.
        train_index: the training split, in any label order that the model knows.
        config: how.
        progress: called with the number of faces done since the last call; see `num_steps`.
        test_index: faces that none of the calibration faces may be among, if they are known here.
        choose_plan: says which layers stay in float, see `PlanSearch`; None for none.

    Returns:
        The bundle as it is now: with the INT8 models, `calibration.json` and
        `calibration.cache`. Any INT8 model it had before is replaced.

    Raises:
        UsageError, DataError: for faces that cannot calibrate this model.
        BundleError: if the bundle has no FP32 model or its bytes changed.
        CalibrationError: if no usable ranges or no usable graph come out.
        StorageError: if the result cannot be written.
    """
    manifest = bundle.manifest
    model_path, fp32 = bundle.model(Precision.FP32)
    golden_path = bundle.verified(GOLDEN_NAME)
    population = train_index.relabelled(manifest.labels)
    faces = calibration_sample(
        population, num_images=config.num_images, seed=config.seed, balance=config.balance
    )
    if test_index is not None:
        require_untested(faces, test_index)

    model = onnx.load(model_path)
    plan = plan_from_structure(model)
    recipe, choosing = recipe_for(population, faces, config)
    with pass_state(bundle.path) as state_path:
        found = calibrate_on(
            model,
            plan,
            CalibrationFaces(faces, choosing, manifest.preprocess),
            recipe=recipe,
            state_path=state_path,
            progress=progress,
        )
    if config.trained is not None:
        outputs = trained_implicit_amax(model, plan, found.implicit_amax, config.trained)
        found = replace(
            found,
            amax=trained_amax(model, plan, config.trained),
            output_amax=outputs,
            implicit_amax=outputs,
        )
    if choose_plan is not None:
        subject = Subject(found.prepared.float32, plan, found.graph)
        plan = choose_plan(subject, faces_used(population, faces, choosing))
    models = int8_models(
        found.prepared.for_plan(plan),
        plan,
        found.amax,
        implicit_amax=found.output_amax,
        absmax=found.seen.absmax,
        manifest=manifest,
    )
    table = CalibrationTable(
        method=found.method,
        rounding=found.rounding,
        factors=found.prepared.factors,
        choice=found.choice,
        amax=found.amax,
        model_sha256=fp32.sha256,
        faces=faces,
        face_sha256s=found.seen.sha256s,
        looks=fingerprints_of(faces, manifest.preprocess).hashes,
        population=len(population),
        population_sha256=population.sha256,
        seed=config.seed,
        balance=config.balance,
        tool_versions=tool_versions(),
        trained=config.trained,
    )
    with staging_folder(bundle.path) as staging:
        models.save(staging)
        write_table(staging / CALIBRATION_NAME, table)
        (staging / CACHE_NAME).write_text(cache_text(found.implicit_amax), encoding="utf-8")
        golden = np.load(golden_path, allow_pickle=False)
        typed = TypedReference(models.typed.model)
        with OnnxRuntimeBackend(staging / INT8_NAME) as int8:
            main_checks = difference("golden", golden["logits"], int8.infer(golden["images"]))
            answers = _answers(int8.infer, faces, manifest, progress)
        with OnnxRuntimeBackend(staging / CPU_NAME) as cpu:
            cpu_checks = difference("golden", golden["logits"], cpu.infer(golden["images"]))
            unsigned = _answers(cpu.infer, faces, manifest, progress)
        main_checks |= difference("calibration", found.seen.logits, answers)
        cpu_checks |= difference("calibration", found.seen.logits, unsigned)
        cpu_checks |= difference("int8_main", answers, unsigned)
        typed_checks = {
            **difference("golden", golden["logits"], typed.infer(golden["images"])),
            **_typed_checks(typed, found, answers, manifest, progress),
        }
        _log.info(
            "INT8 agrees with FP32 on %.2f %% of the calibration faces",
            100 * main_checks["calibration_agreement"],
        )
        artifacts = models.artifacts(
            staging, main_checks=main_checks, typed_checks=typed_checks, cpu_checks=cpu_checks
        )
        return add_to_bundle(bundle, staging, Int8Update(artifacts, table.provenance()))


def recipe_for(
    population: FaceIndex, calibration: FaceIndex, config: CalibrationConfig
) -> tuple[Recipe, FaceIndex | None]:
    """The recipe, and the training faces that choose the method where it does not name one.

    Where all training faces calibrate, none is left to choose by. Then nothing is tried that
    could make it worse unseen: entropy, channels as they are, weights to nearest; the log says so.

    Args:
        population: the training split.
        calibration: faces of it that calibrate.
        config: of the calibration.
    """
    recipe = config.used_recipe
    if recipe.method is not None:
        return recipe, None
    try:
        # Another seed: others than a search of layers draws first.
        return recipe, held_out_sample(
            population, calibration, num_images=CHOICE_FACES, seed=config.seed + _CHOICE_SEED
        )
    except UsageError:
        _log.warning(
            "all %d training faces calibrate and none is left to choose the method by: entropy, "
            "channels as they are, weights to nearest; ask for fewer --images to have it chosen",
            len(population),
        )
        return Recipe(Method.ENTROPY, Rounding.NEAREST, equalize=False), None


def faces_used(
    population: FaceIndex, calibration: FaceIndex, choosing: FaceIndex | None
) -> FaceIndex:
    """The training faces that a calibration has looked at, and so nothing can be proven on.

    Args:
        population: the training split.
        calibration: faces of it that calibrate.
        choosing: faces of it that choose the method, if any.
    """
    used = {sample.sample_id for sample in calibration.samples}
    if choosing is not None:
        used |= {sample.sample_id for sample in choosing.samples}
    return population.subset(
        [at for at, sample in enumerate(population.samples) if sample.sample_id in used]
    )


def _answers(
    infer: Callable[[Uint8Array], Float32Array],
    faces: FaceIndex,
    manifest: Manifest,
    progress: Callable[[int], None] | None,
) -> Float32Array:
    answers = []
    for batch in face_batches(faces, manifest.preprocess, BATCH_SIZE):
        answers.append(infer(batch.images_nhwc))
        if progress is not None:
            progress(len(batch.images_nhwc))
    return np.concatenate(answers)


def _typed_checks(
    typed: TypedReference,
    found: CalibratedModel,
    int8: Float32Array,
    manifest: Manifest,
    progress: Callable[[int], None] | None,
) -> dict[str, float]:
    # Spread over the sample, which is sorted by name and often by class.
    total = len(found.faces)
    chosen = np.linspace(0, total - 1, min(total, TYPED_FACES)).round().astype(np.int64)
    answers = _answers(typed.infer, found.faces.subset(chosen), manifest, progress)
    return {
        **difference("calibration", found.seen.logits[chosen], answers),
        **difference("int8_main", int8[chosen], answers),
        "calibration_faces": float(len(chosen)),
    }
