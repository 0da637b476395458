"""Ranges that came with the weights, in a calibration."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from edge_arm.calibration.calibrated_model import Recipe
from edge_arm.calibration.implicit import implicit_ranges_from
from edge_arm.calibration.int8_from_bundle import CalibrationConfig, int8_from_bundle
from edge_arm.calibration.placement import QuantPlan
from edge_arm.calibration.ranges import Method
from edge_arm.calibration.trained_amax import trained_amax, trained_implicit_amax
from edge_arm.runtime.errors import CalibrationError
from edge_arm.runtime.faces import FaceIndex
from edge_arm.runtime.manifest import Bundle
from edge_arm.runtime.trained_ranges import TrainedRanges


def _trained(model: onnx.ModelProto, plan: QuantPlan) -> TrainedRanges:
    origins = dict.fromkeys(plan.ranges_from(model).values())
    return TrainedRanges({name: 3.0 + at for at, name in enumerate(origins)}, {"epoch": 2})


def test_both_sides_of_the_pool_get_the_range_that_was_trained_behind_it(
    model: onnx.ModelProto, plan: QuantPlan
) -> None:
    trained = _trained(model, plan)
    (pool,) = [node for node in model.graph.node if node.op_type == "MaxPool"]
    amax = trained_amax(model, plan, trained)
    assert amax[pool.input[0]] == amax[pool.output[0]] == trained.amax[pool.output[0]]
    assert set(amax) == set(plan.ranges_from(model))


def test_implicit_int8_takes_measured_ranges_where_nothing_was_trained(
    model: onnx.ModelProto, plan: QuantPlan
) -> None:
    trained = _trained(model, plan)
    source = implicit_ranges_from(model, plan)
    measured = dict.fromkeys(source, 1.0)
    found = trained_implicit_amax(model, plan, measured, trained)
    assert set(found) == set(source)
    untrained = {name for name, origin in source.items() if origin not in trained.amax}
    # The second convolutions of the 8 residual blocks, before the Add.
    assert len(untrained) == 8
    assert {name for name, value in found.items() if value == 1.0} == untrained


def test_ranges_of_other_tensors_are_refused(model: onnx.ModelProto, plan: QuantPlan) -> None:
    trained = dict(_trained(model, plan).amax)
    lost = next(iter(trained))
    trained["elsewhere"] = trained.pop(lost)
    with pytest.raises(
        CalibrationError, match=rf"another model's \(missing: {lost}; unknown: elsewhere\)"
    ):
        trained_amax(model, plan, TrainedRanges(trained, {}))


def test_the_int8_model_has_the_trained_scales_and_the_table_says_so(
    model: onnx.ModelProto,
    plan: QuantPlan,
    make_bundle: Callable[[onnx.ModelProto], Bundle],
    face_index: Callable[..., FaceIndex],
) -> None:
    trained = _trained(model, plan)
    config = CalibrationConfig(num_images=8, recipe=Recipe(method=Method.MAX), trained=trained)
    bundle = int8_from_bundle(make_bundle(model), face_index(), config)
    int8 = onnx.load(bundle.path / "model.int8.onnx")
    scales = {
        item.name.removesuffix("_scale"): float(numpy_helper.to_array(item))
        for item in int8.graph.initializer
        if item.name.endswith("_scale") and not item.dims
    }
    for tensor, origin in plan.ranges_from(model).items():
        assert scales[tensor] == np.float32(trained.amax[origin] / 127)
    table = json.loads((bundle.path / "calibration.json").read_text(encoding="utf-8"))
    assert (table["method"], table["training"]) == ("trained", {"epoch": 2})
    assert table["amax"] == trained_amax(model, plan, trained)
