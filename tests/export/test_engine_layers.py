"""The layer report, from inspector texts of both dialects as TensorRT writes them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from edge_arm.export.engine_layers import (
    LayerExpectation,
    engine_layers,
    layer_report,
    require_lower_precision,
)
from edge_arm.export.engine_network import Convolution
from edge_arm.runtime.errors import EngineError
from edge_arm.runtime.manifest import Precision


def _combined(name: str, first: str, kind: str = "CaskConvolution", **more: Any) -> dict[str, Any]:
    """A layer as TensorRT 8 and 10 tell it."""
    tensor = {"Name": "x", "Location": "Device", "Dimensions": [8, 64, 24, 24]}
    return {
        "Name": name,
        "LayerType": kind,
        "Inputs": [{**tensor, "Format/Datatype": first}],
        "Outputs": [{**tensor, "Format/Datatype": "Row major linear FP32"}],
        **more,
    }


def _separate(name: str, first: str, nodes: tuple[str, ...]) -> dict[str, Any]:
    """A layer as TensorRT 11 tells it."""
    tensor = {"Name": "x", "Dimensions": [8, 64, 24, 24], "Format": "Linear"}
    return {
        "Name": name,
        "LayerType": "kgen",
        "Inputs": [{**tensor, "DataType": first}],
        "Outputs": [{**tensor, "DataType": "Half"}],
        "Metadata": "\x1e".join(f"[ONNX Layer: {node}]" for node in nodes),
    }


OLD = json.dumps(
    {
        "Layers": [
            _combined("/input/cast", "Row major linear UInt8 format", "Cast"),
            _combined("Reformatting CopyNode for Input Tensor 0 to /conv1", "FP32", "Reformat"),
            _combined("/conv1 + /relu", "Thirty-two wide channel vectorized row major Int8 format"),
            _combined("/conv2 + /add + /relu2", "Channel major FP16 format where channel % 8 == 0"),
            _combined("/head", "Row major linear FP32"),
        ],
        "Bindings": ["faces", "logits"],
    }
)
NEW = json.dumps(
    {
        "Layers": [
            _separate("__myl_Cast_myl0_0", "UInt8", ("/input/cast", "/input/sub_mean")),
            _separate("__myl_Conv_myl0_1", "Int8", ("/conv1", "/relu")),
            _separate("__myl_Conv_myl0_2", "Half", ("/conv2", "/add", "/relu2")),
            _separate("__myl_Fc_myl0_3", "Float", ("/head",)),
        ],
        "I/O Tensors": [{"Name": "faces", "IOMode": "Input"}],
    }
)
EXPECTED = LayerExpectation(
    precision=Precision.INT8,
    convolutions=(
        Convolution("/conv1", "a", half=False, quantized=True, channels=(64, 64)),
        Convolution("/conv2", "b", half=False, quantized=True, channels=(64, 64)),
        Convolution("/head", "c", half=False, quantized=False, channels=(512, 7)),
    ),
    float_nodes={"/head": "the head stays in float"},
    quantized_tensors=frozenset(),
    compute_capability=(8, 7),
    typed=False,
    on_dla=False,
    dla_fallback=(),
)


@pytest.mark.parametrize(
    ("text", "reformats"), [(OLD, 1), (NEW, 0)], ids=["combined, 8 to 10", "separate, 11"]
)
def test_both_dialects_give_the_same_report(text: str, reformats: int) -> None:
    report = layer_report(text, EXPECTED)
    assert report.detailed
    assert report.num_layers == 4
    assert report.num_reformats == reformats
    assert report.shares == {"UINT8": 0.25, "INT8": 0.25, "FP16": 0.25, "FP32": 0.25}
    assert report.not_as_meant == {
        "/conv2": "FP16: fused with /add, /relu2, for which TensorRT chose FP16"
    }


def test_names_are_listed_by_precision() -> None:
    names = layer_report(OLD, EXPECTED).names
    assert names["INT8"] == ("/conv1 + /relu",)
    assert names["FP32"] == ("/head",)


def test_an_fp32_engine_is_expected_to_be_nothing_else() -> None:
    report = layer_report(OLD, replace(EXPECTED, precision=Precision.FP32))
    assert report.not_as_meant == {}
    require_lower_precision(report, Precision.FP32)


def _reason(text: str, **changes: Any) -> str:
    report = layer_report(text, replace(EXPECTED, **changes))
    return report.not_as_meant["/conv2"]


def test_an_old_gpu_is_named_as_the_reason() -> None:
    reason = _reason(OLD, compute_capability=(7, 5))
    assert reason == (
        "FP16: this GPU (compute capability 7.5) lacks some INT8 kernels, as all up to 7.5"
    )


def test_channels_that_no_int8_kernel_fits_are_named_as_the_reason() -> None:
    odd = Convolution("/conv2", "b", half=False, quantized=True, channels=(64, 7))
    assert "it has 7 channels" in _reason(OLD, convolutions=(odd,))


def test_a_convolution_that_the_file_does_not_quantize_is_said_to_be_the_files() -> None:
    plain = Convolution("/conv2", "b", half=False, quantized=False, channels=(64, 64))
    assert "the file itself does not give it" in _reason(OLD, convolutions=(plain,))


def test_what_a_dla_left_to_the_gpu_may_lack_a_range_too() -> None:
    assert "no range in the calibration cache" in _reason(OLD, quantized_tensors=frozenset({"a"}))


def test_a_convolution_of_its_own_was_chosen_by_time() -> None:
    alone = json.dumps({"Layers": [_combined("/conv2", "Row major linear FP16 format")]})
    assert "TensorRT timed FP16 as faster" in _reason(alone)


def test_what_prepares_the_weights_of_a_convolution_is_not_taken_for_it() -> None:
    layers = [
        _separate("__myl_Cast_myl0_0", "Half", ("/conv1", "/conv2")),
        _separate("__myl_Conv_myl0_1", "Int8", ("/conv1",)),
        _separate("__myl_Conv_myl0_2", "Int8", ("/conv2",)),
    ]
    assert layer_report(json.dumps({"Layers": layers}), EXPECTED).not_as_meant == {}


def test_a_convolution_that_no_layer_names_is_not_said_to_be_int8() -> None:
    gone = json.dumps({"Layers": [_combined("/other", "Row major linear Int8 format")]})
    assert _reason(gone).startswith("not told: no layer of the engine names it")


INSIDE_A_DLA = json.dumps(
    {
        "Layers": [
            _combined("{ForeignNode[/conv1.../conv2]}", "N/A", "DLA"),
            _combined("/head", "FP32"),
        ]
    }
)


def test_a_layer_inside_a_dla_tells_no_type_and_proves_nothing() -> None:
    on_dla = replace(EXPECTED, on_dla=True, quantized_tensors=frozenset({"a", "b"}))
    report = layer_report(INSIDE_A_DLA, on_dla)
    assert report.not_as_meant == {}
    require_lower_precision(report, Precision.INT8)


@pytest.mark.parametrize("kind", ["DLA", "Myelin"])
def test_the_ends_of_a_part_of_the_network_do_not_tell_what_is_inside(kind: str) -> None:
    # Such a part has inputs with types like any layer: here the FP16 pixels before INT8.
    part = _combined("{ForeignNode[/conv1.../conv2]}", "Row major linear FP16 format", kind)
    text = json.dumps({"Layers": [part, _combined("/head", "FP32")]})
    report = layer_report(text, EXPECTED)
    assert report.shares == {"unknown": 0.5, "FP32": 0.5}
    require_lower_precision(report, Precision.INT8)


def test_a_convolution_that_the_dlas_compiler_left_to_the_gpu_is_listed() -> None:
    layers = [
        _combined("{ForeignNode[/conv1.../relu]}", "N/A", "DLA"),
        _combined("/conv1 from nvm", "Row major linear FP16 format", "NoOp"),
        _combined("/conv2 + /relu2", "Row major linear FP16 format"),
    ]
    expected = replace(
        EXPECTED,
        on_dla=True,
        quantized_tensors=frozenset({"a", "b"}),
        dla_fallback=("/input/cast",),
    )
    report = layer_report(json.dumps({"Layers": layers}), expected)
    assert report.dla_fallback == ("/input/cast", "/conv2")
    assert report.not_as_meant == {
        "/conv2": "FP16: fused with /relu2, for which TensorRT chose FP16"
    }


def test_on_a_dla_a_convolution_without_a_range_runs_in_fp16() -> None:
    reason = _reason(INSIDE_A_DLA, on_dla=True, quantized_tensors=frozenset({"a"}))
    assert reason == "FP16 on the DLA: its input has no range in the calibration cache"


def test_a_layer_that_tells_no_type_is_said_to() -> None:
    untold = json.dumps({"Layers": [_combined("/conv2", "N/A"), _combined("/head", "FP32")]})
    assert _reason(untold) == "unknown: TensorRT tells no types of '/conv2'"


def test_an_engine_with_nothing_of_the_precision_is_refused() -> None:
    report = layer_report(json.dumps({"Layers": [_combined("/conv1", "FP32")]}), EXPECTED)
    with pytest.raises(EngineError, match=r"asked for int8, but no layer .* \(it has 100% FP32\)"):
        require_lower_precision(report, Precision.INT8)


def test_names_alone_are_reported_as_such_and_not_judged() -> None:
    report = layer_report(json.dumps({"Layers": ["/conv1 + /relu", "/conv2"]}), EXPECTED)
    assert not report.detailed
    assert report.shares == {"unknown": 1.0}
    assert report.not_as_meant == {}
    require_lower_precision(report, Precision.INT8)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"Layers": [5]}', "null"])
def test_what_is_no_inspector_json_is_refused(text: str) -> None:
    with pytest.raises(EngineError, match="TensorRT's inspector tells"):
        engine_layers(text)
