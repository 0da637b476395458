"""The stage on a small model: what it learns, keeps, writes and refuses."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from small_checkpoints import small_checkpoint

import edge_arm.quantization_aware.learning as learning
from edge_arm.model.checkpoint import Checkpoint, load_checkpoint
from edge_arm.model.config import Head
from edge_arm.quantization_aware.config import QatConfig
from edge_arm.quantization_aware.fine_tuning import SplitFaces, fine_tuned_from_checkpoint
from edge_arm.quantization_aware.learning import Learned, num_steps
from edge_arm.runtime.errors import CheckpointError, UsageError
from edge_arm.runtime.preprocess import PreprocessSpec
from edge_arm.training.training_config import Device

CPU = {"batch_size": 24, "device": Device.CPU}


def _quiet(done: int) -> None:
    """Progress that nobody watches."""


@pytest.fixture
def start(tmp_path: Path) -> Path:
    path = tmp_path / "start.safetensors"
    small_checkpoint(path)
    return path


def _tuned(
    start: Path, faces: SplitFaces, config: QatConfig, name: str = "qat"
) -> tuple[Checkpoint, Learned]:
    out = start.with_name(f"{name}.safetensors")
    return fine_tuned_from_checkpoint(start, faces, config, out, progress=_quiet)


def test_a_rounding_that_hurts_is_learned_away(
    start: Path, split_faces: SplitFaces, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Ranges of an eighth of what they should be: nearly everything is clipped.
    calibrated = learning.calibrated_ranges

    def tight(*args: Any, **kwargs: Any) -> dict[str, float]:
        return {name: amax / 8 for name, amax in calibrated(*args, **kwargs).items()}

    monkeypatch.setattr(learning, "calibrated_ranges", tight)
    config = QatConfig(epochs=2, batch_size=8, learning_rate=1e-3, device=Device.CPU)
    _, learned = _tuned(start, split_faces, config)
    assert learned.epoch > 0
    assert learned.after.mean_kl < 0.5 * learned.before.mean_kl


def test_what_is_folded_stays_and_what_is_learned_changes(
    tmp_path: Path, split_faces: SplitFaces, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = tmp_path / "arm.safetensors"
    before = small_checkpoint(start, Head.ARM, 96)
    few = SplitFaces(
        split_faces.train.subset(range(6)), split_faces.validation.subset(range(3)), seed=0
    )
    monkeypatch.setattr(learning, "RANGE_RATE", 0.01)
    keep_any_epoch(monkeypatch)
    after, learned = _tuned(start, few, QatConfig(epochs=1, learning_rate=1e-4, **CPU))
    assert learned.epoch == 1
    for name, value in after.state.items():
        stays = "running_" in name or "num_batches" in name or name == "arm.generic"
        assert torch.equal(value, before.state[name]) == stays, name
    assert after.ranges is not None
    assert after.ranges.training["start_sha256"] == before.sha256


def keep_any_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the start look bad, so that the first epoch is the best."""
    real = learning.agreement
    calls: list[int] = []

    def worse_start(*args: Any) -> Any:
        found = real(*args)
        calls.append(1)
        return found if len(calls) > 1 else type(found)(**{**found.to_json(), "mean_kl": 1e9})

    monkeypatch.setattr(learning, "agreement", worse_start)


def test_epochs_that_are_worse_leave_the_start(start: Path, split_faces: SplitFaces) -> None:
    after, learned = _tuned(start, split_faces, QatConfig(epochs=1, learning_rate=0.3, **CPU))
    assert learned.epoch == 0
    assert learned.after == learned.before
    assert (learned.drift.flips, learned.drift.mean_kl) == (0, pytest.approx(0, abs=1e-12))
    before = load_checkpoint(start)
    assert all(torch.equal(value, before.state[name]) for name, value in after.state.items())


