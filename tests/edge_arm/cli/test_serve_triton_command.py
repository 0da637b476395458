"""`edge-arm serve-triton` prints what is served, what is not, and where the engines load."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from triton_bundles import bundle_to_serve, put_engine

from edge_arm.cli.main import main
from edge_arm.runtime.engine_record import BatchRange


def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: object
) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["edge-arm", "serve-triton", *map(str, words)])
    status = main()
    printed = capsys.readouterr()
    return status, printed.out, printed.err


def test_the_command_lists_the_models_and_where_the_engine_loads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = bundle_to_serve(tmp_path / "bundle")
    put_engine(bundle, batch=BatchRange(1, 4, 8))
    out, facts = tmp_path / "models", tmp_path / "served.json"
    words = ("--bundle", bundle.path, "--out", out, "--max-batch", 16, "--json", facts)
    status, printed, _ = run(monkeypatch, capsys, *words)
    assert status == 0
    assert printed.splitlines() == [
        "fer_int8       GPU, up to 8 faces, by tensorrt",
        "fer_fp32       GPU, up to 16 faces, by onnxruntime",
        "fer_fp16       GPU, up to 16 faces, by onnxruntime",
        "fer_int8_cpu   CPU, up to 16 faces, by onnxruntime",
        "fer_int8 takes 8 faces in a batch, not 16: its engine was built for no more",
        "The engines load on 'Orin' with a Triton that has TensorRT 10.3.0, and on nothing else.",
        f"4 models in {out}; on the server run",
        f"  tritonserver --model-repository={out}",
    ]
    written = json.loads(facts.read_text())
    assert [item["name"] for item in written["models"]][:2] == ["fer_int8", "fer_fp32"]
    assert written["models"][0]["parameters"]["edge_arm.gpu"] == "Orin"
    assert len(written["left_out"]) == 1


def test_a_model_that_the_server_builds_is_said_to_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = bundle_to_serve(tmp_path / "bundle")
    _, printed, _ = run(
        monkeypatch, capsys, "--bundle", bundle.path, "--out", tmp_path / "m", "--instances", 2
    )
    assert "by onnxruntime with tensorrt, which builds when the server starts" in printed


def test_a_bundle_that_is_not_there_is_one_line_and_status_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--bundle", tmp_path / "none", "--out", tmp_path / "models")
    status, printed, error = run(monkeypatch, capsys, *words)
    assert (status, printed, error.count("\n")) == (2, "", 1)
    assert not (tmp_path / "models").exists()


def test_the_command_for_the_server_can_be_pasted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = bundle_to_serve(tmp_path / "bundle")
    out = tmp_path / "möd els"
    _, printed, _ = run(monkeypatch, capsys, "--bundle", bundle.path, "--out", out)
    words = shlex.split(printed.splitlines()[-1])
    assert words == ["tritonserver", f"--model-repository={out}"]


def test_the_facts_are_written_before_the_reader_of_the_lines_has_gone(tmp_path: Path) -> None:
    bundle = bundle_to_serve(tmp_path / "bundle")
    reading, writing = os.pipe()
    os.close(reading)
    words = ["--bundle", bundle.path, "--out", tmp_path / "models", "--json", tmp_path / "s.json"]
    subprocess.run(
        [sys.executable, "-m", "edge_arm", "serve-triton", *words], stdout=writing, check=False
    )
    os.close(writing)
    assert len(json.loads((tmp_path / "s.json").read_text())["models"]) == 4


def test_the_repository_and_the_facts_are_not_one_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = bundle_to_serve(tmp_path / "bundle")
    words = ("--bundle", bundle.path, "--out", tmp_path / "x", "--json", tmp_path / "x")
    status, _, error = run(monkeypatch, capsys, *words)
    assert status == 2
    assert "for the repository and for --json, expected a folder and a file; choose" in error
    assert not (tmp_path / "x").exists()
