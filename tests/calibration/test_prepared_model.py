"""Moments against numpy loops; rounded layers against what they do to the faces' outputs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from edge_arm.calibration import moments as moments_module
from edge_arm.calibration.exposure import exposed_model
from edge_arm.calibration.moments import input_moments
from edge_arm.calibration.placement import QuantPlan
from edge_arm.calibration.prepared_model import (
    PreparedModel,
    num_moment_faces,
    with_adaptive_rounding,
)
from edge_arm.calibration.qdq import int8_graph
from edge_arm.runtime.batches import read_face
from edge_arm.runtime.faces import FaceIndex
from edge_arm.runtime.preprocess import PreprocessSpec

SPEC = PreprocessSpec(size=64)
MakeIndex = Callable[..., FaceIndex]


def tensor_of(model: onnx.ModelProto, index: FaceIndex, *names: str) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(
        exposed_model(model, names).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    faces = np.stack([read_face(sample, SPEC)[0] for sample in index.samples])
    return session.run(list(names), {"faces": faces})


def ranges(model: onnx.ModelProto, plan: QuantPlan, index: FaceIndex) -> dict[str, float]:
    source = plan.ranges_from(model)
    values = tensor_of(model, index, *dict.fromkeys(source.values()))
    amax = dict(zip(dict.fromkeys(source.values()), values, strict=True))
    return {name: float(np.abs(amax[origin]).max()) for name, origin in source.items()}


def weights(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {item.name: numpy_helper.to_array(item) for item in model.graph.initializer}


@pytest.fixture
def prepared(
    model: onnx.ModelProto, plan: QuantPlan, face_index: MakeIndex
) -> tuple[PreparedModel, dict[str, float], FaceIndex]:
    index = face_index()
    amax = ranges(model, plan, index)
    bare = PreparedModel(model, {}, {}, {})
    return with_adaptive_rounding(bare, plan, amax, faces=index, spec=SPEC), amax, index


def test_moments_are_those_of_all_patches(model: onnx.ModelProto, face_index: MakeIndex):
    index = face_index()
    conv = next(at for at, node in enumerate(model.graph.node) if node.op_type == "MaxPool") + 1
    name = model.graph.node[conv].input[0]
    (x,) = tensor_of(model, index, name)  # 16 channels of 16 x 16: 256 patches, all are drawn
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    patches = np.array(
        [
            padded[face, :, row : row + 3, column : column + 3].ravel()
            for face in range(len(x))
            for row in range(16)
            for column in range(16)
        ],
        np.float64,
    )
    scale = 3.0 / 127
    rounded = np.clip(np.rint(patches / scale), -128, 127) * scale
    found = input_moments(model, {conv: 3.0}, index, SPEC)[conv]
    assert found.covariance is not None
    # float32 sums against float64
    np.testing.assert_allclose(found.mean, patches.mean(0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found.rounded_mean, rounded.mean(0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found.covariance, np.cov(rounded.T, bias=True), rtol=1e-3, atol=1e-4)


def test_a_stride_skips_patches(model: onnx.ModelProto, face_index: MakeIndex):
    index = face_index().subset([0])
    conv = next(at for at, node in enumerate(model.graph.node) if node.op_type == "Conv")
    (x,) = tensor_of(model, index, model.graph.node[conv].input[0])
    padded = np.pad(x[0], ((0, 0), (3, 3), (3, 3)))
    corners = [(2 * row, 2 * column) for row in range(32) for column in range(32)]
    patches = np.array([padded[:, r : r + 7, c : c + 7].ravel() for r, c in corners])
    found = input_moments(model, {conv: 140.0}, index, SPEC)[conv]
    drawn = np.abs(found.mean - patches.mean(0)).mean()
    # 256 of 1024 patches: the mean is off by its standard error, half of a full draw's deviation
    assert drawn < 3 * patches.std() / np.sqrt(256)


def test_wide_rows_are_rounded_to_nearest(
    model: onnx.ModelProto, face_index: MakeIndex, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(moments_module, "LARGEST_COVARIANCE", 8)
    conv = next(at for at, node in enumerate(model.graph.node) if node.op_type == "Conv")
    assert input_moments(model, {conv: 140.0}, face_index(), SPEC)[conv].covariance is None


def test_q_and_dq_find_the_rounded_weights(
    prepared: tuple[PreparedModel, dict[str, float], FaceIndex], plan: QuantPlan
):
    model, amax, _ = prepared
    graph = weights(int8_graph(model.for_plan(plan), plan, amax))
    changed = 0
    for name, weight in model.weights.items():
        np.testing.assert_allclose(graph[name], weight, rtol=1e-6, atol=0)
        scale = graph[f"{name}_scale"].reshape(-1, *[1] * (weight.ndim - 1))
        steps = graph[name] / scale
        np.testing.assert_allclose(steps, np.rint(steps), atol=1e-3)
        original = weights(model.float32)[name]
        changed += int((np.rint(original / scale) != np.rint(steps)).sum())
    assert changed > 0


def test_a_layer_left_in_float_has_its_own_weight_and_bias(
    prepared: tuple[PreparedModel, dict[str, float], FaceIndex],
    plan: QuantPlan,
    model: onnx.ModelProto,
):
    made, _, _ = prepared
    some = QuantPlan(plan.activations, plan.weights[1:], plan.float_nodes)
    node = model.graph.node[plan.weights[0].node]
    before, after = weights(model), weights(made.for_plan(some))
    full = weights(made.for_plan(plan))
    for name in node.input[1:]:
        np.testing.assert_array_equal(after[name], before[name])
        assert (full[name] != before[name]).any()
    assert weights(made.for_plan(QuantPlan((), (), {}))).keys() == before.keys()


def test_a_layer_errs_less_and_its_mean_error_is_gone(
    prepared: tuple[PreparedModel, dict[str, float], FaceIndex],
    plan: QuantPlan,
    model: onnx.ModelProto,
):
    """The layer behind the pool, with its input rounded, over all its outputs."""
    made, amax, index = prepared
    conv = next(at for at, node in enumerate(model.graph.node) if node.op_type == "MaxPool") + 1
    node = model.graph.node[conv]
    (x,) = tensor_of(model, index, node.input[0])
    scale = np.float32(amax[node.input[0]] / 127)
    rounded = np.clip(np.rint(x / scale), -128, 127).astype(np.float32) * scale
    layer = onnx.helper.make_model(
        onnx.helper.make_graph(
            [node],
            "layer",
            [
                onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
                for name in node.input
            ],
            [onnx.helper.make_tensor_value_info(node.output[0], onnx.TensorProto.FLOAT, None)],
        ),
        opset_imports=[onnx.helper.make_opsetid("", 17)],
        ir_version=8,
    )
    session = onnxruntime.InferenceSession(
        layer.SerializeToString(), providers=["CPUExecutionProvider"]
    )

    def output(values: np.ndarray, source: dict[str, np.ndarray]) -> np.ndarray:
        feed = {node.input[0]: values} | {name: source[name] for name in node.input[1:]}
        return session.run(None, feed)[0]

    exact = output(x, weights(model))
    learned = output(rounded, weights(made.for_plan(plan))) - exact
    nearest = weights(int8_graph(model, plan, amax))
    plain = output(rounded, nearest) - exact
    assert np.square(learned).mean() < np.square(plain).mean()
    step = np.abs(exact).max() / 127
    # All patches were drawn, so what is left of the mean is float32 rounding.
    assert np.abs(learned.mean(axis=(0, 2, 3))).max() < 1e-3 * step


def test_at_most_64_faces_round_weights():
    assert [num_moment_faces(number) for number in (10, 64, 512)] == [10, 64, 64]


def test_the_same_faces_give_the_same_bytes(
    prepared: tuple[PreparedModel, dict[str, float], FaceIndex],
    plan: QuantPlan,
    model: onnx.ModelProto,
    tmp_path: Path,
):
    made, amax, index = prepared
    bare = PreparedModel(model, {}, {}, {})
    again = with_adaptive_rounding(bare, plan, amax, faces=index, spec=SPEC)
    first, second = (item.for_plan(plan).SerializeToString() for item in (made, again))
    assert first == second


def test_too_few_patches_round_to_nearest(model: onnx.ModelProto, face_index: MakeIndex):
    index = face_index()
    convs = [at for at, node in enumerate(model.graph.node) if node.op_type == "Conv"]
    # Behind layer3 of this small model 2 x 2 positions are left of a face, against 1152 weights.
    last = convs[-2]
    assert input_moments(model, {last: 1.0}, index, SPEC)[last].covariance is None
