from __future__ import annotations

import onnx
import pytest
from onnx import helper

from edge_arm.calibration.exposure import Origin, Wanted, exposed_model, origins
from edge_arm.runtime.errors import CalibrationError


def test_a_relu_is_had_from_its_input_where_that_is_wanted_too(model: onnx.ModelProto):
    # t4 = Relu(t3), t7 = Relu(t6)
    found = origins(model, Wanted.of(["t4", "t7"], extremes=["t3"]))
    assert found == {
        "t4": Origin("t3", rectified=True),
        "t7": Origin("t7", rectified=False),
        "t3": Origin("t3", rectified=False),
    }


def test_what_is_counted_is_no_extreme_as_well():
    wanted = Wanted.of(["a", "b", "a"], extremes=["b", "c"], channels=["b", "b"])
    assert wanted == Wanted(("a", "b"), ("c",), ("b",))


def test_a_tensor_is_handed_out_once_and_the_model_stays_as_it_is(model: onnx.ModelProto):
    before = model.SerializeToString()
    exposed = exposed_model(model, ["t3", "logits", "t3"])
    assert [item.name for item in exposed.graph.output] == ["logits", "t3"]
    assert model.SerializeToString() == before


@pytest.mark.parametrize("kind", ["QuantizeLinear", "QLinearConv"])
def test_a_quantized_model_is_refused(model: onnx.ModelProto, kind: str):
    quantized = onnx.ModelProto()
    quantized.CopyFrom(model)
    quantized.graph.node.append(helper.make_node(kind, ["t3"], ["q"], "/early"))
    with pytest.raises(CalibrationError, match=f"the model has a {kind} \\('/early'\\), expected"):
        exposed_model(quantized, ["t3"])
