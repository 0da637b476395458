"""The paper's ablation: what each part of ARM is worth, under one protocol.

Every head is trained with the same faces, recipe and seeds; the backbone of one seed starts from
the same weights under every head. A finished training is kept and not done again, an interrupted
one goes on where it was, so the ablation can be stopped at any time. The test split is looked at
once, at the end of each training, and chooses nothing.

Shapes: S seeds, N test faces.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_arm.model.checkpoint import Checkpoint, load_checkpoint, model_from_checkpoint
from edge_arm.model.config import Head
from edge_arm.model.paper_protocol import shared_part_of
from edge_arm.runtime.baselines import paper_logits
from edge_arm.runtime.errors import DataError, UsageError
from edge_arm.runtime.faces import FaceIndex
from edge_arm.runtime.storage import sha256_of_file, write_json
from edge_arm.training.arithmetic import arithmetic_for
from edge_arm.training.fp32_accuracy import fp32_accuracy
from edge_arm.training.observer import Observer
from edge_arm.training.seed_statistics import SeedMean, mean_over_seeds
from edge_arm.training.trainer import train
from edge_arm.training.training_config import TrainingConfig

HEADS = (Head.POOL, Head.DA, Head.FA_DA, Head.SA, Head.ARM)
"""From plain ResNet-18 to the whole of ARM, in the order of the paper's table."""
PLAIN = Head.POOL
_SCHEMA_VERSION = 1

Watch = Callable[[Path], AbstractContextManager[Sequence[Observer]]]
Bools = npt.NDArray[np.bool_]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class AblationConfig:
    """What is trained.

    Attributes:
        training: the recipe; its head and seed are those of the first training.
        num_seeds: S; the seeds count up from the recipe's.
        confidence: of the intervals, two-sided.
    """

    training: TrainingConfig
    num_seeds: int = 3
    confidence: float = 0.95

    def __post_init__(self) -> None:
        if self.num_seeds < 1:
            raise UsageError(f"got {self.num_seeds} seeds, expected at least 1; use --seeds 3")
        if self.training.init_checkpoint is not None:
            raise UsageError(
                "got --init-checkpoint with --ablation, expected trainings that differ in their "
                "head alone; give all of them one backbone with --init"
            )

    @property
    def seeds(self) -> tuple[int, ...]:
        """Of the trainings of each head."""
        return tuple(self.training.seed + number for number in range(self.num_seeds))


@dataclass(frozen=True)
class AblationFaces:
    """The faces of all trainings.

    Attributes:
        train: to learn from.
        validation: that choose the epoch.
        test: that the table is about.
    """

    train: FaceIndex
    validation: FaceIndex
    test: FaceIndex

    def __post_init__(self) -> None:
        if len(self.test) < 2:
            raise DataError(
                f"the test split of {self.test.name!r} has {len(self.test)} faces, expected at "
                "least 2 to compare models on; add test faces"
            )


@dataclass(frozen=True, eq=False)
class TrainedCell:
    """One training of one head, measured.

    Attributes:
        head: of the model.
        seed: of the training.
        right: (N,) whether each test face is answered rightly by the model that ships.
        right_paper: (N,) the same by the paper's protocol in list order; None for a head that
            shares nothing.
        validation_accuracy: 0..1, of the epoch that was kept.
        epoch: that was kept, counted from 1.
        test_sha256: over ids, labels and file contents of the test faces.
    """

    head: Head
    seed: int
    right: Bools
    right_paper: Bools | None
    validation_accuracy: float
    epoch: int
    test_sha256: str


@dataclass(frozen=True)
class HeadResult:
    """A row of the table.

    Attributes:
        head: of the models.
        accuracy: 0..1 on the test faces, as the model ships.
        gain: of accuracy over plain ResNet-18, on the same faces and seed by seed; None for plain
            ResNet-18 itself.
        paper_accuracy: by the paper's protocol; None for a head that shares nothing.
        epochs: that were kept, by seed.
    """

    head: Head
    accuracy: SeedMean
    gain: SeedMean | None
    paper_accuracy: SeedMean | None
    epochs: tuple[int, ...]


