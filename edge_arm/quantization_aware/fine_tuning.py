"""The stage: a trained checkpoint in, one whose weights and ranges are made for INT8 out.

The new checkpoint is an ordinary one (the same tensors, BatchNorm's statistics and ARM's stored
mean untouched) that carries ranges: it is exported like any other, and `edge-arm calibrate` finds
the ranges in the bundle.
"""

from __future__ import annotations

import logging
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import torch

from edge_arm import __version__
from edge_arm.model.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from edge_arm.quantization_aware.config import CALIBRATION_FACES, RANGE_RATE, QatConfig
from edge_arm.quantization_aware.learning import Learned, Run, learned_from
from edge_arm.runtime.errors import CheckpointError, UsageError
from edge_arm.runtime.faces import FaceIndex
from edge_arm.runtime.trained_ranges import TrainedRanges
from edge_arm.training.arithmetic import arithmetic_for
from edge_arm.training.decoded_faces import FaceStore, decoded_faces
from edge_arm.training.preconditions import output_folder, require_usable_faces

Progress = Callable[[int], None]
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SplitFaces:
    """The faces of a fine-tuning, with the model's class indices.

    Attributes:
        train: to learn from.
        validation: that choose the epoch; none of them in `train`.
        seed: of the split, so that later commands can make it again.
    """

    train: FaceIndex
    validation: FaceIndex
    seed: int


def fine_tuned_from_checkpoint(
    checkpoint_path: Path,
    faces: SplitFaces,
    config: QatConfig,
    out_path: Path,
    *,
    progress: Progress,
    decoding_progress: Progress | None = None,
) -> tuple[Checkpoint, Learned]:
    """Fine-tune a trained model for INT8.

    Args:
        checkpoint_path: written by 'edge-arm train'.
        faces: to learn from and to choose with.
        config: how.
        out_path: of the new checkpoint; another file than `checkpoint_path`.
        progress: called with the number of faces done since the last call; see `num_steps`.
        decoding_progress: the same for decoding; the total is all faces.

    Returns:
        The checkpoint as written, and what was measured.

    Raises:
        UsageError: if the paths are the same, it diverges, or Model Optimizer is not installed.
        CheckpointError: if there is no such checkpoint, or it was fine-tuned already.
        CalibrationError: if a tensor has no usable range.
        DataError: if the faces cannot train a model.
        StorageError: if the checkpoint cannot be written, before any work.
        KeyboardInterrupt: on Ctrl-C or SIGTERM, after the best epoch so far was written.
    """
    if out_path.resolve() == checkpoint_path.resolve():
        raise UsageError(
            f"got {str(out_path)!r} for both the checkpoint to start from and the new one, "
            "expected two files, because FP32 is what INT8 is compared with; choose another --out"
        )
    start = load_checkpoint(checkpoint_path)
    if start.ranges is not None:
        raise CheckpointError(
            f"{str(checkpoint_path)!r} was fine-tuned with --qat already, expected a float "
            "training, whose answers are to be kept; start from the checkpoint that it was made of"
        )
    require_usable_faces(faces.train, faces.validation)
    device = arithmetic_for(config.device).device
    with (
        _whole_float32(),
        output_folder(out_path),
        decoded_faces(
            faces.train,
            faces.validation,
            spec=start.preprocess,
            store=FaceStore(config.cache, out_path.parent),
            progress=decoding_progress,
        ) as (train, validation),
    ):
        run = Run(config, start, device, train, validation, progress)
        learned = learned_from(run)
        checkpoint = save_checkpoint(out_path, _checkpoint(run, faces, learned))
    if learned.interrupted:
        _log.warning(
            "interrupted; %r holds the best so far, %s",
            str(out_path),
            f"epoch {learned.epoch}" if learned.epoch else "the start with nothing learned",
        )
        raise KeyboardInterrupt
    return checkpoint, learned


@contextmanager
def _whole_float32() -> Iterator[None]:
    """No TF32 (nor bfloat16, which nothing here asks for): what is rounded to int8 stays so."""
    # Not torch.backends.cudnn.flags, which turns cuDNN off where it is not told otherwise.
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


def _checkpoint(run: Run, faces: SplitFaces, learned: Learned) -> Checkpoint:
    config = run.config
    training = {
        "start_sha256": run.start.sha256,
        "epoch": learned.epoch,
        "epochs": config.epochs,
        "interrupted": learned.interrupted,
        "batch_size": config.batch_size,
        "learning_rate": config.learning_rate,
        "range_rate": RANGE_RATE,
        "seed": config.seed,
        "calibration_faces": min(CALIBRATION_FACES, len(run.train)),
        "device": run.device.type,
        "validation": {
            "before": learned.before.to_json(),
            "after": learned.after.to_json(),
            "after_beside_own_float": learned.own.to_json(),
            "own_float": learned.drift.to_json(),
        },
    }
    return replace(
        run.start,
        metrics={
            "validation_accuracy": learned.drift.accuracy,
            "epoch": learned.epoch,
            "epochs": config.epochs,
            "seed": faces.seed,
            "start": run.start.metrics,
        },
        data={
            "name": faces.train.name,
            "train_faces": len(faces.train),
            "validation_faces": len(faces.validation),
            "train_sha256": faces.train.sha256,
            "validation_sha256": faces.validation.sha256,
            "train_pixels_sha256": run.train.pixels_sha256,
            "validation_pixels_sha256": run.validation.pixels_sha256,
        },
        versions={
            "edge-arm": __version__,
            "torch": str(torch.__version__),
            "nvidia-modelopt": version("nvidia-modelopt"),
            "numpy": version("numpy"),
            "python": platform.python_version(),
        },
        state=learned.state,
        ranges=TrainedRanges(learned.amax, training),
        sha256="",
    )
