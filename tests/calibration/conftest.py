"""A small ResNet-18 + folded head as ONNX, a bundle around it and a few faces on disk.

The graph has the structure of the exported one (uint8 NHWC -> Cast -> Transpose -> Sub -> Conv
...), with a quarter of the channels, random weights and names of its own: calibration must work
from the structure and never from names.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge_arm.calibration.placement import QuantPlan
from edge_arm.calibration.placement_rules import plan_from_structure
from edge_arm.runtime.faces import FaceIndex, FaceSample, Split
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

SIZE = 64
CLASSES = 7


class _Builder:
    """Collects nodes and initializers; each method returns the name of its output."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []

    def node(self, kind: str, inputs: list[str], **attributes: object) -> str:
        output = f"t{len(self.nodes)}"
        self.nodes.append(
            helper.make_node(kind, inputs, [output], f"/n{len(self.nodes)}/{kind}", **attributes)
        )
        return output

    def constant(self, values: np.ndarray) -> str:
        name = f"c{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(values, name))
        return name

    def conv(self, x: str, channels: tuple[int, int], kernel: int, stride: int, pad: int) -> str:
        inside, outside = channels
        deviation = np.sqrt(2.0 / (inside * kernel * kernel))
        weight = self.random.normal(0, deviation, (outside, inside, kernel, kernel))
        bias = self.random.normal(0, 0.05, outside)
        return self.node(
            "Conv",
            [
                x,
                self.constant(weight.astype(np.float32)),
                self.constant(bias.astype(np.float32)),
            ],
            kernel_shape=[kernel, kernel],
            strides=[stride, stride],
            pads=[pad] * 4,
        )

    def block(self, x: str, inside: int, outside: int, stride: int) -> str:
        inner = self.node("Relu", [self.conv(x, (inside, outside), 3, stride, 1)])
        inner = self.conv(inner, (outside, outside), 3, 1, 1)
        skip = x if stride == 1 else self.conv(x, (inside, outside), 1, stride, 0)
        return self.node("Relu", [self.node("Add", [inner, skip])])

    def explicit_head(self, x: str) -> str:
        """ARM's operators on 128 x 2 x 2: shuffle, one kernel per channel, mean, Add, Linear."""
        x = self.node("DepthToSpace", [x], blocksize=8, mode="CRD")
        kernel = self.constant(self.random.normal(0, 0.1, (2, 1, 4, 4)).astype(np.float32))
        x = self.node("Conv", [x, kernel], group=2, strides=[2, 2], kernel_shape=[4, 4])
        x = self.node("ReduceMean", [x], axes=[1], keepdims=0)
        x = self.node("Add", [x, self.constant(np.full((7, 7), 0.1, np.float32))])
        x = self.node("Flatten", [x], axis=1)
        weight = self.random.normal(0, 0.3, (CLASSES, 49)).astype(np.float32)
        return self.node("Gemm", [x, self.constant(weight)], transB=1)


def resnet18_onnx(
    width: int = 16, size: int = SIZE, seed: int = 0, head: str = "folded"
) -> onnx.ModelProto:
    """ResNet-18 with `width` channels in its first stage; head "folded" or "explicit"."""
    b = _Builder(seed)
    x = b.node("Cast", ["faces"], to=TensorProto.FLOAT)
    x = b.node("Transpose", [x], perm=[0, 3, 1, 2])
    mean = 255 * np.array([0.485, 0.456, 0.406], np.float32).reshape(1, 3, 1, 1)
    x = b.node("Sub", [x, b.constant(mean.astype(np.float32))])
    x = b.conv(x, (3, width), 7, 2, 3)
    b.initializers[-2].CopyFrom(  # 1 / (255 * std) lives in conv1's weights
        numpy_helper.from_array(
            numpy_helper.to_array(b.initializers[-2]) / np.float32(58), b.initializers[-2].name
        )
    )
    x = b.node("Relu", [x])
    x = b.node("MaxPool", [x], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    inside = width
    for stage in range(4):
        outside = width * 2**stage
        x = b.block(x, inside, outside, 1 if stage == 0 else 2)
        x = b.block(x, outside, outside, 1)
        inside = outside
    if head == "folded":
        x = b.node("Flatten", [b.conv(x, (inside, CLASSES), size // 32, 1, 0)], axis=1)
    else:
        x = b.explicit_head(x)
    b.nodes[-1].output[0] = "logits"
    graph = helper.make_graph(
        b.nodes,
        "resnet18",
        [helper.make_tensor_value_info("faces", TensorProto.UINT8, ["batch", size, size, 3])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", CLASSES])],
        b.initializers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model


@pytest.fixture(scope="session")
def model() -> onnx.ModelProto:
    """Treat it as read-only, or copy it."""
    return resnet18_onnx()


@pytest.fixture(scope="session")
def explicit_model() -> onnx.ModelProto:
    """The same backbone under ARM's explicit operators; treat it as read-only."""
    return resnet18_onnx(head="explicit")


@pytest.fixture(scope="session")
def plan(model: onnx.ModelProto) -> QuantPlan:
    """Where Q/DQ goes in `model`."""
    return plan_from_structure(model)


def random_faces(count: int, seed: int, size: int = SIZE) -> np.ndarray:
    """(count, size, size, 3) uint8: smooth random pictures, so that activations vary per face."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (count, 6, 6, 3), np.uint8)
    return np.stack([cv2.resize(face, (size, size)) for face in coarse])


@pytest.fixture(scope="session")
def faces_nhwc() -> np.ndarray:
    """(12, S, S, 3) uint8."""
    return random_faces(12, seed=1)


@pytest.fixture
def face_index(tmp_path: Path) -> Callable[..., FaceIndex]:
    """Makes an index of PNG faces on disk with the given number of faces per class."""

    def make(counts: tuple[int, ...] = (5, 1, 2, 8, 4, 2, 6), folder: str = "faces") -> FaceIndex:
        root = tmp_path / folder
        root.mkdir()
        images = random_faces(max(sum(counts), 1), seed=2)
        samples = []
        for target, count in enumerate(counts):
            for _ in range(count):
                name = f"train_{len(samples):05d}.png"
                cv2.imwrite(str(root / name), images[len(samples)])
                samples.append(FaceSample(name, root / name, target))
        return FaceIndex("rafdb", Split.TRAIN, RAFDB, tuple(samples))

    return make


@pytest.fixture
def make_bundle(tmp_path: Path) -> Callable[[onnx.ModelProto], Bundle]:
    """Writes a bundle as export does: an FP32 model, golden faces, the manifest."""

    def make(model: onnx.ModelProto, precision: Precision = Precision.FP32) -> Bundle:
        import onnxruntime

        folder = tmp_path / "bundle"
        folder.mkdir()
        path = folder / f"model.{precision.value}.onnx"
        onnx.save(model, path)
        images = random_faces(8, seed=3)
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        (logits,) = session.run(None, {"faces": images})
        np.savez(folder / "golden.npz", images=images, logits=logits)
        artifact = Artifact(
            file=path.name,
            precision=precision,
            variant="main",
            opset=17,
            sha256=sha256_of_file(path),
            size_bytes=path.stat().st_size,
        )
        write_manifest(
            folder,
            Manifest(
                labels=RAFDB,
                preprocess=PreprocessSpec(size=SIZE),
                artifacts=(artifact,),
                files={"golden.npz": sha256_of_file(folder / "golden.npz")},
                source={"head": "folded"},
                tool_versions={"onnx": onnx.__version__},
            ),
        )
        return open_bundle(folder)

    return make