@dataclass(frozen=True)
class Ablation:
    """The table, and what it is about.

    Attributes:
        config: what was trained.
        faces: with what.
        rows: in the order of `HEADS`.
        test_sha256: over ids, labels and file contents of the test faces.
    """

    config: AblationConfig
    faces: AblationFaces
    rows: tuple[HeadResult, ...]
    test_sha256: str


def run_ablation(
    faces: AblationFaces, config: AblationConfig, folder: Path, watch: Watch
) -> Ablation:
    """Train and measure every head with every seed.

    Args:
        faces: of all trainings.
        config: the recipe and the seeds.
        folder: for the checkpoints and what was measured of each; what is finished there is used.
        watch: opened around each training that is left to do, with the path of its checkpoint.

    Raises:
        UsageError: if the folder holds trainings of another recipe, or the options contradict
            each other.
        DataError: if the faces cannot train a model, or changed since a finished training.
        StorageError: if a checkpoint cannot be written.
        KeyboardInterrupt: on Ctrl-C, after the state of the training at hand was saved.
    """
    # Seed by seed: an ablation that is stopped early has whole rows of few seeds.
    cells = {
        (head, seed): _cell(faces, config, head, seed=seed, folder=folder, watch=watch)
        for seed in config.seeds
        for head in HEADS
    }
    seen = {cell.test_sha256 for cell in cells.values()}
    if len(seen) > 1:
        raise DataError(
            f"the test faces changed between the trainings in {str(folder)!r} ({len(seen)} "
            "different hashes of their files), expected the same faces for all; choose another "
            "--out, or remove the .json files there to measure all of them again"
        )

    def stacked(head: Head) -> npt.NDArray[np.float64]:
        return np.stack([cells[head, seed].right for seed in config.seeds]).astype(np.float64)

    def mean(values: npt.NDArray[np.float64]) -> SeedMean:
        return mean_over_seeds(values, confidence=config.confidence)

    def row(head: Head) -> HeadResult:
        of_head = [cells[head, seed] for seed in config.seeds]
        paper = [cell.right_paper for cell in of_head if cell.right_paper is not None]
        return HeadResult(
            head=head,
            accuracy=mean(stacked(head)),
            gain=None if head is PLAIN else mean(stacked(head) - stacked(PLAIN)),
            paper_accuracy=mean(np.stack(paper).astype(np.float64)) if paper else None,
            epochs=tuple(cell.epoch for cell in of_head),
        )

    return Ablation(config, faces, tuple(row(head) for head in HEADS), seen.pop())


def cell_path(folder: Path, head: Head, seed: int) -> Path:
    """Where the checkpoint of a training lies; what was measured of it lies beside it."""
    return folder / f"{head.value}-seed{seed}.safetensors"


def _cell(
    faces: AblationFaces,
    config: AblationConfig,
    head: Head,
    *,
    seed: int,
    folder: Path,
    watch: Watch,
) -> TrainedCell:
    """One training: taken from the folder if it is finished there, else done or gone on with."""
    path = cell_path(folder, head, seed)
    recipe = replace(config.training, head=head, seed=seed, resume=True)
    if path.exists():
        checkpoint = load_checkpoint(path)
        _require_recipe(path, checkpoint, recipe, faces)
    else:
        _log.info("ablation: training %s with seed %d", head.value, seed)
        with watch(path) as observers:
            checkpoint = train(faces.train, faces.validation, recipe, path, observers)
    measured = path.with_suffix(".json")
    cell = _read_cell(measured, checkpoint, faces)
    if cell is None:
        cell = _measured(checkpoint, faces, recipe)
        _write_cell(measured, checkpoint, faces, cell)
    _log.info(
        "ablation: %s, seed %d: %.2f %% of %d test faces",
        head.value,
        seed,
        100 * float(cell.right.mean()),
        len(cell.right),
    )
    return cell


