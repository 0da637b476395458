from __future__ import annotations

import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from edge_arm.calibration.calibrated_model import Recipe
from edge_arm.calibration.int8_from_bundle import CalibrationConfig, int8_from_bundle
from edge_arm.calibration.int8_from_cache import (
    FROM_CACHE,
    FROM_CACHE_CPU,
    FROM_CACHE_TYPED,
    OURS,
    LabelledFaces,
    int8_from_cache,
)
from edge_arm.calibration.placement import QuantPlan
from edge_arm.calibration.prepared_model import Rounding
from edge_arm.calibration.ranges import Method
from edge_arm.calibration.tensorrt_cache import cache_text
from edge_arm.runtime.batches import read_face
from edge_arm.runtime.errors import CalibrationError
from edge_arm.runtime.faces import FaceIndex
from edge_arm.runtime.manifest import Bundle, Precision

CONFIG = CalibrationConfig(num_images=14, recipe=Recipe(method=Method.MAX))
MakeIndex = Callable[..., FaceIndex]
MakeBundle = Callable[..., Bundle]


@pytest.fixture
def theirs(model: onnx.ModelProto, plan: QuantPlan, tmp_path: Path) -> Path:
    """A user's cache as TensorRT writes it: every tensor, and names of its own."""
    amax = {name: 10.0 for node in model.graph.node for name in node.output}
    amax |= {"t2": 152.0, "(Unnamed Layer* 3) [Constant]_output": 1.0, "c1_output": 1.0}
    path = tmp_path / "theirs.cache"
    path.write_text(cache_text(amax).replace("TRT-100300-Entropy", "TRT-8502-Entropy"))
    return path


def content(bundle: Bundle) -> dict[str, str]:
    return {
        path.name: sha256(path.read_bytes()).hexdigest() for path in sorted(bundle.path.iterdir())
    }


def test_our_own_cache_gives_the_very_same_models(
    model: onnx.ModelProto, make_bundle: MakeBundle, face_index: MakeIndex, tmp_path: Path
):
    plain = CalibrationConfig(14, Recipe(Method.MAX, Rounding.NEAREST, equalize=False))
    bundle = int8_from_bundle(make_bundle(model), face_index(), plain)
    before = content(bundle)
    kept = tmp_path / "ours.cache"
    kept.write_bytes((bundle.path / "calibration.cache").read_bytes())
    made = int8_from_cache(bundle, kept)
    after = content(made.bundle)
    same = ("model.int8.onnx", "model.int8.typed.onnx", "calibration.cache", "model.fp32.onnx")
    assert [after[name] for name in same] == [before[name] for name in same]
    assert after.keys() == before.keys()
    assert (made.unknown, made.not_implicit, made.comparison) == ((), (), None)


def test_the_scales_are_the_caches(model: onnx.ModelProto, make_bundle: MakeBundle, theirs: Path):
    made = int8_from_cache(make_bundle(model), theirs)
    for variant in ("main", "typed"):
        graph = onnx.load(made.bundle.model(Precision.INT8, variant)[0]).graph
        stored = {item.name: onnx.numpy_helper.to_array(item) for item in graph.initializer}
        assert stored["t2_scale"] == pytest.approx(152 / 127, rel=2**-10)
        assert stored["t45_scale"] == pytest.approx(10 / 127, rel=2**-10)
    golden = np.load(made.bundle.path / "golden.npz")
    session = onnxruntime.InferenceSession(
        str(made.bundle.path / "model.int8.onnx"), providers=["CPUExecutionProvider"]
    )
    (logits,) = session.run(None, {"faces": golden["images"]})
    checks = made.bundle.manifest.artifact(Precision.INT8).checks
    assert checks["golden_max_logit_difference"] == pytest.approx(
        np.abs(logits - golden["logits"]).max(), rel=1e-6
    )


def test_the_record_names_the_cache_with_its_hash(
    model: onnx.ModelProto, make_bundle: MakeBundle, theirs: Path
):
    made = int8_from_cache(make_bundle(model), theirs)
    provenance = made.bundle.manifest.calibration
    assert provenance is not None
    assert provenance["method"] == "from cache"
    assert provenance["cache"] == {
        "file": "theirs.cache",
        "sha256": sha256(theirs.read_bytes()).hexdigest(),
        "header": "TRT-8502-EntropyCalibration2",
        "tensors": 53,
        "unknown_tensors": 2,
    }
    assert "comparison" not in provenance
    table = json.loads(made.bundle.verified("calibration.json").read_text())
    assert table["images"] == []
    assert table["amax"]["t2"] == pytest.approx(152, rel=1e-6)
    assert made.unknown == ("(Unnamed Layer* 3) [Constant]_output", "c1_output")


