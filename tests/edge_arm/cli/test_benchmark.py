"""`edge-arm benchmark` as it is typed, on a tiny bundle, with very little time."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import benchmark_results
import pytest
import typer
from device_fakes import FakeMachine, installed
from tiny_bundle import tiny_bundle
from typer.testing import CliRunner

from edge_arm.cli.benchmark import benchmark
from edge_arm.cli.benchmark_picture import FACE, drawn_picture
from edge_arm.cli.benchmark_table import ms_text, print_benchmark
from edge_arm.export.engine_config import BuildConfig
from edge_arm.export.engine_from_bundle import engine_from_bundle
from edge_arm.runtime import storage
from edge_arm.runtime.benchmark import benchmark as benchmark_run
from edge_arm.runtime.benchmark.benchmark import BenchmarkConfig
from edge_arm.runtime.benchmark.models_here import ModelsHere
from edge_arm.runtime.detection.detector_choice import detector_factory
from edge_arm.runtime.errors import EdgeArmError, StorageError, UsageError
from edge_arm.runtime.images import decode_image
from edge_arm.runtime.manifest import Bundle, Precision

app = typer.Typer()
app.command()(benchmark)
QUICK = ("--quick", "--starts", "0", "--fps", "0", "--seconds", "0.2", "--threads", "1")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny_bundle(tmp_path_factory.mktemp("benchmark") / "bundle")


def run(bundle: Bundle, *words: object) -> str:
    """Stdout; an error of ours is raised, as `main` gets it."""
    result = CliRunner().invoke(app, ["--bundle", str(bundle.path), *map(str, words)])
    if isinstance(result.exception, EdgeArmError):
        raise result.exception
    assert result.exception is None, result.output
    assert result.exit_code == 0
    return result.stdout


def test_models_are_timed_and_the_result_is_written(bundle: Bundle, tmp_path: Path) -> None:
    told, drawn = tmp_path / "speed.json", tmp_path / "speed.svg"
    out = run(
        bundle,
        *("--backend", "onnxruntime", "--precision", "int8", "--batch", "2, 1"),
        *("--seconds", "0.3", "--starts", "0", "--fps", "200", "--threads", "1"),
        *("--json", told, "--plot", drawn),
    )
    assert "ONNX Runtime FP32" in out
    assert "ONNX Runtime INT8" in out
    assert "FP16" not in out
    assert "before the model: decode " in out
    assert ", find " in out
    # In one line, however narrow the table above it is.
    assert re.search(r"before the model: decode \S+, find \S+, crop and resize [\d.]+\n", out)
    value = json.loads(told.read_text(encoding="utf-8"))
    assert [model["precision"] for model in value["models"]] == ["fp32", "int8"]
    assert [batch["batch_size"] for batch in value["models"][0]["batches"]] == [1, 2]
    assert value["models"][1]["paced"]["frames_per_s"] == 200
    assert value["models"][1]["place"]["threads"] == 1
    assert ET.parse(drawn).getroot().tag == "{http://www.w3.org/2000/svg}svg"


def test_an_engine_is_timed_with_its_copies(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "bundle")
    with installed(FakeMachine(integrated=False)) as machine:
        engine_from_bundle(bundle, BuildConfig(Precision.FP16))
        told = tmp_path / "speed.json"
        run(
            bundle,
            *("--backend", "tensorrt", "--batch", "1", "--seconds", "0.1"),
            *("--starts", "0", "--fps", "0", "--json", told),
        )
        assert machine.faults == []
        assert machine.leaks() == []
    (model,) = json.loads(told.read_text(encoding="utf-8"))["models"]
    assert model["name"] == "TensorRT FP16"
    assert list(model["stages"]) == ["copy in", "compute", "copy out", "probabilities"]


@pytest.mark.parametrize("batch", ["", "0", "1,,8", "1;8", "-1", "5000", "²"])
def test_batch_sizes_that_are_none_are_refused(bundle: Bundle, batch: str) -> None:
    with pytest.raises(UsageError, match=r"got --batch .* expected numbers from 1 to 4096 with"):
        run(bundle, f"--batch={batch}", *QUICK)


def test_a_place_that_cannot_be_written_is_refused_before_the_work(
    bundle: Bundle, tmp_path: Path
) -> None:
    with pytest.raises(StorageError, match="it is a folder"):
        run(bundle, "--json", tmp_path, *QUICK)


def test_figures_are_shown_where_their_file_cannot_be_written(
    bundle: Bundle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def full_disk(path: Path, value: object) -> None:
        raise StorageError(f"cannot write {str(path)!r}: the disk is full")

    monkeypatch.setattr(storage, "write_json", full_disk)
    # Without the runner, which drops what was printed before an error.
    with pytest.raises(StorageError, match="the disk is full"):
        app(
            [
                *("--bundle", str(bundle.path), "--backend", "onnxruntime", "--batch", "1"),
                *(*QUICK, "--json", str(tmp_path / "speed.json")),
            ],
            standalone_mode=False,
        )
    out = capsys.readouterr().out
    assert "ONNX Runtime FP32" in out
    assert "result:" not in out


@pytest.mark.parametrize(
    ("words", "seconds", "starts"),
    [
        ((), 24.0, 3),
        (("--quick",), 3.0, 1),
        (("--quick", "--seconds", "60", "--starts", "5"), 60.0, 5),
        (("--starts", "0"), 24.0, 0),
    ],
)
def test_what_is_named_goes_before_what_quick_means(
    bundle: Bundle,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    seconds: float,
    starts: int,
) -> None:
    class StartedError(Exception):
        """Ends the run where it would begin."""

    def start(_: Bundle, __: object, config: BenchmarkConfig, ___: object) -> None:
        assert (config.seconds, config.starts) == (seconds, starts)
        raise StartedError

    monkeypatch.setattr(benchmark_run, "run_benchmark", start)
    with pytest.raises(StartedError):
        app(["--bundle", str(bundle.path), *words], standalone_mode=False)


def test_threads_without_a_cpu_are_refused(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "bundle")
    with installed(FakeMachine()):
        engine_from_bundle(bundle, BuildConfig(Precision.FP16))
        with pytest.raises(UsageError, match="got --threads 1 and no model that a CPU runs"):
            run(bundle, "--backend", "tensorrt", *QUICK)


def test_a_process_that_is_ended_takes_the_start_of_a_model_with_it(bundle: Bundle) -> None:
    words = ("--bundle", str(bundle.path), "--backend", "onnxruntime", "--starts", "500")
    command = [sys.executable, "-m", "edge_arm", "benchmark", *words]
    parent = subprocess.Popen(command, stderr=subprocess.PIPE)
    children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children")
    try:
        deadline = time.monotonic() + 30
        while not (found := children.read_text(encoding="ascii").split()):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        parent.terminate()
        assert parent.wait(timeout=10) == 130
    finally:
        parent.kill()
        parent.communicate()
    assert not any(is_running(int(pid)) for pid in found)


def is_running(pid: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return False


def test_a_detector_that_is_named_is_used_or_refused(bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"got 'cat\.txt' as the detector"):
        run(bundle, "--detector", "cat.txt", "--backend", "onnxruntime", *QUICK)


def test_the_face_of_the_drawn_picture_can_be_found() -> None:
    picture = drawn_picture()
    assert picture.encoded == drawn_picture().encoded
    image = decode_image(picture.encoded, "drawn")
    assert image.shape == (480, 640, 3)
    (found,) = detector_factory()().find(image)
    # Most of the box lies on the face, whose middle is the picture's.
    middle = (found.box.x + found.box.width / 2, found.box.y + found.box.height / 2)
    assert middle == pytest.approx((320, 240), abs=FACE / 5)
    assert 0.5 * FACE < found.box.width < 1.3 * FACE


def test_the_tables_show_every_figure(capsys: pytest.CaptureFixture[str]) -> None:
    left_out = ModelsHere((), None, ("OpenVINO FP16: a reason.",)).left_out
    print_benchmark(benchmark_results.benchmark(), left_out, [Path("speed.json")])
    out = capsys.readouterr().out
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert lines[0] == "A Jetson, JetPack 6.2, 6 processors, 2 threads for a model"
    assert "power mode 15W (mode 0)" in lines[1]
    assert "load of others: 0.02 cores" in lines[1]
    assert "ONNX Runtime FP32 1 100 10.0 10.0 10.0 - 10.0 100 1" in lines
    assert "TensorRT INT8 1 100 2.00 2.00 3.00 - 2.49 402 5.00 4.50 to 5.50" in lines
    assert "TensorRT INT8 8 12 8.00 8.00 - - 8.00 1,000 10.00 -" in lines
    assert "TensorRT INT8 10 12.0 12.0 - - 200 4 30 %" in lines
    assert "ONNX Runtime FP32 - 1.00 - 2.00" in lines
    assert "TensorRT INT8 1.00 2.00 3.00 4.00" in lines
    assert "before the model: decode 1.50, find 5.00" in lines
    assert "ONNX Runtime FP32 30 200 50 100 20 400 100 120 140 -" in lines
    assert "TensorRT INT8 30 200 50 100 20 400 100 120 140 300" in lines
    assert "TensorRT INT8 4.25 4 to 4.5 9.25 5.00" in lines
    assert {"A note.", "OpenVINO FP16: a reason.", "took 42 s", "result: speed.json"} <= set(lines)


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (0.00123, "0.00123"), (1.0, "1.00"), (99.96, "100"), (1234.6, "1,235")],
)
def test_milliseconds_have_three_digits(value: float | None, text: str) -> None:
    assert ms_text(value) == text
