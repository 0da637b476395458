"""`edge-arm train`: labelled faces to a checkpoint."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from edge_arm.cli.processes import by_several_processes
from edge_arm.cli.train_qat import given_options, train_qat

DEFAULT_OUT = Path("build/checkpoint.safetensors")


class _Head(str, Enum):
    ARM = "arm"
    POOL = "pool"


class _Sampler(str, Enum):
    NATURAL = "natural"
    BALANCED = "balanced"
    MRR = "mrr"


class _Device(str, Enum):
    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


@by_several_processes
def train(
    context: typer.Context,
    data: Annotated[
        str, typer.Option(help="Data set: rafdb, folder, synthetic, ... (edge-arm data --help).")
    ] = "rafdb",
    root: Annotated[
        Path | None, typer.Option(help="Its folder; remembered for the commands that follow.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Checkpoint to write.")] = DEFAULT_OUT,
    epochs: Annotated[int, typer.Option(help="Passes over the training faces.")] = 70,
    batch_size: Annotated[
        int,
        typer.Option(help="Faces per step, of all processes together; less where memory ends."),
    ] = 256,
    image_size: Annotated[int, typer.Option(help="Pixels; a multiple of 16.")] = 224,
    head: Annotated[_Head, typer.Option(help="arm, or pool for plain ResNet-18.")] = _Head.ARM,
    init: Annotated[
        Path | None,
        typer.Option(help="Pre-trained ResNet-18 (.pth or .safetensors) to start from."),
    ] = None,
    init_checkpoint: Annotated[
        Path | None,
        typer.Option(
            help="Checkpoint of 'train' to fine-tune, on this data set's classes by name."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of weights, order, augmentation and split.")] = 0,
    val_fraction: Annotated[
        float | None,
        typer.Option(
            help="Share of the training faces that chooses the best epoch; 0.1, if the set has no "
            "validation part of its own."
        ),
    ] = None,
    lr: Annotated[
        float | None,
        typer.Option(
            help="Learning rate of the first epoch; 1e-3, or 1e-4 with --init-checkpoint.",
            show_default=False,
        ),
    ] = None,
    sampler: Annotated[
        _Sampler,
        typer.Option(
            help="natural: every face once an epoch. balanced: every expression equally often. "
            "mrr: of each as many as the rarest has, drawn anew each epoch."
        ),
    ] = _Sampler.NATURAL,
    device: Annotated[_Device, typer.Option(help="Where to compute.")] = _Device.AUTO,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an interrupted training, if there is one.")
    ] = False,
    cache: Annotated[
        Path, typer.Option(help="Folder that keeps decoded faces for the next training.")
    ] = Path("build/cache"),
    no_cache: Annotated[
        bool, typer.Option("--no-cache", help="Decode again each time, and keep nothing.")
    ] = False,
    tensorboard: Annotated[
        Path | None, typer.Option(help="Folder to write TensorBoard's files to, one per training.")
    ] = None,
    ablation: Annotated[
        bool,
        typer.Option(
            "--ablation",
            help="Train plain ResNet-18, the parts of ARM and ARM alike, and write the table; "
            "finished trainings are kept. --out is a folder then.",
        ),
    ] = False,
    seeds: Annotated[int, typer.Option(min=1, help="Trainings of each head of --ablation.")] = 3,
    qat: Annotated[
        bool,
        typer.Option(
            "--qat",
            help="Fine-tune a trained checkpoint with INT8 rounding in the loop: "
            "--epochs 3 --lr 1e-6 --batch-size 64 to build/checkpoint.qat.safetensors by default.",
        ),
    ] = False,
) -> None:
    """Train ResNet-18 + ARM as the paper's authors do, and keep the best epoch.

    The best epoch is chosen by the set's validation part, or by faces that are split off its
    training part; the test split is never seen. Ctrl-C stops between two steps, leaves the state
    beside the checkpoint and exits with 130; the same command with --resume goes on to the same
    result. Metrics (.metrics.jsonl) and learning curves (.curves.svg) lie beside the checkpoint
    and grow with every epoch.

    With --qat, for an INT8 that calibration alone does not make good enough: weights and ranges
    learn to answer as FP32 does; 'edge-arm calibrate' then finds the ranges in the bundle.

    Example: edge-arm train --data rafdb --root data/rafdb --image-size 112 --batch-size 64
    """
    import time

    if qat:
        return train_qat(data, root, given_options(context))
    from edge_arm.cli.watching_training import training_watchers
    from edge_arm.data.registry import remember_root, resolve_root
    from edge_arm.data.training_parts import training_parts
    from edge_arm.model.config import Head
    from edge_arm.training.distributed import launched_world
    from edge_arm.training.learning_curves import curves_path
    from edge_arm.training.metrics_log import metrics_path
    from edge_arm.training.samplers import Sampler
    from edge_arm.training.trainer import train as train_model
    from edge_arm.training.training_config import Device, TrainingConfig, first_learning_rate

    config = TrainingConfig(
        epochs=epochs,
        batch_size=batch_size,
        image_size=image_size,
        head=Head(head.value),
        learning_rate=first_learning_rate(init_checkpoint) if lr is None else lr,
        sampler=Sampler(sampler.value),
        seed=seed,
        init=init,
        init_checkpoint=init_checkpoint,
        resume=resume,
        device=Device(device.value),
        cache=None if no_cache else cache,
    )
    world = launched_world()
    folder = resolve_root(data, root)
    train_index, validation_index = training_parts(data, folder, fraction=val_fraction, seed=seed)
    if ablation:
        from edge_arm.cli.ablation import ABLATION_FOLDER, require_alone, train_ablation

        require_alone(world)
        train_ablation(
            (train_index, validation_index),
            config,
            folder=folder,
            out=ABLATION_FOLDER if out == DEFAULT_OUT else out,
            num_seeds=seeds,
            tensorboard=tensorboard,
        )
        remember_root(data, folder)
        return
    started = time.perf_counter()
    num_faces = len(train_index) + len(validation_index)
    with training_watchers(out, num_faces, tensorboard=tensorboard) as watchers:
        try:
            checkpoint = train_model(
                train_index, validation_index, config, out, watchers, world=world
            )
        except KeyboardInterrupt:
            if world.is_first:
                remember_root(data, folder)  # so that --resume finds the faces
            raise
    if not world.is_first:
        return
    remember_root(data, folder)
    metrics = checkpoint.metrics
    minutes = (time.perf_counter() - started) / 60
    typer.echo(
        f"{out}: ResNet-18 + {head.value} at {image_size} pixels, "
        f"{len(train_index.labels)} classes, epoch {metrics['epoch']} of {metrics['epochs']}, "
        f"{minutes:.1f} minutes"
    )
    typer.echo(
        f"validation accuracy {metrics['validation_accuracy']:.2%} of {len(validation_index)} "
        f"faces that the model did not learn from ({len(train_index)} that it did)"
    )
    typer.echo(f"learning curves {curves_path(out)}, metrics {metrics_path(out)}")
    typer.echo("The test split was not touched. Next: edge-arm export " + str(out))