def test_it_is_measured_beside_our_own_calibration_on_other_training_faces(
    model: onnx.ModelProto, make_bundle: MakeBundle, face_index: MakeIndex, theirs: Path
):
    labelled = LabelledFaces(face_index(), CONFIG)
    steps: list[int] = []
    made = int8_from_cache(make_bundle(model), theirs, labelled, steps.append)
    assert made.comparison is not None
    assert [score.name for score in made.comparison.scores] == [
        FROM_CACHE, FROM_CACHE_TYPED, FROM_CACHE_CPU, OURS
    ]  # fmt: skip
    assert len(made.comparison.faces) == 28 - 14
    # our calibration, then FP32 and four models on the 14 faces that are left
    assert sum(steps) == labelled.num_steps == 3 * 14 + 5 * 14
    faces = made.comparison.faces
    written = made.bundle.manifest.calibration
    assert written is not None
    assert written["comparison"] == json.loads(json.dumps(made.comparison.to_json()))
    # FP32's accuracy by hand
    spec = made.bundle.manifest.preprocess
    images = np.stack([read_face(sample, spec)[0] for sample in faces.samples])
    session = onnxruntime.InferenceSession(
        str(made.bundle.path / "model.fp32.onnx"), providers=["CPUExecutionProvider"]
    )
    (logits,) = session.run(None, {"faces": images})
    assert made.comparison.fp32_accuracy == (logits.argmax(1) == faces.targets).mean()
    assert {path.name for path in made.bundle.path.iterdir()} == {
        "calibration.cache", "calibration.json", "golden.npz", "manifest.json",
        "model.fp32.onnx", "model.int8.onnx", "model.int8.typed.onnx", "model.int8.cpu.onnx",
    }  # fmt: skip


def test_a_bad_cache_shows_in_the_comparison(
    model: onnx.ModelProto, make_bundle: MakeBundle, face_index: MakeIndex, theirs: Path
):
    # Everything beyond 0.05 is clipped: hardly a face keeps its answer.
    crushed = {name: 0.05 for node in model.graph.node for name in node.output}
    theirs.write_text(cache_text(crushed))
    made = int8_from_cache(make_bundle(model), theirs, LabelledFaces(face_index(), CONFIG))
    assert made.comparison is not None
    cache, typed, cpu, ours = made.comparison.scores
    assert ours.agreement > 0.7
    assert max(cache.agreement, typed.agreement, cpu.agreement) < ours.agreement


def test_tensors_that_only_a_dla_needs_may_be_missing_and_are_told(
    model: onnx.ModelProto, make_bundle: MakeBundle, plan: QuantPlan, theirs: Path
):
    theirs.write_text(cache_text(dict.fromkeys(plan.ranges_from(model), 10.0)))
    made = int8_from_cache(make_bundle(model), theirs)
    assert made.not_implicit == ("t8", "t13", "t18", "t24", "t29", "t35", "t40", "t46")
    # Nor can ONNX Runtime fuse the convolutions that make them.
    kept = made.bundle.manifest.artifact(Precision.INT8, "cpu").float_nodes
    made_by = {node.output[0]: node.name for node in model.graph.node}
    assert set(kept) == {"/n49/Conv"} | {made_by[name] for name in made.not_implicit}
    written = made.bundle.verified("calibration.cache").read_text()
    assert "\nt7: " in written
    assert "\nt6: " in written  # before a Relu, by its range
    assert "\nt8: " not in written


def test_a_cache_of_another_model_is_refused_and_nothing_is_left(
    model: onnx.ModelProto, make_bundle: MakeBundle, theirs: Path
):
    bundle = make_bundle(model)
    before = content(bundle)
    theirs.write_text(cache_text({"data": 1.0, "conv1": 2.0}))
    with pytest.raises(
        CalibrationError, match=r"no scale for 't2', 't5', 't7', 't10', 't12' and 15 more .20 of th"
    ):
        int8_from_cache(bundle, theirs)
    assert content(bundle) == before


def test_activations_beyond_fp16_on_the_golden_faces_stay_in_fp32(
    model: onnx.ModelProto, make_bundle: MakeBundle, theirs: Path
):
    large = onnx.ModelProto()
    large.CopyFrom(model)
    for name in ("c39", "c40"):
        item = next(item for item in large.graph.initializer if item.name == name)
        values = onnx.numpy_helper.to_array(item) * np.float32(30000)
        item.CopyFrom(onnx.numpy_helper.from_array(values, name))
    made = int8_from_cache(make_bundle(large), theirs)
    kept = made.bundle.manifest.artifact(Precision.INT8, "typed").float_nodes
    assert kept["/n46/Conv"].startswith("'t46' reaches ")
    assert kept["/n46/Conv"].endswith("the limit is 16376 (a quarter of FP16's range)")
