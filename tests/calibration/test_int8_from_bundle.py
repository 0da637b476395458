from __future__ import annotations

import json
import struct
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

from edge_arm.calibration.calibrated_model import Recipe
from edge_arm.calibration.int8_from_bundle import CalibrationConfig, int8_from_bundle
from edge_arm.calibration.prepared_model import Rounding
from edge_arm.calibration.ranges import Method
from edge_arm.calibration.typed_reference import TypedReference
from edge_arm.runtime.errors import (
    BundleError,
    CalibrationError,
    DataError,
    StorageError,
    UsageError,
)
from edge_arm.runtime.faces import FaceIndex, FaceSample, Split
from edge_arm.runtime.labels import LabelSet
from edge_arm.runtime.manifest import Bundle, Precision, open_bundle, write_manifest

CONFIG = CalibrationConfig(num_images=14, recipe=Recipe(method=Method.MAX))
MakeIndex = Callable[..., FaceIndex]
MakeBundle = Callable[..., Bundle]


def content(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def with_bias(model: onnx.ModelProto, name: str, value: float) -> onnx.ModelProto:
    result = onnx.ModelProto()
    result.CopyFrom(model)
    item = next(item for item in result.graph.initializer if item.name == name)
    filled = np.full(list(item.dims), value, np.float32)
    item.CopyFrom(numpy_helper.from_array(filled, name))
    return result


def test_the_bundle_gains_an_int8_model_that_agrees_with_fp32(
    model: onnx.ModelProto, make_bundle: MakeBundle, face_index: MakeIndex
):
    before = make_bundle(model)
    after = int8_from_bundle(before, face_index(), CONFIG)
    path, artifact = after.model(Precision.INT8)
    golden = np.load(after.verified("golden.npz"))
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {"faces": golden["images"]})
    agreement = (logits.argmax(1) == golden["logits"].argmax(1)).mean()
    assert artifact.checks["golden_agreement"] == agreement
    assert artifact.checks["golden_max_logit_difference"] == pytest.approx(
        np.abs(logits - golden["logits"]).max(), rel=1e-6
    )
    # 8 bits cost little of the logits' spread, even with random weights
    assert artifact.checks["golden_mean_logit_difference"] < 0.05 * golden["logits"].std()
    assert after.manifest.artifact(Precision.FP32) == before.manifest.artifact(Precision.FP32)


def test_the_record_names_what_stayed_in_float(
    model: onnx.ModelProto, make_bundle: MakeBundle, face_index: MakeIndex
):
    artifact = int8_from_bundle(make_bundle(model), face_index(), CONFIG).manifest.artifact(
        Precision.INT8
    )
    assert list(artifact.float_nodes) == ["/n49/Conv"]
    assert artifact.opset == 17


def test_the_typed_model_comes_from_the_same_ranges_and_is_checked_beside_the_main_one(
    model: onnx.ModelProto, make_bundle: MakeBundle, face_index: MakeIndex
):
    bundle = int8_from_bundle(make_bundle(model), face_index(), CONFIG)
    path, artifact = bundle.model(Precision.INT8, "typed")
    assert (artifact.file, artifact.opset) == ("model.int8.typed.onnx", 19)
    typed = onnx.load(path)
    ranges = json.loads((bundle.path / "calibration.json").read_text())["amax"]
    stored = {item.name: numpy_helper.to_array(item) for item in typed.graph.initializer}
    for name, amax in ranges.items():
        assert stored[f"{name}_scale"] == pytest.approx(amax / 127, rel=2**-10)
    golden = np.load(bundle.verified("golden.npz"))
    logits = TypedReference(typed).infer(golden["images"])
    assert (
        artifact.checks["golden_agreement"]
        == (logits.argmax(1) == golden["logits"].argmax(1)).mean()
    )
    assert artifact.checks["golden_mean_logit_difference"] < 0.05 * golden["logits"].std()
    assert artifact.checks["int8_main_mean_logit_difference"] < 0.05 * golden["logits"].std()
    assert artifact.checks["calibration_faces"] == 14
    # every channel of conv1 has a scale below FP16's normal numbers; 2^-24 of 4.5e-5 is 0.13 %
    assert 2**-11 < artifact.checks["largest_scale_rounding"] < 0.005


