"""The build stage: a bundle in, an engine that answered the golden faces out, or nothing.

It needs what a device has: TensorRT, CUDA and NumPy. Not torch, onnx or Model Optimizer: what a
file holds is known from the manifest, and checked on the network and on the engine.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import replace
from pathlib import Path

from edge_arm.export.engine_acceptance import acceptance_limits, read_golden_faces
from edge_arm.export.engine_builder import BuildInput
from edge_arm.export.engine_config import BuildConfig
from edge_arm.export.engine_folder import EngineFolder, engine_folder_alone
from edge_arm.export.engine_machine import BuildMachine, build_machine
from edge_arm.export.engine_preflight import memory_need, require_memory, workspace_bytes
from edge_arm.export.engine_timing_cache import timing_cache_file, write_timings
from edge_arm.export.engine_trial import BuildTask, Trial, trial_of
from edge_arm.export.engine_variant import (
    CALIBRATION_CACHE,
    MAIN,
    VariantChoice,
    choose_variant,
)
from edge_arm.runtime.engine_record import EngineRecord, engine_folder, engine_stem
from edge_arm.runtime.errors import BackendError, EngineError
from edge_arm.runtime.manifest import Artifact, Bundle, Manifest, Precision

GOLDEN = "golden.npz"
_log = logging.getLogger(__name__)


def engine_from_bundle(bundle: Bundle, config: BuildConfig) -> EngineRecord:
    """Build an engine, compare it with the golden faces, and keep it beside the bundle.

    Args:
        bundle: with the model of the precision.
        config: what to build.

    Returns:
        The record of the engine, which is also in the folder. An older engine of the same kind for
        this device is replaced; it stays if nothing comes out.

    Raises:
        BackendUnavailableError: if TensorRT, CUDA or a GPU is not here.
        BundleError: if the bundle lacks a file or its bytes changed.
        EngineError: if TensorRT refuses, memory is short, another process builds, or no engine
            answers well enough; its message tells what to do.
        StorageError: if the result cannot be written.
    """
    with build_machine(config.cuda) as machine:
        path = engine_folder(bundle.path, machine.device.gpu, machine.device.tensorrt)
        task = _task(bundle, config, machine, folder=path)
        with engine_folder_alone(path) as folder:
            trials = _trials(task, folder, config.builds)
            accepted = [(trial, trial.path) for trial in trials if trial.path is not None]
            if not accepted:
                raise EngineError(_rejected(trials, config))
            best, plan_path = min(accepted, key=lambda pair: pair[0].latency_ms)
            # The first build went on from the file; the others timed everything anew.
            first = trials[0]
            write_timings(first.timings_path, first.timings)
            record = replace(
                best.record,
                timing_cache_sha256=hashlib.sha256(first.timings).hexdigest(),
                attempts=tuple({**trial.attempt, "kept": trial is best} for trial in trials),
            )
            folder.keep(plan_path, task.stem, record)
    return record


def plan_path_of(bundle: Bundle, record: EngineRecord) -> Path:
    """Where the plan of a record lies."""
    folder = engine_folder(bundle.path, record.device.gpu, record.device.tensorrt)
    return folder / f"{engine_stem(record.precision, record.dla_core)}.plan"


def _task(bundle: Bundle, config: BuildConfig, machine: BuildMachine, *, folder: Path) -> BuildTask:
    manifest = bundle.manifest
    choice = choose_variant(manifest, config, machine.tensorrt.capabilities)
    model = bundle.verified(choice.artifact.file).read_bytes()
    golden = read_golden_faces(bundle.verified(GOLDEN))
    workspace = workspace_bytes(config.workspace_bytes, machine.free)
    need = memory_need(
        len(model),
        image_size=manifest.preprocess.size,
        max_batch=config.profile.max,
        workspace=workspace,
    )
    memory = require_memory(need, machine.free)
    cache = bundle.verified(CALIBRATION_CACHE).read_bytes() if choice.calibration_cache else b""
    _log.info("%s from %s: %s", config.precision.value, choice.artifact.file, choice.reason)
    return BuildTask(
        machine=machine,
        source=BuildInput(
            precision=config.precision,
            choice=choice,
            model=model,
            calibration_cache=cache,
            batch=config.profile,
            workspace_bytes=workspace,
            builder_level=config.builder_level,
            float_nodes=_float_nodes(manifest),
        ),
        golden=golden,
        limits=acceptance_limits(
            golden, config.precision, _measured_by(manifest, config.precision, choice)
        ),
        timing=timing_cache_file(folder, config.timing_cache),
        memory=memory,
    )


def _trials(task: BuildTask, folder: EngineFolder, builds: int) -> list[Trial]:
    trials: list[Trial] = []
    for number in range(1, builds + 1):
        _log.info("build %d of %d; on a Jetson this takes minutes", number, builds)
        try:
            trials.append(trial_of(task, folder, number))
        except BackendError as error:
            if not any(trial.path for trial in trials):
                raise
            _log.warning("build %d failed, an earlier one is kept: %s", number, error)
            break
    return trials


def _float_nodes(manifest: Manifest) -> dict[str, str]:
    # What the export found to be beyond FP16's range: with weak typing a flag would lower it.
    return next(
        (
            artifact.float_nodes
            for artifact in manifest.artifacts
            if artifact.precision is Precision.FP16 and artifact.variant == MAIN
        ),
        {},
    )


def _measured_by(manifest: Manifest, precision: Precision, choice: VariantChoice) -> Artifact:
    # On a DLA it is not the file built from whose checks tell what the precision costs.
    if choice.artifact.precision is precision:
        return choice.artifact
    return next(
        (
            artifact
            for artifact in manifest.artifacts
            if artifact.precision is precision and artifact.variant == MAIN
        ),
        choice.artifact,
    )


def _rejected(trials: list[Trial], config: BuildConfig) -> str:
    reasons = "; ".join(
        f"build {number}: {', '.join(trial.complaints)}"
        for number, trial in enumerate(trials, start=1)
    )
    if config.dla_core is not None:
        advice = "leave --dla out to build for the GPU"
    else:
        advice = "build again with --rebuild 5, or with a higher --precision"
    return (
        f"no engine was accepted ({reasons}), expected the golden faces' logits; nothing was kept, "
        f"{advice}"
    )
