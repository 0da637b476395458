from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from edge_arm.calibration.half_range import float_tensors, half_scale, nodes_in_float32
from edge_arm.runtime.errors import CalibrationError

INPUT_STAGE = ["/n0/Cast", "/n1/Transpose", "/n2/Sub"]


def test_a_scale_goes_to_the_next_fp16_number_that_is_not_below():
    # FP16 has 10 bits behind the point: between 1 and 2 in steps of 2^-10
    scale = np.array([1.0, 1.0 + 2**-11, 1.0 + 2**-10, 3e-8, 65504.0])
    expected = np.array([1.0, 1.0 + 2**-10, 1.0 + 2**-10, 2**-24, 65504.0], np.float16)
    rounded = half_scale(scale, "x")
    assert rounded.dtype == np.float16
    assert (rounded == expected).all()


def test_no_scale_becomes_zero_or_loses_range():
    scale = np.exp(np.random.default_rng(0).uniform(np.log(1e-12), np.log(6e4), 2000))
    rounded = half_scale(scale, "x").astype(np.float64)
    assert (rounded >= scale).all()
    assert (rounded <= np.maximum(scale * (1 + 2**-10), scale + 2**-24)).all()


def test_a_scale_beyond_fp16_is_refused():
    with pytest.raises(
        CalibrationError, match="tensor 'x' has the scale 65505, expected at most 6"
    ):
        half_scale(np.array([1.0, 65505.0]), "x")


def test_a_scale_that_is_nan_is_refused():
    with pytest.raises(CalibrationError, match="tensor 'x' has the scale nan"):
        half_scale(np.array([np.nan]), "x")


def test_only_the_input_stage_stays_in_fp32_where_all_fits(model: onnx.ModelProto):
    absmax = dict.fromkeys(float_tensors(model), 16376.0)  # exactly a quarter of 65504
    reasons = nodes_in_float32(model, absmax, known={})
    assert list(reasons) == INPUT_STAGE
    assert all(reason.startswith("pixels minus mean") for reason in reasons.values())


@pytest.mark.parametrize("value", [16376.1, float("inf"), float("nan")])
def test_nodes_that_write_or_read_a_tensor_beyond_a_quarter_stay(
    model: onnx.ModelProto, value: float
):
    reasons = nodes_in_float32(model, {"t8": value}, known={})
    assert list(reasons) == [*INPUT_STAGE, "/n8/Conv", "/n9/Add"]
    assert reasons["/n9/Add"] == (
        f"'t8' reaches {value:.6g} on the faces, the limit is 16376 (a quarter of FP16's range)"
    )


def test_a_constant_may_reach_the_whole_range(model: onnx.ModelProto):
    large = onnx.ModelProto()
    large.CopyFrom(model)
    for name, value in (("c2", 65504.0), ("c4", 65536.0)):
        item = next(item for item in large.graph.initializer if item.name == name)
        filled = np.full(list(item.dims), -value, np.float32)
        item.CopyFrom(numpy_helper.from_array(filled, name))
    reasons = nodes_in_float32(large, {}, known={})
    assert list(reasons) == [*INPUT_STAGE, "/n6/Conv"]
    assert reasons["/n6/Conv"] == "the constant 'c4' reaches 65536, FP16 ends at 65504"


def test_what_the_fp16_export_found_stays_with_its_reason(model: onnx.ModelProto):
    known = {"/n49/Conv": "beyond the range on the export's faces", "/gone": "no node here"}
    reasons = nodes_in_float32(model, {}, known=known)
    assert list(reasons) == [*INPUT_STAGE, "/n49/Conv"]
    assert reasons["/n49/Conv"] == known["/n49/Conv"]


def test_float_tensors_are_all_that_nodes_make_but_the_output(explicit_model: onnx.ModelProto):
    made = [name for node in explicit_model.graph.node for name in node.output]
    assert float_tensors(explicit_model) == made[:-1]
