"""From labelled faces to a checkpoint: the best epoch by the validation faces.

The test split is never seen here. A training can be interrupted at any time and goes on to the
same weights, bit for bit on the same CPU with the same number of threads.
"""

from __future__ import annotations

import logging
import platform
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from edge_arm import __version__
from edge_arm.model.checkpoint import Checkpoint, save_checkpoint
from edge_arm.model.config import ModelConfig
from edge_arm.model.fer_model import FerModel, seeded_model
from edge_arm.runtime.errors import UsageError
from edge_arm.runtime.faces import FaceIndex
from edge_arm.runtime.labels import LabelSet
from edge_arm.runtime.preprocess import PreprocessSpec
from edge_arm.training.arithmetic import arithmetic_for
from edge_arm.training.decoded_faces import DecodedFaces, FaceStore, decoded_faces
from edge_arm.training.distributed import World, lost_processes_told, require_same
from edge_arm.training.epoch import batches_of_epoch
from edge_arm.training.feed import feeds_for
from edge_arm.training.fine_tuning import start_from_checkpoint
from edge_arm.training.initial_weights import load_initial_weights
from edge_arm.training.learner import learner_for
from edge_arm.training.observer import Observer
from edge_arm.training.preconditions import (
    output_folder,
    require_a_face_for_each_process,
    require_usable_faces,
)
from edge_arm.training.resume_state import Identity, resume_path
from edge_arm.training.samplers import FaceOrder
from edge_arm.training.training_config import TrainingConfig
from edge_arm.training.training_loop import Run, trained

_NAMES_SHOWN = 8

_log = logging.getLogger(__name__)


def train(
    train_index: FaceIndex,
    validation_index: FaceIndex,
    config: TrainingConfig,
    out_path: Path,
    observers: Sequence[Observer] = (),
    world: World = World(),  # noqa: B008 - frozen, and means "alone"
) -> Checkpoint:
    """Train a model and write its best epoch.

    Args:
        train_index: faces to learn from.
        validation_index: faces that choose the epoch; none of them in `train_index`.
        config: the recipe.
        out_path: of the checkpoint (.safetensors). Written at the end; until then the state of
            the training lies beside it.
        observers: are told how it goes; the first process's alone.
        world: the processes that train together, joined before (distributed.py). All of them call
            this with the same arguments.

    Returns:
        The checkpoint; the first process has written it, and there it has its hash.

    Raises:
        UsageError: if the options contradict each other or an interrupted training.
        DataError: if the faces cannot train a model.
        CheckpointError: if the initial weights or the state of the interrupted training do not fit.
        StorageError: if the checkpoint cannot be written, before the training starts.
        LostProcessError: if one of several processes has gone.
        KeyboardInterrupt: on Ctrl-C or SIGTERM, after the state was saved.
    """
    model_config = ModelConfig(len(train_index.labels), config.image_size, config.head)
    arithmetic = arithmetic_for(config.device, world.local_rank)
    require_usable_faces(train_index, validation_index)
    state_path = resume_path(out_path)
    if world.is_first and state_path.exists() and not config.resume:
        raise UsageError(
            f"{str(state_path)!r} holds an interrupted training, expected none when starting a new "
            "one; add --resume to go on with it, or remove the file"
        )
    order = FaceOrder(config.sampler, train_index.targets, config.seed)
    steps = batches_of_epoch(order.order(0), config.batch_size)
    require_a_face_for_each_process([len(step) for step in steps], world.size)
    model = seeded_model(model_config, config.seed)
    started_from = _initialised(model, config, train_index.labels)
    spec = PreprocessSpec(size=config.image_size)
    watching = observers if world.is_first else ()

    def decoded(faces: int) -> None:
        for observer in watching:
            observer.on_decoded(faces)

    with lost_processes_told(world, state_path), _output_folder(out_path, world):
        if _leaves_decoding_to_another(config, world):
            world.wait_for_all()
        with decoded_faces(
            train_index,
            validation_index,
            spec=spec,
            store=FaceStore(config.cache, out_path.parent),
            progress=decoded,
        ) as (faces, validation):
            _log.info(
                "sampler %s: %d of %d faces an epoch", order.sampler.value, len(order), len(faces)
            )
            data = _data_record(train_index, faces, validation_index, validation)
            identity = _identity(config, data, started_from)
            if not _leaves_decoding_to_another(config, world):
                world.wait_for_all()
            require_same(world, {**identity.values, "arithmetic": arithmetic.name})
            feeds = feeds_for(faces, validation, arithmetic.device)
            run = Run(config, feeds[0], order.order, feeds[1], spec, watching)
            learner = learner_for(model, config, arithmetic, world)
            best = trained(run, learner, identity=identity, state_path=state_path)
    labels = train_index.labels
    versions = {
        "edge-arm": __version__,
        "torch": str(torch.__version__),
        "numpy": version("numpy"),
        "python": platform.python_version(),
    }
    metrics = {**best.metrics, "arithmetic": arithmetic.name, **started_from}
    checkpoint = Checkpoint(model_config, labels, spec, metrics, data, versions, state=best.state)
    if not world.is_first:
        return checkpoint
    saved = save_checkpoint(out_path, checkpoint)
    state_path.unlink(missing_ok=True)
    return saved


def _initialised(
    model: FerModel, config: TrainingConfig, labels: LabelSet
) -> dict[str, str | None]:
    """Load what the training starts from; its hash by name, for the checkpoint and the state."""
    started_from: dict[str, str | None] = {"init_sha256": None, "init_checkpoint_sha256": None}
    if config.init_checkpoint is not None:
        start = start_from_checkpoint(model, config.init_checkpoint, labels=labels)
        _log.info(
            "going on from %r; its classifier is kept for %s, made anew for %s%s",
            str(config.init_checkpoint),
            ", ".join(start.kept) or "none",
            ", ".join(start.new) or "none",
            f", left out for {', '.join(start.dropped)}" if start.dropped else "",
        )
        return {**started_from, "init_checkpoint_sha256": start.sha256}
    if config.init is None:
        return started_from
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
    return {**started_from, "init_sha256": loaded.sha256}


def _leaves_decoding_to_another(config: TrainingConfig, world: World) -> bool:
    # Of the processes on a machine the first fills the cache, and the others then read it. They
    # wait for it where they notice if it ends.
    return config.cache is not None and world.local_rank > 0


@contextmanager
def _output_folder(out_path: Path, world: World) -> Iterator[None]:
    """The first process proves that it can write; the others need the folder for what is theirs."""
    with output_folder(out_path) if world.is_first else nullcontext():
        world.wait_for_all()
        out_path.parent.mkdir(parents=True, exist_ok=True)
        yield


def _data_record(
    train_index: FaceIndex,
    faces: DecodedFaces,
    validation_index: FaceIndex,
    validation: DecodedFaces,
) -> dict[str, Any]:
    return {
        "name": train_index.name,
        "train_faces": len(train_index),
        "validation_faces": len(validation_index),
        "train_sha256": train_index.sha256,
        "validation_sha256": validation_index.sha256,
        "train_pixels_sha256": faces.pixels_sha256,
        "validation_pixels_sha256": validation.pixels_sha256,
    }


def _identity(
    config: TrainingConfig, data: dict[str, Any], started_from: dict[str, str | None]
) -> Identity:
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
            "sampler": config.sampler.value,
            "seed": config.seed,
            **started_from,
            "train_pixels_sha256": data["train_pixels_sha256"],
            "validation_pixels_sha256": data["validation_pixels_sha256"],
        }
    )
