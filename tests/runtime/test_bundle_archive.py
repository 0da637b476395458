"""Bundles become archives: the same bytes, every file, and no more."""

from __future__ import annotations

import io
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from archived_bundles import (
    MODEL,
    Pipe,
    bundle_to_pack,
    members_of,
    packed,
    sha,
)
from engine_records import engine_record

from edge_arm.runtime.bundle_archive import pack_bundle, verified_sums
from edge_arm.runtime.bundle_archive_reading import unpack_archive, verify_archive
from edge_arm.runtime.engine_record import write_engine_record
from edge_arm.runtime.errors import BundleError, EngineError
from edge_arm.runtime.manifest import (
    Bundle,
    Precision,
    open_bundle,
    write_manifest,
)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return bundle_to_pack(tmp_path / "bundle")


@pytest.fixture
def engine(bundle: Path) -> Path:
    """The record of an engine in the bundle."""
    folder = bundle / "engines" / "orin-10.3.0"
    folder.mkdir(parents=True)
    (folder / "fp32.plan").write_bytes(b"plan")
    (folder / "timing.cache").write_bytes(b"timings")
    (folder / ".lock").write_bytes(b"")
    write_engine_record(folder / "fp32.json", engine_record(plan_sha256=sha(b"plan")))
    return folder / "fp32.json"


def test_a_bundle_comes_out_as_it_went_in(bundle: Path, tmp_path: Path) -> None:
    archive = packed(bundle)
    content = unpack_archive(io.BytesIO(archive), tmp_path / "out")
    given = {path.name: path.read_bytes() for path in bundle.iterdir()}
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == given
    assert content.files == {name: sha(data) for name, data in given.items()}
    assert (content.sha256, content.size_bytes) == (sha(archive), len(archive))
    assert open_bundle(tmp_path / "out").model(Precision.FP32)[0].read_bytes() == MODEL
    assert verify_archive(io.BytesIO(archive)) == content


def test_it_goes_through_a_pipe_to_the_last_byte(bundle: Path, tmp_path: Path) -> None:
    archive = packed(bundle) + bytes(50_000)  # some tars pad with more
    pipe = Pipe(archive)
    content = unpack_archive(io.BufferedReader(pipe), tmp_path / "out")
    assert pipe.left() == b""
    assert content.sha256 == sha(archive)


def test_the_same_bundle_gives_the_same_bytes(bundle: Path, tmp_path: Path) -> None:
    first = packed(bundle)
    unpack_archive(io.BytesIO(first), tmp_path / "another name")
    for path in (tmp_path / "another name").iterdir():
        path.chmod(0o600)
        os.utime(path, (1, 1))
    assert packed(tmp_path / "another name") == first


def test_nothing_of_the_machine_is_in_it_and_the_list_and_the_manifest_come_first(
    bundle: Path,
) -> None:
    infos = [info for info, _ in members_of(packed(bundle))]
    assert [info.name for info in infos] == [
        "SHA256SUMS",
        "manifest.json",
        "golden.npz",
        "model.fp32.onnx",
        "temperature.json",
    ]
    assert {(i.mtime, i.uid, i.gid, i.uname, i.gname, i.mode) for i in infos} == {
        (0, 0, 0, "", "", 0o644)
    }


def test_the_tools_of_any_linux_take_it_apart_and_check_it(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    for command in (["tar", "xf", "-"], ["sha256sum", "--check", "--strict", "SHA256SUMS"]):
        subprocess.run(
            command,
            cwd=tmp_path / "plain",
            input=packed(bundle),
            check=True,
            capture_output=True,
        )


def test_files_that_the_manifest_does_not_name_stay_at_home(bundle: Path) -> None:
    before = packed(bundle)
    (bundle / "notes.txt").write_text("mine", encoding="utf-8")
    assert packed(bundle) == before


def test_engines_stay_at_home_unless_asked_for(bundle: Path, engine: Path, tmp_path: Path) -> None:
    del engine
    names = [info.name for info, _ in members_of(packed(bundle))]
    assert not [name for name in names if name.startswith("engines")]
    content = unpack_archive(io.BytesIO(packed(bundle, engines=True)), tmp_path / "out")
    place = "engines/orin-10.3.0"
    assert [name for name in content.files if name.startswith("engines")] == [
        f"{place}/fp32.json",
        f"{place}/fp32.plan",
        f"{place}/timing.cache",
    ]
    assert (tmp_path / "out" / place / "fp32.plan").read_bytes() == b"plan"


def test_what_a_killed_build_left_is_no_engine(bundle: Path, engine: Path) -> None:
    engine.with_name(".fp32.0123abcd.json").write_bytes(engine.read_bytes()[:10])
    names = {info.name for info, _ in members_of(packed(bundle, engines=True))}
    assert {name for name in names if name.endswith(".json") and "engines" in name} == {
        "engines/orin-10.3.0/fp32.json"
    }


def test_engines_are_asked_for_and_there_are_none(bundle: Path) -> None:
    with pytest.raises(EngineError, match="has no engines, expected one for --engines; build it"):
        packed(bundle, engines=True)


@pytest.mark.parametrize("content", [b"other", None], ids=["changed", "missing"])
def test_an_engine_that_is_not_what_its_record_says_is_refused(
    bundle: Path, engine: Path, content: bytes | None
) -> None:
    plan = engine.with_suffix(".plan")
    plan.unlink()
    if content is not None:
        plan.write_bytes(content)
    with pytest.raises(EngineError, match=r"fp32.plan' is missing or has other bytes than its rec"):
        packed(bundle, engines=True)


def test_a_bundle_with_a_changed_file_is_not_packed(bundle: Path) -> None:
    (bundle / "golden.npz").write_bytes(b"other")
    stream = io.BytesIO()
    with pytest.raises(BundleError, match=r"golden.npz"):
        pack_bundle(bundle, stream)
    assert stream.getvalue() == b""


def test_a_bundle_that_changes_while_it_is_packed_is_refused(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def then_calibrated(opened: Bundle) -> dict[str, str]:
        sums = verified_sums(opened)
        (bundle / "golden.npz").write_bytes(bytes(10))
        return sums

    monkeypatch.setattr("edge_arm.runtime.bundle_archive.verified_sums", then_calibrated)
    with pytest.raises(BundleError, match=r"golden\.npz' changed while it was packed, expected no"):
        packed(bundle)


def test_a_bundle_whose_file_cannot_be_listed_is_not_packed(bundle: Path) -> None:
    manifest = open_bundle(bundle).manifest
    (bundle / "two\nlines").write_bytes(b"")
    write_manifest(bundle, replace(manifest, files={"two\nlines": sha(b"")}))
    with pytest.raises(BundleError, match=r"names the file 'two\\nlines', expected a plain name"):
        packed(bundle)
