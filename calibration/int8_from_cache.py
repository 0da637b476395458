"""The stage for who has calibrated with TensorRT already: bundle and cache in, INT8 models out.

The ranges are the cache's, the placement is ours. Where labelled faces are given, the result is
measured beside a calibration of our own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx

from edge_arm.calibration.bundle_update import (
    Int8Update,
    add_to_bundle,
    staging_folder,
    tool_versions,
)
from edge_arm.calibration.calibrated_model import CalibratedModel, CalibrationFaces, calibrate_on
from edge_arm.calibration.comparison import (
    HELD_OUT_FACES,
    Comparison,
    compare_models,
    num_held_out,
)
from edge_arm.calibration.half_range import float_tensors
from edge_arm.calibration.implicit import implicit_ranges_from
from edge_arm.calibration.int8_from_bundle import (
    GOLDEN_NAME,
    CalibrationConfig,
    faces_used,
    recipe_for,
)
from edge_arm.calibration.int8_models import CPU_NAME, INT8_NAME, difference, int8_models
from edge_arm.calibration.observe import observe
from edge_arm.calibration.pass_state import pass_state
from edge_arm.calibration.placement import QuantPlan
from edge_arm.calibration.placement_rules import plan_from_structure
from edge_arm.calibration.sample import calibration_sample, held_out_sample
from edge_arm.calibration.table import CALIBRATION_NAME, CacheTable, write_table
from edge_arm.calibration.tensorrt_cache import CACHE_NAME, TensorRTCache, cache_text, read_cache
from edge_arm.calibration.typed_reference import TypedReference
from edge_arm.runtime.batches import FaceBatch
from edge_arm.runtime.faces import FaceIndex
from edge_arm.runtime.manifest import Bundle, Precision
from edge_arm.runtime.onnxruntime_backend import OnnxRuntimeBackend
from edge_arm.runtime.preprocess import Uint8Array

FROM_CACHE = "INT8 from the cache"
FROM_CACHE_TYPED = "INT8 from the cache, typed"
FROM_CACHE_CPU = "INT8 from the cache, for CPUs"
OURS = "INT8 calibrated here"
_OURS_NAME = "ours.int8.onnx"
_NUM_MODELS = 5


@dataclass(frozen=True)
class LabelledFaces:
    """What a cache is measured with.

    Attributes:
        train_index: the training split.
        config: of our own calibration, which the cache is compared with.
    """

    train_index: FaceIndex
    config: CalibrationConfig

    @property
    def num_steps(self) -> int:
        """What `progress` adds up to: our calibration, and five models on the held-out faces."""
        images = self.config.num_images
        calibration = self.config.used_recipe.num_steps(images)
        return calibration + _NUM_MODELS * num_held_out(len(self.train_index), images)


@dataclass(frozen=True)
class FromCache:
    """What was made of a cache.

    Attributes:
        bundle: as it is now.
        cache: that was read.
        unknown: names in it that are no tensors of the FP32 model.
        not_implicit: tensors that implicit INT8 needs and the cache lacks: FP16 on a DLA.
        comparison: with our own calibration; None without labelled faces.
    """

    bundle: Bundle
    cache: TensorRTCache
    unknown: tuple[str, ...]
    not_implicit: tuple[str, ...]
    comparison: Comparison | None


def int8_from_cache(
    bundle: Bundle,
    cache_path: Path,
    labelled: LabelledFaces | None = None,
    progress: Callable[[int], None] | None = None,
) -> FromCache:
    """Add INT8 models with the ranges of a TensorRT calibration cache to a bundle.

    Nothing in the bundle is touched before the new files are complete and checked.

    Args:
        bundle: with an FP32 model, the one that the cache was made with.
        cache_path: of the cache.
        labelled: to measure with; without it nothing is said about accuracy.
        progress: called with the number of faces done since the last call.

    Raises:
        UsageError, DataError: for faces that cannot calibrate this model.
        BundleError: if the bundle has no FP32 model or its bytes changed.
        CalibrationError: if the cache does not fit, or no usable graph comes out.
        StorageError: if the result cannot be written.
    """
    cache = read_cache(cache_path)
    manifest = bundle.manifest
    model_path, fp32 = bundle.model(Precision.FP32)
    golden = np.load(bundle.verified(GOLDEN_NAME), allow_pickle=False)
    model = onnx.load(model_path)
    plan = plan_from_structure(model)
    source = plan.ranges_from(model)
    ranges = cache.amax(source.values())
    amax = {tensor: ranges[origin] for tensor, origin in source.items()}

    ours = None if labelled is None else _calibrated_here(bundle, model, plan, labelled, progress)
    absmax = _absmax(model, golden["images"]) if ours is None else ours.calibration.absmax
    widest = {name: max(value, amax.get(name, 0.0)) for name, value in absmax.items()}
    implicit, lacking = _implicit_amax(model, plan, cache, amax)
    models = int8_models(
        model, plan, amax, implicit_amax=implicit, absmax=widest, manifest=manifest
    )
    with staging_folder(bundle.path) as staging:
        models.save(staging)
        (staging / CACHE_NAME).write_text(cache_text(implicit), encoding="utf-8")
        typed = TypedReference(models.typed.model)
        with (
            OnnxRuntimeBackend(staging / INT8_NAME) as int8,
            OnnxRuntimeBackend(staging / CPU_NAME) as cpu,
        ):
            answering = {
                FROM_CACHE: int8.infer,
                FROM_CACHE_TYPED: typed.infer,
                FROM_CACHE_CPU: cpu.infer,
            }
            on_golden = [infer(golden["images"]) for infer in answering.values()]
            main_checks, typed_checks, cpu_checks = (
                difference("golden", golden["logits"], logits) for logits in on_golden
            )
            cpu_checks |= difference("int8_main", on_golden[0], on_golden[2])
            comparison = None
            if ours is not None:
                onnx.save(ours.calibration.graph(plan), staging / _OURS_NAME)
                with (
                    OnnxRuntimeBackend(model_path) as reference,
                    OnnxRuntimeBackend(staging / _OURS_NAME) as own,
                ):
                    comparison = compare_models(
                        reference.infer,
                        {**answering, OURS: own.infer},
                        faces=ours.held_out,
                        spec=manifest.preprocess,
                        progress=progress,
                    )
        known = _tensor_names(model)
        unknown = tuple(name for name in cache.scales if name not in known)
        table = CacheTable(
            cache=cache,
            unknown=len(unknown),
            amax=amax,
            model_sha256=fp32.sha256,
            comparison=None if comparison is None else comparison.to_json(),
            tool_versions=tool_versions(),
        )
        write_table(staging / CALIBRATION_NAME, table)
        artifacts = models.artifacts(
            staging, main_checks=main_checks, typed_checks=typed_checks, cpu_checks=cpu_checks
        )
        after = add_to_bundle(bundle, staging, Int8Update(artifacts, table.provenance()))
    return FromCache(after, cache, unknown, lacking, comparison)


@dataclass(frozen=True, eq=False)
class _Ours:
    calibration: CalibratedModel
    held_out: FaceIndex


def _calibrated_here(
    bundle: Bundle,
    model: onnx.ModelProto,
    plan: QuantPlan,
    labelled: LabelledFaces,
    progress: Callable[[int], None] | None,
) -> _Ours:
    config = labelled.config
    population = labelled.train_index.relabelled(bundle.manifest.labels)
    faces = calibration_sample(
        population, num_images=config.num_images, seed=config.seed, balance=config.balance
    )
    # Before the work, which would be in vain with no face left.
    recipe, choosing = recipe_for(population, faces, config)
    used = faces_used(population, faces, choosing)
    left = held_out_sample(population, used, num_images=HELD_OUT_FACES, seed=config.seed)
    with pass_state(bundle.path) as state_path:
        calibration = calibrate_on(
            model,
            plan,
            CalibrationFaces(faces, choosing, bundle.manifest.preprocess),
            recipe=recipe,
            state_path=state_path,
            progress=progress,
        )
    return _Ours(calibration, left)


def _absmax(model: onnx.ModelProto, golden_nhwc: Uint8Array) -> dict[str, float]:
    # The bundle's own drawn faces tell where FP16 would overflow when no others are given.
    faces = FaceBatch(0, golden_nhwc, ())
    return observe(model, (), [faces], extremes=float_tensors(model)).absmax


def _tensor_names(model: onnx.ModelProto) -> frozenset[str]:
    graph = model.graph
    stored = (item.name for item in (*graph.input, *graph.initializer))
    return frozenset((*stored, *(name for node in graph.node for name in node.output)))


def _implicit_amax(
    model: onnx.ModelProto, plan: QuantPlan, cache: TensorRTCache, amax: dict[str, float]
) -> tuple[dict[str, float], tuple[str, ...]]:
    source = implicit_ranges_from(model, plan)
    have = {
        tensor: amax[origin] if origin in amax else cache.amax([origin])[origin]
        for tensor, origin in source.items()
        if origin in amax or origin in cache.scales
    }
    return have, tuple(tensor for tensor in source if tensor not in have)