def _measured(checkpoint: Checkpoint, faces: AblationFaces, recipe: TrainingConfig) -> TrainedCell:
    model = model_from_checkpoint(checkpoint)
    shared = shared_part_of(model)
    device = arithmetic_for(recipe.device).device
    test = faces.test.relabelled(checkpoint.labels)
    found = fp32_accuracy(model, checkpoint, test, device=device).predictions
    right_paper = None
    if shared is not None:
        right_paper = paper_logits(found.logits, shared).argmax(axis=1) == found.targets
    return TrainedCell(
        recipe.head,
        recipe.seed,
        found.right,
        right_paper,
        float(checkpoint.metrics["validation_accuracy"]),
        int(checkpoint.metrics["epoch"]),
        found.data_sha256,
    )


def _require_recipe(
    path: Path, checkpoint: Checkpoint, recipe: TrainingConfig, faces: AblationFaces
) -> None:
    """Refuse a finished training that this ablation would not have done."""
    metrics, data = checkpoint.metrics, checkpoint.data
    init = None if recipe.init is None else sha256_of_file(recipe.init)
    for what, got, wanted in (
        ("head", checkpoint.config.head.value, recipe.head.value),
        ("image size", checkpoint.config.image_size, recipe.image_size),
        ("seed", metrics.get("seed"), recipe.seed),
        ("epochs", metrics.get("epochs"), recipe.epochs),
        ("batch size", metrics.get("batch_size"), recipe.batch_size),
        ("learning rate", metrics.get("learning_rate"), recipe.learning_rate),
        ("learning rate decay", metrics.get("learning_rate_decay"), recipe.learning_rate_decay),
        ("weight decay", metrics.get("weight_decay"), recipe.weight_decay),
        ("sampler", metrics.get("sampler"), recipe.sampler.value),
        ("initial weights", metrics.get("init_sha256"), init),
        ("training faces", data.get("train_sha256"), faces.train.sha256),
        ("validation faces", data.get("validation_sha256"), faces.validation.sha256),
    ):
        if got != wanted:
            raise UsageError(
                f"{str(path)!r} was trained with another {what} ({got!r}), expected {wanted!r} as "
                "in this ablation; choose another --out, or remove the file to train it again"
            )


def _write_cell(
    path: Path, checkpoint: Checkpoint, faces: AblationFaces, cell: TrainedCell
) -> None:
    write_json(
        path,
        {
            "schema_version": _SCHEMA_VERSION,
            "checkpoint_sha256": checkpoint.sha256,
            "test_index_sha256": faces.test.sha256,
            "test_sha256": cell.test_sha256,
            "right": _bits(cell.right),
            "right_paper": None if cell.right_paper is None else _bits(cell.right_paper),
        },
    )


def _read_cell(path: Path, checkpoint: Checkpoint, faces: AblationFaces) -> TrainedCell | None:
    """What was measured of this very checkpoint on these very faces; None if nothing was."""
    try:
        value: Any = json.loads(path.read_text(encoding="utf-8"))
        known = (value["schema_version"], value["checkpoint_sha256"], value["test_index_sha256"])
        if known != (_SCHEMA_VERSION, checkpoint.sha256, faces.test.sha256):
            return None
        paper = value["right_paper"]
        cell = TrainedCell(
            checkpoint.config.head,
            int(checkpoint.metrics["seed"]),
            _from_bits(value["right"]),
            None if paper is None else _from_bits(paper),
            float(checkpoint.metrics["validation_accuracy"]),
            int(checkpoint.metrics["epoch"]),
            str(value["test_sha256"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None  # measured again: that costs a minute and loses nothing
    return cell if len(cell.right) == len(faces.test) else None


def _bits(right: Bools) -> str:
    return "".join("1" if item else "0" for item in right)


def _from_bits(text: str) -> Bools:
    return np.array([item == "1" for item in text], np.bool_)
