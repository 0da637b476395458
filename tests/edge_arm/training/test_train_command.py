"""`edge-arm train`, from a folder of pictures to a checkpoint."""

from __future__ import annotations

import signal
from pathlib import Path

import cv2
import numpy as np
import pytest
import typer
from typer.testing import CliRunner, Result

from edge_arm.cli.train import train
from edge_arm.model.checkpoint import load_checkpoint
from edge_arm.runtime.errors import CheckpointError, DataError, UsageError
from edge_arm.training.learner import Learner
from edge_arm.training.metrics_log import read_metrics

_CLASSES = ("anger", "fear", "happiness")
_STAGES = ("checkpoint", "fine")
_METRICS = Path("build/checkpoint.metrics.jsonl")


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder with six faces of each class in `faces/`."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for split in ("train", "test"):
        for name in _CLASSES:
            folder = tmp_path / "faces" / split / name
            folder.mkdir(parents=True)
            for number in range(6):
                picture = rng.integers(0, 255, (24, 24, 3), np.uint8)
                cv2.imwrite(str(folder / f"{number}.png"), picture)
    return tmp_path


def _run(*words: str) -> Result:
    app = typer.Typer()
    app.command()(train)
    small = ("--data", "folder", "--image-size", "32", "--head", "pool", "--epochs", "2")
    return CliRunner().invoke(
        app, [*small, "--batch-size", "8", "--device", "cpu", *words], catch_exceptions=True
    )


def test_a_folder_of_faces_becomes_a_checkpoint_and_a_summary(workplace: Path) -> None:
    result = _run("--root", "faces", "--val-fraction", "0.2")
    assert result.exit_code == 0, result.output
    checkpoint = load_checkpoint(workplace / "build" / "checkpoint.safetensors")
    assert (checkpoint.data["train_faces"], checkpoint.data["validation_faces"]) == (15, 3)
    accuracy = checkpoint.metrics["validation_accuracy"]
    assert f"validation accuracy {accuracy:.2%} of 3 faces" in result.stdout
    assert "training: 30/30 images" in result.stderr


def test_the_folder_is_remembered(workplace: Path) -> None:
    assert _run("--root", "faces").exit_code == 0
    assert _run("--out", "build/again.safetensors").exit_code == 0


def test_ctrl_c_leaves_the_state_and_resume_goes_on(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = Learner.step

    def interrupted(*args: object, **kwargs: object) -> object:
        signal.raise_signal(signal.SIGINT)
        return step(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(Learner, "step", interrupted)
    assert _run("--root", "faces").exit_code == 130
    monkeypatch.undo()
    monkeypatch.chdir(workplace)
    assert (workplace / "build" / "checkpoint.resume.safetensors").exists()

    other = _run("--resume", "--sampler", "mrr")
    assert isinstance(other.exception, CheckpointError)
    assert "sampler was 'natural' and is 'mrr'" in str(other.exception)
    assert _run("--resume").exit_code == 0
    names = sorted(path.name for path in (workplace / "build").iterdir())
    assert names == [
        "cache",
        "checkpoint.curves.svg",
        "checkpoint.metrics.jsonl",
        "checkpoint.safetensors",
        "data-roots.json",
    ]
    assert [metrics.epoch for metrics in read_metrics(_METRICS)] == [1, 2]
    assert "<polyline" in (workplace / "build" / "checkpoint.curves.svg").read_text()


def test_the_second_training_finds_the_decoded_faces(workplace: Path) -> None:
    def cached() -> list[tuple[str, int]]:
        files = (workplace / "build" / "cache").iterdir()
        return sorted((path.name, path.stat().st_ino) for path in files if path.suffix == ".pixels")

    assert _run("--root", "faces").exit_code == 0
    first = cached()
    assert len(first) == 1
    # Another seed splits the faces in another way.
    assert _run("--root", "faces", "--seed", "5", "--out", "build/other.safetensors").exit_code == 0
    assert cached() == first


def test_without_a_cache_nothing_is_kept(workplace: Path) -> None:
    assert _run("--root", "faces", "--no-cache", "--epochs", "1").exit_code == 0
    assert not (workplace / "build" / "cache").exists()


def test_mrr_shows_as_many_of_each_class_as_the_rarest_has(workplace: Path) -> None:
    for number in range(4):
        (workplace / "faces" / "train" / "fear" / f"{number}.png").unlink()
    # Two faces with fear, one of them for validation.
    result = _run("--root", "faces", "--sampler", "mrr", "--val-fraction", "0.2")
    assert result.exit_code == 0, result.output
    assert [metrics.faces for metrics in read_metrics(_METRICS)] == [3, 3]
    assert "training: 6/6 images" in result.stderr
    checkpoint = load_checkpoint(workplace / "build" / "checkpoint.safetensors")
    assert checkpoint.metrics["sampler"] == "mrr"


def test_a_checkpoint_is_fine_tuned_with_small_steps_on_other_classes(workplace: Path) -> None:
    assert _run("--root", "faces").exit_code == 0
    (workplace / "faces" / "train" / "anger").rename(workplace / "faces" / "train" / "contempt")
    (workplace / "faces" / "test" / "anger").rename(workplace / "faces" / "test" / "contempt")
    words = ("--init-checkpoint", "build/checkpoint.safetensors", "--out", "build/fine.safetensors")
    result = _run("--root", "faces", *words)
    assert result.exit_code == 0, result.output
    first, fine = (load_checkpoint(Path(f"build/{name}.safetensors")) for name in _STAGES)
    assert fine.metrics["init_checkpoint_sha256"] == first.sha256
    assert (first.metrics["learning_rate"], fine.metrics["learning_rate"]) == (1e-3, 1e-4)
    assert sorted(fine.labels.classes) == ["contempt", "fear", "happiness"]


def test_tensorboard_is_written_where_it_was_asked_for(workplace: Path) -> None:
    pytest.importorskip("tensorboard", reason="needs the optional package tensorboard")
    assert _run("--root", "faces", "--tensorboard", "runs/first").exit_code == 0
    assert list((workplace / "runs" / "first").glob("events.out.tfevents.*"))


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        (("--image-size", "30"), UsageError, "got image size 30, expected a multiple of 16"),
        (("--head", "arm", "--image-size", "64"), UsageError, "at least 96 for the head 'arm'"),
        (("--val-fraction", "1.5"), UsageError, "got the validation fraction 1.5"),
        (("--data", "nonesuch"), UsageError, "got the data set 'nonesuch'"),
        (
            ("--init", "a.pth", "--init-checkpoint", "b.safetensors"),
            UsageError,
            "expected one file",
        ),
        (("--init-checkpoint", "b.safetensors"), CheckpointError, "cannot read the checkpoint"),
        (("--root", "nowhere"), DataError, "got --root 'nowhere'"),
    ],
)
def test_wrong_use_is_one_error_and_leaves_nothing(
    workplace: Path, words: tuple[str, ...], error: type[Exception], message: str
) -> None:
    result = _run("--root", "faces", *words)
    assert isinstance(result.exception, error)
    assert message in str(result.exception)
    assert not (workplace / "build").exists()
