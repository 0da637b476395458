"""`edge-arm bundle` as it is typed, with pipes that are real."""

from __future__ import annotations

import hashlib
import json
import os
import pty
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tiny_bundle import tiny_bundle

EDGE_ARM = [sys.executable, "-m", "edge_arm"]
NAMES = {
    "manifest.json",
    "calibration.cache",
    "golden.npz",
    "model.fp16.onnx",
    "model.fp32.onnx",
    "model.int8.onnx",
    "model.int8.typed.onnx",
}


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return tiny_bundle(tmp_path / "build" / "bundle").path


def run(*words: str, cwd: Path, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*EDGE_ARM, "bundle", *words], cwd=cwd, capture_output=True, check=False, input=stdin
    )


def _content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_bundle_is_packed_checked_and_unpacked(bundle: Path, tmp_path: Path) -> None:
    packed = run("pack", cwd=tmp_path)
    archive = tmp_path / "build" / "bundle.edgearm.tar"
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    said = packed.stdout.decode().splitlines()
    assert (packed.returncode, packed.stderr) == (0, b"")
    assert said[0].startswith("build/bundle.edgearm.tar: 7 files, all with the right SHA-256")
    assert said[1] == digest

    checked = run("verify", str(archive), "--sha256", digest, cwd=tmp_path)
    assert checked.returncode == 0
    assert checked.stdout.decode().splitlines()[1] == digest

    unpacked = run("unpack", str(archive), "--out", "here", "--json", cwd=tmp_path)
    value = json.loads(unpacked.stdout)
    assert value["sha256"] == digest
    assert set(value["files"]) == NAMES
    assert _content(tmp_path / "here") == _content(bundle)


def test_it_goes_from_machine_to_machine_without_a_file(bundle: Path, tmp_path: Path) -> None:
    packed = run("pack", "--out", "-", cwd=tmp_path)
    assert packed.stderr.startswith(b"packed: 7 files, all with the right SHA-256")
    unpacked = run("unpack", "-", "--out", "there", cwd=tmp_path, stdin=packed.stdout)
    assert unpacked.returncode == 0
    assert unpacked.stdout.splitlines()[1] == packed.stderr.splitlines()[1]
    assert _content(tmp_path / "there") == _content(bundle)


def test_a_folder_is_verified_by_its_manifest(bundle: Path, tmp_path: Path) -> None:
    done = run("verify", cwd=tmp_path)
    assert done.stdout == (b"build/bundle: 7 files, all with the SHA-256 that the manifest names\n")
    as_json = json.loads(run("verify", "--json", cwd=tmp_path).stdout)
    golden = hashlib.sha256((bundle / "golden.npz").read_bytes()).hexdigest()
    assert as_json["files"]["golden.npz"] == golden
    assert set(as_json["files"]) == NAMES


def test_a_changed_byte_is_status_2_and_one_line(bundle: Path, tmp_path: Path) -> None:
    with (bundle / "golden.npz").open("r+b") as file:
        file.write(b"!")
    for words in (("verify",), ("pack",)):
        done = run(*words, cwd=tmp_path)
        assert done.returncode == 2
        assert b"golden.npz" in done.stderr
        assert len(done.stderr.splitlines()) == 1
    assert [path.name for path in (tmp_path / "build").iterdir()] == ["bundle"]


def test_an_archive_that_is_not_there_is_told_as_such(tmp_path: Path) -> None:
    done = run("unpack", "nowhere.tar", cwd=tmp_path)
    assert done.returncode == 2
    assert b"cannot read 'nowhere.tar' (No such file or directory)" in done.stderr


def test_one_hash_is_not_for_a_folder(bundle: Path, tmp_path: Path) -> None:
    done = run("verify", str(bundle), "--sha256", "0" * 64, cwd=tmp_path)
    assert done.returncode == 2
    assert b"expected an archive, which has one hash as a whole" in done.stderr


def test_a_terminal_is_no_pipe(bundle: Path, tmp_path: Path) -> None:
    del bundle
    ours, theirs = pty.openpty()
    ends = {"stdin": theirs, "stdout": theirs, "stderr": subprocess.PIPE}
    try:
        for words in (["unpack", "-"], ["pack", "--out", "-"]):
            done = subprocess.run([*EDGE_ARM, "bundle", *words], cwd=tmp_path, check=False, **ends)
            assert done.returncode == 2
            assert b"got - and a terminal, expected a pipe or a file for the arch" in done.stderr
    finally:
        os.close(ours)
        os.close(theirs)


def test_the_present_folder_is_packed_beside_itself(bundle: Path) -> None:
    done = run("pack", ".", cwd=bundle)
    assert (done.returncode, done.stderr) == (0, b"")
    assert (bundle.parent / "bundle.edgearm.tar").is_file()
    assert {path.name for path in bundle.iterdir()} == NAMES


def test_an_archive_does_not_take_the_place_of_the_manifest(bundle: Path, tmp_path: Path) -> None:
    before = _content(bundle)
    done = run("pack", "--out", "build/bundle/manifest.json", cwd=tmp_path)
    assert done.returncode == 2
    assert b"which is inside the bundle 'build/bundle', expected a place outside" in done.stderr
    assert _content(bundle) == before


def test_a_folder_is_no_archive_and_that_is_said_before_the_work(tmp_path: Path) -> None:
    # There is no bundle here: what is wrong with the name comes first.
    done = run("pack", "nowhere", "--out", str(tmp_path), cwd=tmp_path)
    assert done.returncode == 2
    assert b"it is a folder; choose another name" in done.stderr


def test_half_an_archive_in_a_closed_pipe_is_no_success(bundle: Path, tmp_path: Path) -> None:
    del bundle
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [*EDGE_ARM, "bundle", "pack", "--out", "-"],
        cwd=tmp_path,
        stdout=writing,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writing)
    assert done.returncode == 2
    assert done.stderr.startswith(b"error: the pipe was closed before the archive was through")
    assert len(done.stderr.splitlines()) == 1


def test_a_pipe_with_a_name_is_an_archive(bundle: Path, tmp_path: Path) -> None:
    del bundle
    packed = run("pack", "--out", "-", cwd=tmp_path).stdout
    os.mkfifo(tmp_path / "pipe")
    with subprocess.Popen(
        [*EDGE_ARM, "bundle", "verify", "pipe"], cwd=tmp_path, stdout=subprocess.PIPE
    ) as verify:
        (tmp_path / "pipe").write_bytes(packed)
        said, _ = verify.communicate()
    assert verify.returncode == 0
    assert said.splitlines()[1].decode() == hashlib.sha256(packed).hexdigest()


def test_unpacking_that_is_terminated_leaves_nothing(bundle: Path, tmp_path: Path) -> None:
    packed = run("pack", "--out", "-", cwd=tmp_path).stdout
    here = tmp_path / "here"
    here.mkdir()
    with subprocess.Popen(
        [*EDGE_ARM, "bundle", "unpack", "-", "--out", "new"], cwd=here, stdin=subprocess.PIPE
    ) as unpack:
        assert unpack.stdin is not None
        unpack.stdin.write(packed[: len(packed) // 2])
        unpack.stdin.flush()
        while not any(here.iterdir()):  # it has begun
            assert unpack.poll() is None
            time.sleep(0.01)
        unpack.terminate()
        assert unpack.wait(timeout=20) == 130
    assert not any(here.iterdir())
