"""Ranges to start with, against ONNX Runtime and numpy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from small_checkpoints import small_checkpoint

from edge_arm.model.checkpoint import model_from_checkpoint
from edge_arm.quantization_aware.calibrated_ranges import calibrated_ranges
from edge_arm.quantization_aware.fine_tuning import SplitFaces
from edge_arm.quantization_aware.network import QuantizedNetwork
from edge_arm.runtime.errors import CalibrationError
from edge_arm.runtime.preprocess import PreprocessSpec
from edge_arm.training.decoded_faces import DecodedFaces, FaceStore, decoded_faces

SPEC = PreprocessSpec(size=32)


@pytest.fixture
def faces(split_faces: SplitFaces, tmp_path: Path) -> Iterator[DecodedFaces]:
    with decoded_faces(
        split_faces.train, split_faces.validation, spec=SPEC, store=FaceStore(None, tmp_path)
    ) as (train, _):
        yield train


@pytest.fixture
def network(tmp_path: Path) -> QuantizedNetwork:
    checkpoint = small_checkpoint(tmp_path / "checkpoint.safetensors")
    return QuantizedNetwork(model_from_checkpoint(checkpoint), SPEC)


def test_each_range_is_the_largest_value_of_its_tensor(
    network: QuantizedNetwork, faces: DecodedFaces
) -> None:
    done: list[int] = []
    found = calibrated_ranges(network, faces, SPEC, num_faces=100, progress=done.append)
    assert sum(done) == len(faces) == 24
    mean = 255 * np.array(SPEC.mean)
    pixels = faces.images(np.arange(len(faces)))
    largest = np.abs(pixels.astype(np.float64) - mean).max()
    assert found["input/sub_mean"] == pytest.approx(largest, rel=1e-6)
    # conv1, its rounded weights, Relu and the pool by hand, from nothing but the parameters.
    model = network.model.double()
    norm = model.backbone.bn1
    factor = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    weight = model.backbone.conv1.weight * factor[:, None, None, None]
    weight = weight / (255 * torch.tensor(SPEC.std, dtype=torch.float64))[:, None, None]
    step = weight.abs().amax(dim=(1, 2, 3), keepdim=True) / 127
    x = torch.from_numpy((pixels - mean).transpose(0, 3, 1, 2))
    bias = norm.bias - norm.running_mean * factor
    y = torch.nn.functional.conv2d(x, (weight / step).round() * step, bias, 2, 3)
    assert found["backbone/maxpool"] == pytest.approx(float(y.max().detach()), rel=1e-5)


def test_a_part_that_is_dead_is_named(network: QuantizedNetwork, faces: DecodedFaces) -> None:
    block = network.model.backbone.get_submodule("layer2.1")
    with torch.no_grad():
        block.bn1.weight.zero_()
        block.bn1.bias.fill_(-1)
    with pytest.raises(CalibrationError, match=r"'backbone/layer2\.1/relu1' is 0\.0 on the calib"):
        calibrated_ranges(network, faces, SPEC, num_faces=8, progress=lambda done: None)
