"""A bundle with everything that engines are built from, of a network with three convolutions.

It has the form of the real one (uint8 NHWC -> Cast -> Transpose -> Sub -> Conv ... -> logits, the
same node names for the input stage and the head) in every precision and variant, so that a whole
build takes a fraction of a second. The golden logits are ONNX Runtime's.
"""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from rounding_session import rounding_session

from edge_arm.calibration.cpu_qdq import cpu_graph
from edge_arm.runtime.labels import RAFDB
from edge_arm.runtime.manifest import (
    Artifact,
    Bundle,
    Manifest,
    Precision,
    open_bundle,
    write_manifest,
)
from edge_arm.runtime.preprocess import PreprocessSpec
from edge_arm.runtime.storage import sha256_of_file

SIZE = 16
NUM_FACES = 6
SCALES = {"input/sub_mean": 1.16, "backbone/relu1": 0.036}
"""Activation scales: the largest value on the golden faces, rounded up, by 127."""

FP16_FLOAT_NODES = {
    "/input/cast": "pixels minus mean",
    "/input/transpose": "pixels minus mean",
    "/input/sub_mean": "pixels minus mean",
}
INT8_FLOAT_NODES = {"/head/folded": "the head stays in float"}


def tiny_bundle(folder: Path, *, seed: int = 0) -> Bundle:
    """Write the bundle.

    Args:
        folder: to write into; made.
        seed: of the weights.
    """
    folder.mkdir(parents=True)
    models = {
        "model.fp32.onnx": (tiny_model(seed=seed), Precision.FP32, "main", {}),
        "model.fp16.onnx": (
            tiny_model(half=True, seed=seed),
            Precision.FP16,
            "main",
            FP16_FLOAT_NODES,
        ),
        "model.int8.onnx": (
            tiny_model(int8=True, seed=seed),
            Precision.INT8,
            "main",
            INT8_FLOAT_NODES,
        ),
        "model.int8.typed.onnx": (
            tiny_model(half=True, int8=True, opset=19, seed=seed),
            Precision.INT8,
            "typed",
            INT8_FLOAT_NODES,
        ),
    }
    artifacts = []
    golden = golden_faces()
    for name, (model, precision, variant, float_nodes) in models.items():
        onnx.save(model, folder / name)
        logits = run_onnx(folder / name, golden)
        if precision is Precision.FP32:
            reference = logits
        artifacts.append(
            Artifact(
                file=name,
                precision=precision,
                variant=variant,
                opset=19 if variant == "typed" else 17,
                sha256=sha256_of_file(folder / name),
                size_bytes=(folder / name).stat().st_size,
                checks={}
                if precision is Precision.FP32
                else {"golden_max_logit_difference": float(np.abs(logits - reference).max())},
                float_nodes=float_nodes,
            )
        )
    np.savez(folder / "golden.npz", images=golden, logits=reference)
    (folder / "calibration.cache").write_bytes(calibration_cache())
    write_manifest(
        folder,
        Manifest(
            labels=RAFDB,
            preprocess=PreprocessSpec(SIZE),
            artifacts=tuple(artifacts),
            files={
                name: sha256_of_file(folder / name) for name in ("golden.npz", "calibration.cache")
            },
            source={"head_form": "folded"},
            tool_versions={"onnx": onnx.__version__},
        ),
    )
    return open_bundle(folder)


def with_cpu_variant(bundle: Bundle) -> Bundle:
    """The bundle with its INT8 model for CPUs as well, made by the real code."""
    model = cpu_graph(onnx.load(bundle.model(Precision.INT8)[0]), {}).model
    path = bundle.path / "model.int8.cpu.onnx"
    onnx.save(model, path)
    artifact = replace(
        bundle.manifest.artifact(Precision.INT8),
        file=path.name,
        variant="cpu",
        sha256=sha256_of_file(path),
        size_bytes=path.stat().st_size,
    )
    artifacts = (*bundle.manifest.artifacts, artifact)
    write_manifest(bundle.path, replace(bundle.manifest, artifacts=artifacts))
    return open_bundle(bundle.path)


