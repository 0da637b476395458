"""From labelled faces to a checkpoint: the best epoch by the validation faces.

The test split is never seen here. A training can be interrupted at any time and goes on to the
same weights, bit for bit on the same CPU with the same number of threads.
"""

from __future__ import annotations

import logging
import math
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from edge_arm import __version__
from edge_arm.model.checkpoint import Checkpoint, save_checkpoint
from edge_arm.model.config import ModelConfig
from edge_arm.model.fer_model import FerModel, seeded_model
from edge_arm.runtime.errors import UsageError
from edge_arm.runtime.faces import FaceIndex
from edge_arm.runtime.preprocess import PreprocessSpec
from edge_arm.training.arithmetic import Arithmetic, arithmetic_for
from edge_arm.training.augmentation import BatchSeed, augmented
from edge_arm.training.decoded_faces import DecodedFaces, decoded_faces
from edge_arm.training.epoch import batches_of_epoch, evaluate, training_step
from edge_arm.training.initial_weights import load_initial_weights
from edge_arm.training.interruption import Interruption, interruption
from edge_arm.training.preconditions import output_folder, require_usable_faces
from edge_arm.training.resume_state import (
    Best,
    Identity,
    Position,
    restore_state,
    resume_path,
    save_state,
)
from edge_arm.training.training_config import TrainingConfig

SAVE_EVERY_SECONDS = 120.0
"""A power cut costs at most this much of a training; Ctrl-C costs nothing."""
_NAMES_SHOWN = 8

Progress = Callable[[int], None]
_log = logging.getLogger(__name__)


def train(
    train_index: FaceIndex,
    validation_index: FaceIndex,
    config: TrainingConfig,
    out_path: Path,
    progress: Progress | None = None,
    decoding_progress: Progress | None = None,
) -> Checkpoint:
    """Train a model and write its best epoch.

    Args:
        train_index: faces to learn from.
        validation_index: faces that choose the epoch; none of them in `train_index`.
        config: the recipe.
        out_path: of the checkpoint (.safetensors). Written at the end; until then the state of
            the training lies beside it.
        progress: called with the number of training faces done; their total is
            `config.epochs * len(train_index)`, what a resumed training has done included.
        decoding_progress: called with the number of faces decoded; the total is both indices'.

    Returns:
        The checkpoint as written.

    Raises:
        UsageError: if the options contradict each other or an interrupted training.
        DataError: if the faces cannot train a model.
        CheckpointError: if the initial weights or the state of the interrupted training do not fit.
        StorageError: if the checkpoint cannot be written, before the training starts.
        KeyboardInterrupt: on Ctrl-C or SIGTERM, after the state was saved.
    """
    model_config = ModelConfig(len(train_index.labels), config.image_size, config.head)
    arithmetic = arithmetic_for(config.device)
    require_usable_faces(train_index, validation_index)
    state_path = resume_path(out_path)
    if state_path.exists() and not config.resume:
        raise UsageError(
            f"{str(state_path)!r} holds an interrupted training, expected none when starting a new "
            "one; add --resume to go on with it, or remove the file"
        )
    model = seeded_model(model_config, config.seed)
    init_sha256 = _initialised(model, config)
    spec = PreprocessSpec(size=config.image_size)
    with (
        output_folder(out_path),
        decoded_faces(train_index, spec, out_path.parent, progress=decoding_progress) as faces,
        decoded_faces(
            validation_index, spec, out_path.parent, progress=decoding_progress
        ) as validation,
    ):
        run = _Run(config, model_config, arithmetic, faces, validation, spec)
        data = _data_record(train_index, validation_index, run)
        identity = _identity(config, data, init_sha256)
        trained = _trained(run, model, identity, state_path, progress)
    labels = train_index.labels
    versions = {
        "edge-arm": __version__,
        "torch": str(torch.__version__),
        "numpy": version("numpy"),
        "python": platform.python_version(),
    }
    metrics = {**trained.metrics, "arithmetic": arithmetic.name, "init_sha256": init_sha256}
    checkpoint = Checkpoint(
        model_config, labels, spec, metrics, data, versions, state=trained.state
    )
    saved = save_checkpoint(out_path, checkpoint)
    state_path.unlink(missing_ok=True)
    return saved


