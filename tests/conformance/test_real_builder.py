"""Our exports in the hands of TensorRT's own parser and builder, not of our idea of them.

TensorRT-RTX is an ordinary wheel with the parser and the builder of TensorRT 11's API, strongly
typed, and builds engines without a GPU (they cannot run here). What it refuses is a defect of ours.
"""

from __future__ import annotations

import sys
import types
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from edge_arm.calibration.int8_from_bundle import CalibrationConfig, int8_from_bundle
from edge_arm.export.bundle_from_checkpoint import bundle_from_checkpoint
from edge_arm.export.check_images import DrawnFaces
from edge_arm.export.config import ExportConfig, HeadForm
from edge_arm.export.engine_builder import BuildInput, plan_from_onnx
from edge_arm.export.engine_config import BuildConfig
from edge_arm.export.engine_network import carries
from edge_arm.export.engine_timing_cache import timing_cache_file
from edge_arm.export.engine_variant import choose_variant
from edge_arm.export.tensorrt_lint import Severity, TensorRTVersion, lint
from edge_arm.model.checkpoint import Checkpoint, save_checkpoint
from edge_arm.model.config import Head, ModelConfig
from edge_arm.model.fer_model import seeded_model
from edge_arm.runtime.errors import EngineError
from edge_arm.runtime.faces import FaceIndex, FaceSample, Split
from edge_arm.runtime.labels import RAFDB
from edge_arm.runtime.manifest import CPU_VARIANT, Bundle, Precision
from edge_arm.runtime.preprocess import PreprocessSpec
from edge_arm.runtime.tensorrt_library import TensorRT, load_tensorrt

SIZE = 112
trt: Any = pytest.importorskip(
    "tensorrt_rtx_bindings", reason="TensorRT-RTX's wheels are for Linux on x86-64"
)


@dataclass(frozen=True)
class Outcome:
    """What TensorRT-RTX made of a file: the size of the plan, or its reason."""

    plan_bytes: int
    reason: str


class Messages(trt.ILogger):  # type: ignore[misc]
    """TensorRT keeps the first logger of a process, so there is one for all tests."""

    def __init__(self) -> None:
        super().__init__()
        self.errors: list[str] = []

    def log(self, severity: Any, message: str) -> None:
        if severity in (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR):
            self.errors.append(message)


@pytest.fixture(scope="session")
def messages() -> Messages:
    return Messages()


def build(model: bytes, messages: Messages) -> Outcome:
    """Parse and build with batches of 1, 8 and 32."""
    messages.errors.clear()
    builder = trt.Builder(messages)
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, messages)
    if not parser.parse(model):
        errors = [parser.get_error(i) for i in range(parser.num_errors)]
        return Outcome(0, "; ".join(f"{error.node_name()}: {error.desc()}" for error in errors))
    config = builder.create_builder_config()
    profile = builder.create_optimization_profile()
    source = network.get_input(0)
    profile.set_shape(source.name, *((batch, *source.shape[1:]) for batch in (1, 8, 32)))
    config.add_optimization_profile(profile)
    plan = builder.build_serialized_network(network, config)
    return Outcome(0, "; ".join(messages.errors)) if plan is None else Outcome(plan.nbytes, "")


