"""`edge-arm calibrate` with a look at the layers, on a tiny bundle and pictures on disk."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import typer
from searched_models import labelled_as_answered
from typer.testing import CliRunner, Result

from edge_arm.calibration.placement_check import check_placement
from edge_arm.calibration.qdq import int8_graph
from edge_arm.calibration.search.hook import PlanSearch
from edge_arm.calibration.search.mixed import Outcome
from edge_arm.calibration.search.search import SearchConfig
from edge_arm.calibration.search.subject import Subject
from edge_arm.cli.calibrate import calibrate
from edge_arm.runtime.errors import StorageError, UsageError
from edge_arm.runtime.faces import FaceIndex
from edge_arm.runtime.manifest import Bundle, Precision, open_bundle, write_manifest
from edge_arm.runtime.statistics import Gate

app = typer.Typer()
app.command()(calibrate)
MakeBundle = Callable[..., Bundle]
# Choosing a method would take the few faces that are left; the rest makes it quick.
FIXED = ("--method", "max", "--rounding", "nearest", "--no-equalize")


@pytest.fixture
def rafdb(tmp_path: Path) -> Path:
    """RAF-DB's layout with five training faces per class and one test face."""
    root = tmp_path / "rafdb"
    (root / "EmoLabel").mkdir(parents=True)
    (root / "Image" / "aligned").mkdir(parents=True)
    names = [(f"train_{i:05d}", 1 + i % 7) for i in range(35)] + [("test_0001", 1)]
    random = np.random.default_rng(0)
    for name, _ in names:
        picture = cv2.resize(random.integers(0, 256, (5, 5, 3), np.uint8), (50, 50))
        cv2.imwrite(str(root / "Image" / "aligned" / f"{name}_aligned.jpg"), picture)
    lines = "".join(f"{name}.jpg {label}\n" for name, label in names)
    (root / "EmoLabel" / "list_patition_label.txt").write_text(lines)
    return root


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)


def record(folder: Path) -> dict[str, object]:
    path = open_bundle(folder).verified("sensitivity.json")
    value: dict[str, object] = json.loads(path.read_text())
    return value


def test_a_goal_that_these_faces_cannot_certify_is_exit_1_with_whole_int8_models(
    close_model: onnx.ModelProto, make_bundle: MakeBundle, rafdb: Path, tmp_path: Path
):
    folder = make_bundle(close_model).path
    page = tmp_path / "layers.html"
    faces = ("--data", "rafdb", "--root", rafdb, "--bundle", folder, *FIXED)
    done = run(*faces, "--images", 28, "--max-drop", 1, "--html", page)
    assert done.exit_code == 1
    assert "and 12 more in sensitivity.json" in done.stdout
    assert "Measured on 1 face held out from calibration" in done.stdout
    assert "Goal cannot be certified: 6 faces can certify no drop below" in done.stdout
    assert "at least 368 would do" in done.stdout
    assert "Layer by layer" in page.read_text()
    value = record(folder)
    assert len(value["layers"]) == 20  # type: ignore[arg-type]
    assert value["goal"]["outcome"] == "too_few_faces"  # type: ignore[index]
    artifact = open_bundle(folder).manifest.artifact(Precision.INT8)
    assert value["int8_sha256"] == artifact.sha256
    assert list(artifact.float_nodes) == ["/n49/Conv"]
    # Where every face calibrates nobody asked for layers, and the first record is of other models.
    assert run(*faces, "--images", 35).exit_code == 0
    assert "sensitivity.json" not in open_bundle(folder).manifest.files


