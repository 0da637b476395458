"""The ablation, trained for real on a few coloured pictures."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

import edge_arm.training.ablation as ablation_module
from edge_arm.cli.main import app
from edge_arm.model.checkpoint import load_checkpoint, model_from_checkpoint
from edge_arm.model.config import Head
from edge_arm.model.paper_protocol import paper_protocol_logits
from edge_arm.runtime.errors import DataError, UsageError
from edge_arm.runtime.faces import FaceIndex, Split
from edge_arm.training.ablation import (
    HEADS,
    Ablation,
    AblationConfig,
    AblationFaces,
    cell_path,
    run_ablation,
)
from edge_arm.training.ablation_table import ablation_to_json, markdown_from_ablation
from edge_arm.training.augmentation import normalised
from edge_arm.training.decoded_faces import FaceStore, decoded_faces
from edge_arm.training.observer import Observer
from edge_arm.training.training_config import Device, TrainingConfig

_RECIPE = TrainingConfig(epochs=1, batch_size=12, image_size=96, device=Device.CPU)
_CONFIG = AblationConfig(_RECIPE, num_seeds=2)


@pytest.fixture(scope="module")
def faces(make_index: Callable[..., FaceIndex]) -> AblationFaces:
    return AblationFaces(
        make_index(12, seed=1),
        make_index(6, seed=2, split=Split.VALIDATION),
        make_index(15, seed=3, split=Split.TEST),
    )


class _Watch:
    """Notes which trainings are really done."""

    def __init__(self) -> None:
        self.trained: list[str] = []

    @contextmanager
    def __call__(self, path: Path) -> Iterator[Sequence[Observer]]:
        self.trained.append(path.stem)
        yield []


@pytest.fixture(scope="module")
def finished(
    faces: AblationFaces, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Ablation, Path, list[str]]:
    folder = tmp_path_factory.mktemp("ablation")
    watch = _Watch()
    return run_ablation(faces, _CONFIG, folder, watch), folder, watch.trained


@pytest.fixture
def folder(finished: tuple[Ablation, Path, list[str]], tmp_path: Path) -> Path:
    """A copy of the finished folder, to be spoilt; checkpoints of 45 MB are links."""
    copied = tmp_path / "ablation"
    copied.mkdir()
    for path in finished[1].iterdir():
        if path.suffix == ".safetensors":
            os.link(path, copied / path.name)
        else:
            shutil.copy(path, copied / path.name)
    return copied


def test_every_head_is_trained_with_every_seed(
    finished: tuple[Ablation, Path, list[str]],
) -> None:
    table, folder, trained = finished
    assert [row.head for row in table.rows] == list(HEADS)
    assert sorted(trained) == sorted(f"{h.value}-seed{s}" for h in HEADS for s in (0, 1))
    for head in HEADS:
        assert load_checkpoint(cell_path(folder, head, 1)).config.head is head
    assert [row.gain is None for row in table.rows] == [True, False, False, False, False]
    shares = [row.paper_accuracy is not None for row in table.rows]
    assert shares == [False, False, False, True, True]


def test_the_figures_are_those_of_the_checkpoints(
    finished: tuple[Ablation, Path, list[str]], faces: AblationFaces, tmp_path: Path
) -> None:
    table, folder, _ = finished
    right = {}
    for head in (Head.POOL, Head.ARM):
        checkpoint = load_checkpoint(cell_path(folder, head, 0))
        model = model_from_checkpoint(checkpoint)
        store = FaceStore(None, tmp_path)
        spec = checkpoint.preprocess
        with decoded_faces(faces.test, faces.validation, spec=spec, store=store) as (test, _):
            images, targets = test.batch(np.arange(15), next(model.parameters()).device)
            x = normalised(images, checkpoint.preprocess)
            right[head] = (model(x).argmax(1) == targets).float().mean().item()
            if head is Head.ARM:
                paper = (paper_protocol_logits(model, x).argmax(1) == targets).float().mean()
    arm = table.rows[-1]
    assert table.rows[0].accuracy.by_seed[0] == pytest.approx(right[Head.POOL])
    assert arm.accuracy.by_seed[0] == pytest.approx(right[Head.ARM])
    assert arm.gain is not None and arm.paper_accuracy is not None
    assert arm.gain.by_seed[0] == pytest.approx(right[Head.ARM] - right[Head.POOL])
    assert arm.paper_accuracy.by_seed[0] == pytest.approx(float(paper))


def test_finished_trainings_are_kept(
    folder: Path, faces: AblationFaces, finished: tuple[Ablation, Path, list[str]]
) -> None:
    cell_path(folder, Head.SA, 1).unlink()
    watch = _Watch()
    again = run_ablation(faces, _CONFIG, folder, watch)
    assert watch.trained == ["sa-seed1"]
    assert ablation_to_json(again)["rows"] == ablation_to_json(finished[0])["rows"]


def test_more_seeds_are_added_to_finished_ones(folder: Path, faces: AblationFaces) -> None:
    watch = _Watch()
    one = AblationConfig(replace(_RECIPE, seed=1), num_seeds=1)
    table = run_ablation(faces, one, folder, watch)
    assert watch.trained == []
    assert len(table.rows[0].accuracy.by_seed) == 1
    assert "over test faces alone: with one seed nothing says" in markdown_from_ablation(table)


def test_what_was_measured_is_measured_again_only_where_it_is_lost_or_of_another_checkpoint(
    folder: Path, faces: AblationFaces, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell_path(folder, Head.DA, 0).with_suffix(".json").write_text("{")
    # Another training under this name: its own figures are in the way.
    other = json.loads(cell_path(folder, Head.DA, 1).with_suffix(".json").read_text())
    other["checkpoint_sha256"] = "0" * 64
    cell_path(folder, Head.DA, 1).with_suffix(".json").write_text(json.dumps(other))
    measured: list[int] = []
    measure = ablation_module._measured

    def counted(*args: object) -> object:
        measured.append(1)
        return measure(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(ablation_module, "_measured", counted)
    run_ablation(faces, _CONFIG, folder, _Watch())
    assert len(measured) == 2


def test_a_training_of_another_recipe_is_refused(folder: Path, faces: AblationFaces) -> None:
    other = AblationConfig(replace(_RECIPE, epochs=2), num_seeds=2)
    expected = r"pool-seed0.safetensors' was trained with another epochs \(1\), expected 2 as in"
    with pytest.raises(UsageError, match=expected):
        run_ablation(faces, other, folder, _Watch())


def test_test_faces_that_changed_on_disk_are_refused(folder: Path, faces: AblationFaces) -> None:
    path = cell_path(folder, Head.DA, 0).with_suffix(".json")
    changed = json.loads(path.read_text()) | {"test_sha256": "1" * 64}
    path.write_text(json.dumps(changed))
    with pytest.raises(DataError, match=r"the test faces changed .* \(2 different hashes"):
        run_ablation(faces, _CONFIG, folder, _Watch())


def test_the_table_says_what_it_is_about(finished: tuple[Ablation, Path, list[str]]) -> None:
    text = markdown_from_ablation(finished[0])
    assert "| Model | Test accuracy, % |" in text
    assert "| + FA + DA |" in text
    assert "12 training, 6 validation and 15 test faces; 96 pixels, 1 epochs" in text
    assert "gains are paired by face and seed" in text
    value = ablation_to_json(finished[0])
    assert value["recipe"]["seeds"] == [0, 1]
    assert value["rows"][4]["gain"]["low"] <= value["rows"][4]["gain"]["high"]
    json.dumps(value, allow_nan=False)


def test_published_figures_stand_under_a_table_of_their_set(
    finished: tuple[Ablation, Path, list[str]], faces: AblationFaces
) -> None:
    from edge_arm.runtime.labels import RAFDB

    named = replace(faces, test=replace(faces.test, name="rafdb", labels=RAFDB))
    text = markdown_from_ablation(replace(finished[0], faces=named))
    assert "Published, paper protocol: ResNet-18 + ARM 90.42 %" in text
    assert "Published, paper protocol: plain ResNet-18 86.40 %" in text


def test_contradictions_are_refused_before_anything_is_trained(faces: AblationFaces) -> None:
    with pytest.raises(UsageError, match="got 0 seeds, expected at least 1; use --seeds 3"):
        AblationConfig(_RECIPE, num_seeds=0)
    fine_tuned = replace(_RECIPE, init_checkpoint=Path("c.safetensors"))
    with pytest.raises(UsageError, match="got --init-checkpoint with --ablation, expected traini"):
        AblationConfig(fine_tuned)
    with pytest.raises(DataError, match="has 1 faces, expected at least 2 to compare models on"):
        replace(faces, test=faces.test.subset([0]))


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, faces: AblationFaces) -> Path:
    """The same pictures as a folder set."""
    monkeypatch.chdir(tmp_path)
    for index, split in ((faces.train, "train"), (faces.validation, "val"), (faces.test, "test")):
        for sample in index.samples:
            place = tmp_path / "faces" / split / index.labels.classes[sample.target]
            place.mkdir(parents=True, exist_ok=True)
            shutil.copy(sample.path, place / sample.path.name)
    return tmp_path


def _run(*words: str) -> Result:
    small = ("--data", "folder", "--root", "faces", "--image-size", "96", "--epochs", "1")
    return CliRunner().invoke(
        app, ["train", *small, "--batch-size", "12", "--device", "cpu", *words]
    )


def test_one_command_writes_the_table_and_can_be_interrupted(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = ablation_module.train

    def interrupted(*args: object, **kwargs: object) -> object:
        if "da-seed0" in str(args[3]):
            raise KeyboardInterrupt
        return train(*args, **kwargs)  # type: ignore[arg-type]

    two = (Head.POOL, Head.DA)  # time
    monkeypatch.setattr(ablation_module, "train", interrupted)
    monkeypatch.setattr(ablation_module, "HEADS", two)
    assert _run("--ablation", "--seeds", "1").exit_code == 130
    monkeypatch.setattr(ablation_module, "train", train)
    assert cell_path(workplace / "build" / "ablation", Head.POOL, 0).exists()

    result = _run("--ablation", "--seeds", "1")
    assert result.exit_code == 0, result.output
    assert "plain ResNet-18" in result.stdout
    assert "validation faces choose the epoch, the test faces nothing" in result.stdout
    table = json.loads((workplace / "build" / "ablation" / "ablation.json").read_text())
    assert table["data"]["test_faces"] == 15
    assert "# Ablation of ARM on folder" in (workplace / "build/ablation/ablation.md").read_text()


def test_a_head_beside_the_ablation_is_refused(workplace: Path) -> None:
    result = _run("--ablation", "--head", "pool")
    assert isinstance(result.exception, UsageError)
    assert "got --head pool with --ablation, expected one of the two" in str(result.exception)