def test_the_same_seed_gives_the_same_file_and_progress_adds_up(
    start: Path, split_faces: SplitFaces
) -> None:
    config = QatConfig(epochs=1, seed=3, **CPU)
    done: list[int] = []
    first, _ = fine_tuned_from_checkpoint(
        start, split_faces, config, start.with_name("a.safetensors"), progress=done.append
    )
    second, _ = _tuned(start, split_faces, config, "b")
    assert first.sha256 == second.sha256
    assert sum(done) == num_steps(24, 12, config) == 24 + 24 + 4 * 12


def test_ctrl_c_writes_the_best_so_far_and_says_so(
    start: Path,
    split_faces: SplitFaces,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    real = learning.divergence

    def interrupted(*args: Any) -> Any:
        signal.raise_signal(signal.SIGINT)
        return real(*args)

    monkeypatch.setattr(learning, "divergence", interrupted)
    with pytest.raises(KeyboardInterrupt):
        _tuned(start, split_faces, QatConfig(epochs=5, **CPU))
    assert "qat.safetensors' holds the best so far, the start with nothing learned" in caplog.text
    ranges = load_checkpoint(start.with_name("qat.safetensors")).ranges
    assert ranges is not None and ranges.training["interrupted"] is True


def test_a_loss_that_is_no_number_stops_it_and_leaves_no_file(
    start: Path, split_faces: SplitFaces, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learning, "divergence", lambda logits, reference: logits.sum(1) * torch.nan)
    with pytest.raises(UsageError, match=r"loss of epoch 1 is nan.*lower --lr"):
        _tuned(start, split_faces, QatConfig(epochs=1, **CPU))
    assert not start.with_name("qat.safetensors").exists()


def test_it_computes_in_whole_float32_and_leaves_pytorch_as_it_was(
    start: Path, split_faces: SplitFaces, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[bool, bool]] = []
    cudnn = torch.backends.cudnn

    def watched(run: Any) -> Any:
        seen.append((cudnn.enabled, cudnn.allow_tf32))
        raise KeyboardInterrupt

    monkeypatch.setattr("edge_arm.quantization_aware.fine_tuning.learned_from", watched)
    before = (cudnn.enabled, cudnn.allow_tf32)
    with pytest.raises(KeyboardInterrupt):
        _tuned(start, split_faces, QatConfig(**CPU))
    assert seen == [(before[0], False)]
    assert (cudnn.enabled, cudnn.allow_tf32) == before


def test_the_start_is_never_overwritten(start: Path, split_faces: SplitFaces) -> None:
    with pytest.raises(UsageError, match="both the checkpoint to start from and the new one"):
        _tuned(start, split_faces, QatConfig(**CPU), "start")


def test_a_fine_tuned_checkpoint_is_no_start(start: Path, split_faces: SplitFaces) -> None:
    _tuned(start, split_faces, QatConfig(epochs=1, **CPU), "once")
    with pytest.raises(CheckpointError, match=r"once\.safetensors' was fine-tuned with --qat"):
        _tuned(start.with_name("once.safetensors"), split_faces, QatConfig(**CPU), "twice")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"epochs": 0}, "got 0 epochs"),
        ({"batch_size": 2}, "got batch size 2, expected at least 4"),
        ({"learning_rate": 0.0}, "got learning rate 0.0"),
        ({"seed": -1}, "got seed -1"),
    ],
    ids=str,
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        QatConfig(**wrong)


def test_a_standard_deviation_of_a_255th_leaves_centred_pixels_as_they_are() -> None:
    from edge_arm.quantization_aware.network import centred
    from edge_arm.training.augmentation import normalised

    spec = PreprocessSpec(size=32)
    images = torch.randint(0, 256, (2, 3, 32, 32), generator=torch.Generator().manual_seed(0))
    unscaled = PreprocessSpec(size=32, std=learning.UNSCALED)
    torch.testing.assert_close(
        normalised(images.to(torch.uint8), unscaled), centred(images.to(torch.uint8), spec)
    )