def test_the_layers_that_are_kept_in_float_are_so_in_every_file_with_the_reason(
    close_model: onnx.ModelProto,
    make_bundle: MakeBundle,
    rafdb: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    # The choice itself is tested elsewhere: what counts here is what becomes of it.
    from edge_arm.calibration.search import search

    chosen = ("/n6/Conv", "/n18/Conv", "/n19/Conv")
    monkeypatch.setattr(search, "fewest_in_float", _choosing(search.fewest_in_float, chosen))
    folder = make_bundle(close_model).path
    faces = ("--data", "rafdb", "--root", rafdb, "--bundle", folder, "--images", 28, *FIXED)
    done = run(*faces, "--max-drop", 99)
    assert done.exit_code == 0
    bundle = open_bundle(folder)
    for artifact in bundle.manifest.artifacts:
        if artifact.precision is Precision.INT8:
            assert set(chosen) <= set(artifact.float_nodes), artifact.variant
            reason = artifact.float_nodes["/n6/Conv"]
            assert reason.startswith("kept in float so that the drop stays below 99 pp")
    main = onnx.load(bundle.model(Precision.INT8)[0])
    check_placement(main, kept_float=chosen)
    assert ", ".join(chosen) in done.stdout


def _choosing(search: Callable[..., object], chosen: tuple[str, ...]) -> Callable[..., object]:
    def choose(order: list[str], judge: Callable[..., object], gate: object, **_: object) -> object:
        found = search(order, judge, gate)
        points = (*found.points, judge(chosen))  # type: ignore[attr-defined]
        return replace(found, outcome=Outcome.MET, chosen=chosen, points=points)  # type: ignore[type-var]

    return choose


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--no-sensitivity", "--max-drop", "1"], "got --max-drop with --no-sensitivity, expected"),
        (["--no-sensitivity", "--html", "x"], "got --html with --no-sensitivity, expected the"),
        (["--max-drop", "0"], "got --max-drop 0, expected percentage points above 0 and below"),
        (["--max-drop", "nan"], "got --max-drop nan, expected percentage points above 0"),
        (["--max-drop", "0.001"], "got --max-drop 0.001, expected at least 0.005 percentage"),
        (["--search-faces", "0"], "got --search-faces 0, expected at least 1"),
        (["--from-cache", "c", "--sensitivity"], "got --sensitivity with --from-cache, expected a"),
    ],
)
def test_options_without_a_meaning_are_wrong_use(
    options: list[str], message: str, model: onnx.ModelProto, make_bundle: MakeBundle
):
    folder = make_bundle(model).path
    with pytest.raises(UsageError, match=message):
        run("--data", "rafdb", "--root", folder, "--bundle", folder, *options)


def test_a_page_that_cannot_be_written_is_refused_before_anything_runs(
    model: onnx.ModelProto, make_bundle: MakeBundle
):
    folder = make_bundle(model).path
    with pytest.raises(StorageError, match="cannot write .*: it is a folder"):
        run("--data", "rafdb", "--root", folder, "--bundle", folder, "--html", folder)


def test_a_search_that_was_asked_for_needs_faces_and_another_does_without(
    subject: Subject, make_bundle: MakeBundle, face_index: Callable[..., FaceIndex]
):
    bundle = make_bundle(subject.model)
    everything = face_index((2,) * 7)
    with pytest.raises(UsageError, match="got --images 14, which are all training faces of"):
        PlanSearch(bundle, everything, SearchConfig()).choose(subject, everything)
    without = PlanSearch(bundle, everything, SearchConfig(), optional=True)
    assert without.choose(subject, everything) is subject.plan
    assert without.result is None
    assert without.keep(bundle) is bundle


def test_a_goal_is_judged_beside_the_bundles_fp16_model(
    few: Subject, make_bundle: MakeBundle, face_index: Callable[..., FaceIndex]
):
    bundle = make_bundle(few.model)
    fp32 = bundle.manifest.artifact(Precision.FP32)
    # FP32's own file under another name: the same answers, so nothing is lost.
    half = replace(fp32, precision=Precision.FP16)
    write_manifest(bundle.path, replace(bundle.manifest, artifacts=(fp32, half)))
    population = labelled_as_answered(face_index((8,) * 7), few.model)
    config = SearchConfig(gate=Gate(0.2))
    search = PlanSearch(open_bundle(bundle.path), population, config)
    nothing = dict.fromkeys(few.plan.ranges_from(few.model), 1e-3)
    broken = replace(few, build=lambda part: int8_graph(few.model, part, nothing))
    search.choose(broken, population.subset(range(0, 56, 8)))
    assert search.result is not None
    mixed = search.result.mixed
    assert mixed is not None
    assert mixed.half is not None
    assert mixed.half.flips == 0
    assert mixed.half.in_float == ("/n3/Conv", "/n6/Conv", "/n24/Conv", "/n46/Conv")
