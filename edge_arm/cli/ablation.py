"""`edge-arm train --ablation`: plain ResNet-18, the parts of ARM and ARM under one protocol."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from edge_arm.runtime.faces import FaceIndex
    from edge_arm.training.distributed import World
    from edge_arm.training.observer import Observer
    from edge_arm.training.training_config import TrainingConfig


ABLATION_FOLDER = Path("build/ablation")
"""Where the table goes if --out names no folder."""


def require_alone(world: World) -> None:
    """Refuse an ablation that torchrun started.

    Args:
        world: the processes of this training.

    Raises:
        UsageError: if there are several.
    """
    from edge_arm.runtime.errors import UsageError

    if world.size > 1:
        raise UsageError(
            f"got --ablation in {world.size} processes, expected one: its trainings are many and "
            "small; start it without torchrun"
        )


def train_ablation(
    parts: tuple[FaceIndex, FaceIndex],
    config: TrainingConfig,
    *,
    folder: Path,
    out: Path,
    num_seeds: int,
    tensorboard: Path | None,
) -> None:
    """Train, measure and print the table.

    Args:
        parts: faces to learn from, and those that choose the epochs.
        config: the recipe of every training.
        folder: of the data set; its test split is what the table is about.
        out: folder for the checkpoints and the table.
        num_seeds: trainings of each head.
        tensorboard: folder for TensorBoard's files, one folder in it for each training, or None.

    Raises:
        UsageError: if options contradict each other, or `out` holds an ablation of another recipe.
        EdgeArmError: see `run_ablation`.
    """
    from rich.console import Console
    from rich.table import Table

    from edge_arm.cli.watching_training import training_watchers
    from edge_arm.data.registry import face_index
    from edge_arm.model.config import Head
    from edge_arm.runtime.errors import UsageError
    from edge_arm.runtime.faces import Split
    from edge_arm.training.ablation import AblationConfig, AblationFaces, run_ablation
    from edge_arm.training.ablation_table import COLUMNS, notes_of, table_rows, write_ablation

    if config.head is not Head.ARM:
        raise UsageError(
            f"got --head {config.head.value} with --ablation, expected one of the two: the "
            "ablation trains every head; leave --head out"
        )
    train_index, validation_index = parts
    faces = AblationFaces(*parts, face_index(train_index.name, folder, Split.TEST))
    settings = AblationConfig(config, num_seeds)
    num_faces = len(train_index) + len(validation_index)

    @contextmanager
    def watch(path: Path) -> Iterator[Sequence[Observer]]:
        board = None if tensorboard is None else tensorboard / path.stem
        with training_watchers(path, num_faces, tensorboard=board) as watchers:
            yield watchers

    started = time.perf_counter()
    ablation = run_ablation(faces, settings, out, watch)
    markdown, machine = write_ablation(ablation, out)
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:  # a pipe or a log has no width that figures would have to fit
        console.width = max(console.width, 120)
    table = Table(box=None, pad_edge=False)
    for position, name in enumerate(COLUMNS):
        table.add_column(name, no_wrap=position == 0, justify="right" if position else "left")
    for cells in table_rows(ablation):
        table.add_row(*cells)
    console.print(table)
    for note in notes_of(ablation):
        typer.echo(note)
    minutes = (time.perf_counter() - started) / 60
    typer.echo(f"{markdown} and {machine}, {minutes:.1f} minutes in this run")
