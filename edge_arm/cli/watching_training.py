"""Who watches a training from the command line: bars, metrics file, curves, TensorBoard."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from edge_arm.cli.processes import speaks_for_all

if TYPE_CHECKING:
    from edge_arm.training.observer import Observer, Plan


@contextmanager
def training_watchers(
    out: Path, num_faces: int, *, tensorboard: Path | None = None
) -> Iterator[list[Observer]]:
    """Everybody who is told how a training goes; of several processes the first one alone tells.

    Args:
        out: the checkpoint; metrics and curves lie beside it.
        num_faces: of training and validation, to be decoded.
        tensorboard: folder for TensorBoard's files, or None.

    Raises:
        UsageError: if TensorBoard is asked for and not installed.
    """
    from edge_arm.training.learning_curves import curves_path, learning_curves
    from edge_arm.training.metrics_log import metrics_log, metrics_path

    if not speaks_for_all():
        yield []
        return
    with ExitStack() as watching:
        watchers = [
            watching.enter_context(_bars(num_faces)),
            metrics_log(metrics_path(out)),
            # After the metrics, which it reads.
            learning_curves(metrics_path(out), curves_path(out)),
        ]
        if tensorboard is not None:
            from edge_arm.training.tensorboard_log import tensorboard_log

            watchers.append(watching.enter_context(tensorboard_log(tensorboard)))
        yield watchers


@contextmanager
def _bars(num_faces: int) -> Iterator[Observer]:
    """One bar after the other: two at a time would draw over each other."""
    from edge_arm.cli.console import progress_bar
    from edge_arm.training.observer import Observer

    with ExitStack() as decoding, ExitStack() as training:
        decoded = decoding.enter_context(progress_bar("reading faces", num_faces))
        advance: list[Callable[[int], None]] = []

        def begun(plan: Plan) -> None:
            decoding.close()
            total = plan.epochs * plan.faces_per_epoch
            bar = progress_bar("training", total, before=plan.faces_done)
            advance.append(training.enter_context(bar))

        yield Observer(on_decoded=decoded, on_begin=begun, on_step=lambda faces: advance[0](faces))