def test_the_model_for_cpus_is_checked_beside_fp32_and_the_signed_model(
    model: onnx.ModelProto, make_bundle: MakeBundle, face_index: MakeIndex
):
    bundle = int8_from_bundle(make_bundle(model), face_index(), CONFIG)
    path, artifact = bundle.model(Precision.INT8, "cpu")
    assert (artifact.file, artifact.opset) == ("model.int8.cpu.onnx", 17)
    assert artifact.size_bytes == path.stat().st_size
    golden = np.load(bundle.path / "golden.npz")
    fp32, signed, unsigned = (
        onnxruntime.InferenceSession(
            str(bundle.path / name), providers=["CPUExecutionProvider"]
        ).run(None, {"faces": golden["images"]})[0]
        for name in ("model.fp32.onnx", "model.int8.onnx", "model.int8.cpu.onnx")
    )
    apart = np.abs(unsigned.astype(np.float64) - fp32).max()
    assert artifact.checks["golden_max_logit_difference"] == pytest.approx(apart)
    assert 0 < apart < 0.5 * np.ptp(fp32)
    assert not np.array_equal(signed, unsigned)
    assert artifact.checks["int8_main_agreement"] >= 0.9
    assert set(artifact.checks) == {
        f"{faces}_{figure}"
        for faces in ("golden", "calibration", "int8_main")
        for figure in ("agreement", "max_logit_difference", "mean_logit_difference")
    }
    assert list(artifact.float_nodes) == ["/n49/Conv"]


def test_the_typed_record_names_what_is_not_int8_and_what_is_fp32(
    model: onnx.ModelProto, make_bundle: MakeBundle, face_index: MakeIndex
):
    manifest = int8_from_bundle(make_bundle(model), face_index(), CONFIG).manifest
    kept = manifest.artifact(Precision.INT8, "typed").float_nodes
    assert list(kept) == ["/n49/Conv", "/n0/Cast", "/n1/Transpose", "/n2/Sub"]


def test_what_the_fp16_model_keeps_in_fp32_stays_there_in_the_typed_one(
    model: onnx.ModelProto, make_bundle: MakeBundle, face_index: MakeIndex
):
    bundle = make_bundle(model)
    fp32 = bundle.manifest.artifact(Precision.FP32)
    known = {"/n49/Conv": "large", "/n50/Flatten": "large"}
    half = replace(fp32, precision=Precision.FP16, float_nodes=known)
    write_manifest(bundle.path, replace(bundle.manifest, artifacts=(fp32, half)))
    after = int8_from_bundle(open_bundle(bundle.path), face_index(), CONFIG)
    typed = onnx.load(after.model(Precision.INT8, "typed")[0])
    head = next(node for node in typed.graph.node if node.name == "/n49/Conv")
    stored = {item.name: item.data_type for item in typed.graph.initializer}
    assert {stored[name] for name in head.input[1:]} == {onnx.TensorProto.FLOAT}


def test_weights_of_the_typed_model_take_one_byte_or_two(
    model: onnx.ModelProto, make_bundle: MakeBundle, face_index: MakeIndex
):
    manifest = int8_from_bundle(make_bundle(model), face_index(), CONFIG).manifest
    main, typed = (manifest.artifact(Precision.INT8, name) for name in ("main", "typed"))
    sizes = {item.name: int(np.prod(item.dims)) for item in model.graph.initializer}
    int8 = sum(size for name, size in sizes.items() if name in {f"c{i}" for i in range(1, 41, 2)})
    rest = sum(sizes.values()) - int8
    assert main.checks["weight_bytes"] == int8 + 4 * rest
    assert typed.checks["weight_bytes"] == int8 + 2 * rest


def test_the_calibration_cache_is_of_the_fp32_model_whatever_was_equalized(
    model: onnx.ModelProto, make_bundle: MakeBundle, face_index: MakeIndex
):
    """It is for engines that are built from the FP32 file."""
    plain = CalibrationConfig(14, Recipe(Method.MAX, Rounding.NEAREST, equalize=False))
    index, bundle = face_index(), make_bundle(model)
    texts = []
    for config in (plain, CONFIG):
        bundle = int8_from_bundle(bundle, index, config)
        texts.append(bundle.verified("calibration.cache").read_text())
    assert texts[0] == texts[1]


