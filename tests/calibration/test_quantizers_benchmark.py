"""benchmarks/quantizers.py on a small model, with the peers that the project's install has."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from edge_arm.runtime.manifest import Bundle

# Model Optimizer and ONNX Runtime warn of their own doings.
pytestmark = pytest.mark.filterwarnings("ignore")
EXPRESSIONS = ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral")
HEAD = "/n49/Conv"


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], ModuleType]]:
    """Imports a module of the benchmark; none of them stays behind."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    before = set(sys.modules)
    yield importlib.import_module
    for name in set(sys.modules) - before:
        if name.partition(".")[0] in {"peers", "quantizers"}:
            del sys.modules[name]


@pytest.fixture
def folder_set(tmp_path: Path) -> Path:
    """Three training faces and two test faces of each expression."""
    random = np.random.default_rng(0)
    for split, count in (("train", 3), ("test", 2)):
        for name in EXPRESSIONS:
            folder = tmp_path / "faces" / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                coarse = random.integers(0, 256, (6, 6, 3), np.uint8)
                cv2.imwrite(str(folder / f"{number}.png"), cv2.resize(coarse, (64, 64)))
    return tmp_path / "faces"


def logits_of(path: Path, folder_set: Path) -> np.ndarray:
    """Of the test faces in the order of their ids, by ONNX Runtime alone."""
    pictures = sorted((folder_set / "test").rglob("*.png"))
    faces = np.stack([cv2.imread(str(path))[:, :, ::-1] for path in pictures])
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(None, {"faces": face[None]})[0] for face in faces])


def log_probabilities(logits: np.ndarray) -> np.ndarray:
    x = logits.astype(np.float64)
    x -= x.max(1, keepdims=True)
    return x - np.log(np.exp(x).sum(1, keepdims=True))


def test_every_trial_is_in_the_table_and_one_that_failed_says_why(
    model: onnx.ModelProto,
    make_bundle: Callable[[onnx.ModelProto], Bundle],
    folder_set: Path,
    tmp_path: Path,
    load: Callable[[str], ModuleType],
    capsys: pytest.CaptureFixture[str],
):
    bundle, out = make_bundle(model), tmp_path / "trials.json"
    before = (bundle.path / "model.fp32.onnx").read_bytes()
    names = ("onnxruntime-minmax", "modelopt-nothing")
    # the process that quantizes does not know this name, and breaks as any peer may
    load("peers.names")._MODULES["modelopt-nothing"] = ("nowhere", None)
    words = ["--bundle", bundle.path, "--data", "folder", "--root", folder_set, "--images", 14]
    more = ["--seeds", 1, "--ours", "--json", out, "--peers", *names]
    assert load("quantizers").main([str(word) for word in (*words, *more)]) == 0
    printed = capsys.readouterr().out
    rows = [line for line in printed.splitlines() if line.startswith("|")][2:]
    assert rows[0].startswith("| onnxruntime-minmax |")
    assert "| modelopt-nothing (fault: ValueError: got the quantizer" in rows[1]
    written = json.loads(out.read_text())
    good, bad = written["trials"]
    assert (good["fault"], bad["scores"]) == ("", None)
    assert good["seconds"] > 0
    assert 50e6 < good["peak_bytes"] < 4e9
    reference = logits_of(bundle.path / "model.fp32.onnx", folder_set)
    targets = np.repeat([5, 2, 1, 3, 6, 4, 0], 2)  # RAF-DB's order, folders by name
    assert written["fp32_accuracy"] == (reference.argmax(1) == targets).mean()
    assert (bundle.path / "model.fp32.onnx").read_bytes() == before


