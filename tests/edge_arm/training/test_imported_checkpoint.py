"""`edge-arm import`, from the authors' file to a checkpoint that exports."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from authors_model import AuthorsModel, save_as_they_do
from typer.testing import CliRunner, Result

from edge_arm.cli.main import app
from edge_arm.export.onnx_from_checkpoint import trained_model_from_checkpoint
from edge_arm.model.checkpoint import load_checkpoint, model_from_checkpoint
from edge_arm.runtime.errors import DataError, UsageError
from edge_arm.runtime.labels import RAFDB

_SPLITS = {"train": 3, "test": 2}


@pytest.fixture(scope="module")
def theirs() -> AuthorsModel:
    return AuthorsModel(seed=2)


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, theirs: AuthorsModel) -> Path:
    """The authors' file, and faces of the seven classes in `faces/`."""
    monkeypatch.chdir(tmp_path)
    save_as_they_do(tmp_path / "theirs.pth", theirs.state_dict())
    rng = np.random.default_rng(0)
    for split, count in _SPLITS.items():
        for name in RAFDB.classes:
            folder = tmp_path / "faces" / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                picture = rng.integers(0, 255, (96, 96, 3), np.uint8)
                cv2.imwrite(str(folder / f"{number}.png"), picture)
    return tmp_path


def _run(*words: str) -> Result:
    command = ["import", "theirs.pth", "--data", "folder", "--root", "faces"]
    return CliRunner().invoke(app, [*command, *words])


def _faces(root: Path, split: str) -> tuple[torch.Tensor, list[int]]:
    """Normalised faces in list order, without our readers."""
    images, targets = [], []
    for target, name in sorted(enumerate(RAFDB.classes), key=lambda item: item[1]):
        for path in sorted((root / "faces" / split / name).iterdir()):
            images.append(cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB))
            targets.append(target)
    x = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    return (x - mean.view(3, 1, 1)) / std.view(3, 1, 1), targets


def test_the_shared_part_is_the_mean_over_the_training_faces(
    workplace: Path, theirs: AuthorsModel
) -> None:
    result = _run("--json", "figures.json")
    assert result.exit_code == 0, result.output
    checkpoint = load_checkpoint(workplace / "build" / "checkpoint.safetensors")
    x, targets = _faces(workplace, "train")
    with torch.no_grad():
        arranged = torch.nn.functional.pixel_shuffle(theirs.features(x), 16)
        maps = torch.cat([theirs.arm.de_albino(arranged[:, m : m + 1]) for m in range(2)], 1)
        unique = theirs.arm.bn(maps).mean(dim=1)
        generic = unique.double().mean(dim=0)
        logits = theirs.fc((unique + theirs.arm.alpha * generic).float().flatten(1))
    assert torch.allclose(checkpoint.state["arm.generic"].double(), generic, atol=1e-4)
    accuracy = float((logits.argmax(1) == torch.tensor(targets)).float().mean())
    assert checkpoint.metrics["train_accuracy"] == pytest.approx(accuracy)
    assert checkpoint.metrics["generic_faces"] == 21
    own = (unique.flatten(1) @ theirs.fc.weight.detach().T).numpy()
    error = 0.75 * own.std(axis=0, ddof=1).max() / np.sqrt(21)
    assert checkpoint.metrics["generic_logit_error"] == pytest.approx(error, rel=1e-3)
    assert f"known to {error:.3f} in a logit" in result.stdout


def test_all_three_baselines_are_those_of_their_own_code(
    workplace: Path, theirs: AuthorsModel
) -> None:
    result = _run("--json", "figures.json")
    assert result.exit_code == 0, result.output
    figures = json.loads((workplace / "figures.json").read_text())
    by_protocol = {item["protocol"]: item for item in figures["fp32"]}
    assert set(by_protocol) == {"paper", "paper-shuffled", "deployable"}
    x, targets = _faces(workplace, "test")
    with torch.no_grad():
        theirs_right = (theirs(x).argmax(1) == torch.tensor(targets)).float().mean()
        ours = model_from_checkpoint(load_checkpoint(workplace / "build/checkpoint.safetensors"))
        alone = torch.cat([ours(face[None]) for face in x])
    right = (alone.argmax(1) == torch.tensor(targets)).float().mean()
    # All 14 faces are one batch of their 64.
    assert by_protocol["paper"]["accuracy"] == pytest.approx(float(theirs_right))
    assert by_protocol["deployable"]["accuracy"] == pytest.approx(float(right))
    assert by_protocol["paper"]["num_faces"] == 14
    assert "paper protocol, list order" in result.stdout


def test_the_outputs_can_be_named_in_another_order(workplace: Path) -> None:
    names = "neutral,happy,sad,surprise,fear,disgust,angry"
    assert _run("--classes", names, "--no-test").exit_code == 0
    checkpoint = load_checkpoint(workplace / "build" / "checkpoint.safetensors")
    assert checkpoint.labels.classes == (
        "neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger",
    )  # fmt: skip


def test_a_part_of_the_training_faces_is_enough_if_asked_for(workplace: Path) -> None:
    assert _run("--faces", "5", "--no-test").exit_code == 0
    checkpoint = load_checkpoint(workplace / "build" / "checkpoint.safetensors")
    assert checkpoint.metrics["generic_faces"] == checkpoint.data["train_faces"] == 5
    exported = trained_model_from_checkpoint(workplace / "build" / "checkpoint.safetensors")
    assert exported.source["metrics"]["imported_from"] == "theirs.pth"


def test_without_test_faces_the_reason_is_said(workplace: Path) -> None:
    for path in sorted((workplace / "faces" / "test").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    (workplace / "faces" / "test").rmdir()
    result = _run()
    assert result.exit_code == 0
    assert "FP32 was not measured on test faces: 'faces' has no folder 'test'" in result.stdout


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        (("--classes", "fear,anger"), UsageError, "got --classes with 2 names, expected 7, one fo"),
        (
            ("--classes", "fear,anger,sad,happy,neutral,contempt,disgust"),
            DataError,
            "got the expression 'surprise', expected one of fear, anger, sadness",
        ),
        (("--classes", "sad,sadness,a,b,c,d,e"), DataError, "names a class twice"),
        (("--root", "nowhere"), DataError, "got --root 'nowhere'"),
    ],
)
def test_wrong_use_is_one_error_and_leaves_nothing(
    workplace: Path, words: tuple[str, ...], error: type[Exception], message: str
) -> None:
    result = _run(*words)
    assert isinstance(result.exception, error)
    assert message in str(result.exception)
    assert not (workplace / "build").exists()


def test_eight_outputs_have_to_be_named(workplace: Path) -> None:
    save_as_they_do(workplace / "theirs.pth", AuthorsModel(num_classes=8).state_dict())
    result = _run()
    assert isinstance(result.exception, UsageError)
    assert "got a model with 8 classes, expected --classes to name them" in str(result.exception)
