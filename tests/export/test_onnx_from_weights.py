"""The written graph against PyTorch, ONNX's checker and what TensorRT's parser takes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest

from edge_arm.export.config import OPSETS, ExportConfig, HeadForm
from edge_arm.export.onnx_from_checkpoint import TrainedModel
from edge_arm.export.onnx_from_weights import onnx_from_weights
from edge_arm.runtime.backend import Float32Array
from edge_arm.runtime.errors import ExportError, UsageError
from edge_arm.runtime.preprocess import Uint8Array


def _run(model: onnx.ModelProto, images: Uint8Array) -> Float32Array:
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (logits,) = session.run(None, {"faces": images})
    return np.asarray(logits)


def _pictures(count: int = 3) -> Uint8Array:
    return np.random.default_rng(1).integers(0, 256, (count, 96, 96, 3), np.uint8)


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("head", HeadForm)
def test_arm_gives_pytorchs_logits_in_every_opset(
    arm_model: TrainedModel, head: HeadForm, opset: int
) -> None:
    model = onnx_from_weights(arm_model.weights, head, opset)
    onnx.checker.check_model(model, full_check=True)
    assert [item.version for item in model.opset_import] == [opset]
    # float32 sums of some thousand terms in another order
    np.testing.assert_allclose(
        _run(model, _pictures()), arm_model.logits(_pictures()), rtol=0, atol=2e-5
    )


@pytest.mark.parametrize("head", HeadForm)
def test_pooling_gives_pytorchs_logits(pool_model: TrainedModel, head: HeadForm) -> None:
    model = onnx_from_weights(pool_model.weights, head, 17)
    np.testing.assert_allclose(
        _run(model, _pictures()), pool_model.logits(_pictures()), rtol=0, atol=2e-5
    )


def test_pictures_differ_in_their_logits(arm_model: TrainedModel) -> None:
    # Guards the parity tests: a model that answers the same for everything would pass them.
    logits = arm_model.logits(_pictures())
    assert np.abs(logits[0] - logits[1]).max() > 1e-2


def test_the_input_feeds_a_cast_and_nothing_else(arm_model: TrainedModel) -> None:
    model = onnx_from_weights(arm_model.weights, HeadForm.FOLDED, 17)
    readers = [node.op_type for node in model.graph.node if "faces" in node.input]
    assert readers == ["Cast"]


def test_the_batch_is_dynamic_and_everything_else_is_fixed(arm_model: TrainedModel) -> None:
    graph = onnx_from_weights(arm_model.weights, HeadForm.FOLDED, 17).graph
    shapes = [
        [axis.dim_param or axis.dim_value for axis in item.type.tensor_type.shape.dim]
        for item in (*graph.input, *graph.output)
    ]
    assert shapes == [["batch", 96, 96, 3], ["batch", 7]]


def test_no_batchnorm_is_left_and_every_convolution_names_its_kernel(
    arm_model: TrainedModel,
) -> None:
    for head in HeadForm:
        nodes = onnx_from_weights(arm_model.weights, head, 17).graph.node
        assert "BatchNormalization" not in {node.op_type for node in nodes}
        convolutions = [node for node in nodes if node.op_type == "Conv"]
        assert all("kernel_shape" in {a.name for a in node.attribute} for node in convolutions)
        assert len(convolutions) == 21  # 20 in ResNet-18 (17 + 3 in skips), 1 in the head


def test_nodes_are_named_by_their_place(arm_model: TrainedModel) -> None:
    names = [
        node.name for node in onnx_from_weights(arm_model.weights, HeadForm.FOLDED, 17).graph.node
    ]
    assert len(set(names)) == len(names)
    assert {"/backbone/layer1.0/conv1", "/backbone/layer2.0/downsample", "/head/folded"} <= set(
        names
    )


def test_the_explicit_head_is_made_of_ordinary_operators(arm_model: TrainedModel) -> None:
    nodes = onnx_from_weights(arm_model.weights, HeadForm.EXPLICIT, 17).graph.node
    assert [node.op_type for node in nodes if node.name.startswith("/head/")] == [
        "DepthToSpace",
        "Conv",
        "ReduceMean",
        "Add",
        "Flatten",
        "Gemm",
    ]


@pytest.mark.parametrize(("opset", "inputs"), [(17, 1), (18, 2)])
def test_the_axes_of_reducemean_move_to_an_input_with_opset_18(
    arm_model: TrainedModel, opset: int, inputs: int
) -> None:
    nodes = onnx_from_weights(arm_model.weights, HeadForm.EXPLICIT, opset).graph.node
    assert [len(node.input) for node in nodes if node.op_type == "ReduceMean"] == [inputs]


@pytest.mark.parametrize(("opset", "ir_version"), [(17, 8), (18, 8), (19, 9), (20, 9)])
def test_the_file_format_is_the_oldest_that_the_opset_allows(
    arm_model: TrainedModel, opset: int, ir_version: int
) -> None:
    model = onnx_from_weights(arm_model.weights, HeadForm.FOLDED, opset)
    assert model.ir_version == ir_version
    oldest = onnx.helper.find_min_ir_version_for([onnx.helper.make_opsetid("", opset)])
    assert model.ir_version >= oldest


def test_the_same_weights_give_the_same_bytes(arm_model: TrainedModel) -> None:
    first, second = (
        onnx_from_weights(arm_model.weights, HeadForm.EXPLICIT, 17).SerializeToString(
            deterministic=True
        )
        for _ in range(2)
    )
    assert first == second


def test_the_file_tells_its_labels_and_its_source(arm_model: TrainedModel) -> None:
    model = onnx_from_weights(arm_model.weights, HeadForm.FOLDED, 17)
    properties = {item.key: item.value for item in model.metadata_props}
    assert properties["edge_arm.checkpoint_sha256"] == arm_model.source["checkpoint_sha256"]
    assert '"happiness"' in properties["edge_arm.labels"]
    assert '"RGB"' in properties["edge_arm.preprocess"]
    assert properties["edge_arm.head"] == "arm, folded"


def test_a_missing_parameter_is_named(arm_model: TrainedModel) -> None:
    state = dict(arm_model.weights.state)
    del state["backbone.layer3.1.conv2.weight"]
    with pytest.raises(ExportError, match=r"no parameter 'backbone\.layer3\.1\.conv2\.weight'"):
        onnx_from_weights(replace(arm_model.weights, state=state), HeadForm.FOLDED, 17)


def test_an_opset_that_cannot_be_written_is_refused() -> None:
    with pytest.raises(UsageError, match=r"got opset 16, expected one of 17, 18, 19, 20"):
        ExportConfig(opset=16)
