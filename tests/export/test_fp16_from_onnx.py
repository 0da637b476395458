"""What is refused after the conversion to FP16, on graphs of a few nodes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edge_arm.export.fp16_from_onnx import (
    fp16_checks,
    fp16_from_onnx,
    nodes_in_float32,
    require_same_contract,
)
from edge_arm.runtime.errors import ExportError


def _model(
    *nodes: onnx.NodeProto, output_type: int = TensorProto.FLOAT, opset: int = 17
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("faces", TensorProto.UINT8, ["n", 2])],
        [helper.make_tensor_value_info("logits", output_type, ["n", 2])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def _cast(source: str, target: str, to: int = TensorProto.FLOAT) -> onnx.NodeProto:
    return helper.make_node("Cast", [source], [target], name=f"/{target}", to=to)


def _node(operator: str, source: str, target: str) -> onnx.NodeProto:
    return helper.make_node(operator, [source], [target], name=f"/{target}")


def test_a_contract_that_holds_is_accepted() -> None:
    require_same_contract(_model(_cast("faces", "x"), _node("Neg", "x", "logits")), 17)


def test_an_output_in_fp16_is_refused() -> None:
    half = _cast("faces", "logits", TensorProto.FLOAT16)
    model = _model(half, output_type=TensorProto.FLOAT16)
    with pytest.raises(ExportError, match=r"\('UINT8', 'FLOAT16'\), expected uint8 and float32"):
        require_same_contract(model, 17)


def test_an_input_that_feeds_something_else_than_a_cast_is_refused() -> None:
    model = _model(_node("Identity", "faces", "x"), _cast("x", "logits"))
    with pytest.raises(ExportError, match=r"feeds \['Identity'\], expected only a Cast"):
        require_same_contract(model, 17)


def test_another_opset_is_refused() -> None:
    with pytest.raises(ExportError, match="AutoCast wrote opset 19, expected 17"):
        require_same_contract(_model(_cast("faces", "logits"), opset=19), 17)


def test_a_node_that_autocast_keeps_by_itself_is_named() -> None:
    original = _model(_cast("faces", "x"), _node("Neg", "x", "y"), _node("Neg", "y", "logits"))
    converted = _model(
        _cast("faces", "x"),
        _cast("x", "half", TensorProto.FLOAT16),
        _node("Neg", "half", "y"),
        _cast("y", "single"),
        _node("Neg", "single", "logits"),
    )
    assert nodes_in_float32(original, converted, {"/x": "because"}) == {
        "/x": "because",
        "/logits": "AutoCast keeps it in FP32",
    }


def test_a_node_that_had_to_stay_and_did_not_is_an_error() -> None:
    original = _model(_cast("faces", "x"), _node("Neg", "x", "logits"))
    converted = _model(_cast("faces", "x", TensorProto.FLOAT16), _cast("x", "logits"))
    with pytest.raises(ExportError, match=r"put /x into FP16, expected FP32 \(because\)"):
        nodes_in_float32(original, converted, {"/x": "because"})


def test_a_graph_that_autocast_cannot_convert_is_an_export_error(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(
        _model(_cast("faces", "x"), _node("NoSuchOperator", "x", "logits")).SerializeToString()
    )
    with pytest.raises(ExportError, match=r"AutoCast failed on 'model\.onnx'"):
        fp16_from_onnx(path, {})


def test_infinite_logits_are_refused() -> None:
    logits = np.array([[np.inf, 0.0]], np.float32)
    with pytest.raises(ExportError, match="infinite or NaN"):
        fp16_checks(logits, np.zeros((1, 2), np.float32), {}, {})


def test_the_figures_are_difference_agreement_and_the_largest_fp16_activation() -> None:
    reference = np.array([[1.0, 0.0], [0.5, 0.25]], np.float32)
    logits = np.array([[1.0, 0.125], [0.25, 0.5]], np.float32)
    checks = fp16_checks(logits, reference, {"input/cast": 255.0, "x": 30.0}, {"/input/cast": ""})
    assert checks == {
        "fp32_difference": 0.25,
        "fp32_agreement": 0.5,
        "fp16_activation_absmax": 30.0,
        "fp16_activation_limit": 16376.0,
    }


def test_modelopt_writes_nothing_to_stdout(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(_model(_cast("faces", "x"), _node("Neg", "x", "logits")).SerializeToString())
    fp16_from_onnx(path, {})
    assert capfd.readouterr().out == ""
