"""The ablation's table as Markdown and JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edge_arm.model.config import Head
from edge_arm.runtime.report.published import published_accuracies
from edge_arm.runtime.storage import write_json, write_text
from edge_arm.training.ablation import Ablation
from edge_arm.training.seed_statistics import SeedMean

HEAD_WORDS = {
    Head.POOL: "plain ResNet-18",
    Head.DA: "+ DA",
    Head.FA_DA: "+ FA + DA",
    Head.SA: "+ SA",
    Head.ARM: "ARM (FA + DA + SA)",
}
COLUMNS = (
    "Model",
    "Test accuracy, %",
    "interval",
    "by seed",
    "Gain over plain, pp",
    "interval",
    "Paper protocol, %",
)


def write_ablation(ablation: Ablation, folder: Path) -> tuple[Path, Path]:
    """Write both forms.

    Args:
        ablation: the table.
        folder: to write `ablation.md` and `ablation.json` into.

    Returns:
        Their paths.

    Raises:
        StorageError: if the operating system refuses the write.
    """
    markdown, machine = folder / "ablation.md", folder / "ablation.json"
    write_text(markdown, markdown_from_ablation(ablation))
    write_json(machine, ablation_to_json(ablation))
    return markdown, machine


def table_rows(ablation: Ablation) -> list[tuple[str, ...]]:
    """The cells under `COLUMNS`, as text."""
    return [
        (
            HEAD_WORDS[row.head],
            f"{100 * row.accuracy.mean:.2f}",
            _limits(row.accuracy),
            _by_seed(row.accuracy),
            "" if row.gain is None else f"{100 * row.gain.mean:+.2f}",
            "" if row.gain is None else _limits(row.gain, sign="+"),
            "" if row.paper_accuracy is None else f"{100 * row.paper_accuracy.mean:.2f}",
        )
        for row in ablation.rows
    ]


def notes_of(ablation: Ablation) -> tuple[str, ...]:
    """What the table is about and what it does not say, a sentence or two each."""
    config, faces = ablation.config, ablation.faces
    recipe = config.training
    seeds = ", ".join(map(str, config.seeds))
    notes = [
        f"{faces.test.name}: {len(faces.train):,} training, {len(faces.validation):,} validation "
        f"and {len(faces.test):,} test faces; {recipe.image_size} pixels, {recipe.epochs} epochs, "
        f"batches of {recipe.batch_size}, sampler {recipe.sampler.value}, "
        f"{'random' if recipe.init is None else 'pre-trained'} initial weights, seeds {seeds}. The "
        "same for every row; the validation faces choose the epoch, the test faces nothing.",
        f"Intervals: {100 * config.confidence:g} %, "
        + (
            "over test faces and over seeds (readers and cases, Hillis 2007); gains are paired by "
            "face and seed. Each stands for itself: of four comparisons one may look good by "
            "chance."
            if config.num_seeds > 1
            else "over test faces alone: with one seed nothing says how another would end."
        ),
        "Test accuracy is that of the model that ships, with a stored shared part. Paper protocol: "
        "the batch's own mean (batches of 64, list order), which a single face cannot have.",
        "FA: feature arrangement. DA: de-albino; alone it weighs the 512 maps' positions with one "
        "shared kernel. SA: sharing affinity; alone it adds to the pooled features their mean.",
    ]
    notes += [
        f"Published, paper protocol: {item.model} {100 * item.accuracy:.2f} % ({item.source}); "
        "other weights, best test epoch."
        for item in published_accuracies(faces.test.name, len(faces.test.labels))
    ]
    return tuple(notes)


def markdown_from_ablation(ablation: Ablation) -> str:
    """The table and its notes."""
    lines = [
        f"# Ablation of ARM on {ablation.faces.test.name}",
        "",
        f"| {' | '.join(COLUMNS)} |",
        f"|{'---|' * len(COLUMNS)}",
        *(f"| {' | '.join(cells)} |" for cells in table_rows(ablation)),
        "",
        *(f"- {note}" for note in notes_of(ablation)),
    ]
    return "\n".join(lines) + "\n"


def ablation_to_json(ablation: Ablation) -> dict[str, Any]:
    """The same for programs, with figures as fractions."""
    config, faces = ablation.config, ablation.faces
    recipe = config.training
    return {
        "schema_version": 1,
        "data": {
            "name": faces.test.name,
            "train_faces": len(faces.train),
            "validation_faces": len(faces.validation),
            "test_faces": len(faces.test),
            "train_sha256": faces.train.sha256,
            "validation_sha256": faces.validation.sha256,
            "test_sha256": ablation.test_sha256,
        },
        "recipe": {
            "epochs": recipe.epochs,
            "batch_size": recipe.batch_size,
            "image_size": recipe.image_size,
            "learning_rate": recipe.learning_rate,
            "learning_rate_decay": recipe.learning_rate_decay,
            "weight_decay": recipe.weight_decay,
            "sampler": recipe.sampler.value,
            "pretrained": recipe.init is not None,
            "seeds": list(config.seeds),
        },
        "confidence": config.confidence,
        "rows": [
            {
                "head": row.head.value,
                "accuracy": _mean_to_json(row.accuracy),
                "gain": None if row.gain is None else _mean_to_json(row.gain),
                "paper_accuracy": (
                    None if row.paper_accuracy is None else _mean_to_json(row.paper_accuracy)
                ),
                "epochs_kept": list(row.epochs),
            }
            for row in ablation.rows
        ],
        "notes": list(notes_of(ablation)),
    }


def _limits(value: SeedMean, sign: str = "") -> str:
    return f"{100 * value.low:{sign}.2f} to {100 * value.high:{sign}.2f}"


def _by_seed(value: SeedMean) -> str:
    return " ".join(f"{100 * item:.2f}" for item in value.by_seed)


def _mean_to_json(value: SeedMean) -> dict[str, Any]:
    return {
        "mean": value.mean,
        "low": value.low,
        "high": value.high,
        "by_seed": list(value.by_seed),
    }
