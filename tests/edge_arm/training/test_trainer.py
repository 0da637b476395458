"""Training: what it leaves on disk, going on after an interrupt, and what it refuses."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from edge_arm.model.checkpoint import Checkpoint, load_checkpoint, model_from_checkpoint
from edge_arm.model.config import Head, ModelConfig
from edge_arm.model.fer_model import seeded_model
from edge_arm.runtime.batches import read_face
from edge_arm.runtime.errors import (
    CheckpointError,
    DataError,
    ImageError,
    StorageError,
    UsageError,
)
from edge_arm.runtime.faces import FaceIndex, FaceSample
from edge_arm.runtime.labels import LabelSet
from edge_arm.training import training_loop
from edge_arm.training.distributed import World
from edge_arm.training.observer import Observer, Plan
from edge_arm.training.resume_state import resume_path
from edge_arm.training.trainer import train
from edge_arm.training.training_config import Device, TrainingConfig

SMALL = TrainingConfig(epochs=2, batch_size=8, image_size=32, head=Head.POOL, device=Device.CPU)


def _stop_after(calls: int) -> list[Observer]:
    """Somebody who presses Ctrl-C in the n-th step."""
    seen = 0

    def progress(_: int) -> None:
        nonlocal seen
        seen += 1
        if seen == calls:
            signal.raise_signal(signal.SIGINT)

    return [Observer(on_step=progress)]


def _same(first: Checkpoint, second: Checkpoint) -> bool:
    return (
        first.sha256 == second.sha256
        and first.metrics == second.metrics
        and all(torch.equal(second.state[name], value) for name, value in first.state.items())
    )


@pytest.fixture(scope="module")
def whole(
    train_faces: FaceIndex, validation_faces: FaceIndex, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The checkpoint of a training with `SMALL` that nothing disturbed."""
    out = tmp_path_factory.mktemp("whole") / "new" / "checkpoint.safetensors"
    train(train_faces, validation_faces, SMALL, out)
    return out


# 24 faces in batches of 8 are 3 steps an epoch.
@pytest.mark.parametrize("steps", [1, 3, 4])
def test_interrupted_and_resumed_equals_uninterrupted_bit_for_bit(
    train_faces: FaceIndex, validation_faces: FaceIndex, tmp_path: Path, whole: Path, steps: int
) -> None:
    out = tmp_path / "checkpoint.safetensors"
    with pytest.raises(KeyboardInterrupt):
        train(train_faces, validation_faces, SMALL, out, _stop_after(steps))
    assert not out.exists()
    assert resume_path(out).exists()
    train(train_faces, validation_faces, replace(SMALL, resume=True), out)
    assert out.read_bytes() == whole.read_bytes()


@pytest.mark.slow
def test_interrupted_and_resumed_equals_uninterrupted_with_arm(
    train_faces: FaceIndex, validation_faces: FaceIndex, tmp_path: Path
) -> None:
    config = replace(SMALL, image_size=96, head=Head.ARM)
    undisturbed = train(train_faces, validation_faces, config, tmp_path / "whole.safetensors")
    out = tmp_path / "cut.safetensors"
    with pytest.raises(KeyboardInterrupt):
        train(train_faces, validation_faces, config, out, _stop_after(4))
    resumed = train(train_faces, validation_faces, replace(config, resume=True), out)
    assert _same(undisturbed, resumed)


