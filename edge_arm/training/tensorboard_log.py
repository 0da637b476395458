"""Every epoch's numbers in TensorBoard's own files, for those who watch many trainings at once.

TensorBoard is an optional package: PyTorch brings the writer, the package brings what it writes
with.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge_arm.runtime.errors import UsageError
from edge_arm.runtime.storage import storage_error
from edge_arm.training.observer import EpochMetrics, Observer, Plan


@contextmanager
def tensorboard_log(folder: Path) -> Iterator[Observer]:
    """Writes scalars while the block runs.

    A training that goes on after an interrupt writes another file into the same folder;
    TensorBoard is told to forget the epochs that are done again.

    Args:
        folder: one per training; `tensorboard --logdir` shows it, or the folder above it.

    Raises:
        UsageError: if the package is not installed.
        StorageError: if nothing can be written there.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise UsageError(
            f"got --tensorboard {str(folder)!r}, but the package tensorboard cannot be imported "
            f"({error}), expected it beside PyTorch; run: pip install tensorboard"
        ) from error
    writers: list[SummaryWriter] = []

    def on_begin(plan: Plan) -> None:
        purge_step = plan.epochs_done + 1 if plan.faces_done else None
        try:
            writers.append(SummaryWriter(str(folder), purge_step=purge_step))
        except OSError as error:
            raise storage_error(folder, error) from error

    def on_epoch(metrics: EpochMetrics) -> None:
        values = {
            "loss/training": metrics.train_loss,
            "loss/validation": metrics.validation_loss,
            "accuracy/validation": metrics.validation_accuracy,
            "learning rate": metrics.learning_rate,
            "speed/images per second": metrics.images_per_second,
            "speed/share of time waited for faces": metrics.waited_share,
            "memory/peak GB": metrics.peak_memory_bytes / 1e9,
        }
        for name, value in values.items():
            writers[0].add_scalar(name, value, metrics.epoch)
        writers[0].flush()

    try:
        yield Observer(on_begin=on_begin, on_epoch=on_epoch)
    finally:
        for writer in writers:
            writer.close()
