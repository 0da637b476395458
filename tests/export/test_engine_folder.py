"""One builder at a time, and whatever is cut off leaves the engine of before."""

from __future__ import annotations

import errno
import fcntl
import subprocess
import sys
from pathlib import Path

import pytest

from edge_arm.export.engine_folder import engine_folder_alone
from edge_arm.runtime.errors import EngineError, StorageError

HOLD = """
import sys
from pathlib import Path
from edge_arm.export.engine_folder import engine_folder_alone
with engine_folder_alone(Path(sys.argv[1])) as folder:
    folder.write_trial("fp16", 1, b"half an engine")
    print("building", flush=True)
    sys.stdin.read()
"""


def test_a_second_process_is_refused_until_the_first_is_done(tmp_path: Path) -> None:
    first = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert first.stdin is not None
    assert first.stdout is not None
    assert first.stdout.readline() == "building\n"
    with (
        pytest.raises(EngineError, match="another process is building into .* wait until it is"),
        engine_folder_alone(tmp_path),
    ):
        pytest.fail("two at once")
    first.communicate("")
    with engine_folder_alone(tmp_path):
        assert not list(tmp_path.glob("*trial*"))


def test_a_file_system_without_locks_is_told_from_another_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuses)
    with (
        pytest.raises(StorageError, match=r"cannot lock .*No locks available.* a local disk"),
        engine_folder_alone(tmp_path),
    ):
        pytest.fail("without a lock")


def test_a_killed_build_leaves_no_lock_and_its_plan_is_removed_by_the_next(tmp_path: Path) -> None:
    killed = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert killed.stdout is not None
    killed.stdout.readline()
    killed.kill()
    killed.communicate()
    assert (tmp_path / ".trial-fp16-1.plan").exists()
    with engine_folder_alone(tmp_path):
        assert [item.name for item in tmp_path.iterdir()] == [".lock"]


def test_half_a_record_and_half_the_timings_are_removed_by_the_next_build(tmp_path: Path) -> None:
    halves = [".int8.0123abcd.json", ".timing.89ef4567.cache"]
    kept = ["int8.json", "int8.plan", "timing.cache", ".notes.of.mine"]
    for name in [*halves, *kept]:
        (tmp_path / name).write_bytes(b"x")
    with engine_folder_alone(tmp_path):
        assert sorted(item.name for item in tmp_path.iterdir()) == sorted([".lock", *kept])


def test_an_interrupt_removes_what_was_not_kept(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), engine_folder_alone(tmp_path) as folder:
        folder.write_trial("fp16", 1, b"x")
        raise KeyboardInterrupt
    assert [item.name for item in tmp_path.iterdir()] == [".lock"]


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError, match="a part of the path is a file"):
        engine_folder_alone(tmp_path / "file" / "engines").__enter__()