def test_our_stage_calibrates_with_the_faces_of_the_peers_and_scores_come_out_by_hand(
    model: onnx.ModelProto,
    make_bundle: Callable[[onnx.ModelProto], Bundle],
    folder_set: Path,
    tmp_path: Path,
    load: Callable[[str], ModuleType],
):
    bundle, out = make_bundle(model), tmp_path / "ours.onnx"
    task = load("peers.task").task_from_names(
        bundle.path, "folder", folder_set, images=14, seed=1, out=out, float_head=False
    )
    load("peers.toolkit").quantize(task, "max")
    index = load("edge_arm.data.registry").face_index(
        "folder", folder_set, load("edge_arm.runtime.faces").Split.TEST
    )
    test = load("peers.scoring").TestFaces(
        index.relabelled(bundle.manifest.labels), bundle.manifest.preprocess, task.float32
    )
    scores = test.scores_of(out)
    fp32, int8 = logits_of(task.float32, folder_set), logits_of(out, folder_set)
    flips = int((fp32.argmax(1) != int8.argmax(1)).sum())
    before, after = (log_probabilities(logits) for logits in (fp32, int8))
    assert (scores.flips, scores.agreement) == (flips, 1 - flips / 14)
    # ONNX Runtime sums in another order for eight faces than for one
    assert scores.mean_kl == pytest.approx(
        (np.exp(before) * (before - after)).sum(1).mean(), rel=0.02, abs=1e-9
    )
    assert scores.drop_low <= scores.drop <= scores.drop_high


@pytest.mark.parametrize("float_head", [False, True])
def test_model_optimizer_leaves_the_head_in_float_only_when_told(
    model: onnx.ModelProto,
    make_bundle: Callable[[onnx.ModelProto], Bundle],
    folder_set: Path,
    tmp_path: Path,
    load: Callable[[str], ModuleType],
    float_head: bool,
):
    bundle, out = make_bundle(model), tmp_path / "peer.onnx"
    task = load("peers.task").task_from_names(
        bundle.path, "folder", folder_set, images=7, seed=0, out=out, float_head=float_head
    )
    load("peers.model_optimizer").quantize(task, "max")
    graph = onnx.load(out).graph
    head = next(node for node in graph.node if node.name == HEAD)
    made_by = {name: node.op_type for node in graph.node for name in node.output}
    quantized = made_by.get(head.input[1]) == "DequantizeLinear"
    assert quantized is not float_head
    assert {numpy_helper.to_array(item).dtype for item in graph.initializer} >= {
        np.dtype(np.float32)
    }


def test_names_are_refused_with_those_there_are(load: Callable[[str], ModuleType]):
    names = load("peers.names")
    assert names.quantizer("nncf+float-head") == names.Quantizer("nncf_preset", "performance", True)
    assert names.quantizer("edge-arm-mse").method == "mse"
    for wrong in ("openvino", "edge-arm+float-head"):
        with pytest.raises(ValueError, match="expected one of edge-arm, modelopt-max"):
            names.quantizer(wrong)


def test_what_ended_a_process_is_told_in_a_line(load: Callable[[str], ModuleType]):
    fault_of = load("quantizers").fault_of
    assert fault_of(-9, "") == "killed by SIGKILL"
    assert fault_of(1, "Traceback\n  ...\nMemoryError: no more\n\n") == "MemoryError: no more"
    assert fault_of(3, "") == "ended with status 3 and said nothing"


def test_the_table_puts_the_fewest_flips_first_and_widens_intervals_over_draws(
    load: Callable[[str], ModuleType],
):
    script, scoring = load("quantizers"), load("peers.scoring")
    scores = scoring.Scores
    trials = [
        script.Trial("a", 0, "", 10.0, 2 * 10**9, {}, scores(9, 0.9, 0.01, -0.01, 0.03, 1e-3)),
        script.Trial("b", 0, "", 4.0, 10**9, {}, scores(3, 0.97, 0.0, -0.02, 0.02, 1e-4)),
        script.Trial("b", 1, "", 6.0, 15 * 10**8, {}, scores(5, 0.95, 0.02, 0.0, 0.04, 3e-4)),
        script.Trial("c", 0, "took | longer"),
    ]
    assert script.table(trials).splitlines()[2:] == [
        "| b | 3 / 5 | 96.00 % | +1.00 (-2.00 to +4.00) | 0.0002 | 5 | 1.50 |",
        "| a | 9 | 90.00 % | +1.00 (-1.00 to +3.00) | 0.001 | 10 | 2.00 |",
        "| c (fault: took / longer) | | | | | | |",
    ]
