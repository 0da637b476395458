from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_arm.runtime.errors import StorageError
from edge_arm.runtime.storage import (
    folder_written_atomically,
    require_result_places,
    sha256_of_file,
    storage_error,
    write_json,
    write_text,
    written_atomically,
)

# `printf 'abc' | sha256sum`
SHA256_OF_ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

# A real refusal by the system in the middle of a write, which no monkeypatch can promise.
WRITE_BEYOND_THE_LIMIT = """
import resource, sys
from pathlib import Path
from edge_arm.runtime.errors import StorageError
from edge_arm.runtime.storage import write_text
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    write_text(Path(sys.argv[1]), "x" * 100_000)
except StorageError as error:
    print(error)
"""


def _full_disk(*_: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_text_is_written_as_utf8(tmp_path: Path) -> None:
    write_text(tmp_path / "new" / "deep" / "a.txt", "ä\n")
    assert (tmp_path / "new" / "deep" / "a.txt").read_bytes() == b"\xc3\xa4\n"


def test_json_is_indented_and_ends_with_a_newline(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"b": [1]})
    assert (tmp_path / "a.json").read_text() == '{\n  "b": [\n    1\n  ]\n}\n'


def test_json_refuses_nan_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"accuracy": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_a_library_may_write_under_the_temporary_name(tmp_path: Path) -> None:
    with written_atomically(tmp_path / "a.npz") as temporary:
        np.savez(temporary, x=np.arange(3))
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]
    with np.load(tmp_path / "a.npz") as read:
        assert read["x"].tolist() == [0, 1, 2]


