"""`edge-arm import`: a checkpoint of ARM's authors becomes one of ours."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from edge_arm.model.checkpoint import Checkpoint
    from edge_arm.runtime.baselines import Baseline
    from edge_arm.runtime.faces import FaceIndex


def import_checkpoint(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Their .pth, or safetensors.")],
    data: Annotated[
        str, typer.Option(help="Data set whose training faces estimate the shared part.")
    ] = "rafdb",
    root: Annotated[
        Path | None, typer.Option(help="Its folder; remembered for the commands that follow.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Checkpoint to write.")] = Path(
        "build/checkpoint.safetensors"
    ),
    classes: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,NAME,...",
            help="Its outputs in their order; RAF-DB's, as in the authors' code, if absent.",
        ),
    ] = None,
    faces: Annotated[
        int | None, typer.Option(min=2, help="Only so many training faces; all if absent.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of their draw.")] = 0,
    test: Annotated[
        bool, typer.Option("--test/--no-test", help="Measure FP32 on the test split as well.")
    ] = True,
    json: Annotated[Path | None, typer.Option(help="Write the figures for programs.")] = None,
) -> None:
    """Read a checkpoint of ARM's authors and give it the stored shared part that it lacks.

    Their model takes what all faces share from the batch it is given; here it is estimated from
    training faces and stored, so that a face's answer depends on no other. Reports FP32 by the
    paper's protocol (in list order, and shuffled) beside the model that ships.

    Example: edge-arm import epoch59_acc0.9205.pth --data rafdb --root data/rafdb
    """
    from edge_arm.cli.console import progress_bar
    from edge_arm.data.registry import face_index, remember_root, resolve_root
    from edge_arm.model.authors_checkpoint import authors_model_from_file
    from edge_arm.model.checkpoint import save_checkpoint
    from edge_arm.runtime.faces import Split
    from edge_arm.runtime.storage import require_result_places, sha256_of_file, write_json
    from edge_arm.training.imported_checkpoint import checkpoint_from_authors, labels_of_import

    require_result_places([out] if json is None else [out, json])
    authors = authors_model_from_file(file)
    named = None if classes is None else tuple(name for name in classes.split(",") if name.strip())
    labels = labels_of_import(authors.config.num_classes, named)
    folder = resolve_root(data, root)
    train_index = face_index(data, folder, Split.TRAIN).relabelled(labels)
    used = train_index if faces is None else _drawn(train_index, faces, seed)
    source = {"imported_from": file.name, "imported_sha256": sha256_of_file(file)}
    with progress_bar("shared part", len(used)) as advance:
        checkpoint, estimate = checkpoint_from_authors(
            authors, labels, used, source=source, progress=advance
        )
    saved = save_checkpoint(out, checkpoint)
    remember_root(data, folder)
    config = saved.config
    typer.echo(
        f"{out}: ResNet-18 + {config.head.value} at {config.image_size} pixels from {file.name}, "
        f"classes {', '.join(labels.classes)}"
    )
    if checkpoint.metrics["generic_faces"]:
        typer.echo(
            f"shared part: mean over {estimate.num_faces} training faces, known to "
            f"{estimate.logit_error:.3f} in a logit (one standard error)"
        )
    typer.echo(
        f"right on {estimate.accuracy:.2%} of these training faces; much less than the model is "
        "known for would mean another order of --classes or other faces"
    )
    baselines = _measured(saved, data, folder) if test else ()
    _print_baselines(baselines)
    if json is not None:
        write_json(json, _to_json(saved, baselines))
    typer.echo(f"Next: edge-arm export {out}")


def _drawn(index: FaceIndex, count: int, seed: int) -> FaceIndex:
    import numpy as np

    chosen = np.random.default_rng(seed).permutation(len(index))[:count]
    return index.subset(np.sort(chosen))


def _measured(checkpoint: Checkpoint, data: str, folder: Path) -> tuple[Baseline, ...]:
    """FP32 on the test split by each protocol; nothing, with the reason, where there is none."""
    from edge_arm.cli.console import progress_bar
    from edge_arm.data.registry import face_index
    from edge_arm.model.checkpoint import model_from_checkpoint
    from edge_arm.runtime.errors import DataError
    from edge_arm.runtime.faces import Split
    from edge_arm.training.fp32_accuracy import fp32_accuracy

    try:
        index = face_index(data, folder, Split.TEST).relabelled(checkpoint.labels)
    except DataError as error:
        typer.echo(f"FP32 was not measured on test faces: {error}")
        return ()
    model = model_from_checkpoint(checkpoint)
    with progress_bar("test faces", len(index)) as advance:
        return fp32_accuracy(model, checkpoint, index, progress=advance).baselines


def _print_baselines(baselines: tuple[Baseline, ...]) -> None:
    from rich.console import Console
    from rich.table import Table

    from edge_arm.runtime.report.findings import PROTOCOL_WORDS

    if not baselines:
        return
    table = Table("FP32 on test faces", "accuracy", "95 % interval", "faces", "batch")
    for item in baselines:
        table.add_row(
            PROTOCOL_WORDS[item.protocol],
            f"{item.accuracy:.2%}",
            f"{item.interval.low:.2%} to {item.interval.high:.2%}",
            str(item.num_faces),
            str(item.batch_size),
        )
    Console().print(table)


def _to_json(checkpoint: Checkpoint, baselines: tuple[Baseline, ...]) -> dict[str, Any]:
    return {
        "schema_version": 1,
        "checkpoint_sha256": checkpoint.sha256,
        "classes": list(checkpoint.labels.classes),
        "image_size": checkpoint.config.image_size,
        "head": checkpoint.config.head.value,
        "metrics": checkpoint.metrics,
        "fp32": [
            {
                "protocol": item.protocol.value,
                "accuracy": item.accuracy,
                "interval": [item.interval.low, item.interval.high],
                "confidence": item.interval.confidence,
                "num_faces": item.num_faces,
                "batch_size": item.batch_size,
            }
            for item in baselines
        ],
    }
