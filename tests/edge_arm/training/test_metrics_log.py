"""The metrics file: whole lines, each epoch once."""

from __future__ import annotations

import json
import resource
from dataclasses import replace
from pathlib import Path

import pytest

from edge_arm.runtime.errors import DataError, StorageError
from edge_arm.training.metrics_log import metrics_log, metrics_path, read_metrics
from edge_arm.training.observer import EpochMetrics, Plan

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


def _epochs(count: int) -> list[EpochMetrics]:
    return [replace(FIRST, epoch=number + 1) for number in range(count)]


def _written(path: Path, epochs: list[EpochMetrics], plan: Plan = FRESH) -> None:
    log = metrics_log(path)
    log.on_begin(plan)
    for metrics in epochs:
        log.on_epoch(metrics)


def test_a_line_says_all_about_an_epoch(tmp_path: Path) -> None:
    path = metrics_path(tmp_path / "checkpoint.safetensors")
    assert path.name == "checkpoint.metrics.jsonl"
    _written(path, _epochs(2))
    lines = path.read_text().splitlines()
    assert len(lines) == 2
    value = json.loads(lines[0])
    # 600 faces in 20 s, half a second of which was waiting
    assert value["images_per_second"] == 30.0
    assert value["waited_share"] == 0.025
    assert value["time"].endswith("+00:00")
    wanted = {"train_loss", "validation_loss", "validation_accuracy", "learning_rate", "seconds"}
    assert wanted | {"peak_memory_bytes", "schema_version", "epoch"} <= value.keys()
    assert read_metrics(path) == tuple(_epochs(2))


def test_a_new_training_replaces_the_lines_of_an_older_one(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    _written(path, _epochs(4))
    _written(path, _epochs(1))
    assert read_metrics(path) == tuple(_epochs(1))
    path.write_text("of something else\n")
    _written(path, _epochs(1))
    assert read_metrics(path) == tuple(_epochs(1))


@pytest.mark.parametrize("written", [2, 3], ids=["in time", "one too many"])
def test_going_on_leaves_every_epoch_once(tmp_path: Path, written: int) -> None:
    path = tmp_path / "m.jsonl"
    _written(path, _epochs(written))
    again = Plan(epochs=5, faces_per_epoch=600, epochs_done=2, faces_done=1300)
    _written(path, _epochs(5)[2:], again)
    assert [metrics.epoch for metrics in read_metrics(path)] == [1, 2, 3, 4, 5]


def test_half_a_line_is_taken_away(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    _written(path, _epochs(2))
    with path.open("a") as file:
        file.write('{"epoch": 3, "train_')
    assert read_metrics(path) == tuple(_epochs(2))
    again = Plan(epochs=5, faces_per_epoch=600, epochs_done=2, faces_done=1200)
    _written(path, _epochs(3)[2:], again)
    assert len(path.read_text().splitlines()) == 3


def test_there_are_no_metrics_before_the_first_epoch(tmp_path: Path) -> None:
    assert read_metrics(tmp_path / "m.jsonl") == ()


@pytest.mark.parametrize(
    "line", ["no json", "[]", '{"schema_version": 2}', '{"schema_version": 1, "epoch": 1}']
)
def test_a_line_of_something_else_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "m.jsonl"
    _written(path, _epochs(1))
    with path.open("a") as file:
        file.write(f"{line}\n")
    with pytest.raises(DataError, match=r"m\.jsonl', line 2, cannot be used"):
        read_metrics(path)


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match=r"cannot read .*m\.jsonl.*expected the metrics"):
        read_metrics(tmp_path / "m.jsonl")


def test_a_place_that_cannot_be_written_is_found_before_the_first_step(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError, match=r"cannot write .*m\.jsonl"):
        metrics_log(tmp_path / "file" / "m.jsonl").on_begin(FRESH)


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    log = metrics_log(path)
    log.on_begin(FRESH)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        with pytest.raises(StorageError, match=r"cannot write .*m\.jsonl"):
            log.on_epoch(FIRST)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
