"""`edge-arm train`: labelled faces to a checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from edge_arm.cli.train_qat import given_options, train_qat


class _Head(str, Enum):
    ARM = "arm"
    POOL = "pool"


class _Device(str, Enum):
    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


def train(
    context: typer.Context,
    data: Annotated[
        str, typer.Option(help="Data set: rafdb, folder, synthetic, ... (edge-arm data --help).")
    ] = "rafdb",
    root: Annotated[
        Path | None, typer.Option(help="Its folder; remembered for the commands that follow.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Checkpoint to write.")] = Path(
        "build/checkpoint.safetensors"
    ),
    epochs: Annotated[int, typer.Option(help="Passes over the training faces.")] = 70,
    batch_size: Annotated[int, typer.Option(help="Faces per step; less where memory ends.")] = 256,
    image_size: Annotated[int, typer.Option(help="Pixels; a multiple of 16.")] = 224,
    head: Annotated[_Head, typer.Option(help="arm, or pool for plain ResNet-18.")] = _Head.ARM,
    init: Annotated[
        Path | None,
        typer.Option(help="Pre-trained ResNet-18 (.pth or .safetensors) to start from."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of weights, order, augmentation and split.")] = 0,
    val_fraction: Annotated[
        float, typer.Option(help="Share of the training faces that chooses the best epoch.")
    ] = 0.1,
    lr: Annotated[float, typer.Option(help="Learning rate of the first epoch.")] = 1e-3,
    device: Annotated[_Device, typer.Option(help="Where to compute.")] = _Device.AUTO,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an interrupted training, if there is one.")
    ] = False,
    qat: Annotated[
        bool,
        typer.Option(
            "--qat",
            help="Fine-tune a trained checkpoint with INT8 rounding in the loop: "
            "--epochs 3 --lr 1e-6 --batch-size 64 to build/checkpoint.qat.safetensors by default.",
        ),
    ] = False,
    init_checkpoint: Annotated[
        Path | None,
        typer.Option(help="With --qat: the checkpoint; build/checkpoint.safetensors by default."),
    ] = None,
) -> None:
    """Train ResNet-18 + ARM as the paper's authors do, and keep the best epoch.

    The best epoch is chosen by faces that are split off the training set; the test split is never
    seen. Ctrl-C stops between two steps, leaves the state beside the checkpoint and exits with
    130; the same command with --resume goes on to the same result.

    With --qat, for an INT8 that calibration alone does not make good enough: weights and ranges
    learn to answer as FP32 does; 'edge-arm calibrate' then finds the ranges in the bundle.

    Example: edge-arm train --data rafdb --root data/rafdb --image-size 112 --batch-size 64
    """
    import time

    from edge_arm.runtime.errors import UsageError

    if qat:
        return train_qat(data, root, given_options(context))
    if init_checkpoint is not None:
        raise UsageError(
            f"got --init-checkpoint {str(init_checkpoint)!r} without --qat, expected both; add "
            "--qat, or give the weights with --init"
        )
    from edge_arm.cli.console import progress_bar
    from edge_arm.data.registry import face_index, remember_root, resolve_root
    from edge_arm.data.split import split_validation
    from edge_arm.model.config import Head
    from edge_arm.runtime.faces import Split
    from edge_arm.training.trainer import train as train_model
    from edge_arm.training.training_config import Device, TrainingConfig

    config = TrainingConfig(
        epochs=epochs,
        batch_size=batch_size,
        image_size=image_size,
        head=Head(head.value),
        learning_rate=lr,
        seed=seed,
        init=init,
        resume=resume,
        device=Device(device.value),
    )
    folder = resolve_root(data, root)
    index = face_index(data, folder, Split.TRAIN)
    train_index, validation_index = split_validation(index, val_fraction, seed)
    started = time.perf_counter()
    # One bar after the other: two at a time would draw over each other.
    with ExitStack() as decoding, ExitStack() as training:
        decoded = decoding.enter_context(progress_bar("decoding", len(index)))
        advance: list[Callable[[int], None]] = []

        def trained(faces: int) -> None:
            if not advance:
                decoding.close()
                bar = progress_bar("training", epochs * len(train_index))
                advance.append(training.enter_context(bar))
            advance[0](faces)

        try:
            checkpoint = train_model(train_index, validation_index, config, out, trained, decoded)
        except KeyboardInterrupt:
            remember_root(data, folder)  # so that --resume finds the faces
            raise
    remember_root(data, folder)
    metrics = checkpoint.metrics
    minutes = (time.perf_counter() - started) / 60
    typer.echo(
        f"{out}: ResNet-18 + {head.value} at {image_size} pixels, {len(index.labels)} classes, "
        f"epoch {metrics['epoch']} of {metrics['epochs']}, {minutes:.1f} minutes"
    )
    typer.echo(
        f"validation accuracy {metrics['validation_accuracy']:.2%} of {len(validation_index)} "
        f"faces that the model did not learn from ({len(train_index)} that it did)"
    )
    typer.echo("The test split was not touched. Next: edge-arm export " + str(out))
