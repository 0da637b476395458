"""`edge-arm train`, from a folder of pictures to a checkpoint."""

from __future__ import annotations

import signal
from pathlib import Path

import cv2
import numpy as np
import pytest
import typer
from typer.testing import CliRunner, Result

import edge_arm.training.training_loop as training_loop
from edge_arm.cli.train import train
from edge_arm.model.checkpoint import load_checkpoint
from edge_arm.runtime.errors import DataError, UsageError

_CLASSES = ("anger", "fear", "happiness")


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
    step = training_loop.training_step

    def interrupted(*args: object, **kwargs: object) -> object:
        signal.raise_signal(signal.SIGINT)
        return step(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(training_loop, "training_step", interrupted)
    assert _run("--root", "faces").exit_code == 130
    monkeypatch.undo()
    monkeypatch.chdir(workplace)
    assert (workplace / "build" / "checkpoint.resume.safetensors").exists()

    assert _run("--resume").exit_code == 0
    names = sorted(path.name for path in (workplace / "build").iterdir())
    assert names == ["checkpoint.safetensors", "data-roots.json"]


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        (("--image-size", "30"), UsageError, "got image size 30, expected a multiple of 16"),
        (("--head", "arm", "--image-size", "64"), UsageError, "at least 96 for the head 'arm'"),
        (("--val-fraction", "1.5"), UsageError, "got the validation fraction 1.5"),
        (("--data", "nonesuch"), UsageError, "got the data set 'nonesuch'"),
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