def _faces(folder: Path) -> FaceIndex:
    rng = np.random.default_rng(1)
    samples = []
    for number in range(2 * len(RAFDB)):
        coarse = rng.integers(0, 256, (SIZE // 8, SIZE // 8, 3), np.uint8)
        path = folder / f"{number}.png"
        cv2.imwrite(str(path), coarse.repeat(8, axis=0).repeat(8, axis=1))
        samples.append(FaceSample(path.name, path, number % len(RAFDB)))
    return FaceIndex("blobs", Split.TRAIN, RAFDB, tuple(samples))


@pytest.fixture(scope="module", params=list(HeadForm), ids=lambda form: form.value)
def bundle(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Bundle]:
    """Everything that can be exported, with this head in all main models."""
    folder = tmp_path_factory.mktemp(request.param.value)
    model = seeded_model(ModelConfig(num_classes=7, image_size=SIZE, head=Head.ARM), seed=3)
    checkpoint = folder / "checkpoint.safetensors"
    save_checkpoint(
        checkpoint,
        Checkpoint(
            config=model.config,
            labels=RAFDB,
            preprocess=PreprocessSpec(SIZE),
            metrics={},
            data={"name": "blobs"},
            versions={"torch": str(torch.__version__)},
            state=dict(model.state_dict()),
        ),
    )
    faces = _faces(folder)
    pictures = np.stack([cv2.imread(str(face.path)) for face in faces.samples])
    drawn = DrawnFaces(pictures.repeat(3, axis=0)[:32], np.arange(32))
    exported = bundle_from_checkpoint(
        checkpoint, ExportConfig(head=request.param, fp16=True), folder / "bundle", drawn=drawn
    )
    yield int8_from_bundle(exported, faces, CalibrationConfig(num_images=len(faces)))


def test_the_input_alone_fixes_the_batch_of_a_whole_network_for_a_dla(
    bundle: Bundle, messages: Messages
) -> None:
    messages.errors.clear()
    builder = trt.Builder(messages)
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, messages)
    file = bundle.manifest.artifact(Precision.FP32).file
    assert parser.parse(bundle.verified(file).read_bytes())
    source = network.get_input(0)
    source.shape = fixed = (4, *source.shape[1:])
    made = [layer.get_output(i) for layer in network for i in range(layer.num_outputs)]
    assert [tensor.name for tensor in made if -1 in tuple(tensor.shape)] == []
    assert tuple(network.get_output(0).shape) == (4, 7)
    config = builder.create_builder_config()
    profile = builder.create_optimization_profile()
    profile.set_shape(source.name, fixed, fixed, fixed)
    assert config.add_optimization_profile(profile) == 0
    assert builder.build_serialized_network(network, config) is not None, messages.errors


def test_every_model_for_tensorrt_parses_and_builds_unchanged(
    bundle: Bundle, messages: Messages
) -> None:
    refused = {}
    sizes = {}
    for item in bundle.manifest.artifacts:
        if item.variant == CPU_VARIANT:  # unsigned activations: for CPUs, which TensorRT refuses
            continue
        outcome = build(bundle.verified(item.file).read_bytes(), messages)
        sizes[item.file] = outcome.plan_bytes
        if not outcome.plan_bytes:
            refused[item.file] = outcome.reason
    assert not refused
    # The precision is in the plan: an engine that fell back to FP32 would be as large as FP32's.
    fp32 = sizes["model.fp32.onnx"]
    assert sizes["model.fp16.onnx"] < 0.6 * fp32
    assert sizes["model.int8.onnx"] < 0.4 * fp32
    assert sizes["model.int8.typed.onnx"] < 0.4 * fp32


@pytest.fixture
def as_tensorrt(monkeypatch: pytest.MonkeyPatch) -> Iterator[TensorRT]:
    """TensorRT-RTX in the place of TensorRT 11.1, whose API it has."""

    class Module(types.ModuleType):
        __version__ = "11.1.0"

        def __getattr__(self, name: str) -> Any:
            return getattr(trt, name)

    monkeypatch.setitem(sys.modules, "tensorrt", Module("tensorrt"))
    with warnings.catch_warnings():
        # TensorRT-RTX has no use for timing caches and says so; TensorRT has.
        warnings.filterwarnings("ignore", "Use Deprecated in TensorRT-RTX", DeprecationWarning)
        yield load_tensorrt()


def _source(bundle: Bundle, tensorrt: TensorRT, config: BuildConfig) -> BuildInput:
    choice = choose_variant(bundle.manifest, config, tensorrt.capabilities)
    return BuildInput(
        precision=config.precision,
        choice=choice,
        model=bundle.verified(choice.artifact.file).read_bytes(),
        calibration_cache=b"",
        batch=config.profile,
        workspace_bytes=64 << 20,
        builder_level=2,
        float_nodes={},
    )


def test_our_builder_drives_the_real_bindings_to_a_plan_of_each_precision(
    bundle: Bundle, as_tensorrt: TensorRT, tmp_path: Path
) -> None:
    sizes = {}
    for precision in Precision:
        source = _source(bundle, as_tensorrt, BuildConfig(precision))
        timing = timing_cache_file(tmp_path, None)
        built = plan_from_onnx(as_tensorrt, source, timing)
        sizes[precision] = len(built.plan)
        carried = sum(carries(item, precision) for item in built.convolutions)
        assert (carried > 0) == (precision is not Precision.FP32)
    assert sizes[Precision.FP16] < 0.6 * sizes[Precision.FP32]
    assert sizes[Precision.INT8] < 0.4 * sizes[Precision.FP32]


def test_int8_on_tensorrt_11_is_built_from_the_typed_file(
    bundle: Bundle, as_tensorrt: TensorRT
) -> None:
    source = _source(bundle, as_tensorrt, BuildConfig(Precision.INT8))
    assert source.choice.artifact.variant == "typed"


@pytest.mark.parametrize("precision", [Precision.FP16, Precision.INT8])
def test_the_real_network_of_an_fp32_file_is_refused_for_a_lower_precision(
    bundle: Bundle, precision: Precision, as_tensorrt: TensorRT, tmp_path: Path
) -> None:
    wanted = _source(bundle, as_tensorrt, BuildConfig(precision))
    fp32 = bundle.verified("model.fp32.onnx").read_bytes()
    with pytest.raises(EngineError, match="would build an FP32 engine without a word"):
        plan_from_onnx(as_tensorrt, replace(wanted, model=fp32), timing_cache_file(tmp_path, None))


def _model(nodes: list[onnx.NodeProto], weights: dict[str, np.ndarray]) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "probe",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["N", 8, 8, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _input_stage() -> list[onnx.NodeProto]:
    return [
        helper.make_node("Cast", ["images"], ["f"], "cast", to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["f"], ["x"], "transpose", perm=[0, 3, 1, 2]),
    ]


def _transposed_uint8() -> onnx.ModelProto:
    nodes = [
        helper.make_node("Transpose", ["images"], ["t"], "transpose", perm=[0, 3, 1, 2]),
        helper.make_node("Cast", ["t"], ["y"], "cast", to=TensorProto.FLOAT),
    ]
    return _model(nodes, {})


def _quantized_bias() -> onnx.ModelProto:
    nodes = [
        *_input_stage(),
        helper.make_node("DequantizeLinear", ["b", "s"], ["bias"], "bias_dq"),
        helper.make_node("Conv", ["x", "w", "bias"], ["y"], "conv", kernel_shape=[3, 3]),
    ]
    weights = {
        "w": np.ones((4, 3, 3, 3), np.float32),
        "b": np.ones(4, np.int32),
        "s": np.array(0.5, np.float32),
    }
    return _model(nodes, weights)


def _asymmetric() -> onnx.ModelProto:
    nodes = [
        *_input_stage(),
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"], "q"),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"], "dq"),
    ]
    return _model(nodes, {"s": np.array(0.5, np.float32), "z": np.array(3, np.int8)})


def _sound() -> onnx.ModelProto:
    nodes = [
        *_input_stage(),
        helper.make_node("Conv", ["x", "w"], ["y"], "conv", kernel_shape=[3, 3]),
    ]
    return _model(nodes, {"w": np.ones((4, 3, 3, 3), np.float32)})


@pytest.mark.parametrize(
    ("model", "refused"),
    [
        (_sound(), False),
        (_transposed_uint8(), True),
        (_quantized_bias(), True),
        (_asymmetric(), True),
    ],
    ids=["sound", "uint8 into Transpose", "int32 bias", "zero point 3"],
)
def test_the_lint_says_what_the_real_parser_says(
    model: onnx.ModelProto, refused: bool, messages: Messages
) -> None:
    outcome = build(model.SerializeToString(), messages)
    found = [
        item for item in lint(model, TensorRTVersion.V11_1) if item.severity is Severity.REFUSED
    ]
    assert (outcome.plan_bytes == 0, bool(found)) == (refused, refused), (outcome, found)