def test_the_calibration_cache_has_the_ranges_of_the_qdq_model_and_those_in_between(
    model: onnx.ModelProto, make_bundle: MakeBundle, face_index: MakeIndex
):
    config = CalibrationConfig(14, Recipe(Method.MAX, Rounding.NEAREST, equalize=False))
    bundle = int8_from_bundle(make_bundle(model), face_index(), config)
    header, *lines = bundle.verified("calibration.cache").read_text().splitlines()
    assert header == "TRT-100300-EntropyCalibration2"
    scales = {
        name: struct.unpack(">f", bytes.fromhex(digits))[0]
        for name, digits in (line.split(": ") for line in lines)
    }
    ranges = json.loads((bundle.path / "calibration.json").read_text())["amax"]
    assert scales["t2"] == np.float32(ranges["t2"] / 127)
    assert all(scales[name] == np.float32(amax / 127) for name, amax in ranges.items())
    # 21 quantized tensors, 8 convolutions before an Add, and what stands before a Relu
    assert len(scales) == 21 + 8 + 16
    assert scales["t3"] == scales["t5"]


def test_a_branch_that_is_constant_gets_no_range_and_stops_nothing(
    model: onnx.ModelProto, make_bundle: MakeBundle, face_index: MakeIndex
):
    # An untrained block: its last convolution gives 0 everywhere.
    silent = with_bias(with_bias(model, "c5", 0.0), "c6", 0.0)
    bundle = int8_from_bundle(make_bundle(silent), face_index(), CONFIG)
    names = {
        line.split(": ")[0] for line in (bundle.path / "calibration.cache").read_text().splitlines()
    }
    assert "t8" not in names
    assert {"t7", "t9", "t10", "t13"} <= names


def test_calibration_json_has_every_image_with_its_hash(
    model: onnx.ModelProto, make_bundle: MakeBundle, face_index: MakeIndex
):
    index = face_index()
    bundle = int8_from_bundle(make_bundle(model), index, CONFIG)
    table = json.loads(bundle.verified("calibration.json").read_text())
    paths = {sample.sample_id: sample.path for sample in index.samples}
    assert len(table["images"]) == 14
    for image in table["images"]:
        digest = sha256(paths[image["sample_id"]].read_bytes()).hexdigest()
        assert image["sha256"] == digest
    assert table["class_counts"]["fear"] == 1
    assert (table["method"], table["seed"], table["num_images"]) == ("max", 0, 14)
    assert table["model_sha256"] == bundle.manifest.artifact(Precision.FP32).sha256
    assert table["data"]["sha256"] == index.sha256
    assert table["tool_versions"]["onnx"] == onnx.__version__
    # 21 tensors are quantized; the range before MaxPool is that behind it
    assert len(table["amax"]) == 21
    assert table["amax"]["t4"] == table["amax"]["t5"]


def test_the_manifest_repeats_where_the_ranges_come_from(
    model: onnx.ModelProto, make_bundle: MakeBundle, face_index: MakeIndex
):
    bundle = int8_from_bundle(make_bundle(model), face_index(), CONFIG)
    table = json.loads((bundle.path / "calibration.json").read_text())
    assert bundle.manifest.calibration == {
        key: value
        for key, value in table.items()
        if key not in ("schema_version", "amax", "channel_factors", "images")
    }
    # It takes no part: not in the placement either
    assert "nvidia-modelopt" not in bundle.manifest.tool_versions


def test_progress_adds_up_to_the_faces_that_each_model_answers(
    model: onnx.ModelProto, make_bundle: MakeBundle, face_index: MakeIndex
):
    steps: list[int] = []
    int8_from_bundle(make_bundle(model), face_index(), CONFIG, steps.append)
    # two passes and the rounding, then the models: main, for CPUs, typed
    assert sum(steps) == CONFIG.num_steps == 14 + 14 + 14 + 14 + 14 + 14
    # of many faces 64 round the weights and the typed model answers 64
    fixed = Recipe(method=Method.MAX)
    assert CalibrationConfig(512, fixed).num_steps == 512 + 512 + 64 + 512 + 512 + 64
    plain = Recipe(Method.MAX, Rounding.NEAREST, equalize=False)
    assert CalibrationConfig(512, plain).num_steps == 512 + 512 + 512 + 64
    # FP32, four methods on each of two forms, four tensors and the adaptive rounding on 64 faces
    assert CalibrationConfig(512).num_steps == CalibrationConfig(512, fixed).num_steps + 14 * 64


