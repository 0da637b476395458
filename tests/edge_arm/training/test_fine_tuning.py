"""Going on from a checkpoint: classes by name, everything else as it was."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from edge_arm.model.checkpoint import Checkpoint, save_checkpoint
from edge_arm.model.config import Head, ModelConfig
from edge_arm.model.fer_model import FerModel, seeded_model
from edge_arm.runtime.errors import CheckpointError
from edge_arm.runtime.labels import LabelSet
from edge_arm.runtime.preprocess import PreprocessSpec
from edge_arm.training.fine_tuning import start_from_checkpoint

THEIRS = LabelSet("three", ("fear", "anger", "neutral"))
ARM_96 = ModelConfig(3, 96, Head.ARM)


@pytest.fixture(scope="module")
def trained() -> FerModel:
    """A model with a classifier of 0, 1, 2, ... and a stored mean that is not zero."""
    model = seeded_model(ARM_96, 0)
    state = model.state_dict()
    state["fc.weight"] = torch.arange(float(state["fc.weight"].numel())).view_as(state["fc.weight"])
    state["fc.bias"] = torch.tensor([10.0, 20.0, 30.0])
    state["arm.generic"] = torch.full_like(state["arm.generic"], 0.25)
    model.load_state_dict(state)
    return model


@pytest.fixture(scope="module")
def checkpoint(trained: FerModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("trained") / "trained.safetensors"
    spec = PreprocessSpec(size=96)
    save_checkpoint(path, Checkpoint(ARM_96, THEIRS, spec, {}, {}, {}, trained.state_dict()))
    return path


def test_the_same_classes_give_the_same_model(trained: FerModel, checkpoint: Path) -> None:
    model = seeded_model(ARM_96, 7)
    start = start_from_checkpoint(model, checkpoint, labels=THEIRS)
    assert (start.kept, start.new, start.dropped) == (THEIRS.classes, (), ())
    for name, value in trained.state_dict().items():
        assert torch.equal(model.state_dict()[name], value), name


def test_classes_keep_their_rows_by_name_and_new_ones_begin_at_random(
    trained: FerModel, checkpoint: Path
) -> None:
    labels = LabelSet("other", ("neutral", "contempt", "fear", "sadness"))
    model = seeded_model(ModelConfig(4, 96, Head.ARM), 7)
    random = {name: value.clone() for name, value in model.state_dict().items()}
    start = start_from_checkpoint(model, checkpoint, labels=labels)
    assert start.kept == ("neutral", "fear")
    assert start.new == ("contempt", "sadness")
    assert start.dropped == ("anger",)
    state = model.state_dict()
    assert state["fc.bias"][[0, 2]].tolist() == [30.0, 10.0]
    assert torch.equal(state["fc.weight"][0], trained.state_dict()["fc.weight"][2])
    assert torch.equal(state["fc.weight"][2], trained.state_dict()["fc.weight"][0])
    for row in (1, 3):
        assert torch.equal(state["fc.weight"][row], random["fc.weight"][row])
    assert torch.equal(state["arm.generic"], trained.state_dict()["arm.generic"])


def test_the_hash_is_that_of_the_file(checkpoint: Path) -> None:
    start = start_from_checkpoint(seeded_model(ARM_96, 7), checkpoint, labels=THEIRS)
    assert re.fullmatch("[0-9a-f]{64}", start.sha256)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (ModelConfig(3, 112, Head.ARM), "expected 'arm' at 112 to go on"),
        (ModelConfig(3, 96, Head.POOL), "expected 'pool' at 96 to go on"),
    ],
    ids=["size", "head"],
)
def test_another_head_or_size_is_refused_with_the_options_that_fit(
    checkpoint: Path, config: ModelConfig, expected: str
) -> None:
    with pytest.raises(CheckpointError, match=f"{expected}.*--head arm --image-size 96, or"):
        start_from_checkpoint(seeded_model(config, 0), checkpoint, labels=THEIRS)
