"""The paper's protocol by formula is the paper's protocol by PyTorch."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import torch

from edge_arm.model.checkpoint import Checkpoint, save_checkpoint
from edge_arm.model.config import Head, ModelConfig
from edge_arm.model.fer_model import FerModel, seeded_model
from edge_arm.model.paper_protocol import paper_protocol_logits
from edge_arm.model.shared_part import shared_part_from_checkpoint
from edge_arm.runtime.baselines import paper_logits
from edge_arm.runtime.errors import CheckpointError
from edge_arm.runtime.labels import RAFDB
from edge_arm.runtime.preprocess import PreprocessSpec

SIZE = 96


def arm_model() -> FerModel:
    """Random weights, and a stored mean and alpha far from their first values."""
    model = seeded_model(ModelConfig(7, SIZE), 0)
    assert model.arm is not None
    with torch.no_grad():
        generator = torch.Generator().manual_seed(1)
        model.arm.alpha.fill_(0.7)
        model.arm.generic.copy_(torch.randn(model.arm.generic.shape, generator=generator))
    return model.eval()


def saved(path: Path, model: FerModel) -> Checkpoint:
    return save_checkpoint(
        path,
        Checkpoint(model.config, RAFDB, PreprocessSpec(SIZE), {}, {}, {}, model.state_dict()),
    )


def test_the_formula_gives_the_logits_of_the_authors_protocol(tmp_path: Path) -> None:
    model = arm_model()
    checkpoint = saved(tmp_path / "checkpoint.safetensors", model)
    x = torch.randn(12, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        logits = model(x).numpy()
        # batches of 5, 5 and 2, as a loader makes them of twelve faces
        expected = np.concatenate(
            [paper_protocol_logits(model, part).numpy() for part in x.split(5)]
        )
    shared = shared_part_from_checkpoint(
        tmp_path / "checkpoint.safetensors", expected_sha256=checkpoint.sha256
    )
    assert shared is not None
    # float32 through the whole network, logits of about 1
    np.testing.assert_allclose(paper_logits(logits, shared, 5), expected, rtol=0, atol=2e-5)
    assert np.abs(expected - logits).max() > 0.1


def test_a_model_without_arm_has_no_shared_part(tmp_path: Path) -> None:
    model = seeded_model(ModelConfig(7, SIZE, Head.POOL), 0)
    checkpoint = saved(tmp_path / "checkpoint.safetensors", model)
    assert (
        shared_part_from_checkpoint(
            tmp_path / "checkpoint.safetensors", expected_sha256=checkpoint.sha256
        )
        is None
    )


def test_another_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    saved(path, arm_model())
    with pytest.raises(CheckpointError, match=r"has SHA-256 .*, expected aaaaaaaaaaaa\.\.\."):
        shared_part_from_checkpoint(path, expected_sha256="a" * 64)


def test_a_missing_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="cannot read the checkpoint .*or leave that out"):
        shared_part_from_checkpoint(tmp_path / "none.safetensors", expected_sha256="a" * 64)


@pytest.mark.parametrize("content", [b"no safetensors", {"arm.alpha": np.ones((), np.float32)}])
def test_a_file_without_the_parameters_is_refused(tmp_path: Path, content: object) -> None:
    path = tmp_path / "other.safetensors"
    path.write_bytes(content if isinstance(content, bytes) else safetensors.numpy.save(content))  # type: ignore[arg-type]
    digest = sha256(path.read_bytes()).hexdigest()
    with pytest.raises(CheckpointError, match="has not the parameters of a model by edge-arm"):
        shared_part_from_checkpoint(path, expected_sha256=digest)
