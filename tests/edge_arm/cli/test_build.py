"""`edge-arm build` as it is typed, what `inspect` shows of it, and the build after an export."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable
from pathlib import Path

import device_fakes
import pytest
from device_fakes import FakeMachine, installed
from tiny_bundle import tiny_bundle
from typer.testing import CliRunner, Result

from edge_arm.cli import main
from edge_arm.cli.build import CudaName, PrecisionName, build_if_possible
from edge_arm.runtime.cuda_device import CUDA_LIBRARIES
from edge_arm.runtime.engine_choice import all_engines
from edge_arm.runtime.errors import EngineError
from edge_arm.runtime.manifest import Bundle, Precision


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return tiny_bundle(tmp_path / "bundle")


def run(machine: FakeMachine, *words: object) -> Result:
    with installed(machine):
        return CliRunner().invoke(main.app, [str(word) for word in words], catch_exceptions=False)


def refused(
    machine: FakeMachine,
    words: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> str:
    """Run the whole program; it must end with status 2 and one line, which is returned."""
    capsys.readouterr()
    monkeypatch.setattr(sys, "argv", ["edge-arm", "build", *words])
    with installed(machine):
        assert main.main() == 2
    out, err = capsys.readouterr()
    assert out == ""
    (line,) = [line for line in err.splitlines() if line.startswith("error: ")]
    return line


def test_everything_about_the_engine_is_printed(bundle: Bundle) -> None:
    machine = FakeMachine(tensorrt="10.3.0", slow_in_int8=("/backbone/conv1",))
    text = run(
        machine, "build", "--precision", "int8", "--bundle", bundle.path, "--batch", "1,2,4"
    ).stdout
    for words in (
        "engine      int8 for Orin, TensorRT 10.3.0",
        "model.int8.onnx: the INT8 file with FP32 scales",
        "weakly typed: flags allow INT8 and FP16",
        "flags       FP16, INT8, PREFER_PRECISION_CONSTRAINTS",
        "batch       1 to 4, best 2",
        "ms for a batch of 2",
        "layers run in",
        "that only change a layout or type",
        "not in the precision asked for, this engine: /backbone/conv1 (FP16: ",
        "accepted on 6 golden faces",
        f"path        {bundle.path}/engines/orin-10.3.0/int8.plan",
    ):
        assert words in text


def test_the_fp32_engine_says_that_tf32_is_off(bundle: Bundle) -> None:
    text = run(FakeMachine(), "build", "--precision", "fp32", "--bundle", bundle.path).stdout
    assert "flags       TF32 off" in text


def test_a_dla_engine_lists_what_runs_on_the_gpu(bundle: Bundle) -> None:
    words = ("build", "--precision", "int8", "--bundle", bundle.path, "--dla", 0)
    text = run(FakeMachine(num_dla_cores=1), *words).stdout
    assert "int8 for DLA 0 of Orin" in text
    assert "on the GPU, because the DLA cannot, this engine: /input/cast" in text
    assert "not told" in text


def test_the_builds_of_a_rebuild_are_listed(bundle: Bundle) -> None:
    machine = FakeMachine(engine_noise=lambda number: 9.0 if number == 1 else 0.0)
    words = ("build", "--precision", "fp16", "--bundle", bundle.path, "--rebuild", 2)
    text = run(machine, *words).stdout
    assert "build 1: rejected: its logits are off by" in text
    assert "ms, kept" in text


def test_the_record_is_written_for_programs(bundle: Bundle, tmp_path: Path) -> None:
    path = tmp_path / "engine.json"
    words = ("build", "--precision", "fp16", "--bundle", bundle.path, "--json", path)
    run(FakeMachine(), *words)
    value = json.loads(path.read_text(encoding="utf-8"))
    (record,) = all_engines(bundle.path)
    assert value["plan_sha256"] == record.plan_sha256
    assert Path(value["plan"]).stat().st_size == record.plan_bytes


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--precision", "int8", "--batch", "8,1,32"], "got --batch 8,1,32"),
        (["--precision", "fp32", "--dla", "0"], "got --precision fp32 with --dla 0"),
        (["--precision", "fp16", "--dla", "0"], "this device has no DLA core"),
        (["--precision", "fp16", "--bundle", "none"], "expected a bundle"),
    ],
)
def test_a_refusal_is_one_line_and_status_2(
    bundle: Bundle,
    words: list[str],
    says: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = [*words, *([] if "--bundle" in words else ["--bundle", str(bundle.path)])]
    assert says in refused(FakeMachine(), words, monkeypatch, capsys)


def test_a_place_for_the_record_that_is_a_folder_is_refused_before_the_build(
    bundle: Bundle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["--precision", "fp16", "--bundle", str(bundle.path), "--json", str(tmp_path)]
    assert "it is a folder; choose another name" in (
        refused(FakeMachine(), words, monkeypatch, capsys)
    )
    assert all_engines(bundle.path) == []


def test_without_tensorrt_the_line_says_how_to_get_it(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--precision", "fp16", "--bundle", str(bundle.path)]
    line = refused(FakeMachine(tensorrt=None), words, monkeypatch, capsys)
    assert "sudo apt install nvidia-jetpack" in line


def test_the_commands_names_are_the_rooms_names() -> None:
    assert [item.value for item in PrecisionName] == [item.value for item in Precision]
    assert tuple(item.value for item in CudaName) == CUDA_LIBRARIES


# --- inspect


def test_inspect_shows_the_engines_of_every_device(bundle: Bundle) -> None:
    run(FakeMachine(), "build", "--precision", "fp16", "--bundle", bundle.path)
    int8 = FakeMachine(tensorrt="11.1.0", gpu="RTX", slow_in_int8=("/backbone/conv2",))
    run(int8, "build", "--precision", "int8", "--bundle", bundle.path)
    text = run(FakeMachine(tensorrt=None), "inspect", bundle.path).stdout
    for words in ("engines", "Orin", "10.3.0", "RTX", "11.1.0", "1 to 32, best 8"):
        assert words in text
    assert "not in the precision asked for, rtx-11.1.0/int8.plan: /backbone/conv2" in text


def test_inspect_has_the_records_in_its_json(bundle: Bundle) -> None:
    run(FakeMachine(), "build", "--precision", "fp16", "--bundle", bundle.path)
    value = json.loads(run(FakeMachine(), "inspect", bundle.path, "--json").stdout)
    (engine,) = value["engines"]
    assert engine["device"]["gpu"] == "Orin"
    assert value["labels"]["name"] == "rafdb"


def test_inspect_finds_a_changed_byte_in_a_plan(bundle: Bundle) -> None:
    run(FakeMachine(), "build", "--precision", "fp16", "--bundle", bundle.path)
    plan = bundle.path / "engines" / "orin-10.3.0" / "fp16.plan"
    plan.write_bytes(plan.read_bytes()[:-1])
    with pytest.raises(EngineError, match=r"fp16\.plan' has \d+ bytes and SHA-256"):
        run(FakeMachine(), "inspect", bundle.path)


def test_inspect_says_that_an_engine_is_older_than_its_model(
    bundle: Bundle, tmp_path: Path
) -> None:
    run(FakeMachine(), "build", "--precision", "fp16", "--bundle", bundle.path)
    newer = tiny_bundle(tmp_path / "newer", seed=1)
    (bundle.path / "engines").rename(newer.path / "engines")
    text = run(FakeMachine(), "inspect", newer.path).stdout
    assert "orin-10.3.0/fp16.plan was built from a model that the bundle no longer has" in text


# --- after an export or a calibration


def test_where_nothing_can_be_built_one_line_says_why_and_what_to_run(
    bundle: Bundle, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.INFO)
    with installed(FakeMachine(tensorrt=None)):
        build_if_possible(bundle, Precision.FP16)
    (line,) = caplog.messages
    command = f"edge-arm build --bundle {bundle.path} --precision fp16"
    assert line.startswith(f"no engine was built here, on the device run '{command}'; because")
    assert "TensorRT is not installed" in line
    assert capsys.readouterr().out == ""
    assert all_engines(bundle.path) == []


# What a Python finds first when it starts: the same machine that the test has.
START = """
import sys
sys.path.insert(0, {fakes!r})
from device_fakes import FakeMachine, installed
machine = FakeMachine(tensorrt="10.3.0", engine_noise=lambda number: {noise})
keep = installed(machine)
keep.__enter__()
"""


@pytest.fixture
def child_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Gives the machine that is not there to every Python that is started from now on."""

    def give(noise: float) -> None:
        folder = tmp_path / "start"
        folder.mkdir()
        fakes = str(Path(device_fakes.__file__).parents[1])
        (folder / "sitecustomize.py").write_text(START.format(fakes=fakes, noise=noise))
        monkeypatch.setenv("PYTHONPATH", str(folder))

    return give


def test_where_it_can_be_built_it_is(
    bundle: Bundle, child_machine: Callable[[float], None], capfd: pytest.CaptureFixture[str]
) -> None:
    child_machine(0.0)
    with installed(FakeMachine()):
        build_if_possible(bundle, Precision.INT8)
    assert "int8 for Orin, TensorRT 10.3.0" in capfd.readouterr().out
    (record,) = all_engines(bundle.path)
    assert record.precision is Precision.INT8


def test_a_build_that_fails_is_an_error_and_the_bundle_is_said_to_be_complete(
    bundle: Bundle, child_machine: Callable[[float], None], capfd: pytest.CaptureFixture[str]
) -> None:
    child_machine(9.0)
    with (
        installed(FakeMachine()),
        pytest.raises(EngineError, match=r"for the reason above \(status 2\).*is complete without"),
    ):
        build_if_possible(bundle, Precision.INT8)
    assert "error: no engine was accepted" in capfd.readouterr().err
    assert all_engines(bundle.path) == []