def test_saving_in_between_changes_nothing(
    train_faces: FaceIndex,
    validation_faces: FaceIndex,
    tmp_path: Path,
    whole: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(training_loop, "SAVE_EVERY_SECONDS", 0.0)
    out = tmp_path / "checkpoint.safetensors"
    train(train_faces, validation_faces, SMALL, out)
    assert out.read_bytes() == whole.read_bytes()


def test_a_finished_training_leaves_the_checkpoint_and_nothing_else(whole: Path) -> None:
    assert [path.name for path in whole.parent.iterdir()] == ["checkpoint.safetensors"]


def test_the_checkpoint_names_its_faces_and_no_place(
    train_faces: FaceIndex, whole: Path, tmp_path: Path
) -> None:
    loaded = load_checkpoint(whole)
    assert loaded.labels == train_faces.labels
    assert loaded.data["name"] == "colours"
    assert (loaded.data["train_faces"], loaded.data["validation_faces"]) == (24, 9)
    assert loaded.data["train_sha256"] == train_faces.sha256
    assert tmp_path.parts[1] not in str((loaded.data, loaded.metrics, loaded.versions))


def test_colours_are_learned_and_the_accuracy_written_down_is_that_of_the_weights_written_down(
    train_faces: FaceIndex, validation_faces: FaceIndex, tmp_path: Path
) -> None:
    config = replace(SMALL, epochs=6)
    checkpoint = train(train_faces, validation_faces, config, tmp_path / "c.safetensors")
    model = model_from_checkpoint(checkpoint)
    spec = checkpoint.preprocess
    pixels = np.stack([read_face(sample, spec)[0] for sample in validation_faces.samples])
    x = (pixels / 255 - np.array(spec.mean)) / np.array(spec.std)
    with torch.no_grad():
        logits = model(torch.from_numpy(x.transpose(0, 3, 1, 2)).float())
    accuracy = float((logits.argmax(1).numpy() == validation_faces.targets).mean())

    assert checkpoint.metrics["validation_accuracy"] == pytest.approx(accuracy, abs=1e-12)
    assert accuracy == 1.0, "three pure colours"


def test_another_seed_gives_another_model(
    train_faces: FaceIndex, validation_faces: FaceIndex, tmp_path: Path, whole: Path
) -> None:
    config = replace(SMALL, seed=6)
    other = train(train_faces, validation_faces, config, tmp_path / "c.safetensors")
    assert not torch.equal(other.state["fc.weight"], load_checkpoint(whole).state["fc.weight"])


def test_progress_counts_every_face_of_every_epoch_also_after_an_interrupt(
    train_faces: FaceIndex, validation_faces: FaceIndex, tmp_path: Path
) -> None:
    out = tmp_path / "checkpoint.safetensors"
    with pytest.raises(KeyboardInterrupt):
        train(train_faces, validation_faces, SMALL, out, _stop_after(4))
    trained: list[int] = []
    decoded: list[int] = []
    plans: list[Plan] = []
    observer = Observer(on_decoded=decoded.append, on_begin=plans.append, on_step=trained.append)
    train(train_faces, validation_faces, replace(SMALL, resume=True), out, [observer])
    assert plans == [Plan(epochs=2, faces_per_epoch=24, epochs_done=1, faces_done=4 * 8)]
    assert sum(trained) == 2 * 24 - 4 * 8
    assert sum(decoded) == 24 + 9


def test_a_resumed_training_may_end_earlier_than_planned(
    train_faces: FaceIndex, validation_faces: FaceIndex, tmp_path: Path
) -> None:
    out = tmp_path / "checkpoint.safetensors"
    with pytest.raises(KeyboardInterrupt):
        train(train_faces, validation_faces, SMALL, out, _stop_after(3))
    checkpoint = train(train_faces, validation_faces, replace(SMALL, resume=True, epochs=1), out)
    assert (checkpoint.metrics["epoch"], checkpoint.metrics["epochs"]) == (1, 1)


def test_resume_without_an_interrupted_training_starts_from_the_beginning(
    train_faces: FaceIndex, validation_faces: FaceIndex, tmp_path: Path, whole: Path
) -> None:
    out = tmp_path / "checkpoint.safetensors"
    train(train_faces, validation_faces, replace(SMALL, resume=True), out)
    assert out.read_bytes() == whole.read_bytes()


def test_an_interrupted_training_is_not_overwritten_by_a_new_one(
    train_faces: FaceIndex, validation_faces: FaceIndex, tmp_path: Path
) -> None:
    out = tmp_path / "checkpoint.safetensors"
    with pytest.raises(KeyboardInterrupt):
        train(train_faces, validation_faces, SMALL, out, _stop_after(1))
    before = resume_path(out).read_bytes()
    with pytest.raises(UsageError, match=r"holds an interrupted training.*add --resume"):
        train(train_faces, validation_faces, SMALL, out)
    assert resume_path(out).read_bytes() == before


def test_going_on_with_other_settings_or_faces_is_refused_with_what_differs(
    train_faces: FaceIndex, validation_faces: FaceIndex, tmp_path: Path
) -> None:
    out = tmp_path / "checkpoint.safetensors"
    with pytest.raises(KeyboardInterrupt):
        train(train_faces, validation_faces, SMALL, out, _stop_after(1))
    other = replace(SMALL, resume=True, batch_size=12)
    with pytest.raises(CheckpointError, match="another training .batch_size was 8 and is 12"):
        train(train_faces, validation_faces, other, out)
    fewer = train_faces.subset(range(21))
    with pytest.raises(CheckpointError, match="another training .train_pixels_sha256 was"):
        train(fewer, validation_faces, replace(SMALL, resume=True), out)


def test_a_broken_state_is_refused(
    train_faces: FaceIndex, validation_faces: FaceIndex, tmp_path: Path
) -> None:
    out = tmp_path / "checkpoint.safetensors"
    resume_path(out).write_bytes(b"half a file")
    with pytest.raises(CheckpointError, match=r"cannot go on from .*remove the file"):
        train(train_faces, validation_faces, replace(SMALL, resume=True), out)


def test_initial_weights_are_where_the_training_starts(
    train_faces: FaceIndex, validation_faces: FaceIndex, tmp_path: Path
) -> None:
    init = tmp_path / "init.pth"
    torch.save(seeded_model(ModelConfig(3, 32, Head.POOL), 9).backbone.state_dict(), init)
    config = replace(SMALL, epochs=1, learning_rate=1e-12, init=init)
    checkpoint = train(train_faces, validation_faces, config, tmp_path / "c.safetensors")
    start = seeded_model(ModelConfig(3, 32, Head.POOL), 9).backbone.conv1.weight
    torch.testing.assert_close(
        checkpoint.state["backbone.conv1.weight"], start.detach(), rtol=0, atol=1e-9
    )
    assert checkpoint.metrics["init_sha256"]


def test_a_loss_that_is_not_finite_ends_the_training(
    train_faces: FaceIndex, validation_faces: FaceIndex, tmp_path: Path
) -> None:
    init = tmp_path / "init.pth"
    state = seeded_model(ModelConfig(3, 32, Head.POOL), 0).backbone.state_dict()
    state["layer4.1.bn2.weight"] = torch.full((512,), 1e38)
    torch.save(state, init)
    out = tmp_path / "out" / "c.safetensors"
    with pytest.raises(UsageError, match=r"the loss of epoch 1 is .*lower --lr"):
        train(train_faces, validation_faces, replace(SMALL, init=init), out)
    assert not out.parent.exists()


def test_a_class_without_faces_is_refused(
    train_faces: FaceIndex, validation_faces: FaceIndex, tmp_path: Path
) -> None:
    without_anger = train_faces.subset(np.flatnonzero(train_faces.targets != 1))
    with pytest.raises(DataError, match="training needs faces of every class, .*'anger'"):
        train(without_anger, validation_faces, SMALL, tmp_path / "c.safetensors")


def test_no_validation_faces_are_refused(
    train_faces: FaceIndex, validation_faces: FaceIndex, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="got no validation faces from 'colours'"):
        train(train_faces, validation_faces.subset([]), SMALL, tmp_path / "c.safetensors")


def test_validating_on_trained_faces_is_refused(train_faces: FaceIndex, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="got 2 validation faces that are also trained on"):
        train(train_faces, train_faces.subset([0, 1]), SMALL, tmp_path / "c.safetensors")


def test_other_classes_for_validation_are_refused(
    train_faces: FaceIndex, validation_faces: FaceIndex, tmp_path: Path
) -> None:
    other = validation_faces.relabelled(LabelSet("other", ("neutral", "anger", "fear")))
    with pytest.raises(DataError, match="for validation, expected those of training"):
        train(train_faces, other, SMALL, tmp_path / "c.safetensors")


def test_a_place_that_cannot_be_written_is_refused_before_anything_is_decoded(
    train_faces: FaceIndex, validation_faces: FaceIndex, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("x")
    decoded: list[int] = []
    out = tmp_path / "file" / "checkpoint.safetensors"
    with pytest.raises(StorageError, match=r"cannot write .*file/checkpoint\.safetensors"):
        train(train_faces, validation_faces, SMALL, out, [Observer(on_decoded=decoded.append)])
    assert not decoded


def test_a_folder_as_checkpoint_is_refused(
    train_faces: FaceIndex, validation_faces: FaceIndex, tmp_path: Path
) -> None:
    (tmp_path / "c.safetensors").mkdir()
    with pytest.raises(StorageError, match="it is a folder; choose another name for --out"):
        train(train_faces, validation_faces, SMALL, tmp_path / "c.safetensors")


def test_a_checkpoint_name_of_another_format_is_refused(
    train_faces: FaceIndex, validation_faces: FaceIndex, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=r"ends in \.safetensors"):
        train(train_faces, validation_faces, SMALL, tmp_path / "model.pth")


def test_a_broken_picture_ends_the_training_and_leaves_nothing(
    train_faces: FaceIndex, validation_faces: FaceIndex, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"")
    samples = (*train_faces.samples, FaceSample("broken.jpg", broken, 0))
    out = tmp_path / "deep" / "er" / "c.safetensors"
    with pytest.raises(ImageError, match=r"broken\.jpg' has 0 bytes"):
        train(replace(train_faces, samples=samples), validation_faces, SMALL, out)
    assert [path.name for path in tmp_path.iterdir()] == ["broken.jpg"]


def test_more_processes_than_faces_in_a_step_are_refused_before_anything_is_decoded(
    train_faces: FaceIndex, validation_faces: FaceIndex, tmp_path: Path
) -> None:
    out = tmp_path / "new" / "checkpoint.safetensors"
    with pytest.raises(UsageError, match=r"step of 8 faces for 9 processes.*raise --batch-size"):
        train(train_faces, validation_faces, SMALL, out, world=World(0, 9))
    assert not out.parent.exists()
