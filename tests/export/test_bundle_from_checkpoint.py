"""The export as a whole, on the smallest ARM model."""

from __future__ import annotations

import logging
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from edge_arm.export import parity
from edge_arm.export.activation_range import activation_absmax
from edge_arm.export.bundle_from_checkpoint import bundle_from_checkpoint, image_passes
from edge_arm.export.check_images import DrawnFaces
from edge_arm.export.config import ExportConfig, HeadForm
from edge_arm.export.fp16_from_onnx import fp16_from_onnx
from edge_arm.export.onnx_from_checkpoint import TrainedModel, trained_model_from_checkpoint
from edge_arm.export.onnx_from_weights import onnx_from_weights
from edge_arm.runtime.errors import CheckpointError, ExportError
from edge_arm.runtime.faces import FaceIndex, FaceSample, Split
from edge_arm.runtime.labels import RAFDB
from edge_arm.runtime.manifest import Bundle, Precision, open_bundle


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> FaceIndex:
    folder = tmp_path_factory.mktemp("faces")
    rng = np.random.default_rng(2)
    samples = []
    for number in range(5):
        path = folder / f"{number}.png"
        cv2.imwrite(str(path), rng.integers(0, 256, (40, 30, 3), np.uint8))
        samples.append(FaceSample(path.name, path, number))
    return FaceIndex("rafdb", Split.TRAIN, RAFDB, tuple(samples))


@pytest.fixture(scope="module")
def steps() -> list[int]:
    return []


@pytest.fixture(scope="module")
def bundle(
    arm_checkpoint: Path,
    drawn: DrawnFaces,
    faces: FaceIndex,
    steps: list[int],
    tmp_path_factory: pytest.TempPathFactory,
) -> Bundle:
    out = tmp_path_factory.mktemp("out") / "bundle"
    config = ExportConfig(fp16=True)
    return bundle_from_checkpoint(
        arm_checkpoint, config, out, drawn=drawn, faces=faces, progress=steps.append
    )


def test_the_bundle_holds_what_the_manifest_names_and_nothing_else(bundle: Bundle) -> None:
    names = {"model.fp32.onnx", "model.fp32.explicit.onnx", "model.fp16.onnx", "golden.npz"}
    assert {path.name for path in bundle.path.iterdir()} == names | {"manifest.json"}
    for name in names:
        bundle.verified(name)


def test_nothing_is_left_beside_the_bundle(bundle: Bundle) -> None:
    assert list(bundle.path.parent.iterdir()) == [bundle.path]


def test_the_figures_of_every_fp32_file_are_in_the_manifest(bundle: Bundle) -> None:
    for variant in ("main", "explicit"):
        checks = bundle.manifest.artifact(Precision.FP32, variant).checks
        assert checks["num_real_faces"] == 5
        for name in (
            "pytorch_difference_random",
            "pytorch_difference_faces",
            "batch_1_difference",
            "shuffled_difference",
            "other_head_difference",
        ):
            assert 0 <= checks[name] <= 1e-4


def test_the_manifest_says_where_the_weights_come_from(
    bundle: Bundle, arm_model: TrainedModel
) -> None:
    source = bundle.manifest.source
    assert source["checkpoint_sha256"] == arm_model.weights.checkpoint_sha256
    assert (source["head"], source["head_form"]) == ("arm", "folded")
    assert set(bundle.manifest.tool_versions) == {
        "edge-arm",
        "numpy",
        "nvidia-modelopt",
        "onnx",
        "onnxruntime",
        "torch",
    }


def test_the_golden_file_holds_the_drawn_faces_and_pytorchs_logits(
    bundle: Bundle, arm_model: TrainedModel, drawn: DrawnFaces
) -> None:
    with np.load(bundle.verified("golden.npz"), allow_pickle=False) as golden:
        assert golden["logits"].dtype == np.float32
        np.testing.assert_array_equal(golden["images"], drawn.images_nhwc)
        np.testing.assert_array_equal(golden["seeds"], np.arange(32))
        expected = arm_model.logits(drawn.images_nhwc)
        np.testing.assert_allclose(golden["logits"], expected, rtol=0, atol=1e-4)


def test_progress_counts_every_picture_that_goes_through_a_network(
    bundle: Bundle, steps: list[int]
) -> None:
    assert bundle.path.exists()
    assert sum(steps) == image_passes(ExportConfig(fp16=True), 5)


def test_the_fp16_weights_are_fp16_and_its_ends_are_not(bundle: Bundle) -> None:
    path, artifact = bundle.model(Precision.FP16)
    model = onnx.load(path)
    weights = {item.name: numpy_helper.to_array(item).dtype for item in model.graph.initializer}
    assert weights["backbone.layer4.1.conv2.weight"] == np.float16
    assert weights["head.folded.weight"] == np.float16
    assert model.graph.input[0].type.tensor_type.elem_type == TensorProto.UINT8
    assert model.graph.output[0].type.tensor_type.elem_type == TensorProto.FLOAT
    assert [node.op_type for node in model.graph.node if "faces" in node.input] == ["Cast"]
    assert artifact.opset == model.opset_import[0].version == 17
    assert model.ir_version == 8
    assert artifact.size_bytes < 0.51 * bundle.manifest.artifact(Precision.FP32).size_bytes


def test_fp16_keeps_only_the_normalisation_in_fp32_and_says_why(bundle: Bundle) -> None:
    reasons = bundle.manifest.artifact(Precision.FP16).float_nodes
    assert set(reasons) == {"/input/cast", "/input/transpose", "/input/sub_mean"}
    assert "116.28 becomes 116.25" in reasons["/input/sub_mean"]
    assert float(np.float16(255 * 0.456)) == 116.25


