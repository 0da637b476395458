"""The parts of ARM, each against arithmetic that is written out here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from edge_arm.export.onnx_from_checkpoint import trained_model_from_checkpoint
from edge_arm.model.checkpoint import (
    Checkpoint,
    load_checkpoint,
    model_from_checkpoint,
    save_checkpoint,
)
from edge_arm.model.config import Head, ModelConfig
from edge_arm.model.fer_model import seeded_model
from edge_arm.model.paper_protocol import paper_protocol_logits, shared_part_of
from edge_arm.runtime.baselines import paper_logits
from edge_arm.runtime.errors import ExportError, UsageError
from edge_arm.runtime.labels import LabelSet
from edge_arm.runtime.preprocess import PreprocessSpec

_PARTS = (Head.DA, Head.FA_DA, Head.SA)


def _faces(count: int, size: int = 96) -> torch.Tensor:
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(3))


def _features(count: int) -> torch.Tensor:
    return torch.randn(count, 512, 3, 3, generator=torch.Generator().manual_seed(4)).double()


@pytest.mark.parametrize("head", _PARTS)
def test_the_backbone_starts_the_same_for_every_head(head: Head) -> None:
    config, plain = ModelConfig(7, 96, head), ModelConfig(7, 96, Head.POOL)
    ours, theirs = seeded_model(config, 5).backbone, seeded_model(plain, 5).backbone
    for name, value in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[name], value), name


@pytest.mark.parametrize("head", _PARTS)
def test_a_part_answers_each_face_alone_in_evaluation(head: Head) -> None:
    model = seeded_model(ModelConfig(7, 96, head), 0).train()
    with torch.no_grad():
        model(_faces(6))
        model.eval()
        together = model(_faces(5))
        alone = torch.cat([model(face[None]) for face in _faces(5)])
    assert torch.allclose(together, alone, atol=1e-4)  # float32 sums in another order


@pytest.mark.parametrize("head", _PARTS)
def test_a_part_learns(head: Head) -> None:
    model = seeded_model(ModelConfig(3, 96, head), 0).train()
    model(_faces(4)).logsumexp(1).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name


def test_de_albino_alone_weighs_the_positions_of_all_maps_alike() -> None:
    part = seeded_model(ModelConfig(7, 96, Head.DA), 0).eval().double().partial
    assert part is not None
    with torch.no_grad():
        got = part(_features(2)).numpy()
    kernel = part.de_albino.weight.detach().numpy()[0, 0]  # type: ignore[union-attr, operator]
    expected = np.einsum("nchw,hw->nc", _features(2).numpy(), kernel)
    # BatchNorm before any step: mean 0, variance 1, epsilon 1e-5.
    np.testing.assert_allclose(got, expected / np.sqrt(1 + 1e-5), rtol=1e-10)


def test_arrangement_and_de_albino_are_arm_without_its_shared_part() -> None:
    arm = seeded_model(ModelConfig(7, 96, Head.ARM), 0).double().arm
    part = seeded_model(ModelConfig(7, 96, Head.FA_DA), 0).eval().double().partial
    assert arm is not None and part is not None
    part.load_state_dict({name: arm.state_dict()[name] for name in part.state_dict()})
    with torch.no_grad():
        arm.eval()
        expected = arm.unique(_features(3)).flatten(1)
        np.testing.assert_allclose(part(_features(3)).numpy(), expected.numpy(), rtol=1e-12)


def test_sharing_alone_adds_the_mean_of_the_batch_to_pooled_features() -> None:
    part = seeded_model(ModelConfig(7, 96, Head.SA), 0).train().double().partial
    assert part is not None
    with torch.no_grad():
        part.alpha.fill_(0.25)  # type: ignore[union-attr, operator]
        got = part(_features(4)).numpy()
        later = part.eval()(_features(4)).numpy()
    pooled = _features(4).numpy().mean(axis=(2, 3))
    shared = pooled.mean(axis=0)
    np.testing.assert_allclose(got, pooled + 0.25 * shared, rtol=1e-12)
    # One step of the moving average, from zero with a momentum of 0.1.
    np.testing.assert_allclose(later, pooled + 0.25 * 0.1 * shared, rtol=1e-7)


@pytest.mark.parametrize("head", [Head.SA, Head.ARM])
def test_the_papers_protocol_follows_from_the_logits_of_every_head_that_shares(
    head: Head,
) -> None:
    model = seeded_model(ModelConfig(7, 96, head), 0).train()
    with torch.no_grad():
        model(_faces(6))
        model.eval()
        logits = model(_faces(5)).numpy()
    shared = shared_part_of(model)
    assert shared is not None
    by_formula = paper_logits(logits, shared, batch_size=5)
    by_running = paper_protocol_logits(model, _faces(5)).numpy()
    np.testing.assert_allclose(by_formula, by_running, atol=2e-4)  # float32 network


def test_heads_that_share_nothing_have_one_protocol() -> None:
    for head in (Head.POOL, Head.DA, Head.FA_DA):
        model = seeded_model(ModelConfig(7, 96, head), 0).eval()
        assert shared_part_of(model) is None
        with pytest.raises(UsageError, match=f"with the head '{head.value}', expected 'arm'"):
            paper_protocol_logits(model, _faces(2))


def test_a_part_is_kept_in_a_checkpoint_and_refused_by_the_export(tmp_path: Path) -> None:
    config = ModelConfig(3, 96, Head.FA_DA)
    model = seeded_model(config, 0)
    path = tmp_path / "checkpoint.safetensors"
    labels = LabelSet("three", ("fear", "anger", "neutral"))
    spec = PreprocessSpec(size=96)
    save_checkpoint(path, Checkpoint(config, labels, spec, {}, {}, {}, state=model.state_dict()))
    assert model_from_checkpoint(load_checkpoint(path)).config == config
    with pytest.raises(ExportError, match=r"has the head 'fa-da', a part of ARM .*arm, pool; trai"):
        trained_model_from_checkpoint(path)
