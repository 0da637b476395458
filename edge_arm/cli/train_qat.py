"""`edge-arm train --qat`: a trained checkpoint to one that is made for INT8."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from edge_arm.model.checkpoint import Checkpoint
    from edge_arm.quantization_aware.config import QatConfig
    from edge_arm.quantization_aware.fine_tuning import SplitFaces
    from edge_arm.quantization_aware.learning import Learned
    from edge_arm.runtime.faces import FaceIndex

DEFAULT_START = Path("build/checkpoint.safetensors")
DEFAULT_OUT = Path("build/checkpoint.qat.safetensors")
_OWN = {"data", "root", "out", "qat", "init_checkpoint"}
_SETTINGS = {"epochs": "epochs", "batch_size": "batch_size", "lr": "learning_rate", "seed": "seed"}

_log = logging.getLogger(__name__)


def given_options(context: typer.Context) -> dict[str, Any]:
    """The options that were typed; `train` has defaults for a training from the start."""
    return {
        name: value
        for name, value in context.params.items()
        if getattr(context.get_parameter_source(name), "name", "") == "COMMANDLINE"
    }


def train_qat(data: str, root: Path | None, given: dict[str, Any]) -> None:
    """Fine-tune a checkpoint with int8 rounding in the loop, and say what it brought.

    Args:
        data: name of the data set.
        root: its folder, if it was named.
        given: the options of `edge-arm train` that were typed.

    Raises:
        EdgeArmError: see `fine_tuned_from_checkpoint`.
        KeyboardInterrupt: on Ctrl-C, after the best epoch so far was written.
    """
    from edge_arm.data.registry import face_index, remember_root, resolve_root
    from edge_arm.model.checkpoint import load_checkpoint
    from edge_arm.quantization_aware.config import QatConfig
    from edge_arm.runtime.errors import UsageError
    from edge_arm.runtime.faces import Split
    from edge_arm.training.training_config import Device

    # Some versions of typer hand out text here, not what the option's type makes of it.
    if "WORLD_SIZE" in os.environ:
        raise UsageError(
            "got --qat under torchrun, expected one process: a fine-tuning takes minutes; start it "
            "with 'edge-arm train --qat'"
        )
    start_path = Path(given.get("init_checkpoint") or DEFAULT_START)
    out = Path(given.get("out") or DEFAULT_OUT)
    start = load_checkpoint(start_path)
    _require_fitting(given, start)
    settings = {ours: given[name] for name, ours in _SETTINGS.items() if name in given}
    if "device" in given:
        settings["device"] = Device(getattr(given["device"], "value", given["device"]))
    cache = None if given.get("no_cache") else Path(given.get("cache") or "build/cache")
    config = QatConfig(**settings, cache=cache)
    folder = resolve_root(data, root)
    faces = _split(face_index(data, folder, Split.TRAIN), start, given)
    checkpoint, learned = _with_bars(start_path, faces, config, out)
    remember_root(data, folder)
    _print_result(out, start_path, checkpoint, learned)


def _require_fitting(given: dict[str, Any], start: Checkpoint) -> None:
    """Refuse options that a fine-tuning does not have, or that contradict the checkpoint."""
    from edge_arm.runtime.errors import UsageError

    shape = {"image_size": start.config.image_size, "head": start.config.head.value}
    for name, have in shape.items():
        value = getattr(given.get(name), "value", given.get(name))
        if value is not None and value != have:
            raise UsageError(
                f"got --{name.replace('_', '-')} {value}, expected {have}, which is what the "
                "checkpoint has: --qat fine-tunes a trained model as it is; leave the option out"
            )
    known = {*_OWN, *_SETTINGS, *shape, "device", "val_fraction", "cache", "no_cache"}
    strange = [f"--{name.replace('_', '-')}" for name in given if name not in known]
    if strange:
        raise UsageError(
            f"got {', '.join(strange)} with --qat, expected none of these: a fine-tuning takes a "
            "few epochs from --init-checkpoint and starts anew after an interrupt; leave "
            f"{'it' if len(strange) == 1 else 'them'} out"
        )


def _split(index: FaceIndex, start: Checkpoint, given: dict[str, Any]) -> SplitFaces:
    """The split of the training that made the checkpoint, where it can be told."""
    from edge_arm.data.held_out import validation_faces
    from edge_arm.data.split import split_validation
    from edge_arm.quantization_aware.fine_tuning import SplitFaces
    from edge_arm.runtime.errors import UsageError

    held_out = validation_faces({"data": start.data, "metrics": start.metrics}, index)
    if held_out is None:
        seed = given.get("seed", 0)
        train, held_out = split_validation(index, given.get("val_fraction", 0.1), seed)
        _log.warning(
            "the checkpoint was not trained on these faces, or their split cannot be told: the "
            "faces that choose the epoch may be ones that it has learned"
        )
    elif "val_fraction" in given:
        raise UsageError(
            f"got --val-fraction {given['val_fraction']} with --qat, expected none: the faces that "
            "the checkpoint's training held out choose the epoch here too; leave it out"
        )
    else:
        seed = start.metrics["seed"]
        held = {sample.sample_id for sample in held_out.samples}
        train = index.subset(
            [at for at, sample in enumerate(index.samples) if sample.sample_id not in held]
        )
    return SplitFaces(train.relabelled(start.labels), held_out.relabelled(start.labels), seed)


def _with_bars(
    start_path: Path, faces: SplitFaces, config: QatConfig, out: Path
) -> tuple[Checkpoint, Learned]:
    from edge_arm.cli.console import progress_bar
    from edge_arm.quantization_aware.fine_tuning import fine_tuned_from_checkpoint
    from edge_arm.quantization_aware.learning import num_steps

    # One bar after the other: two at a time would draw over each other.
    with ExitStack() as decoding, ExitStack() as tuning:
        decoded = decoding.enter_context(
            progress_bar("decoding", len(faces.train) + len(faces.validation))
        )
        advance: list[Callable[[int], None]] = []

        def tuned(done: int) -> None:
            if not advance:
                decoding.close()
                total = num_steps(len(faces.train), len(faces.validation), config)
                advance.append(tuning.enter_context(progress_bar("fine-tuning", total)))
            advance[0](done)

        return fine_tuned_from_checkpoint(
            start_path, faces, config, out, progress=tuned, decoding_progress=decoded
        )


def _print_result(out: Path, start_path: Path, checkpoint: Checkpoint, learned: Learned) -> None:
    from rich.console import Console
    from rich.table import Table

    config = checkpoint.config
    epoch = f"epoch {learned.epoch}" if learned.epoch else "no epoch was better than the start"
    typer.echo(
        f"{out}: ResNet-18 + {config.head.value} at {config.image_size} pixels with INT8 ranges, "
        f"{epoch}"
    )
    rows = {
        "INT8 before, against the FP32 it started from": learned.before,
        "INT8 after, against the FP32 it started from": learned.after,
        "INT8 after, against its own FP32": learned.own,
        "its own FP32, against the FP32 it started from": learned.drift,
    }
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    for name in ("agreement", "changed", "mean KL", "accuracy"):
        table.add_column(name, justify="right")
    for name, row in rows.items():
        table.add_row(
            name,
            f"{row.agreement:.2%}",
            f"{row.flips} of {row.faces}",
            f"{row.mean_kl:.6f}",
            f"{row.accuracy:.2%}",
        )
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:  # a pipe or a log has no width that figures would have to fit
        console.width = max(console.width, 120)
    console.print(table)
    typer.echo(
        f"on validation faces, which chose the epoch; FP32 it started from: {start_path}. The test "
        f"split was not touched. Next: edge-arm export {out}"
    )
