"""The folded head is the unfolded one, to the last digits of float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from edge_arm.model.config import EXPORTABLE_HEADS, Head, ModelConfig
from edge_arm.model.fer_model import FerModel, seeded_model
from edge_arm.model.fold import folded_head


def _model(config: ModelConfig) -> FerModel:
    model = seeded_model(config, 0)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if name.startswith(("arm.", "fc.")) and value.is_floating_point():
                value.copy_(torch.rand(value.shape, generator=generator) + 0.1)
    return model.eval()


@pytest.mark.parametrize("head", EXPORTABLE_HEADS)
@pytest.mark.parametrize("size", [96, 112, 224])
def test_folded_head_equals_the_head_in_float64(head: Head, size: int) -> None:
    model = _model(ModelConfig(7, size, head))
    h = model.config.feature_size
    folded = folded_head(model)
    features = torch.randn(4, 512, h, h, generator=torch.Generator().manual_seed(3)).double()
    with torch.no_grad():
        expected = model.double().classify(features).numpy()

    got = np.einsum("nkij,ckij->nc", features.numpy(), folded.weight) + folded.bias

    assert folded.weight.shape == (7, 512, h, h)
    assert (folded.weight.dtype, folded.bias.dtype) == (np.float64, np.float64)
    # sums of 25088 float64 products of size 100
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-9)


def test_folding_leaves_the_model_as_it_was() -> None:
    model = _model(ModelConfig(7, 96))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    folded_head(model)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_pooling_folds_to_the_same_weight_at_every_position() -> None:
    model = _model(ModelConfig(3, 96, Head.POOL))
    weight = folded_head(model).weight
    expected = model.fc.weight.detach().double().numpy()[:, :, None, None] / 9
    np.testing.assert_array_equal(weight, np.broadcast_to(expected, (3, 512, 3, 3)))
