"""Checkpoints: the same model comes back, and nothing else is taken for one."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from edge_arm.model.checkpoint import (
    Checkpoint,
    load_checkpoint,
    model_from_checkpoint,
    save_checkpoint,
)
from edge_arm.model.config import Head, ModelConfig
from edge_arm.model.fer_model import seeded_model
from edge_arm.runtime.errors import CheckpointError, StorageError
from edge_arm.runtime.labels import RAFDB
from edge_arm.runtime.preprocess import PreprocessSpec


@cache
def _state(config: ModelConfig) -> dict[str, torch.Tensor]:
    return seeded_model(config, 0).state_dict()


def _checkpoint(config: ModelConfig | None = None) -> Checkpoint:
    config = config or ModelConfig(7, 96)
    return Checkpoint(
        config=config,
        labels=RAFDB,
        preprocess=PreprocessSpec(size=config.image_size),
        metrics={"validation_accuracy": 0.5, "epoch": 3},
        data={"name": "synthetic", "train_faces": 90},
        versions={"torch": "2.13.0"},
        state=_state(config),
    )


def _rewritten(path: Path, **changes: Any) -> Path:
    """The same file with other metadata."""
    content = path.read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    value = json.loads(header["__metadata__"]["edge_arm"]) | changes
    state = safetensors.torch.load(content)
    safetensors.torch.save_file(state, path, metadata={"edge_arm": json.dumps(value)})
    return path


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "checkpoint.safetensors"
    save_checkpoint(path, _checkpoint())
    return path


def test_a_checkpoint_comes_back_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    original = _checkpoint()
    written = save_checkpoint(path, original)
    loaded = load_checkpoint(path)

    assert replace(loaded, state={}) == replace(written, state={})
    assert loaded.state.keys() == original.state.keys()
    assert all(torch.equal(loaded.state[name], value) for name, value in original.state.items())


def test_the_hash_is_that_of_the_file(saved: Path) -> None:
    assert load_checkpoint(saved).sha256 == sha256(saved.read_bytes()).hexdigest()


def test_the_same_checkpoint_gives_the_same_bytes(saved: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.safetensors"
    save_checkpoint(again, _checkpoint())
    assert again.read_bytes() == saved.read_bytes()


def test_weights_in_channels_last_order_are_written_like_any_others(
    saved: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.safetensors"
    checkpoint = _checkpoint()
    state = {
        name: value.contiguous(memory_format=torch.channels_last) if value.ndim == 4 else value
        for name, value in checkpoint.state.items()
    }
    save_checkpoint(other, replace(checkpoint, state=state))
    assert other.read_bytes() == saved.read_bytes()


@pytest.mark.parametrize("head", list(Head))
def test_the_model_answers_as_before(tmp_path: Path, head: Head) -> None:
    config = ModelConfig(7, 96, head)
    path = tmp_path / "checkpoint.safetensors"
    save_checkpoint(path, _checkpoint(config))
    faces = torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    model = model_from_checkpoint(load_checkpoint(path))
    assert not model.training
    with torch.no_grad():
        torch.testing.assert_close(
            model(faces), seeded_model(config, 0).eval()(faces), rtol=0, atol=0
        )


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"cannot read .*none\.safetensors.*train a model"):
        load_checkpoint(tmp_path / "none.safetensors")


def test_a_pickle_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    torch.save(_checkpoint().state, path)
    with pytest.raises(CheckpointError, match=r"is not a safetensors file .*--init"):
        load_checkpoint(path)


@pytest.mark.parametrize("cut", [0, 5, 1000, -1])
def test_a_truncated_file_is_refused(saved: Path, cut: int) -> None:
    saved.write_bytes(saved.read_bytes()[:cut])
    with pytest.raises(CheckpointError, match="is not a safetensors file"):
        load_checkpoint(saved)


def test_weights_without_our_metadata_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "foreign.safetensors"
    safetensors.torch.save_file({"x": torch.ones(2)}, path)
    with pytest.raises(CheckpointError, match="has no edge-arm metadata"):
        load_checkpoint(path)


def test_another_schema_version_is_refused(saved: Path) -> None:
    with pytest.raises(CheckpointError, match="has schema version 99, expected 1"):
        load_checkpoint(_rewritten(saved, schema_version=99))


@pytest.mark.parametrize(
    "changes",
    [
        {"model": {"backbone": "resnet50"}},
        {"model": {"backbone": "resnet18", "num_classes": 7, "image_size": 96, "head": "x"}},
        {"model": {"backbone": "resnet18", "num_classes": 7, "image_size": 97, "head": "arm"}},
        {"labels": 3},
        {"preprocess": {"size": 96}},
        {"metrics": None},
    ],
    ids=["backbone", "head", "size", "labels", "preprocess", "metrics"],
)
def test_unusable_metadata_is_refused(saved: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(CheckpointError, match="has metadata that cannot be used"):
        load_checkpoint(_rewritten(saved, **changes))


def test_labels_that_do_not_match_the_model_are_refused(saved: Path) -> None:
    labels = {"name": "two", "classes": ["fear", "anger"]}
    with pytest.raises(CheckpointError, match="has 2 labels and input size 96, expected .* 7"):
        load_checkpoint(_rewritten(saved, labels=labels))


def test_the_weights_of_another_head_are_refused_with_the_differing_names(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    pool = seeded_model(ModelConfig(7, 96, Head.POOL), 0).state_dict()
    save_checkpoint(path, replace(_checkpoint(), state=pool))
    with pytest.raises(
        CheckpointError, match=r"another model.*missing: arm\..*and 4 more.*fc\.weight \(7, 512\)"
    ):
        load_checkpoint(path)


def test_unknown_weights_are_refused_by_name() -> None:
    checkpoint = _checkpoint()
    state = {**checkpoint.state, "extra.weight": torch.ones(1)}
    with pytest.raises(CheckpointError, match=r"unknown: extra\.weight"):
        model_from_checkpoint(replace(checkpoint, state=state))


def test_weights_that_are_not_finite_are_refused_by_name() -> None:
    checkpoint = _checkpoint()
    state = {**checkpoint.state, "arm.alpha": torch.tensor(float("nan"))}
    with pytest.raises(CheckpointError, match=r"not finite \(in: arm\.alpha\)"):
        model_from_checkpoint(replace(checkpoint, state=state))


def test_a_checkpoint_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError, match="a part of the path is a file|is a file"):
        save_checkpoint(tmp_path / "file" / "checkpoint.safetensors", _checkpoint())
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
