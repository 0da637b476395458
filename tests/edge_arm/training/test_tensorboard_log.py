"""TensorBoard's files, read back with TensorBoard."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from edge_arm.runtime.errors import StorageError, UsageError
from edge_arm.training.observer import EpochMetrics, Plan
from edge_arm.training.tensorboard_log import tensorboard_log

FIRST = EpochMetrics(
    epoch=1,
    epochs=5,
    faces=600,
    train_loss=1.5,
    validation_loss=1.25,
    validation_accuracy=0.5,
    is_best=True,
    learning_rate=1e-3,
    seconds=20.0,
    waited_seconds=0.5,
    validation_seconds=2.0,
    peak_memory_bytes=3_000_000,
)
FRESH = Plan(epochs=5, faces_per_epoch=600, epochs_done=0, faces_done=0)


def _logged(folder: Path, plan: Plan, epochs: range) -> None:
    with tensorboard_log(folder) as log:
        log.on_begin(plan)
        for number in epochs:
            log.on_epoch(replace(FIRST, epoch=number, train_loss=number / 4))


def test_every_number_of_every_epoch_is_there_once(tmp_path: Path) -> None:
    reader = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator",
        reason="needs the optional package tensorboard",
    )
    _logged(tmp_path, FRESH, range(1, 4))
    # The power failed before the third epoch's state was saved.
    again = Plan(epochs=5, faces_per_epoch=600, epochs_done=2, faces_done=1300)
    _logged(tmp_path, again, range(3, 6))
    events = reader.EventAccumulator(str(tmp_path))
    events.Reload()
    losses = [(event.step, event.value) for event in events.Scalars("loss/training")]
    assert losses == [(1, 0.25), (2, 0.5), (3, 0.75), (4, 1.0), (5, 1.25)]
    assert {event.value for event in events.Scalars("speed/images per second")} == {30.0}
    assert len(events.Tags()["scalars"]) == 7


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="needs the optional package tensorboard")
    (tmp_path / "file").write_text("x")
    with (
        pytest.raises(StorageError, match="cannot write .*file"),
        tensorboard_log(tmp_path / "file" / "run") as log,
    ):
        log.on_begin(FRESH)


def test_the_command_that_installs_it_is_named_where_it_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As Python sees a package that is not installed, wherever this test runs.
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    with (
        pytest.raises(UsageError, match=r"--tensorboard .*; run: pip install tensorboard"),
        tensorboard_log(tmp_path),
    ):
        pass
