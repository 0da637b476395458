"""The network in training against the INT8 graph that is exported, in ONNX Runtime."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from small_checkpoints import small_checkpoint

from edge_arm.calibration.placement import QuantPlan
from edge_arm.calibration.placement_rules import plan_from_structure
from edge_arm.calibration.qdq import int8_graph
from edge_arm.calibration.trained_amax import trained_amax
from edge_arm.export.config import HeadForm
from edge_arm.export.onnx_from_checkpoint import trained_model_from_checkpoint
from edge_arm.export.onnx_from_weights import onnx_from_weights
from edge_arm.model.checkpoint import Checkpoint, load_checkpoint, model_from_checkpoint
from edge_arm.model.config import Head
from edge_arm.quantization_aware.network import QuantizedNetwork, centred
from edge_arm.runtime.trained_ranges import TrainedRanges


@dataclass(frozen=True)
class Exported:
    """A checkpoint and what the export and the placement make of it."""

    checkpoint: Checkpoint
    model: onnx.ModelProto
    plan: QuantPlan


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory, pixels: np.ndarray) -> Exported:
    path = tmp_path_factory.mktemp("exported") / "checkpoint.safetensors"
    small_checkpoint(path, Head.POOL, 32)
    model = onnx_from_weights(trained_model_from_checkpoint(path).weights, HeadForm.FOLDED, 17)
    return Exported(load_checkpoint(path), model, plan_from_structure(model))


def _network(checkpoint: Checkpoint) -> QuantizedNetwork:
    return QuantizedNetwork(model_from_checkpoint(checkpoint), checkpoint.preprocess)


def _by_onnx_runtime(model: onnx.ModelProto, pixels: np.ndarray, tensors: list[str]) -> list:
    """The graph as it is written: no fusion of Q/DQ, which would round elsewhere."""
    wanted = onnx.ModelProto()
    wanted.CopyFrom(model)
    for name in tensors:
        wanted.graph.output.append(
            onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
        )
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        wanted.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return list(session.run(["logits", *tensors], {"faces": pixels}))


def _spread_ranges(model: onnx.ModelProto, pixels: np.ndarray, tensors: list[str]) -> dict:
    """Half of the largest value: everything that is rounded is clipped somewhere too."""
    _, *values = _by_onnx_runtime(model, pixels, tensors)
    return {
        name: float(np.abs(value).max()) / 2 for name, value in zip(tensors, values, strict=True)
    }


def test_it_rounds_the_tensors_that_decide_the_ranges_of_the_int8_graph(exported: Exported) -> None:
    source = exported.plan.ranges_from(exported.model)
    assert list(_network(exported.checkpoint).quantizers) == list(dict.fromkeys(source.values()))


def test_it_answers_as_the_exported_int8_graph_does(exported: Exported, pixels: np.ndarray) -> None:
    network = _network(exported.checkpoint)
    ranges = _spread_ranges(exported.model, pixels, list(network.quantizers))
    network.set_ranges(ranges)
    amax = trained_amax(exported.model, exported.plan, TrainedRanges(ranges, {}))
    graph = int8_graph(exported.model, exported.plan, amax)
    (expected,) = _by_onnx_runtime(graph, pixels, [])
    (float32,) = _by_onnx_runtime(exported.model, pixels, [])
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2)
    with torch.inference_mode():
        logits = network(centred(images, exported.checkpoint.preprocess)).numpy()
    # The sums of a convolution are rounded in another order, so now and then a value goes to the
    # next step: a thousandth of what the rounding itself does to the logits.
    effect = np.abs(expected - float32).max()
    assert np.abs(logits - expected).max() < 0.02 * effect
    assert np.median(np.abs(logits - expected)) < 1e-4 * effect


def test_a_range_in_the_wrong_place_would_be_seen(exported: Exported, pixels: np.ndarray) -> None:
    network = _network(exported.checkpoint)
    ranges = _spread_ranges(exported.model, pixels, list(network.quantizers))
    network.set_ranges(ranges)
    last = "backbone/layer4.1/relu1"
    amax = trained_amax(
        exported.model, exported.plan, TrainedRanges({**ranges, last: 1.1 * ranges[last]}, {})
    )
    (expected,) = _by_onnx_runtime(int8_graph(exported.model, exported.plan, amax), pixels, [])
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2)
    with torch.inference_mode():
        logits = network(centred(images, exported.checkpoint.preprocess)).numpy()
    (float32,) = _by_onnx_runtime(exported.model, pixels, [])
    assert np.median(np.abs(logits - expected)) > 1e-3 * np.abs(expected - float32).max()


def test_a_faces_answer_does_not_depend_on_its_neighbours(tmp_path: Path) -> None:
    checkpoint = small_checkpoint(tmp_path / "arm.safetensors", Head.ARM, 96)
    network = _network(checkpoint)
    network.set_ranges(dict.fromkeys(network.quantizers, 4.0))
    images = np.random.default_rng(0).integers(0, 256, (3, 3, 96, 96), np.uint8)
    x = centred(torch.from_numpy(images), checkpoint.preprocess)
    with torch.inference_mode():
        together, alone = network(x), network(x[1:2])
    torch.testing.assert_close(together[1:2], alone, rtol=0, atol=1e-4)


def test_pixels_are_centred_as_the_graph_does(exported: Exported, pixels: np.ndarray) -> None:
    _, expected = _by_onnx_runtime(exported.model, pixels, ["input/sub_mean"])
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2)
    found = centred(images, exported.checkpoint.preprocess).numpy()
    np.testing.assert_array_equal(found, expected)
