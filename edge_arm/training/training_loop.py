"""The epochs of a training, from wherever it stands to the weights of its best epoch."""

from __future__ import annotations

import logging
import math
import resource
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from edge_arm.model.fer_model import FerModel
from edge_arm.runtime.errors import UsageError
from edge_arm.runtime.preprocess import PreprocessSpec
from edge_arm.training.arithmetic import Arithmetic
from edge_arm.training.augmentation import Places, augmented
from edge_arm.training.decoded_faces import DecodedFaces
from edge_arm.training.epoch import EpochOrder, batches_of_epoch, evaluate, training_step
from edge_arm.training.interruption import Interruption, interruption
from edge_arm.training.observer import EpochMetrics, Observer, Plan
from edge_arm.training.resume_state import Best, Identity, Position, restore_state, save_state
from edge_arm.training.training_config import TrainingConfig

SAVE_EVERY_SECONDS = 120.0
"""A power cut costs at most this much of a training; Ctrl-C costs nothing."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Run:
    """Everything about a training that does not change while it runs.

    Attributes:
        config: the recipe.
        arithmetic: what computes.
        faces: to learn from.
        order: which of them are seen in an epoch, and in which order.
        validation: faces that choose the epoch.
        spec: the input.
    """

    config: TrainingConfig
    arithmetic: Arithmetic
    faces: DecodedFaces
    order: EpochOrder
    validation: DecodedFaces
    spec: PreprocessSpec

    def batches(self, epoch: int) -> list[npt.NDArray[np.int64]]:
        """Positions of the faces of each step of an epoch, counted from 0."""
        return batches_of_epoch(self.order(epoch), self.config.batch_size)


@dataclass(frozen=True)
class Trained:
    """The best epoch.

    Attributes:
        state: its weights and buffers.
        metrics: what is written down about it, JSON values by name.
    """

    state: dict[str, Tensor]
    metrics: dict[str, Any]


def trained(
    run: Run,
    model: FerModel,
    *,
    identity: Identity,
    state_path: Path,
    observers: Sequence[Observer],
) -> Trained:
    """Train a model to the end, from where an interrupted training left it if there is one.

    Args:
        run: what to do.
        model: as it was initialised; changed in place.
        identity: of the training, for its state on disk.
        state_path: of that state.
        observers: are told how it goes.

    Raises:
        UsageError: if the loss is no longer finite.
        CheckpointError: if the state of the interrupted training does not fit.
        StorageError: if the state cannot be written.
        KeyboardInterrupt: on Ctrl-C or SIGTERM, after the state was saved.
    """
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
    _begin(run, position, observers)
    last_saved = time.perf_counter()
    with interruption() as stop:
        while position.epoch < config.epochs:
            position = _epoch(run, model, optimizer, position, stop=stop, observers=observers)
            if position.batch == len(run.batches(position.epoch)):
                position, metrics = _validated(run, model, position)
                if metrics.is_best:
                    best_state = _copy_of_state(model)
                for observer in observers:
                    observer.on_epoch(metrics)
            due = time.perf_counter() - last_saved > SAVE_EVERY_SECONDS
            if stop.requested or (due and position.epoch < config.epochs):
                save_state(
                    state_path,
                    identity,
                    position,
                    model=model,
                    optimizer=optimizer,
                    best_state=best_state,
                )
                last_saved = time.perf_counter()
            if stop.requested:
                _log.warning(
                    "interrupted in epoch %d; the state is in %r, go on with --resume",
                    min(position.epoch + 1, config.epochs),
                    str(state_path),
                )
                raise KeyboardInterrupt
    return _final(run, model, position, best_state)


def _begin(run: Run, position: Position, observers: Sequence[Observer]) -> None:
    of_epoch = [len(batch) for batch in run.batches(position.epoch)]
    plan = Plan(
        epochs=run.config.epochs,
        faces_per_epoch=sum(of_epoch),
        epochs_done=position.epoch,
        faces_done=position.epoch * sum(of_epoch) + sum(of_epoch[: position.batch]),
    )
    for observer in observers:
        observer.on_begin(plan)


def _epoch(
    run: Run,
    model: FerModel,
    optimizer: torch.optim.Optimizer,
    position: Position,
    *,
    stop: Interruption,
    observers: Sequence[Observer],
) -> Position:
    """Work on an epoch until it is done, somebody asks to stop, or it is time to save."""
    config, device = run.config, run.arithmetic.device
    for group in optimizer.param_groups:
        group["lr"] = config.learning_rate_in(position.epoch)
    model.train()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    batches = run.batches(position.epoch)
    # Where each face stands in the epoch, whatever the batches are: its augmentation follows.
    places = batches_of_epoch(np.arange(sum(len(batch) for batch in batches)), config.batch_size)
    # Summed in float64 on the device, step by step, so that a pause in between changes nothing.
    loss_sum = torch.tensor(position.loss_sum, dtype=torch.float64, device=device)
    started, waited, done = time.perf_counter(), 0.0, position.batch
    for number in range(position.batch, len(batches)):
        asked = time.perf_counter()
        images, targets = run.faces.batch(batches[number], device)
        waited += time.perf_counter() - asked
        x = augmented(images, run.spec, Places(config.seed, position.epoch, places[number]))
        loss_sum += training_step(model, optimizer, x, targets, arithmetic=run.arithmetic)
        done = number + 1
        for observer in observers:
            observer.on_step(len(batches[number]))
        if stop.requested or time.perf_counter() - started > SAVE_EVERY_SECONDS:
            break
    loss = float(loss_sum)  # waits for a GPU, so the clock is read after it
    return replace(
        position,
        batch=done,
        loss_sum=loss,
        seconds=position.seconds + time.perf_counter() - started,
        waited_seconds=position.waited_seconds + waited,
    )


def _validated(run: Run, model: FerModel, position: Position) -> tuple[Position, EpochMetrics]:
    """End an epoch: measure it, and say whether it is the best one so far."""
    faces = sum(len(batch) for batch in run.batches(position.epoch))
    train_loss = position.loss_sum / faces
    if not math.isfinite(train_loss):
        raise UsageError(
            f"the loss of epoch {position.epoch + 1} is {train_loss}, expected a finite number; "
            "train again with a lower --lr"
        )
    started = time.perf_counter()
    result = evaluate(model, run.validation, run.spec, run.arithmetic)
    improved = position.best is None or position.best.is_worse_than(result.accuracy, result.loss)
    best = Best(position.epoch, result.accuracy, result.loss) if improved else position.best
    metrics = EpochMetrics(
        epoch=position.epoch + 1,
        epochs=run.config.epochs,
        faces=faces,
        train_loss=train_loss,
        validation_loss=result.loss,
        validation_accuracy=result.accuracy,
        is_best=improved,
        learning_rate=run.config.learning_rate_in(position.epoch),
        seconds=position.seconds,
        waited_seconds=position.waited_seconds,
        validation_seconds=time.perf_counter() - started,
        peak_memory_bytes=_peak_memory_bytes(run.arithmetic.device),
    )
    _log.info(
        "epoch %d/%d: training loss %.4f, validation loss %.4f, validation accuracy %.4f%s; "
        "%.1f s, %.0f images/s, %.0f MB",
        metrics.epoch,
        metrics.epochs,
        metrics.train_loss,
        metrics.validation_loss,
        metrics.validation_accuracy,
        " (best)" if improved else "",
        metrics.seconds,
        metrics.images_per_second,
        metrics.peak_memory_bytes / 1e6,
    )
    return Position(epoch=position.epoch + 1, best=best), metrics


def _peak_memory_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts KiB


def _final(run: Run, model: FerModel, position: Position, best_state: dict[str, Tensor]) -> Trained:
    assert position.best is not None, "at least one epoch is validated"
    model.load_state_dict(best_state)
    # The epoch was chosen in the training's arithmetic; what is written down is float32's, which
    # is what the exported model computes.
    exact = evaluate(model, run.validation, run.spec, replace(run.arithmetic, mixed=False))
    return Trained(
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
            "sampler": run.config.sampler.value,
            "seed": run.config.seed,
        },
    )


def _copy_of_state(model: FerModel) -> dict[str, Tensor]:
    return {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}
