"""The epochs of a training, from wherever it stands to the weights of its best epoch."""

from __future__ import annotations

import logging
import math
import resource
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from edge_arm.model.fer_model import FerModel
from edge_arm.runtime.errors import UsageError
from edge_arm.runtime.preprocess import PreprocessSpec
from edge_arm.training.augmentation import Places, augmented
from edge_arm.training.epoch import EpochOrder, batches_of_epoch, evaluate
from edge_arm.training.feed import Feed, Positions
from edge_arm.training.interruption import Interruption, interruption
from edge_arm.training.learner import Learner, restored
from edge_arm.training.observer import EpochMetrics, Observer, Plan
from edge_arm.training.resume_state import Best, Identity, Position, save_state
from edge_arm.training.training_config import TrainingConfig

SAVE_EVERY_SECONDS = 120.0
"""A power cut costs at most this much of a training; Ctrl-C costs nothing."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Run:
    """Everything about a training that does not change while it runs.

    Attributes:
        config: the recipe.
        faces: to learn from.
        order: which of them are seen in an epoch, and in which order.
        validation: faces that choose the epoch.
        spec: the input.
        observers: are told how it goes, by the first process alone.
    """

    config: TrainingConfig
    faces: Feed
    order: EpochOrder
    validation: Feed
    spec: PreprocessSpec
    observers: Sequence[Observer] = ()

    def batches(self, epoch: int) -> list[Positions]:
        """Positions of the faces of each step of an epoch, counted from 0, of all processes."""
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


def trained(run: Run, learner: Learner, *, identity: Identity, state_path: Path) -> Trained:
    """Train a model to the end, from where an interrupted training left it if there is one.

    Args:
        run: what to do.
        learner: as it was initialised; changed in place. Each step has to have a face for each
            of its processes.
        identity: of the training, for its state on disk.
        state_path: of that state; only the first process reads and writes it.

    Raises:
        UsageError: if the loss is no longer finite.
        CheckpointError: if the state of the interrupted training does not fit.
        StorageError: if the state cannot be written.
        KeyboardInterrupt: on Ctrl-C or SIGTERM to any of the processes, after the state was saved.
    """
    config, world = run.config, learner.world
    position, best_state = Position(), dict[str, Tensor]()
    if world.of_first(state_path.exists()):
        position, best_state = restored(learner, state_path, identity)
        _log.info(
            "going on in epoch %d of %d, after step %d",
            position.epoch + 1,
            config.epochs,
            position.batch,
        )
    elif config.resume:
        _log.info("no interrupted training at %r, starting from the beginning", str(state_path))
    _log.info(
        "training on %s%s",
        learner.arithmetic.name,
        f", {world.size} processes" if world.size > 1 else "",
    )
    _begin(run, position)
    last_saved = time.perf_counter()
    with interruption() as stop:
        while position.epoch < config.epochs:
            position = _epoch(run, learner, position, stop)
            if position.batch == len(run.batches(position.epoch)):
                position, metrics = _validated(run, learner, position)
                if metrics.is_best and world.is_first:
                    best_state = _copy_of_state(learner.model)
                for observer in run.observers:
                    observer.on_epoch(metrics)
            stopping = world.any(stop.requested)
            due = time.perf_counter() - last_saved > SAVE_EVERY_SECONDS
            if world.is_first and (stopping or (due and position.epoch < config.epochs)):
                save_state(
                    state_path,
                    identity,
                    position,
                    model=learner.model,
                    optimizer=learner.optimizer,
                    best_state=best_state,
                )
                last_saved = time.perf_counter()
            if stopping:
                world.wait_for_all()  # whoever leaves first, has the others ended
                _log.log(
                    logging.WARNING if world.is_first else logging.DEBUG,
                    "interrupted in epoch %d; the state is in %r, go on with --resume",
                    min(position.epoch + 1, config.epochs),
                    str(state_path),
                )
                raise KeyboardInterrupt
    return _final(run, learner, position, best_state)


def _begin(run: Run, position: Position) -> None:
    of_epoch = [len(batch) for batch in run.batches(position.epoch)]
    plan = Plan(
        epochs=run.config.epochs,
        faces_per_epoch=sum(of_epoch),
        epochs_done=position.epoch,
        faces_done=position.epoch * sum(of_epoch) + sum(of_epoch[: position.batch]),
    )
    for observer in run.observers:
        observer.on_begin(plan)


def _epoch(run: Run, learner: Learner, position: Position, stop: Interruption) -> Position:
    """Work on an epoch until it is done, somebody asks to stop, or it is time to save."""
    config, world, device = run.config, learner.world, learner.arithmetic.device
    for group in learner.optimizer.param_groups:
        group["lr"] = config.learning_rate_in(position.epoch)
    learner.model.train()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    batches = run.batches(position.epoch)
    # Where each face stands in the epoch, whatever the batches are: its augmentation follows.
    places = batches_of_epoch(np.arange(sum(len(batch) for batch in batches)), config.batch_size)
    # Summed in float64 on the device, step by step, so that a pause in between changes nothing.
    before = position.loss_sum if world.is_first else 0.0
    loss_sum = torch.tensor(before, dtype=torch.float64, device=device)
    started, waited, done = time.perf_counter(), 0.0, position.batch
    mine = [batch[world.part(len(batch))] for batch in batches[done:]]
    with closing(run.faces.batches(mine)) as fed:
        for batch, place in zip(batches[done:], places[done:], strict=True):
            asked = time.perf_counter()
            images, targets = next(fed)
            waited += time.perf_counter() - asked
            changes = Places(config.seed, position.epoch, place[world.part(len(place))])
            x = augmented(images, run.spec, changes)
            loss_sum += learner.step(x, targets, faces=len(batch))
            done += 1
            for observer in run.observers:
                observer.on_step(len(batch))
            due = time.perf_counter() - started > SAVE_EVERY_SECONDS
            if world.any(stop.requested or (due and world.is_first)):
                break
    loss = world.summed([float(loss_sum)])[0]  # waits for a GPU, so the clock is read after it
    return replace(
        position,
        batch=done,
        loss_sum=loss,
        seconds=position.seconds + time.perf_counter() - started,
        waited_seconds=position.waited_seconds + waited,
    )


def _validated(run: Run, learner: Learner, position: Position) -> tuple[Position, EpochMetrics]:
    """End an epoch: measure it, and say whether it is the best one so far."""
    faces = sum(len(batch) for batch in run.batches(position.epoch))
    train_loss = position.loss_sum / faces
    if not math.isfinite(train_loss):
        raise UsageError(
            f"the loss of epoch {position.epoch + 1} is {train_loss}, expected a finite number; "
            "train again with a lower --lr"
        )
    started = time.perf_counter()
    result = evaluate(
        learner.model, run.validation, run.spec, learner.arithmetic, world=learner.world
    )
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
        peak_memory_bytes=_peak_memory_bytes(learner.arithmetic.device),
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


def _final(
    run: Run, learner: Learner, position: Position, best_state: dict[str, Tensor]
) -> Trained:
    assert position.best is not None, "at least one epoch is validated"
    model = learner.model
    if learner.world.is_first:
        model.load_state_dict(best_state)
    learner.world.take_over(model.state_dict().values())
    # The epoch was chosen in the training's arithmetic; what is written down is float32's, which
    # is what the exported model computes.
    precise = replace(learner.arithmetic, mixed=False)
    exact = evaluate(model, run.validation, run.spec, precise, world=learner.world)
    return Trained(
        _copy_of_state(model),
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
