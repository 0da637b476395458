from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper
from scipy.special import log_softmax
from searched_models import batches_of, subject_of, weights_scaled

from edge_arm.calibration.placement import QuantPlan
from edge_arm.calibration.search import sensitivity as module
from edge_arm.calibration.search.layers import plan_only, plan_without
from edge_arm.calibration.search.sensitivity import Effect, num_candidates, sensitivity
from edge_arm.calibration.search.subject import Subject
from edge_arm.runtime.errors import CalibrationError, DataError


def whole(model: onnx.ModelProto, images: np.ndarray) -> np.ndarray:
    """Logits of a whole graph with every optimization of ONNX Runtime off."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return np.concatenate([session.run(None, {"faces": face[None]})[0] for face in images])


SEEN = 4  # faces that chose the ranges, see conftest


def effect(reference: np.ndarray, candidate: np.ndarray) -> Effect:
    before, after = (
        log_softmax(item.astype(np.float64), axis=1) for item in (reference, candidate)
    )
    kl = (np.exp(before) * (before - after)).sum(axis=1).mean()
    return Effect(int((before.argmax(1) != after.argmax(1)).sum()), float(kl))


def same(found: Effect, expected: Effect) -> None:
    assert found.flips == expected.flips
    # The logits are equal to the bit; scipy's log-softmax rounds elsewhere than ours, and both
    # sum terms of size 1 into a divergence of 1e-5.
    assert found.mean_kl == pytest.approx(expected.mean_kl, abs=1e-14)


@pytest.fixture(scope="module")
def faces(faces_nhwc: np.ndarray) -> np.ndarray:
    """(5, S, S, 3) uint8, none of which chose a range."""
    return faces_nhwc[SEEN : SEEN + 5]


@pytest.fixture(scope="module")
def found(subject: Subject, faces: np.ndarray) -> module.Sensitivity:
    return sensitivity(subject, batches_of(faces))


@pytest.fixture(scope="module")
def found_few(few: Subject, faces: np.ndarray) -> module.Sensitivity:
    return sensitivity(few, batches_of(faces))


def test_every_figure_is_that_of_a_whole_run_of_the_candidate(
    subject: Subject, found: module.Sensitivity, faces: np.ndarray
):
    reference = whole(subject.model, faces)
    same(found.together, effect(reference, whole(subject.build(subject.plan), faces)))
    assert found.together.mean_kl > 1e-6
    # conv1, the pool's layer, a skip's layer, a downsample, the last
    for layer in [found.layers[at] for at in (0, 1, 2, 7, 19)]:
        alone = plan_only(subject.plan, subject.model, layers=[layer.layer])
        without = plan_without(subject.plan, subject.model, layers=[layer.layer], reason="")
        same(layer.alone, effect(reference, whole(subject.build(alone), faces)))
        same(layer.without, effect(reference, whole(subject.build(without), faces)))


def test_layers_come_in_graph_order_with_their_node_names(found: module.Sensitivity):
    names = [layer.layer for layer in found.layers]
    assert (len(names), names[0], names[1], names[-1]) == (20, "/n3/Conv", "/n6/Conv", "/n46/Conv")
    assert found.num_faces == 5


def test_the_ranking_has_the_largest_gain_first(found: module.Sensitivity):
    gains = [found.together.mean_kl - layer.without.mean_kl for layer in found.ranked()]
    assert gains == sorted(gains, reverse=True)
    assert gains[0] == max(map(found.gain, found.layers))


def figures(result: module.Sensitivity) -> module.Sensitivity:
    return replace(result, fp32_passes=0.0, seconds=0.0)


def test_batches_change_nothing(few: Subject, found_few: module.Sensitivity, faces: np.ndarray):
    again = sensitivity(few, batches_of(faces, 2))
    assert figures(again) == figures(found_few)


def test_little_room_for_kept_tensors_changes_nothing(
    few: Subject,
    found_few: module.Sensitivity,
    faces: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
):
    # 15 kB for a face: the pool's output has 16 x 16 x 16 float32, 16 kB, so no cut in layer1 fits
    # and those of its layers move up to the face itself, 12 kB.
    monkeypatch.setattr(module, "CACHE_BYTES", 15_000 * len(faces))
    assert figures(sensitivity(few, batches_of(faces))) == figures(found_few)


def test_progress_counts_every_candidate_of_every_chunk(few: Subject, faces: np.ndarray):
    steps: list[int] = []
    sensitivity(few, batches_of(faces[:4], 2), steps.append)
    assert sum(steps) == 2 * num_candidates(few) == 2 * 2 * 4


def test_a_layer_with_an_outlier_channel_is_found_first(
    close_model: onnx.ModelProto, few: Subject, faces_nhwc: np.ndarray, faces: np.ndarray
):
    # One channel into layer2.1.conv2 (n24) is 500 times the others: its range swallows theirs. The
    # weights behind it are divided by as much, so the FP32 model answers as before.
    channels = np.ones(32, np.float32)
    channels[5] = 500
    outlier = weights_scaled(close_model, "/n22/Conv", channels)
    conv = next(node for node in outlier.graph.node if node.name == "/n24/Conv")
    (weight,) = (item for item in outlier.graph.initializer if item.name == conv.input[1])
    values = numpy_helper.to_array(weight) / channels.reshape(1, -1, 1, 1)
    weight.CopyFrom(numpy_helper.from_array(values, weight.name))
    np.testing.assert_allclose(
        whole(outlier, faces), whole(close_model, faces), rtol=1e-4, atol=1e-4
    )
    broken = sensitivity(subject_of(outlier, few.plan, faces_nhwc[:SEEN]), batches_of(faces))
    assert broken.ranked()[0].layer == "/n24/Conv"
    assert max(broken.layers, key=lambda layer: layer.alone.mean_kl).layer == "/n24/Conv"
    assert broken.gain(broken.ranked()[0]) > 0.5 * broken.together.mean_kl


def test_a_builder_that_changes_what_lies_before_the_layer_is_still_measured_rightly(
    few: Subject, faces: np.ndarray
):
    def build(part: QuantPlan) -> onnx.ModelProto:
        # As a correction that looks ahead: conv1's bias depends on how much is quantized.
        return _bent(few.build(part), len(part.weights))

    images = faces[:2]
    result = sensitivity(replace(few, build=build), batches_of(images))
    reference = whole(few.model, images)
    for layer in result.layers:
        without = plan_without(few.plan, few.model, layers=[layer.layer], reason="")
        alone = plan_only(few.plan, few.model, layers=[layer.layer])
        same(layer.without, effect(reference, whole(build(without), images)))
        same(layer.alone, effect(reference, whole(build(alone), images)))


def _bent(graph: onnx.ModelProto, count: int) -> onnx.ModelProto:
    conv = next(node for node in graph.graph.node if node.name == "/n3/Conv")
    (bias,) = (item for item in graph.graph.initializer if item.name == conv.input[2])
    values = numpy_helper.to_array(bias) + np.float32(0.01 * count)
    bias.CopyFrom(numpy_helper.from_array(values, bias.name))
    return graph


def test_no_faces_are_refused(few: Subject, faces: np.ndarray):
    with pytest.raises(CalibrationError, match="got no faces to measure the layers on, expected"):
        sensitivity(few, batches_of(faces[:0]))


def test_a_candidate_that_answers_nan_is_refused(few: Subject, faces: np.ndarray):
    def build(part: QuantPlan) -> onnx.ModelProto:
        return weights_scaled(few.build(part), "/n49/Conv", np.nan)

    with pytest.raises(DataError, match="candidate logits of face 0 are .nan"):
        sensitivity(replace(few, build=build), batches_of(faces[:2]))