def test_without_a_face_to_choose_by_nothing_is_tried_and_the_log_says_so(
    model: onnx.ModelProto,
    make_bundle: MakeBundle,
    face_index: MakeIndex,
    caplog: pytest.LogCaptureFixture,
):
    index = face_index()
    after = int8_from_bundle(make_bundle(model), index, CalibrationConfig(len(index)))
    assert "none is left to choose the method by: entropy" in caplog.text
    assert after.manifest.calibration is not None
    record = after.manifest.calibration
    assert (record["method"], record["rounding"]) == ("entropy", "nearest")
    assert (record["equalized"], record["choice"]) == (False, None)


def test_by_default_held_out_faces_choose_and_the_record_says_what_was_tried(
    model: onnx.ModelProto, make_bundle: MakeBundle, face_index: MakeIndex
):
    index = face_index()
    after = int8_from_bundle(make_bundle(model), index, CalibrationConfig(14))
    assert after.manifest.calibration is not None
    choice = after.manifest.calibration["choice"]
    tried = {(item["method"], item["equalized"]) for item in choice["candidates"]}
    assert tried == {(item.value, form) for item in Method for form in (False, True)}
    best = choice["candidates"][0]
    assert best["logit_error"] == min(item["logit_error"] for item in choice["candidates"])
    assert after.manifest.calibration["method"] == best["method"]
    assert after.manifest.calibration["equalized"] == best["equalized"]
    adaptive = choice["adaptive_rounding"]["logit_error"] < choice["logit_error"]
    assert after.manifest.calibration["rounding"] == ("adaptive" if adaptive else "nearest")


def test_calibrating_twice_gives_the_same_bytes(
    model: onnx.ModelProto, make_bundle: MakeBundle, face_index: MakeIndex
):
    index = face_index()
    once = int8_from_bundle(make_bundle(model), index, CONFIG)
    first = content(once.path)
    twice = int8_from_bundle(once, index, CONFIG)
    assert content(twice.path) == first
    assert set(first) == {
        "calibration.cache", "calibration.json", "golden.npz", "manifest.json",
        "model.fp32.onnx", "model.int8.onnx", "model.int8.typed.onnx", "model.int8.cpu.onnx",
    }  # fmt: skip


def test_a_second_calibration_replaces_the_first(
    model: onnx.ModelProto, make_bundle: MakeBundle, face_index: MakeIndex
):
    index = face_index()
    first = int8_from_bundle(make_bundle(model), index, CONFIG)
    config = CalibrationConfig(num_images=10, recipe=Recipe(method=Method.PERCENTILE), seed=1)
    second = int8_from_bundle(first, index, config)
    assert [item.file for item in second.manifest.artifacts] == [
        "model.fp32.onnx", "model.int8.onnx", "model.int8.typed.onnx", "model.int8.cpu.onnx"
    ]  # fmt: skip
    assert first.manifest.files["calibration.cache"] != second.manifest.files["calibration.cache"]
    assert second.manifest.calibration is not None
    assert second.manifest.calibration["method"] == "percentile"
    second.model(Precision.INT8)  # verifies its hash
    second.verified("calibration.json")


def test_faces_of_another_label_order_are_matched_by_name(
    model: onnx.ModelProto, make_bundle: MakeBundle, face_index: MakeIndex
):
    index = face_index()
    turned = LabelSet("turned", index.labels.classes[::-1])
    bundle = int8_from_bundle(make_bundle(model), index.relabelled(turned), CONFIG)
    assert bundle.manifest.calibration is not None
    assert list(bundle.manifest.calibration["class_counts"]) == list(index.labels.classes)
    assert bundle.manifest.calibration["class_counts"]["fear"] == 1


def test_faces_of_a_class_unknown_to_the_model_are_refused(
    model: onnx.ModelProto, make_bundle: MakeBundle
):
    labels = LabelSet("other", ("contempt", "fear"))
    sample = FaceSample("a", Path("a.png"), 0)
    index = FaceIndex("other", Split.TRAIN, labels, (sample,))
    with pytest.raises(DataError, match="got the expression 'contempt', expected one of surprise"):
        int8_from_bundle(make_bundle(model), index, CONFIG)


def test_a_bundle_without_fp32_is_refused(
    model: onnx.ModelProto, make_bundle: MakeBundle, face_index: MakeIndex
):
    bundle = make_bundle(model, Precision.FP16)
    with pytest.raises(BundleError, match="the bundle has no fp32 model .main., it has fp16"):
        int8_from_bundle(bundle, face_index(), CONFIG)