def test_fp16_changes_the_logits_a_little_and_not_more(bundle: Bundle) -> None:
    checks = bundle.manifest.artifact(Precision.FP16).checks
    assert 0 < checks["fp32_difference"] < 1e-2  # logits of about 0.5, FP16 has 11 bits
    assert 0 <= checks["fp32_agreement"] <= 1
    # Pixels reach 255, but they stay in FP32; the activations of this model are small.
    assert 0 < checks["fp16_activation_absmax"] < 200 < checks["fp16_activation_limit"] == 16376


def test_the_fp16_file_tells_its_labels_too(bundle: Bundle) -> None:
    properties = {item.key for item in onnx.load(bundle.path / "model.fp16.onnx").metadata_props}
    assert {"edge_arm.labels", "edge_arm.preprocess", "edge_arm.checkpoint_sha256"} <= properties


@pytest.mark.slow
def test_the_same_checkpoint_gives_the_same_bytes_and_replaces_the_bundle(
    bundle: Bundle, arm_checkpoint: Path, drawn: DrawnFaces, faces: FaceIndex
) -> None:
    before = {path.name: path.read_bytes() for path in bundle.path.iterdir()}
    config = ExportConfig(fp16=True)
    bundle_from_checkpoint(arm_checkpoint, config, bundle.path, drawn=drawn, faces=faces)
    assert {path.name: path.read_bytes() for path in bundle.path.iterdir()} == before


@pytest.mark.slow
def test_the_head_asked_for_is_the_main_model(
    arm_checkpoint: Path, drawn: DrawnFaces, tmp_path: Path
) -> None:
    config = ExportConfig(head=HeadForm.EXPLICIT, opset=20)
    made = bundle_from_checkpoint(arm_checkpoint, config, tmp_path / "bundle", drawn=drawn)
    main = onnx.load(made.model(Precision.FP32)[0])
    other = onnx.load(made.model(Precision.FP32, "folded")[0])
    assert [node.op_type for node in main.graph.node][-1] == "Gemm"
    assert [node.name for node in other.graph.node][-2] == "/head/folded"
    assert {model.opset_import[0].version for model in (main, other)} == {20}
    assert made.manifest.artifact(Precision.FP32).checks["num_real_faces"] == 0


def test_activations_beyond_fp16_stay_in_fp32_and_are_named(
    loud_checkpoint: Path, drawn: DrawnFaces, tmp_path: Path
) -> None:
    weights = trained_model_from_checkpoint(loud_checkpoint).weights
    model = onnx_from_weights(weights, HeadForm.FOLDED, 17)
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    absmax = activation_absmax(model, drawn.images_nhwc[:4])
    converted, reasons = fp16_from_onnx(path, absmax)
    assert absmax["backbone/conv1"] > 65504
    assert "'backbone/conv1' reaches" in reasons["/backbone/conv1"]
    weight_types = {item.name: item.data_type for item in converted.graph.initializer}
    assert weight_types["backbone.conv1.weight"] == TensorProto.FLOAT


def test_a_file_that_differs_from_pytorch_is_refused_and_nothing_is_left(
    arm_checkpoint: Path, drawn: DrawnFaces, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Two correct implementations still round differently, which a limit this small does not allow.
    monkeypatch.setattr(parity, "LOGIT_LIMIT", 1e-12)
    with pytest.raises(ExportError, match=r"'model\.fp32\.onnx' differ from PyTorch"):
        bundle_from_checkpoint(arm_checkpoint, ExportConfig(), tmp_path / "bundle", drawn=drawn)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_checkpoint_says_how_to_make_one(drawn: DrawnFaces, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="edge-arm train"):
        bundle_from_checkpoint(
            tmp_path / "none.safetensors", ExportConfig(), tmp_path / "bundle", drawn=drawn
        )
    assert list(tmp_path.iterdir()) == []


def test_drawn_faces_of_another_size_are_refused(arm_checkpoint: Path, tmp_path: Path) -> None:
    small = DrawnFaces(np.zeros((32, 64, 64, 3), np.uint8), np.arange(32))
    with pytest.raises(ExportError, match=r"\(32, 64, 64, 3\).*expected \(32, 96, 96, 3\)"):
        bundle_from_checkpoint(arm_checkpoint, ExportConfig(), tmp_path / "bundle", drawn=small)
    assert list(tmp_path.iterdir()) == []


def test_replacing_an_int8_model_is_announced(
    bundle: Bundle, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    import shutil
    from dataclasses import replace

    from edge_arm.export.bundle_folder import bundle_folder
    from edge_arm.runtime.manifest import write_manifest

    copy = tmp_path / "bundle"
    shutil.copytree(bundle.path, copy)
    main = bundle.manifest.artifact(Precision.FP32)
    int8 = replace(main, precision=Precision.INT8)
    write_manifest(copy, replace(bundle.manifest, artifacts=(main, int8)))
    for name in ("model.fp16.onnx", "model.fp32.explicit.onnx"):
        (copy / name).unlink()
    with caplog.at_level(logging.WARNING), bundle_folder(copy) as new:
        (new / "file").write_text("new")
    assert "its int8 belonged to the old export" in caplog.text
    assert [path.name for path in copy.iterdir()] == ["file"]


def test_the_bundle_can_be_opened_again(bundle: Bundle) -> None:
    assert open_bundle(bundle.path).manifest == bundle.manifest
