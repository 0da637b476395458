"""The divergence is recomputed with scipy-free float64 formulas; graphs are real and small."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from edge_arm.calibration.placement import QuantPlan
from edge_arm.calibration.qdq import int8_graph
from edge_arm.calibration.range_choice import (
    Candidate,
    ChoiceFaces,
    choose_ranges,
    num_choice_runs,
)
from edge_arm.calibration.ranges import Method
from edge_arm.calibration.search.sessions import Session
from edge_arm.runtime.errors import CalibrationError


@pytest.fixture(scope="module")
def soft_model(model: onnx.ModelProto) -> onnx.ModelProto:
    """With a head of a hundredth: random weights give logits so far apart that no answer doubts."""
    soft = onnx.ModelProto()
    soft.CopyFrom(model)
    head = next(node for node in reversed(soft.graph.node) if node.op_type == "Conv")
    for item in soft.graph.initializer:
        if item.name in head.input[1:]:
            item.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(item) / 100, item.name))
    return soft


@pytest.fixture(scope="module")
def faces(soft_model: onnx.ModelProto) -> ChoiceFaces:
    images = np.random.default_rng(3).integers(0, 256, (6, 64, 64, 3), np.uint8)
    return ChoiceFaces(images, Session(soft_model).logits(images), "ab" * 32)


@pytest.fixture(scope="module")
def good(soft_model: onnx.ModelProto, plan: QuantPlan, faces: ChoiceFaces) -> dict[str, float]:
    """Ranges that hold the largest value of each tensor on the faces."""
    from edge_arm.calibration.observe import observe
    from edge_arm.runtime.batches import FaceBatch

    source = plan.ranges_from(soft_model)
    seen = observe(soft_model, source.values(), [FaceBatch(0, faces.images_nhwc, ())])
    return {name: seen.histograms[origin].amax for name, origin in source.items()}


def candidates(
    model: onnx.ModelProto, plan: QuantPlan, ranges: dict[Method, dict[str, float]]
) -> list[Candidate]:
    return [
        Candidate(method, False, amax, lambda chosen: int8_graph(model, plan, chosen))
        for method, amax in ranges.items()
    ]


def test_the_method_closest_to_fp32_wins_and_the_others_are_listed(
    soft_model: onnx.ModelProto, plan: QuantPlan, faces: ChoiceFaces, good: dict[str, float]
):
    steps: list[int] = []
    ranges = {
        Method.MAX: {name: 8 * value for name, value in good.items()},
        Method.MSE: good,
        Method.ENTROPY: {name: 0.05 * value for name, value in good.items()},
    }
    best, choice = choose_ranges(candidates(soft_model, plan, ranges), faces, steps.append)
    assert best.method is Method.MSE
    assert [item.method for item in choice.scores] == [Method.MSE, Method.MAX, Method.ENTROPY]
    errors = [item.error for item in choice.scores]
    assert errors[0] < errors[1] < errors[2]
    answers = Session(int8_graph(soft_model, plan, good)).logits(faces.images_nhwc).astype(float)
    p, q = (
        np.exp(z) / np.exp(z).sum(1, keepdims=True) for z in (faces.fp32.astype(float), answers)
    )
    assert errors[0].divergence == pytest.approx((p * np.log(p / q)).sum(1).mean(), rel=1e-6)
    assert errors[0].flips == (faces.fp32.argmax(1) != answers.argmax(1)).sum()
    apart = answers - faces.fp32
    # variance over the classes: the mean of a face's differences changes no probability
    assert errors[0].logits == pytest.approx(np.sqrt(apart.var(axis=1).mean()), rel=1e-6)
    assert choice.error <= errors[0]
    assert choice.num_faces == 6
    assert sum(steps) <= 6 * num_choice_runs(3) == 6 * 7
    for name, value in best.ranges.items():
        assert value == (ranges[Method.MAX][name] if name in choice.exceptions else good[name])


def test_a_tensor_takes_the_next_methods_range_where_that_is_closer(
    soft_model: onnx.ModelProto, plan: QuantPlan, faces: ChoiceFaces, good: dict[str, float]
):
    """The best candidate is good but for one tensor, the next bad but for that tensor."""
    spoiled = list(plan.ranges_from(soft_model))[-1]
    ranges = {
        Method.MSE: {**good, spoiled: 4.0 * good[spoiled]},
        Method.MAX: {name: 5.0 * value for name, value in good.items()} | {spoiled: good[spoiled]},
    }
    best, choice = choose_ranges(candidates(soft_model, plan, ranges), faces)
    assert best.method is Method.MSE
    # All tensors but this one differ by a factor of 5, this one by 4: it is tried only if the
    # others that differ more are no more than the number of tries.
    tried = choice.exceptions
    assert set(tried) <= set(good)
    assert choice.error <= choice.scores[0].error
    for name in tried:
        assert best.ranges[name] == ranges[Method.MAX][name]
    only = {Method.MSE: ranges[Method.MSE], Method.MAX: {**ranges[Method.MSE], spoiled: 9.0}}
    only[Method.MAX][spoiled] = good[spoiled]
    winner, mended = choose_ranges(candidates(soft_model, plan, only), faces)
    assert winner.ranges[spoiled] == good[spoiled]
    assert mended.scores[0].method is Method.MAX
    assert mended.exceptions == ()


def test_candidates_that_are_equalized_otherwise_lend_no_ranges(
    soft_model: onnx.ModelProto, plan: QuantPlan, faces: ChoiceFaces, good: dict[str, float]
):
    def build(chosen: Mapping[str, float]) -> onnx.ModelProto:
        return int8_graph(soft_model, plan, chosen)

    wide = {name: 3 * value for name, value in good.items()}
    steps: list[int] = []
    best, choice = choose_ranges(
        [Candidate(Method.MAX, True, good, build), Candidate(Method.MAX, False, wide, build)],
        faces,
        steps.append,
    )
    assert (best.equalized, choice.exceptions, steps) == (True, (), [6, 6])
    record = choice.to_json()
    assert [item["equalized"] for item in record["candidates"]] == [True, False]
    assert record["exceptions"] == {"method": None, "tensors": []}


def test_equal_candidates_are_tried_no_further(
    soft_model: onnx.ModelProto, plan: QuantPlan, faces: ChoiceFaces, good: dict[str, float]
):
    steps: list[int] = []
    same = {Method.MAX: good, Method.MSE: dict(good)}
    _, choice = choose_ranges(candidates(soft_model, plan, same), faces, steps.append)
    assert steps == [6, 6]
    assert choice.exceptions == ()


def test_ranges_that_never_give_numbers_are_refused(
    soft_model: onnx.ModelProto, plan: QuantPlan, faces: ChoiceFaces, good: dict[str, float]
):
    broken = dict.fromkeys(good, float("inf"))
    ranges = {Method.MAX: broken, Method.MSE: broken}
    with pytest.raises(CalibrationError, match="NaN or infinity with the ranges of every method"):
        choose_ranges(candidates(soft_model, plan, ranges), faces)
