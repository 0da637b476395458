from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest

from edge_arm.calibration.opset import opset_of, with_opset_at_least
from edge_arm.runtime.errors import CalibrationError


def answers(model: onnx.ModelProto, faces_nhwc: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return np.asarray(session.run(None, {"faces": faces_nhwc})[0])


@pytest.mark.parametrize("opset", [18, 19, 20])
def test_a_raised_model_is_valid_and_answers_the_very_same(
    opset: int, explicit_model: onnx.ModelProto, faces_nhwc: np.ndarray
):
    raised = with_opset_at_least(explicit_model, opset)
    onnx.checker.check_model(raised, full_check=True)
    assert opset_of(raised) == opset
    assert (answers(raised, faces_nhwc) == answers(explicit_model, faces_nhwc)).all()


def test_names_stay_and_the_original_too(explicit_model: onnx.ModelProto):
    before = explicit_model.SerializeToString(deterministic=True)
    raised = with_opset_at_least(explicit_model, 19)
    assert [node.name for node in raised.graph.node] == [
        node.name for node in explicit_model.graph.node
    ]
    assert explicit_model.SerializeToString(deterministic=True) == before


def test_a_model_that_is_new_enough_is_copied(model: onnx.ModelProto):
    assert with_opset_at_least(model, 17) == model
    assert with_opset_at_least(with_opset_at_least(model, 20), 19).opset_import[0].version == 20


def test_an_operator_with_another_form_is_refused(model: onnx.ModelProto):
    other = onnx.ModelProto()
    other.CopyFrom(model)
    node = other.graph.node[-1]
    node.op_type, node.name = "Split", "cut"
    with pytest.raises(
        CalibrationError, match="node 'cut' .Split. is written differently in opset"
    ):
        with_opset_at_least(other, 19)
