"""What belongs to a running calibration stays, what a dead one left goes."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edge_arm.runtime.leftovers import (
    PASS_STATE_NAME,
    forget_pass,
    is_leftover,
    is_used,
    staging_in,
)

_KILLED = """
import os, signal, sys
from pathlib import Path
from edge_arm.runtime.leftovers import staging_in
with staging_in(Path(sys.argv[1])) as folder:
    (folder / "half").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def killed(tmp_path: Path) -> Path:
    """A bundle in which a calibration was killed."""
    subprocess.run([sys.executable, "-c", _KILLED, str(tmp_path)], check=False)
    (left,) = tmp_path.glob(".calibrate-*")
    assert (left / "half").exists()
    return tmp_path


def test_the_folder_is_gone_when_the_block_ends(tmp_path: Path):
    with staging_in(tmp_path) as folder:
        assert folder.parent == tmp_path
        (folder / "x").write_text("x")
    assert not list(tmp_path.iterdir())


def test_the_folder_is_gone_after_an_error(tmp_path: Path):
    with pytest.raises(RuntimeError), staging_in(tmp_path):
        raise RuntimeError
    assert not list(tmp_path.iterdir())


def test_the_folder_of_a_killed_calibration_is_a_leftover_and_removed_by_the_next(killed: Path):
    (left,) = killed.glob(".calibrate-*")
    assert is_leftover(left)
    assert not is_used(left)
    with staging_in(killed):
        assert not left.exists()


def test_the_folder_of_a_running_calibration_is_left_alone(tmp_path: Path):
    with staging_in(tmp_path) as first:
        assert is_used(first)
        assert not is_leftover(first)
        with staging_in(tmp_path) as second:
            assert first.exists()
            assert first != second
        assert first.exists()


def test_without_locks_nothing_is_cleared_away_and_nothing_is_said_to_run(
    killed: Path, monkeypatch: pytest.MonkeyPatch
):
    def no_locks(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    (left,) = killed.glob(".calibrate-*")
    assert not is_leftover(left)
    assert not is_used(left)
    with staging_in(killed):
        assert left.exists()


def test_files_half_written_are_removed_when_nobody_can_be_writing_them(tmp_path: Path):
    old, new = (
        tmp_path / f"..calibration-pass.{digits}.npz" for digits in ("0a1b2c3d", "11111111")
    )
    for path in (old, new):
        path.write_text("half")
    an_hour_ago = time.time() - 3600
    os.utime(old, (an_hour_ago, an_hour_ago))
    assert is_leftover(old)
    with staging_in(tmp_path):
        assert not old.exists()
        assert new.exists()


def test_files_of_a_bundle_or_of_the_user_are_no_leftovers(tmp_path: Path):
    for name in ("manifest.json", "engines", ".hidden", ".notes.txt", "a.0a1b2c3d.npz"):
        (tmp_path / name).write_text("mine")
        os.utime(tmp_path / name, (0, 0))
        assert not is_leftover(tmp_path / name)
    with staging_in(tmp_path):
        pass
    assert len(list(tmp_path.iterdir())) == 5


def test_the_state_of_a_pass_is_forgotten_once_or_twice(tmp_path: Path):
    (tmp_path / PASS_STATE_NAME).write_text("state")
    assert is_leftover(tmp_path / PASS_STATE_NAME)
    forget_pass(tmp_path)
    forget_pass(tmp_path)
    assert not list(tmp_path.iterdir())