@dataclass(frozen=True)
class _Run:
    """Everything about a training that does not change while it runs."""

    config: TrainingConfig
    model_config: ModelConfig
    arithmetic: Arithmetic
    faces: DecodedFaces
    validation: DecodedFaces
    spec: PreprocessSpec


@dataclass(frozen=True)
class _Trained:
    state: dict[str, Tensor]
    metrics: dict[str, Any]


def _trained(
    run: _Run, model: FerModel, identity: Identity, state_path: Path, progress: Progress | None
) -> _Trained:
    config, device = run.config, run.arithmetic.device
    model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    # Fused: the loop over 62 tensors costs 5 per cent of a step on a small CPU.
    optimizer = torch.optim.Adam(
        model.parameters(), config.learning_rate, weight_decay=config.weight_decay, fused=True
    )
    position, best_state = Position(), dict[str, Tensor]()
    if state_path.exists():
        position, best_state = restore_state(state_path, identity, model=model, optimizer=optimizer)
        _log.info(
            "going on in epoch %d of %d, after step %d",
            position.epoch + 1,
            config.epochs,
            position.batch,
        )
    elif config.resume:
        _log.info("no interrupted training at %r, starting from the beginning", str(state_path))
    _log.info("training on %s", run.arithmetic.name)
    last_saved = time.perf_counter()

    def save(now: Position) -> None:
        save_state(
            state_path, identity, now, model=model, optimizer=optimizer, best_state=best_state
        )

    with interruption() as stop:
        if progress is not None and (position.epoch or position.batch):
            progress(_faces_done(run, position))
        while position.epoch < config.epochs:
            position = _epoch(run, model, optimizer, position, stop=stop, progress=progress)
            steps = len(_batches(run, position.epoch))
            if position.batch == steps:
                position, improved = _validated(run, model, position)
                if improved:
                    best_state = _copy_of_state(model)
            due = time.perf_counter() - last_saved > SAVE_EVERY_SECONDS
            if stop.requested or (due and position.epoch < config.epochs):
                save(position)
                last_saved = time.perf_counter()
            if stop.requested:
                _log.warning(
                    "interrupted in epoch %d; the state is in %r, go on with --resume",
                    min(position.epoch + 1, config.epochs),
                    str(state_path),
                )
                raise KeyboardInterrupt
    return _final(run, model, position, best_state)


def _epoch(
    run: _Run,
    model: FerModel,
    optimizer: torch.optim.Optimizer,
    position: Position,
    *,
    stop: Interruption,
    progress: Progress | None,
) -> Position:
    """Work on an epoch until it is done, somebody asks to stop, or it is time to save."""
    config = run.config
    for group in optimizer.param_groups:
        group["lr"] = config.learning_rate_in(position.epoch)
    model.train()
    batches = _batches(run, position.epoch)
    # Summed in float64 on the device, step by step, so that a pause in between changes nothing.
    loss_sum = torch.tensor(position.loss_sum, dtype=torch.float64, device=run.arithmetic.device)
    started = time.perf_counter()
    done = position.batch
    for number in range(position.batch, len(batches)):
        images, targets = run.faces.batch(batches[number], run.arithmetic.device)
        x = augmented(images, run.spec, BatchSeed(config.seed, position.epoch, number))
        loss_sum += training_step(model, optimizer, x, targets, arithmetic=run.arithmetic)
        done = number + 1
        if progress is not None:
            progress(len(batches[number]))
        if stop.requested or time.perf_counter() - started > SAVE_EVERY_SECONDS:
            break
    return replace(position, batch=done, loss_sum=float(loss_sum))


