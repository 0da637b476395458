"""Errors become one line and an exit status; nothing shows a traceback unless asked."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_arm.cli import console, main
from edge_arm.runtime.errors import DataError


def run(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "edge_arm", *words],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def raising(error: BaseException) -> Callable[..., object]:
    def app(standalone_mode: bool) -> object:
        del standalone_mode
        raise error

    return app


def status_of(error: BaseException, monkeypatch: pytest.MonkeyPatch, *, debug: bool = False) -> int:
    monkeypatch.setattr(main, "app", raising(error))
    monkeypatch.setattr(sys, "argv", ["edge-arm", *(["--debug"] if debug else []), "export"])
    return main.main()


def test_a_refusal_is_one_line_and_status_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status_of(DataError("got a\nand b"), monkeypatch) == 2
    out, err = capsys.readouterr()
    assert (out, err) == ("", "error: got a and b\n")


def test_debug_adds_the_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status_of(DataError("got a"), monkeypatch, debug=True) == 2
    assert "Traceback" in capsys.readouterr().err


def test_an_interrupt_is_status_130(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status_of(KeyboardInterrupt(), monkeypatch) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_the_operating_systems_refusal_names_the_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    error = OSError(errno.EACCES, "Permission denied", "model.onnx")
    assert status_of(error, monkeypatch) == 2
    assert capsys.readouterr().err == "error: the system refused 'model.onnx': Permission denied\n"


def test_running_out_of_memory_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status_of(MemoryError(), monkeypatch) == 2
    assert "smaller batches" in capsys.readouterr().err


def test_a_bug_of_ours_says_so_and_how_to_report_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status_of(ZeroDivisionError("x"), monkeypatch) == 2
    err = capsys.readouterr().err
    assert re.fullmatch(r"error: this is a bug .*ZeroDivisionError: x.*--debug.*\n", err)


def test_an_unknown_option_is_status_2_without_a_traceback(tmp_path: Path) -> None:
    result = run("export", "--fp17", cwd=tmp_path)
    assert result.returncode == 2
    assert "--fp17" in result.stderr
    assert "Traceback" not in result.stderr


def test_the_version_goes_to_stdout(tmp_path: Path) -> None:
    result = run("--version", cwd=tmp_path)
    assert result.returncode == 0
    assert re.fullmatch(r"edge-arm \d+\.\d+\.\d+\S*\n", result.stdout)


def test_export_without_a_checkpoint_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    result = run("export", "--fp16", cwd=tmp_path)
    assert result.returncode == 2
    assert len(result.stderr.strip().splitlines()) == 1
    assert "edge-arm train" in result.stderr
    assert not list(tmp_path.iterdir())


def test_an_unknown_data_set_lists_the_known_ones(tmp_path: Path) -> None:
    result = run("train", "--data", "nosuch", "--root", str(tmp_path), cwd=tmp_path)
    assert result.returncode == 2
    assert len(result.stderr.strip().splitlines()) == 1
    assert "'nosuch'" in result.stderr
    assert "rafdb" in result.stderr


def test_a_subcommands_status_is_the_programs(tmp_path: Path) -> None:
    (tmp_path / "train" / "happy").mkdir(parents=True)
    result = run("data", "describe", "--data", "rafdb", "--root", str(tmp_path), cwd=tmp_path)
    assert result.returncode != 0


def test_progress_in_a_log_file_is_a_line_every_tenth(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with console.progress_bar("reading", 1000) as advance:
        for _ in range(100):
            advance(10)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 10
    assert lines[0].startswith("reading: 100/1000 images")
    assert lines[-1].startswith("reading: 1000/1000 images")


def test_what_an_earlier_run_did_counts_as_done_but_not_as_quick(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with console.progress_bar("training", 10**9, before=9 * 10**8) as advance:
        time.sleep(0.05)
        advance(10**8)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("training: 1000000000/1000000000 images, ")
    # A tenth of it in 0.05 s or more; with the rest it would be ten times as quick.
    assert int(line.split(", ")[1].split()[0]) <= 10**8 / 0.05


BROKEN_PIPE = """
import os, sys
from rich.console import Console
from edge_arm.cli import main
def app(standalone_mode):
    os.close(read_end)
    Console().print("more")
read_end, write_end = os.pipe()
os.dup2(write_end, 1)
main.app = app
sys.exit(main.main())
"""


def test_a_reader_that_leaves_a_table_is_no_failed_gate() -> None:
    done = subprocess.run([sys.executable, "-c", BROKEN_PIPE], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


PLAIN_LETTERS = """
import sys
from edge_arm.cli import main
main.app = lambda standalone_mode: print("a\\u2026")
sys.exit(main.main())
"""


def test_a_terminal_without_a_letter_gets_a_question_mark() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PLAIN_LETTERS],
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"a?\n", b"")
