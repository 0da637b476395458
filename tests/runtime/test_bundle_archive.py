"""Archives of a bundle with small invented files, whole and in every way broken."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import subprocess
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from engine_records import engine_record

from edge_arm.runtime import bundle_archive_reading
from edge_arm.runtime.bundle_archive import is_name_inside, pack_bundle, verified_sums
from edge_arm.runtime.bundle_archive_reading import unpack_archive, verify_archive
from edge_arm.runtime.engine_record import write_engine_record
from edge_arm.runtime.errors import BundleError, EngineError, StorageError
from edge_arm.runtime.labels import RAFDB
from edge_arm.runtime.manifest import (
    Artifact,
    Bundle,
    Manifest,
    Precision,
    open_bundle,
    write_manifest,
)
from edge_arm.runtime.preprocess import PreprocessSpec

MODEL = b"weights " * 4000
FILES = {"temperature.json": b"{}", "golden.npz": bytes(range(256)) * 10}

Member = tuple[tarfile.TarInfo, bytes]


def _sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    folder = tmp_path / "bundle"
    folder.mkdir()
    (folder / "model.fp32.onnx").write_bytes(MODEL)
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    artifact = Artifact("model.fp32.onnx", Precision.FP32, "main", 17, _sha(MODEL), len(MODEL))
    write_manifest(
        folder,
        Manifest(
            labels=RAFDB,
            preprocess=PreprocessSpec(16),
            artifacts=(artifact,),
            files={name: _sha(content) for name, content in FILES.items()},
            source={},
            tool_versions={},
        ),
    )
    return folder


@pytest.fixture
def engine(bundle: Path) -> Path:
    """The record of an engine in the bundle."""
    folder = bundle / "engines" / "orin-10.3.0"
    folder.mkdir(parents=True)
    (folder / "fp32.plan").write_bytes(b"plan")
    (folder / "timing.cache").write_bytes(b"timings")
    (folder / ".lock").write_bytes(b"")
    write_engine_record(folder / "fp32.json", engine_record(plan_sha256=_sha(b"plan")))
    return folder / "fp32.json"


def _packed(bundle: Path, *, engines: bool = False) -> bytes:
    stream = io.BytesIO()
    pack_bundle(bundle, stream, engines=engines)
    return stream.getvalue()


def _members(archive: bytes) -> list[Member]:
    members = []
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        for info in tar:
            file = tar.extractfile(info)
            members.append((info, file.read() if file else b""))
    return members


def _archive(members: list[Member]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for info, content in members:
            tar.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def _file(name: str, content: bytes) -> Member:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    return info, content


def _changed(bundle: Path, change: Callable[[list[Member]], list[Member]]) -> bytes:
    return _archive(change(_members(_packed(bundle))))


def _with_listed(members: list[Member], name: str, content: bytes) -> list[Member]:
    """The members and one more, which the list names as well."""
    (_, listing), rest = members[0], members[1:]
    line = f"{_sha(content)}  {name}\n".encode()
    return [_file("SHA256SUMS", listing + line), *rest, _file(name, content)]


def _refused(archive: bytes, out: Path, message: str) -> None:
    """Both ways of reading refuse it, and nothing is left of it."""
    before = sorted(out.parent.iterdir())
    with pytest.raises(BundleError, match=message):
        unpack_archive(io.BytesIO(archive), out)
    assert sorted(out.parent.iterdir()) == before
    with pytest.raises(BundleError, match=message):
        verify_archive(io.BytesIO(archive))


class Pipe(io.RawIOBase):
    """Bytes that come in small pieces and cannot be gone back in, as ssh gives them."""

    def __init__(self, content: bytes) -> None:
        self._content = io.BytesIO(content)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        piece = self._content.read(min(len(memoryview(buffer)), 700))  # type: ignore[arg-type]
        memoryview(buffer)[: len(piece)] = piece  # type: ignore[arg-type]
        return len(piece)

    def left(self) -> bytes:
        return self._content.read()


def test_a_bundle_comes_out_as_it_went_in(bundle: Path, tmp_path: Path) -> None:
    archive = _packed(bundle)
    content = unpack_archive(io.BytesIO(archive), tmp_path / "out")
    packed = {path.name: path.read_bytes() for path in bundle.iterdir()}
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == packed
    assert content.files == {name: _sha(data) for name, data in packed.items()}
    assert (content.sha256, content.size_bytes) == (_sha(archive), len(archive))
    assert open_bundle(tmp_path / "out").model(Precision.FP32)[0].read_bytes() == MODEL
    assert verify_archive(io.BytesIO(archive)) == content


def test_it_goes_through_a_pipe_to_the_last_byte(bundle: Path, tmp_path: Path) -> None:
    archive = _packed(bundle) + bytes(50_000)  # some tars pad with more
    pipe = Pipe(archive)
    content = unpack_archive(io.BufferedReader(pipe), tmp_path / "out")
    assert pipe.left() == b""
    assert content.sha256 == _sha(archive)


def test_the_same_bundle_gives_the_same_bytes(bundle: Path, tmp_path: Path) -> None:
    first = _packed(bundle)
    unpack_archive(io.BytesIO(first), tmp_path / "another name")
    for path in (tmp_path / "another name").iterdir():
        path.chmod(0o600)
        os.utime(path, (1, 1))
    assert _packed(tmp_path / "another name") == first


def test_nothing_of_the_machine_is_in_it_and_the_list_and_the_manifest_come_first(
    bundle: Path,
) -> None:
    infos = [info for info, _ in _members(_packed(bundle))]
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
            input=_packed(bundle),
            check=True,
            capture_output=True,
        )


def test_files_that_the_manifest_does_not_name_stay_at_home(bundle: Path) -> None:
    before = _packed(bundle)
    (bundle / "notes.txt").write_text("mine", encoding="utf-8")
    assert _packed(bundle) == before


def test_engines_stay_at_home_unless_asked_for(bundle: Path, engine: Path, tmp_path: Path) -> None:
    del engine
    names = [info.name for info, _ in _members(_packed(bundle))]
    assert not [name for name in names if name.startswith("engines")]
    content = unpack_archive(io.BytesIO(_packed(bundle, engines=True)), tmp_path / "out")
    place = "engines/orin-10.3.0"
    assert [name for name in content.files if name.startswith("engines")] == [
        f"{place}/fp32.json",
        f"{place}/fp32.plan",
        f"{place}/timing.cache",
    ]
    assert (tmp_path / "out" / place / "fp32.plan").read_bytes() == b"plan"


def test_what_a_killed_build_left_is_no_engine(bundle: Path, engine: Path) -> None:
    engine.with_name(".fp32.0123abcd.json").write_bytes(engine.read_bytes()[:10])
    names = {info.name for info, _ in _members(_packed(bundle, engines=True))}
    assert {name for name in names if name.endswith(".json") and "engines" in name} == {
        "engines/orin-10.3.0/fp32.json"
    }


def test_engines_are_asked_for_and_there_are_none(bundle: Path) -> None:
    with pytest.raises(EngineError, match="has no engines, expected one for --engines; build it"):
        _packed(bundle, engines=True)


@pytest.mark.parametrize("content", [b"other", None], ids=["changed", "missing"])
def test_an_engine_that_is_not_what_its_record_says_is_refused(
    bundle: Path, engine: Path, content: bytes | None
) -> None:
    plan = engine.with_suffix(".plan")
    plan.unlink()
    if content is not None:
        plan.write_bytes(content)
    with pytest.raises(EngineError, match=r"fp32.plan' is missing or has other bytes than its rec"):
        _packed(bundle, engines=True)


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
        _packed(bundle)


def test_a_bundle_whose_file_cannot_be_listed_is_not_packed(bundle: Path) -> None:
    manifest = open_bundle(bundle).manifest
    (bundle / "two\nlines").write_bytes(b"")
    write_manifest(bundle, replace(manifest, files={"two\nlines": _sha(b"")}))
    with pytest.raises(BundleError, match=r"names the file 'two\\nlines', expected a plain name"):
        _packed(bundle)


@pytest.mark.parametrize("position", [0.0, 0.02, 0.3, 0.5, 0.9, 0.999])
def test_an_archive_that_breaks_off_is_refused(
    bundle: Path, tmp_path: Path, position: float
) -> None:
    archive = _packed(bundle).rstrip(b"\0")
    whole = archive[: int(position * len(archive))]
    _refused(whole, tmp_path / "out", "no archive of a bundle|breaks off|ends before")


def test_an_archive_that_ends_between_two_files_is_refused(bundle: Path, tmp_path: Path) -> None:
    archive = _changed(bundle, lambda members: members[:-1])
    _refused(archive, tmp_path / "out", r"ends before 'temperature.json' \(1 of 4 files are miss")


def test_every_changed_byte_of_a_file_is_found(bundle: Path, tmp_path: Path) -> None:
    archive = _packed(bundle)
    for content in (MODEL, *FILES.values(), b'"schema_version"'):
        damaged = bytearray(archive)
        damaged[archive.index(content) + len(content) - 1] ^= 1
        _refused(bytes(damaged), tmp_path / "out", r"has the SHA-256 .*expected .*it was damaged")


@pytest.mark.parametrize(
    "content",
    [b"", b"hello " * 200, gzip.compress(b"x" * 5000)],
    ids=["nothing", "no tar", "compressed"],
)
def test_something_else_is_no_archive(tmp_path: Path, content: bytes) -> None:
    _refused(content, tmp_path / "out", r"no archive of a bundle \(.*expected a tar file made by")


def test_another_tar_is_no_archive_of_a_bundle(tmp_path: Path) -> None:
    _refused(_archive([]), tmp_path / "out", "begins with nothing, expected SHA256SUMS")
    other = _archive([_file("README", b"hello")])
    _refused(other, tmp_path / "out", "begins with 'README', expected SHA256SUMS")


def test_an_archive_without_a_manifest_is_refused(bundle: Path, tmp_path: Path) -> None:
    message = "has no manifest.json behind SHA256SUMS"
    _refused(_changed(bundle, lambda m: m[:1]), tmp_path / "out", message)
    _refused(_changed(bundle, lambda m: [m[0], *m[2:]]), tmp_path / "out", message)


@pytest.mark.parametrize(
    "name",
    ["../out.txt", "/tmp/out.txt", "a/../../b", "a\\..\\b", "./a", "a//b", "a/", "\tb", ".."],
)
def test_a_way_out_of_the_folder_is_refused_in_the_list(
    bundle: Path, tmp_path: Path, name: str
) -> None:
    assert not is_name_inside(name)
    archive = _changed(bundle, lambda members: _with_listed(members, name, b"x"))
    _refused(archive, tmp_path / "out", r"SHA256SUMS of the archive has the line .*new name inside")


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "evil"])
def test_a_file_that_the_list_does_not_name_is_refused(
    bundle: Path, tmp_path: Path, name: str
) -> None:
    archive = _changed(bundle, lambda members: [*members, _file(name, b"x")])
    _refused(archive, tmp_path / "out", f"holds '{name}' and SHA256SUMS does not list it")


def test_a_file_that_comes_twice_is_refused(bundle: Path, tmp_path: Path) -> None:
    archive = _changed(bundle, lambda members: [*members, members[-1]])
    _refused(archive, tmp_path / "out", "holds 'temperature.json' twice, expected only")
    archive = _changed(bundle, lambda members: [*members, members[1]])
    _refused(archive, tmp_path / "out", "holds 'manifest.json' twice, expected only")


def test_a_name_that_is_listed_twice_is_refused(bundle: Path, tmp_path: Path) -> None:
    archive = _changed(bundle, lambda members: _with_listed(members, "golden.npz", b"x"))
    _refused(archive, tmp_path / "out", "has the line .*  golden.npz', expected a SHA-256, two")


def test_a_file_that_the_manifest_does_not_name_is_refused(bundle: Path, tmp_path: Path) -> None:
    archive = _changed(bundle, lambda members: _with_listed(members, "run.sh", b"x"))
    _refused(archive, tmp_path / "out", "lists 'run.sh', which the manifest does not name")


def test_a_list_that_contradicts_the_manifest_is_refused(bundle: Path, tmp_path: Path) -> None:
    def other_golden(members: list[Member]) -> list[Member]:
        listing = members[0][1].replace(_sha(FILES["golden.npz"]).encode(), b"0" * 64)
        return [_file("SHA256SUMS", listing), *members[1:]]

    message = r"manifest of the archive names 'golden.npz' with .* has 000000000000... for it"
    _refused(_changed(bundle, other_golden), tmp_path / "out", message)


def test_a_list_that_lacks_a_file_of_the_manifest_is_refused(bundle: Path, tmp_path: Path) -> None:
    def without_golden(members: list[Member]) -> list[Member]:
        lines = members[0][1].splitlines(keepends=True)
        kept = b"".join(line for line in lines if b"golden" not in line)
        return [_file("SHA256SUMS", kept), *members[1:]]

    message = r"names 'golden.npz' .* SHA256SUMS has nothing for it, expected the same"
    _refused(_changed(bundle, without_golden), tmp_path / "out", message)


@pytest.mark.parametrize(
    "kind",
    [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE]
    + [tarfile.DIRTYPE],
    ids=["symbolic link", "hard link", "character device", "block device", "pipe", "folder"],
)
def test_what_is_no_plain_file_is_refused(bundle: Path, tmp_path: Path, kind: bytes) -> None:
    def replaced(members: list[Member]) -> list[Member]:
        info = tarfile.TarInfo("temperature.json")
        info.type, info.linkname = kind, "/etc/passwd"
        return [*members[:-1], (info, b"")]

    message = "holds 'temperature.json', which is a link, a folder, a device"
    _refused(_changed(bundle, replaced), tmp_path / "out", message)


def test_a_sparse_file_is_refused(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "sparse").mkdir()
    hollow = tmp_path / "sparse" / "temperature.json"
    with hollow.open("wb") as file:
        file.truncate(1 << 24)
    made = ["tar", "--create", "--sparse", "--format=gnu", "--directory", str(hollow.parent)]
    sparse = subprocess.run([*made, hollow.name], check=True, capture_output=True).stdout
    begin = _changed(bundle, lambda members: members[:-1]).rstrip(b"\0")
    begin += bytes(-len(begin) % 512)
    _refused(begin + sparse, tmp_path / "out", "'temperature.json', which is .* sparse file")


def test_a_model_of_another_size_is_refused_before_it_is_written(
    bundle: Path, tmp_path: Path
) -> None:
    def larger(members: list[Member]) -> list[Member]:
        return [
            _file(info.name, content + b"x" * 9)
            if info.name == "model.fp32.onnx"
            else (info, content)
            for info, content in members
        ]

    message = "'model.fp32.onnx' has 32009 bytes in the archive, expected 32000 as the man"
    _refused(_changed(bundle, larger), tmp_path / "out", message)


@pytest.mark.parametrize(
    ("limit", "name"),
    [
        ("LARGEST_OTHER_BYTES", "golden.npz"),
        ("LARGEST_MANIFEST_BYTES", "manifest.json"),
        ("LARGEST_LIST_BYTES", "SHA256SUMS"),
    ],
)
def test_a_file_of_a_size_that_no_bundle_has_is_refused(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, name: str
) -> None:
    monkeypatch.setattr(bundle_archive_reading, limit, 20)
    message = f"'{name}' has [0-9]+ bytes in the archive, expected at most 20"
    _refused(_packed(bundle), tmp_path / "out", message)


@pytest.mark.parametrize("place", [0, 1])
def test_a_header_without_end_takes_no_memory(bundle: Path, tmp_path: Path, place: int) -> None:
    # Before the header of each file there may be one with more about it, of any size.
    info, content = _file("comment", b"x" * (2 << 20))
    info.type = tarfile.XHDTYPE
    head = info.tobuf(tarfile.USTAR_FORMAT)
    members = _members(_packed(bundle))
    before = _archive(members[:place])[: 1024 * place] if place else b""
    archive = before + head + content + _archive(members[place:])
    _refused(archive, tmp_path / "out", r"has a header of more than 1048576 bytes, expected the na")


def test_a_manifest_of_many_levels_is_refused(bundle: Path, tmp_path: Path) -> None:
    deep = b"[" * 100_000
    manifest = _file("manifest.json", deep)
    archive = _archive([_file("SHA256SUMS", f"{_sha(deep)}  manifest.json\n".encode()), manifest])
    _refused(archive, tmp_path / "out", "is not JSON .*, expected the manifest of a bundle")


def test_an_archive_of_a_newer_version_says_so(bundle: Path, tmp_path: Path) -> None:
    path = bundle / "manifest.json"
    archive = _packed(bundle)
    newer = json.dumps(json.loads(path.read_text(encoding="utf-8")) | {"schema_version": 2})
    listing = _members(archive)[0][1].replace(_sha(path.read_bytes()).encode(), b"?" * 64)
    listing = listing.replace(b"?" * 64, _sha(newer.encode()).encode())
    members = [_file("SHA256SUMS", listing), _file("manifest.json", newer.encode())]
    message = "'manifest.json of the archive' has schema version 2, this edge-arm reads 1"
    _refused(_archive(members), tmp_path / "out", message)


def test_an_archive_with_another_hash_than_expected_is_refused(
    bundle: Path, tmp_path: Path
) -> None:
    archive = _packed(bundle)
    right = _sha(archive).upper()
    with pytest.raises(BundleError, match=r"archive has the SHA-256 .*, expected 0{64}: it is ano"):
        unpack_archive(io.BytesIO(archive), tmp_path / "out", sha256="0" * 64)
    assert not (tmp_path / "out").exists()
    unpack_archive(io.BytesIO(archive), tmp_path / "out", sha256=right)
    verify_archive(io.BytesIO(archive), sha256=right)


def test_a_folder_that_is_in_use_stays_as_it_is(bundle: Path, tmp_path: Path) -> None:
    archive = _packed(bundle)
    with pytest.raises(StorageError, match="already exists and is not empty"):
        unpack_archive(io.BytesIO(archive), bundle)
    assert _packed(bundle) == archive


def test_a_stream_that_cannot_be_read_is_not_blamed_on_the_disk(
    bundle: Path, tmp_path: Path
) -> None:
    class Failing(Pipe):
        def readinto(self, buffer: object) -> int:
            read = super().readinto(buffer)
            if self._content.tell() > 14_000:
                raise OSError(5, "Input/output error")
            return read

    with pytest.raises(BundleError, match=r"breaks off or is damaged \(.*Input/output error\)"):
        unpack_archive(io.BufferedReader(Failing(_packed(bundle))), tmp_path / "out")
    assert not (tmp_path / "out").exists()