def test_the_old_file_stays_until_the_new_one_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with written_atomically(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"


def test_an_error_inside_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(KeyboardInterrupt), written_atomically(path) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert [item.name for item in tmp_path.iterdir()] == ["a.txt"]
    assert path.read_text() == "old"


def test_a_disk_that_is_full_at_the_flush_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")
    monkeypatch.setattr(os, "fsync", _full_disk)
    with pytest.raises(StorageError, match=r"cannot write '.*a.txt': the disk is full; free some"):
        write_text(path, "new")
    assert [item.name for item in tmp_path.iterdir()] == ["a.txt"]
    assert path.read_text() == "old"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full device")
def test_a_device_that_is_full_is_told_as_such(tmp_path: Path) -> None:
    with (
        pytest.raises(StorageError, match=r"'.*a.bin': the disk is full"),
        written_atomically(tmp_path / "a.bin") as temporary,
    ):
        temporary.symlink_to("/dev/full")
        temporary.write_bytes(b"x")
    assert list(tmp_path.iterdir()) == []


def test_a_write_that_the_system_cuts_off_leaves_the_old_file_and_nothing_else(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")
    done = subprocess.run(
        [sys.executable, "-c", WRITE_BEYOND_THE_LIMIT, str(path)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "a.txt': the file would be larger than this system allows" in done.stdout
    assert [item.name for item in tmp_path.iterdir()] == ["a.txt"]
    assert path.read_text() == "old"


def test_a_file_where_a_folder_should_be_is_told_as_such(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError, match="a part of the path is a file; choose another place"):
        write_text(tmp_path / "file" / "deep" / "a.txt", "x")
    with pytest.raises(StorageError, match="a part of the path is a file; choose another place"):
        write_text(tmp_path / "file" / "a.txt", "x")


def test_a_folder_in_the_place_of_a_file_is_told_as_such(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(StorageError, match="it is a folder; choose another name"):
        write_text(tmp_path / "taken", "x")
    assert [item.name for item in tmp_path.iterdir()] == ["taken"]


def test_a_name_that_is_too_long_is_told_as_such(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="the name is too long; choose a shorter one"):
        write_text(tmp_path / ("x" * 300), "x")


@pytest.mark.parametrize("name", [".", "..", "/"])
def test_a_path_without_a_name_of_its_own_is_refused(name: str) -> None:
    with pytest.raises(StorageError, match="expected one that ends in a new name"):
        write_text(Path(name), "x")
    with (
        pytest.raises(StorageError, match="expected one that ends in a new name"),
        folder_written_atomically(Path(name)),
    ):
        pass


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.EACCES, "permission is denied"),
        (errno.EPERM, "permission is denied"),
        (errno.EROFS, "the file system is read-only"),
        (errno.EDQUOT, "the disk quota is used up"),
        (errno.ENOTEMPTY, "a folder of that name has content"),
        (errno.EIO, "Input/output error; choose another place"),
    ],
)
def test_each_refusal_of_the_system_has_its_words(number: int, words: str) -> None:
    error = storage_error(Path("x"), OSError(number, os.strerror(number)))
    assert str(error).startswith(f"cannot write 'x': {words}")


def test_a_folder_appears_with_all_its_files(tmp_path: Path) -> None:
    with folder_written_atomically(tmp_path / "a" / "set") as temporary:
        (temporary / "x").write_text("1")
        assert not (tmp_path / "a" / "set").exists()
    assert [item.name for item in (tmp_path / "a").iterdir()] == ["set"]
    assert (tmp_path / "a" / "set" / "x").read_text() == "1"


def test_an_empty_folder_may_be_taken(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    with folder_written_atomically(tmp_path / "set") as temporary:
        (temporary / "x").write_text("1")
    assert (tmp_path / "set" / "x").read_text() == "1"


def test_a_folder_with_content_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "mine").write_text("1")
    with (
        pytest.raises(StorageError, match="already exists and is not empty, expected a new folder"),
        folder_written_atomically(tmp_path / "set"),
    ):
        pass
    assert [item.name for item in tmp_path.rglob("*")] == ["set", "mine"]


def test_an_error_inside_leaves_no_folder_behind(tmp_path: Path) -> None:
    with (
        pytest.raises(StorageError, match=r"'.*set': the disk is full"),
        folder_written_atomically(tmp_path / "set") as temporary,
    ):
        (temporary / "x").write_text("1")
        _full_disk()
    assert list(tmp_path.iterdir()) == []


def test_the_hash_of_a_file_is_sha256_of_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    assert sha256_of_file(tmp_path / "abc") == SHA256_OF_ABC


def test_written_json_is_read_back(tmp_path: Path) -> None:
    value = {"ü": [1.5, None, True, "text"]}
    write_json(tmp_path / "a.json", value)
    assert json.loads((tmp_path / "a.json").read_bytes()) == value


def test_results_that_have_a_place_each_are_accepted(tmp_path: Path) -> None:
    places = [tmp_path / "new" / "deeper" / "a.json", tmp_path / "a.html"]
    require_result_places(places)
    assert list(tmp_path.iterdir()) == []


def test_two_results_in_one_file_are_refused(tmp_path: Path) -> None:
    twice = [tmp_path / "a", tmp_path / "b" / ".." / "a"]
    with pytest.raises(StorageError, match="for two results, expected a file for each"):
        require_result_places(twice)


def test_a_place_that_cannot_be_written_is_refused_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept", encoding="utf-8")
    with pytest.raises(StorageError, match="it is a folder; choose another name"):
        require_result_places([tmp_path])
    with pytest.raises(StorageError, match="a part of the path is a file"):
        require_result_places([tmp_path / "file" / "deeper" / "a.json"])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_place_without_the_right_to_write_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StorageError, match="permission is denied"):
        require_result_places([tmp_path / "new" / "a.json"])


def test_a_read_only_file_system_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class ReadOnly:
        f_flag = os.ST_RDONLY

    monkeypatch.setattr(os, "access", lambda path, mode: False)
    monkeypatch.setattr(os, "statvfs", lambda path: ReadOnly)
    with pytest.raises(StorageError, match="the file system is read-only"):
        require_result_places([tmp_path / "a.json"])


def test_a_pipe_or_a_link_to_an_open_file_is_never_replaced(tmp_path: Path) -> None:
    # Stand-ins for /dev/null and /dev/stdout, which a test that fails would take away for good.
    pipe, link = tmp_path / "pipe", tmp_path / "stdout"
    os.mkfifo(pipe)
    link.symlink_to("/proc/self/fd/1")
    for path in (pipe, link):
        with pytest.raises(StorageError, match="which is a device, a pipe or an open file"):
            write_text(path, "text")
        with pytest.raises(StorageError, match="expected the name of a plain file"):
            require_result_places([path])
    assert pipe.is_fifo()
    assert link.is_symlink()