def golden_faces() -> np.ndarray:
    """(6, S, S, 3) uint8: coarse random blocks."""
    coarse = np.random.default_rng(1).integers(0, 256, (NUM_FACES, 4, 4, 3), np.uint8)
    return coarse.repeat(SIZE // 4, axis=1).repeat(SIZE // 4, axis=2)


def run_onnx(path: Path, images: np.ndarray) -> np.ndarray:
    """Logits of a file by ONNX Runtime's CPU provider."""
    (logits,) = rounding_session(path.read_bytes()).run(None, {"faces": images})
    return np.asarray(logits)


def calibration_cache() -> bytes:
    """The activation scales in TensorRT's text format."""
    lines = [f"{tensor}: {struct.pack('>f', scale).hex()}\n" for tensor, scale in SCALES.items()]
    return b"TRT-8601-EntropyCalibration2\n" + "".join(lines).encode()


def tiny_model(
    *, half: bool = False, int8: bool = False, opset: int = 17, seed: int = 0
) -> onnx.ModelProto:
    """The network.

    Args:
        half: FP16 behind the input stage, logits float32.
        int8: Q/DQ at both convolutions of the backbone.
        opset: ONNX operator set; FP16 scales need 19.
        seed: of the weights.
    """
    graph = _Graph(np.float16 if half else np.float32, int8=int8, seed=seed)
    x = graph.node("Cast", "input/cast", ["faces"], to=TensorProto.FLOAT)
    x = graph.node("Transpose", "input/transpose", [x], perm=[0, 3, 1, 2])
    mean = np.array([124, 116, 104], np.float32).reshape(1, 3, 1, 1)
    x = graph.node("Sub", "input/sub_mean", [x, graph.constant("input.mean", mean)])
    if half:
        x = graph.node("Cast", "input/to_half", [x], to=TensorProto.FLOAT16)
    x = graph.conv("backbone/conv1", x, (3, 8), 3, scale=SCALES["input/sub_mean"])
    x = graph.node("Relu", "backbone/relu1", [x])
    x = graph.conv("backbone/conv2", x, (8, 8), 3, scale=SCALES["backbone/relu1"])
    x = graph.node("Relu", "backbone/relu2", [x])
    x = graph.conv("head/folded", x, (8, len(RAFDB)), SIZE // 4, scale=None)
    x = graph.node("Flatten", "head/flatten", [x], axis=1)
    if half:
        graph.node("Cast", "output/to_float", [x], to=TensorProto.FLOAT)
    graph.nodes[-1].output[0] = "logits"
    ends = (
        helper.make_tensor_value_info("faces", TensorProto.UINT8, ["batch", SIZE, SIZE, 3]),
        helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", len(RAFDB)]),
    )
    model = helper.make_model(
        helper.make_graph(graph.nodes, "tiny", [ends[0]], [ends[1]], graph.constants),
        opset_imports=[helper.make_opsetid("", opset)],
        ir_version=8 if opset < 19 else 9,
    )
    onnx.checker.check_model(model, full_check=True)
    return model


class _Graph:
    """Collects nodes and constants; a tensor is named after its node."""

    def __init__(self, dtype: type[np.floating], *, int8: bool, seed: int) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self._dtype, self._int8 = dtype, int8
        self._random = np.random.default_rng(seed)

    def node(self, kind: str, place: str, inputs: list[str], **attributes: object) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [place], f"/{place}", **attributes))
        return place

    def constant(self, name: str, value: np.ndarray) -> str:
        self.constants.append(numpy_helper.from_array(value, name))
        return name

    def conv(
        self, place: str, x: str, channels: tuple[int, int], kernel: int, *, scale: float | None
    ) -> str:
        """A convolution with stride 2; `scale` quantizes its input and its weight."""
        inside, outside = channels
        weight = self._random.normal(0, 1, (outside, inside, kernel, kernel))
        weight *= (1 / 60 if place == "backbone/conv1" else 1) / np.sqrt(inside * kernel**2)
        w = self.constant(f"{place}.weight", weight.astype(self._dtype))
        if self._int8 and scale is not None:
            x = self._quantized(x, np.array(scale), axis=None)
            w = self._quantized(w, np.abs(weight).max(axis=(1, 2, 3)) / 127, axis=0)
        bias = self._random.normal(0, 0.1, outside).astype(self._dtype)
        pads = [0] * 4 if place.startswith("head") else [1] * 4
        return self.node(
            "Conv",
            place,
            [x, w, self.constant(f"{place}.bias", bias)],
            kernel_shape=[kernel, kernel],
            strides=[2, 2],
            pads=pads,
        )

    def _quantized(self, tensor: str, scale: np.ndarray, axis: int | None) -> str:
        s = self.constant(f"{tensor}.scale", scale.astype(self._dtype))
        z = self.constant(f"{tensor}.zero", np.zeros(scale.shape, np.int8))
        extra = {} if axis is None else {"axis": axis}
        q = self.node("QuantizeLinear", f"{tensor}_quantized", [tensor, s, z], **extra)
        return self.node("DequantizeLinear", f"{tensor}_dequantized", [q, s, z], **extra)