def _validated(run: _Run, model: FerModel, position: Position) -> tuple[Position, bool]:
    """End an epoch: measure it, and say whether it is the best one so far."""
    train_loss = position.loss_sum / len(run.faces)
    if not math.isfinite(train_loss):
        raise UsageError(
            f"the loss of epoch {position.epoch + 1} is {train_loss}, expected a finite number; "
            "train again with a lower --lr"
        )
    result = evaluate(model, run.validation, run.spec, run.arithmetic)
    improved = position.best is None or position.best.is_worse_than(result.accuracy, result.loss)
    best = Best(position.epoch, result.accuracy, result.loss) if improved else position.best
    _log.info(
        "epoch %d/%d: training loss %.4f, validation loss %.4f, validation accuracy %.4f%s",
        position.epoch + 1,
        run.config.epochs,
        train_loss,
        result.loss,
        result.accuracy,
        " (best)" if improved else "",
    )
    return Position(epoch=position.epoch + 1, best=best), improved


def _final(
    run: _Run, model: FerModel, position: Position, best_state: dict[str, Tensor]
) -> _Trained:
    assert position.best is not None, "at least one epoch is validated"
    model.load_state_dict(best_state)
    # The epoch was chosen in the training's arithmetic; what is written down is float32's, which
    # is what the exported model computes.
    exact = evaluate(model, run.validation, run.spec, replace(run.arithmetic, mixed=False))
    return _Trained(
        best_state,
        {
            "validation_accuracy": exact.accuracy,
            "validation_loss": exact.loss,
            "epoch": position.best.epoch + 1,
            "epochs": position.epoch,
            "batch_size": run.config.batch_size,
            "learning_rate": run.config.learning_rate,
            "learning_rate_decay": run.config.learning_rate_decay,
            "weight_decay": run.config.weight_decay,
            "seed": run.config.seed,
        },
    )


def _batches(run: _Run, epoch: int) -> list[Any]:
    return batches_of_epoch(len(run.faces), run.config.batch_size, run.config.seed, epoch)


def _faces_done(run: _Run, position: Position) -> int:
    begun = _batches(run, position.epoch)[: position.batch]
    return position.epoch * len(run.faces) + sum(len(batch) for batch in begun)


def _copy_of_state(model: FerModel) -> dict[str, Tensor]:
    return {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}


def _initialised(model: FerModel, config: TrainingConfig) -> str | None:
    if config.init is None:
        return None
    loaded = load_initial_weights(model, config.init)
    names = ", ".join(loaded.not_taken[:_NAMES_SHOWN])
    more = len(loaded.not_taken) - _NAMES_SHOWN
    _log.info(
        "%d tensors from %r; not taken: %s%s",
        loaded.taken,
        str(config.init),
        names or "none",
        f" and {more} more" if more > 0 else "",
    )
    return loaded.sha256


def _data_record(train_index: FaceIndex, validation_index: FaceIndex, run: _Run) -> dict[str, Any]:
    return {
        "name": train_index.name,
        "train_faces": len(train_index),
        "validation_faces": len(validation_index),
        "train_sha256": train_index.sha256,
        "validation_sha256": validation_index.sha256,
        "train_pixels_sha256": run.faces.pixels_sha256,
        "validation_pixels_sha256": run.validation.pixels_sha256,
    }


def _identity(config: TrainingConfig, data: dict[str, Any], init_sha256: str | None) -> Identity:
    # Not the number of epochs: the learning rate does not depend on it, so an interrupted
    # training may be ended earlier or later than planned.
    return Identity(
        {
            "batch_size": config.batch_size,
            "image_size": config.image_size,
            "head": config.head.value,
            "learning_rate": config.learning_rate,
            "learning_rate_decay": config.learning_rate_decay,
            "weight_decay": config.weight_decay,
            "seed": config.seed,
            "init_sha256": init_sha256,
            "train_pixels_sha256": data["train_pixels_sha256"],
            "validation_pixels_sha256": data["validation_pixels_sha256"],
        }
    )
