"""Parsing and building on TensorRT's own parser and builder.

TensorRT-RTX is an ordinary wheel with the API of TensorRT 11, strongly typed; it parses and builds
without a GPU. What the other versions do is told by the fakes, in test_engine_from_bundle.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper
from tiny_bundle import tiny_bundle, tiny_model

from edge_arm.export.engine_builder import BuildInput, BuiltPlan, plan_from_onnx
from edge_arm.export.engine_config import BuildConfig
from edge_arm.export.engine_network import node_of_layer
from edge_arm.export.engine_timing_cache import timing_cache_file
from edge_arm.export.engine_variant import choose_variant
from edge_arm.runtime import tensorrt_library
from edge_arm.runtime.engine_record import BatchRange
from edge_arm.runtime.errors import EngineError
from edge_arm.runtime.manifest import Bundle, Precision
from edge_arm.runtime.tensorrt_library import TensorRT, TensorRTLog
from edge_arm.runtime.tensorrt_versions import capabilities_of

# TensorRT-RTX takes a timing cache and does nothing with it.
pytestmark = pytest.mark.filterwarnings("ignore:.*Timing cache operations are no-ops")
rtx: Any = pytest.importorskip(
    "tensorrt_rtx_bindings", reason="TensorRT-RTX's wheels are for Linux on x86-64"
)


@pytest.fixture(scope="module")
def tensorrt() -> TensorRT:
    """TensorRT-RTX as the TensorRT 11 whose API it has."""
    log = TensorRTLog()
    logger = tensorrt_library._logger(rtx, log)
    return TensorRT(rtx, "11.1.0", capabilities_of("11.1.0"), log, logger)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny_bundle(tmp_path_factory.mktemp("real") / "bundle")


def _build(
    tensorrt: TensorRT,
    bundle: Bundle,
    folder: Path,
    *,
    precision: Precision,
    model: bytes | None = None,
    batch: BatchRange | None = None,
) -> BuiltPlan:
    """Build `precision` from its file, or from other bytes if given."""
    config = BuildConfig(precision)
    choice = choose_variant(bundle.manifest, config, tensorrt.capabilities)
    content = model or bundle.verified(choice.artifact.file).read_bytes()
    source = BuildInput(
        precision=precision,
        choice=choice,
        model=content,
        calibration_cache=b"",
        batch=batch or config.profile,
        workspace_bytes=64 << 20,
        builder_level=1,
        float_nodes={},
    )
    return plan_from_onnx(tensorrt, source, timing_cache_file(folder, None))


@pytest.mark.parametrize(
    ("precision", "half", "quantized"),
    [
        (Precision.FP32, [False, False, False], [False, False, False]),
        (Precision.FP16, [True, True, True], [False, False, False]),
        (Precision.INT8, [True, True, True], [True, True, False]),
    ],
    ids=["fp32", "fp16", "int8 typed"],
)
def test_every_precision_builds_and_the_network_says_what_it_carries(
    tensorrt: TensorRT,
    bundle: Bundle,
    tmp_path: Path,
    precision: Precision,
    half: list[bool],
    quantized: list[bool],
) -> None:
    built = _build(tensorrt, bundle, tmp_path, precision=precision)
    assert len(built.plan) > 1000
    convolutions = built.convolutions
    assert [item.name for item in convolutions] == [
        "/backbone/conv1",
        "/backbone/conv2",
        "/head/folded",
    ]
    assert [item.half for item in convolutions] == half
    assert [item.quantized for item in convolutions] == quantized
    assert [item.channels for item in convolutions] == [(3, 8), (8, 8), (8, 7)]
    assert built.flags == (("-TF32",) if precision is Precision.FP32 else ())


@pytest.mark.parametrize(
    ("precision", "says"),
    [
        (Precision.FP16, r"asked for fp16, but none of the 3 .*'edge-arm export --fp16'"),
        (Precision.INT8, r"asked for int8, but none of the 3 .*'edge-arm calibrate --data NAME'"),
    ],
    ids=lambda value: getattr(value, "value", ""),
)
def test_an_fp32_file_never_becomes_an_engine_of_less(
    tensorrt: TensorRT, bundle: Bundle, tmp_path: Path, precision: Precision, says: str
) -> None:
    with pytest.raises(EngineError, match=says):
        fp32 = bundle.verified("model.fp32.onnx").read_bytes()
        _build(tensorrt, bundle, tmp_path, precision=precision, model=fp32)


def test_an_operator_that_the_parser_refuses_is_told_by_its_nodes_name(
    tensorrt: TensorRT, bundle: Bundle, tmp_path: Path
) -> None:
    model = tiny_model()
    model.graph.node[0].op_type = "Identity"  # uint8 may feed nothing but a Cast
    del model.graph.node[0].attribute[:]
    model.graph.node[1].op_type = "Einsum2"
    with pytest.raises(EngineError, match=r"does not take 'model\.fp32\.onnx': node '/input/"):
        _build(
            tensorrt,
            bundle,
            tmp_path,
            precision=Precision.FP32,
            model=model.SerializeToString(),
        )


def test_what_is_no_onnx_file_is_refused(
    tensorrt: TensorRT, bundle: Bundle, tmp_path: Path
) -> None:
    with pytest.raises(EngineError, match=r"does not take .*the file: .*inspect model\.fp32\.onnx"):
        _build(tensorrt, bundle, tmp_path, precision=Precision.FP32, model=b"no model")


def test_a_model_of_something_else_is_refused(
    tensorrt: TensorRT, bundle: Bundle, tmp_path: Path
) -> None:
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"], "relu")],
        "other",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 4])],
    )
    other = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(other)
    with pytest.raises(EngineError, match=r"expected uint8 \(N, S, S, 3\) to float32 \(N, C\)"):
        _build(
            tensorrt,
            bundle,
            tmp_path,
            precision=Precision.FP32,
            model=other.SerializeToString(),
        )


def test_a_profile_that_tensorrt_refuses_is_told_with_its_batch_sizes(
    tensorrt: TensorRT, bundle: Bundle, tmp_path: Path
) -> None:
    with pytest.raises(EngineError, match="does not take the batch sizes 8,1,32 .*MIN,OPT,MAX"):
        _build(tensorrt, bundle, tmp_path, precision=Precision.FP32, batch=BatchRange(8, 1, 32))


def test_a_build_leaves_timings_for_the_next(
    tensorrt: TensorRT, bundle: Bundle, tmp_path: Path
) -> None:
    built = _build(tensorrt, bundle, tmp_path, precision=Precision.FP32)
    assert built.timings
    assert built.timings_path == tmp_path / "timing.cache"


def test_what_is_no_timing_cache_is_said_and_not_used(
    tensorrt: TensorRT, bundle: Bundle, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "timing.cache").write_bytes(b"no timings at all")
    built = _build(tensorrt, bundle, tmp_path, precision=Precision.FP32)
    assert built.plan
    assert "timing.cache is not used" in caplog.text
    assert "every kernel is timed anew" in caplog.text


def test_a_second_layer_of_a_name_is_found_by_it() -> None:
    nodes = {"/a/conv1": "", "/b_2": ""}
    assert node_of_layer("/a/conv1", nodes) == "/a/conv1"
    assert node_of_layer("/a/conv1_3", nodes) == "/a/conv1"
    assert node_of_layer("/b_2", nodes) == "/b_2"
    assert node_of_layer("/c", nodes) is None