def test_a_changed_byte_in_the_fp32_model_is_found(
    model: onnx.ModelProto, make_bundle: MakeBundle, face_index: MakeIndex
):
    bundle = make_bundle(model)
    path = bundle.path / "model.fp32.onnx"
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    with pytest.raises(BundleError, match="the file was changed or not copied whole"):
        int8_from_bundle(bundle, face_index(), CONFIG)


def test_an_fp32_model_that_is_already_quantized_is_refused(
    model: onnx.ModelProto, make_bundle: MakeBundle, face_index: MakeIndex
):
    quantized = onnx.ModelProto()
    quantized.CopyFrom(model)
    parameters = [
        numpy_helper.from_array(np.float32(0.1), "s"),
        numpy_helper.from_array(np.int8(0), "z"),
    ]
    quantized.graph.initializer.extend(parameters)
    quantized.graph.node.append(helper.make_node("QuantizeLinear", ["t2", "s", "z"], ["q"], "Q"))
    with pytest.raises(CalibrationError, match="the FP32 model is already quantized .node 'Q'"):
        int8_from_bundle(make_bundle(quantized), face_index(), CONFIG)


def test_a_layer_that_is_zero_everywhere_is_refused(
    model: onnx.ModelProto, make_bundle: MakeBundle, face_index: MakeIndex
):
    dead = with_bias(model, "c4", -1e6)  # the Relu behind it lets nothing through
    with pytest.raises(CalibrationError, match="tensor 't7' is 0 everywhere on the calibration"):
        int8_from_bundle(make_bundle(dead), face_index(), CONFIG)


def test_a_layer_that_gives_nan_is_refused_and_nothing_is_left(
    model: onnx.ModelProto, make_bundle: MakeBundle, face_index: MakeIndex
):
    bundle = make_bundle(with_bias(model, "c4", float("nan")))
    before = content(bundle.path)
    with pytest.raises(CalibrationError, match="tensor 't7' has 4096 values that are NaN"):
        int8_from_bundle(bundle, face_index(), CONFIG)
    assert content(bundle.path) == before


def test_a_broken_picture_stops_the_calibration_and_the_bundle_stays_whole(
    model: onnx.ModelProto, make_bundle: MakeBundle, face_index: MakeIndex
):
    index = face_index()
    bundle = int8_from_bundle(make_bundle(model), index, CONFIG)
    before = content(bundle.path)
    for sample in index.samples[10:]:
        sample.path.write_bytes(b"")
    with pytest.raises(DataError, match="has 0 bytes, expected a picture"):
        int8_from_bundle(bundle, index, CONFIG)
    assert content(bundle.path) == before


def test_a_write_that_fails_leaves_a_whole_bundle(
    model: onnx.ModelProto, make_bundle: MakeBundle, face_index: MakeIndex
):
    bundle = make_bundle(model)
    before = content(bundle.path)
    (bundle.path / "model.int8.onnx").mkdir()  # a folder in the way of the rename
    with pytest.raises(StorageError, match="cannot write .*bundle"):
        int8_from_bundle(bundle, face_index(), CONFIG)
    assert content(bundle.path) == before
    assert open_bundle(bundle.path).manifest == bundle.manifest


def test_a_cut_between_the_renames_leaves_a_bundle_that_vouches_for_nothing_wrong(
    model: onnx.ModelProto, make_bundle: MakeBundle, face_index: MakeIndex
):
    index = face_index()
    bundle = int8_from_bundle(make_bundle(model), index, CONFIG)
    (bundle.path / "calibration.json").unlink()
    (bundle.path / "calibration.json").mkdir()  # the model is renamed, then this stands in the way
    with pytest.raises(StorageError):
        int8_from_bundle(bundle, index, CalibrationConfig(10, Recipe(method=Method.MSE)))
    left = open_bundle(bundle.path)
    assert left.manifest.precisions() == (Precision.FP32,)
    left.model(Precision.FP32)


def test_no_images_are_refused():
    with pytest.raises(UsageError, match="got --images 0, expected at least one per class"):
        CalibrationConfig(num_images=0)


def test_a_negative_seed_is_refused():
    with pytest.raises(UsageError, match="got --seed -1, expected 0 or more"):
        CalibrationConfig(seed=-1)
