"""The lint on real files: our own exports pass, ONNX Runtime's default quantization does not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from edge_arm.calibration.placement_rules import plan_from_structure
from edge_arm.calibration.qdq import int8_graph
from edge_arm.calibration.typed_qdq import typed_graph
from edge_arm.export.activation_range import activation_absmax
from edge_arm.export.config import HeadForm
from edge_arm.export.fp16_from_onnx import fp16_from_onnx
from edge_arm.export.onnx_from_weights import onnx_from_weights
from edge_arm.export.tensorrt_lint import Severity, TensorRTVersion, lint
from edge_arm.export.weights import ModelWeights
from edge_arm.model.config import Head, ModelConfig
from edge_arm.model.fer_model import seeded_model
from edge_arm.model.fold import folded_head
from edge_arm.runtime.labels import RAFDB
from edge_arm.runtime.preprocess import PreprocessSpec

SIZE = 112
ALL = tuple(TensorRTVersion)
AFTER_8 = ALL[1:]

FORMS = pytest.mark.parametrize(
    ("head", "form"),
    # Folded, the two heads are the same graph.
    [(Head.ARM, HeadForm.FOLDED), (Head.ARM, HeadForm.EXPLICIT), (Head.POOL, HeadForm.EXPLICIT)],
    ids=["folded", "arm", "pool"],
)


def weights(head: Head) -> ModelWeights:
    with torch.no_grad():
        network = seeded_model(ModelConfig(num_classes=7, image_size=SIZE, head=head), seed=1)
        network.eval()
        folded = folded_head(network)
    return ModelWeights(
        state={name: value.numpy() for name, value in network.state_dict().items()},
        folded_weight=folded.weight,
        folded_bias=folded.bias,
        labels=RAFDB,
        preprocess=PreprocessSpec(SIZE),
        checkpoint_sha256="0" * 64,
    )


def faces(count: int) -> np.ndarray:
    """(count, S, S, 3) uint8, random."""
    return np.random.default_rng(0).integers(0, 256, (count, SIZE, SIZE, 3), np.uint8)


@FORMS
@pytest.mark.parametrize(("opset", "versions"), [(17, ALL), (19, AFTER_8), (20, AFTER_8)])
def test_our_fp32_export_has_no_finding_where_its_opset_is_read(
    head: Head, form: HeadForm, opset: int, versions: tuple[TensorRTVersion, ...]
) -> None:
    model = onnx_from_weights(weights(head), form, opset)
    assert {version: lint(model, version) for version in versions} == dict.fromkeys(versions, ())


def test_our_export_at_opset_20_is_refused_by_8() -> None:
    found = lint(onnx_from_weights(weights(Head.ARM), HeadForm.FOLDED, 20), TensorRTVersion.V8_6)
    assert [(item.severity, item.rule) for item in found] == [(Severity.REFUSED, "opset")]


@pytest.mark.slow  # ModelOpt is imported and converts a whole model
@FORMS
@pytest.mark.parametrize(("opset", "versions"), [(17, ALL), (19, AFTER_8)])
def test_our_fp16_export_has_no_finding_where_its_opset_is_read(
    head: Head,
    form: HeadForm,
    opset: int,
    versions: tuple[TensorRTVersion, ...],
    tmp_path: Path,
) -> None:
    float32 = onnx_from_weights(weights(head), form, opset)
    onnx.save(float32, tmp_path / "model.onnx")
    model, _ = fp16_from_onnx(tmp_path / "model.onnx", activation_absmax(float32, faces(2)))
    assert {version: lint(model, version) for version in versions} == dict.fromkeys(versions, ())


@pytest.mark.slow  # whole models are quantized
@FORMS
def test_our_int8_export_has_no_finding_but_the_three_colours(head: Head, form: HeadForm) -> None:
    float32 = onnx_from_weights(weights(head), form, 17)
    plan = plan_from_structure(float32)
    # Ranges decide accuracy, which nobody asks for here.
    model = int8_graph(float32, plan, dict.fromkeys(plan.ranges_from(float32), 1.0))
    for version in ALL:
        found = lint(model, version)
        assert [(item.severity, item.node, item.rule) for item in found] == [
            (Severity.SLOW, "/backbone/conv1", "int8-channels")
        ]
        assert "unavoidable" in found[0].message


@pytest.mark.slow  # whole models are quantized
@FORMS
def test_our_typed_int8_export_is_clean_where_it_is_built_and_refused_by_8(
    head: Head, form: HeadForm
) -> None:
    float32 = onnx_from_weights(weights(head), form, 17)
    plan = plan_from_structure(float32)
    ranges = dict.fromkeys(plan.ranges_from(float32), 1.0)
    stage = [node.name for node in float32.graph.node if node.name.startswith("/input/")]
    model = typed_graph(float32, plan, ranges, float32_nodes=stage).model
    for version in AFTER_8:
        found = lint(model, version)
        assert [(item.severity, item.node, item.rule) for item in found] == [
            (Severity.SLOW, "/backbone/conv1", "int8-channels")
        ]
    refused = [
        item for item in lint(model, TensorRTVersion.V8_6) if item.severity is Severity.REFUSED
    ]
    assert {item.rule for item in refused} == {"opset", "scale-type"}
    # every Q and DQ with FP16 scales: 21 pairs, and 20 weights
    assert sum(item.rule == "scale-type" for item in refused) == 2 * 21 + 20


QUANTIZE = """
import sys
import numpy as np
from onnxruntime.quantization import CalibrationDataReader, quantize_static

class OneBatch(CalibrationDataReader):
    batches = iter([{"x": np.random.default_rng(0).normal(size=(1, 32, 8, 8)).astype(np.float32)}])

    def get_next(self):
        return next(self.batches, None)

quantize_static(sys.argv[1], sys.argv[2], OneBatch())
"""


def test_onnx_runtimes_default_quantization_is_refused_by_all(tmp_path: Path) -> None:
    kernel = np.random.default_rng(1).normal(size=(32, 32, 3, 3)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "w", "b"], ["c"], "/conv", kernel_shape=[3, 3]),
            helper.make_node("Relu", ["c"], ["y"], "/relu"),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 32, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 32, 6, 6])],
        [
            numpy_helper.from_array(kernel, "w"),
            numpy_helper.from_array(np.ones(32, np.float32), "b"),
        ],
    )
    float32 = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    assert lint(float32, TensorRTVersion.V10_3) == ()
    onnx.save(float32, tmp_path / "float32.onnx")
    # In a process of its own: importing Model Optimizer changes ONNX Runtime's quantizer for good.
    paths = [str(tmp_path / "float32.onnx"), str(tmp_path / "int8.onnx")]
    subprocess.run([sys.executable, "-c", QUANTIZE, *paths], check=True, capture_output=True)
    model = onnx.load(tmp_path / "int8.onnx")
    for version in ALL:
        refused = {item.rule for item in lint(model, version) if item.severity is Severity.REFUSED}
        # asymmetric activations and an int32 bias
        assert {"zero-point", "quantized-bias"} <= refused
