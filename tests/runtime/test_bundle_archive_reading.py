"""Archives broken in every way: each is refused, and nothing is left of it."""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import tarfile
from pathlib import Path

import pytest
from archived_bundles import (
    FILES,
    MODEL,
    Member,
    Pipe,
    archive_of,
    bundle_to_pack,
    changed,
    file_member,
    members_of,
    packed,
    sha,
    with_listed,
)

from edge_arm.runtime import bundle_archive_reading
from edge_arm.runtime.bundle_archive import is_name_inside
from edge_arm.runtime.bundle_archive_reading import unpack_archive, verify_archive
from edge_arm.runtime.errors import BundleError, StorageError


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return bundle_to_pack(tmp_path / "bundle")


def refused(archive: bytes, out: Path, message: str) -> None:
    """Both ways of reading refuse it, and nothing is left of it."""
    before = sorted(out.parent.iterdir())
    with pytest.raises(BundleError, match=message):
        unpack_archive(io.BytesIO(archive), out)
    assert sorted(out.parent.iterdir()) == before
    with pytest.raises(BundleError, match=message):
        verify_archive(io.BytesIO(archive))


@pytest.mark.parametrize("position", [0.0, 0.02, 0.3, 0.5, 0.9, 0.999])
def test_an_archive_that_breaks_off_is_refused(
    bundle: Path, tmp_path: Path, position: float
) -> None:
    archive = packed(bundle).rstrip(b"\0")
    whole = archive[: int(position * len(archive))]
    refused(whole, tmp_path / "out", "no archive of a bundle|breaks off|ends before")


def test_an_archive_that_ends_between_two_files_is_refused(bundle: Path, tmp_path: Path) -> None:
    archive = changed(bundle, lambda members: members[:-1])
    refused(archive, tmp_path / "out", r"ends before 'temperature.json' \(1 of 4 files are miss")


def test_every_changed_byte_of_a_file_is_found(bundle: Path, tmp_path: Path) -> None:
    archive = packed(bundle)
    for content in (MODEL, *FILES.values(), b'"schema_version"'):
        damaged = bytearray(archive)
        damaged[archive.index(content) + len(content) - 1] ^= 1
        refused(bytes(damaged), tmp_path / "out", r"has the SHA-256 .*expected .*it was damaged")


@pytest.mark.parametrize(
    "content",
    [b"", b"hello " * 200, gzip.compress(b"x" * 5000)],
    ids=["nothing", "no tar", "compressed"],
)
def test_something_else_is_no_archive(tmp_path: Path, content: bytes) -> None:
    refused(content, tmp_path / "out", r"no archive of a bundle \(.*expected a tar file made by")


def test_another_tar_is_no_archive_of_a_bundle(tmp_path: Path) -> None:
    refused(archive_of([]), tmp_path / "out", "begins with nothing, expected SHA256SUMS")
    other = archive_of([file_member("README", b"hello")])
    refused(other, tmp_path / "out", "begins with 'README', expected SHA256SUMS")


def test_an_archive_without_a_manifest_is_refused(bundle: Path, tmp_path: Path) -> None:
    message = "has no manifest.json behind SHA256SUMS"
    refused(changed(bundle, lambda m: m[:1]), tmp_path / "out", message)
    refused(changed(bundle, lambda m: [m[0], *m[2:]]), tmp_path / "out", message)


@pytest.mark.parametrize(
    "name",
    ["../out.txt", "/tmp/out.txt", "a/../../b", "a\\..\\b", "./a", "a//b", "a/", "\tb", ".."],
)
def test_a_way_out_of_the_folder_is_refused_in_the_list(
    bundle: Path, tmp_path: Path, name: str
) -> None:
    assert not is_name_inside(name)
    archive = changed(bundle, lambda members: with_listed(members, name, b"x"))
    refused(archive, tmp_path / "out", r"SHA256SUMS of the archive has the line .*new name inside")


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "evil"])
def test_a_file_that_the_list_does_not_name_is_refused(
    bundle: Path, tmp_path: Path, name: str
) -> None:
    archive = changed(bundle, lambda members: [*members, file_member(name, b"x")])
    refused(archive, tmp_path / "out", f"holds '{name}' and SHA256SUMS does not list it")


def test_a_file_that_comes_twice_is_refused(bundle: Path, tmp_path: Path) -> None:
    archive = changed(bundle, lambda members: [*members, members[-1]])
    refused(archive, tmp_path / "out", "holds 'temperature.json' twice, expected only")
    archive = changed(bundle, lambda members: [*members, members[1]])
    refused(archive, tmp_path / "out", "holds 'manifest.json' twice, expected only")


def test_a_name_that_is_listed_twice_is_refused(bundle: Path, tmp_path: Path) -> None:
    archive = changed(bundle, lambda members: with_listed(members, "golden.npz", b"x"))
    refused(archive, tmp_path / "out", "has the line .*  golden.npz', expected a SHA-256, two")


def test_a_file_that_the_manifest_does_not_name_is_refused(bundle: Path, tmp_path: Path) -> None:
    archive = changed(bundle, lambda members: with_listed(members, "run.sh", b"x"))
    refused(archive, tmp_path / "out", "lists 'run.sh', which the manifest does not name")


def test_a_list_that_contradicts_the_manifest_is_refused(bundle: Path, tmp_path: Path) -> None:
    def other_golden(members: list[Member]) -> list[Member]:
        listing = members[0][1].replace(sha(FILES["golden.npz"]).encode(), b"0" * 64)
        return [file_member("SHA256SUMS", listing), *members[1:]]

    message = r"manifest of the archive names 'golden.npz' with .* has 000000000000... for it"
    refused(changed(bundle, other_golden), tmp_path / "out", message)


def test_a_list_that_lacks_a_file_of_the_manifest_is_refused(bundle: Path, tmp_path: Path) -> None:
    def without_golden(members: list[Member]) -> list[Member]:
        lines = members[0][1].splitlines(keepends=True)
        kept = b"".join(line for line in lines if b"golden" not in line)
        return [file_member("SHA256SUMS", kept), *members[1:]]

    message = r"names 'golden.npz' .* SHA256SUMS has nothing for it, expected the same"
    refused(changed(bundle, without_golden), tmp_path / "out", message)


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
    refused(changed(bundle, replaced), tmp_path / "out", message)


def test_a_sparse_file_is_refused(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "sparse").mkdir()
    hollow = tmp_path / "sparse" / "temperature.json"
    with hollow.open("wb") as file:
        file.truncate(1 << 24)
    made = ["tar", "--create", "--sparse", "--format=gnu", "--directory", str(hollow.parent)]
    sparse = subprocess.run([*made, hollow.name], check=True, capture_output=True).stdout
    begin = changed(bundle, lambda members: members[:-1]).rstrip(b"\0")
    begin += bytes(-len(begin) % 512)
    refused(begin + sparse, tmp_path / "out", "'temperature.json', which is .* sparse file")


def test_a_model_of_another_size_is_refused_before_it_is_written(
    bundle: Path, tmp_path: Path
) -> None:
    def larger(members: list[Member]) -> list[Member]:
        return [
            file_member(info.name, content + b"x" * 9)
            if info.name == "model.fp32.onnx"
            else (info, content)
            for info, content in members
        ]

    message = "'model.fp32.onnx' has 32009 bytes in the archive, expected 32000 as the man"
    refused(changed(bundle, larger), tmp_path / "out", message)


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
    refused(packed(bundle), tmp_path / "out", message)


@pytest.mark.parametrize("place", [0, 1])
def test_a_header_without_end_takes_no_memory(bundle: Path, tmp_path: Path, place: int) -> None:
    # Before the header of each file there may be one with more about it, of any size.
    info, content = file_member("comment", b"x" * (2 << 20))
    info.type = tarfile.XHDTYPE
    head = info.tobuf(tarfile.USTAR_FORMAT)
    members = members_of(packed(bundle))
    before = archive_of(members[:place])[: 1024 * place] if place else b""
    archive = before + head + content + archive_of(members[place:])
    refused(archive, tmp_path / "out", r"has a header of more than 1048576 bytes, expected the na")


def test_a_manifest_of_many_levels_is_refused(bundle: Path, tmp_path: Path) -> None:
    deep = b"[" * 100_000
    manifest = file_member("manifest.json", deep)
    archive = archive_of(
        [file_member("SHA256SUMS", f"{sha(deep)}  manifest.json\n".encode()), manifest]
    )
    refused(archive, tmp_path / "out", "is not JSON .*, expected the manifest of a bundle")


def test_an_archive_of_a_newer_version_says_so(bundle: Path, tmp_path: Path) -> None:
    path = bundle / "manifest.json"
    archive = packed(bundle)
    newer = json.dumps(json.loads(path.read_text(encoding="utf-8")) | {"schema_version": 2})
    listing = members_of(archive)[0][1].replace(sha(path.read_bytes()).encode(), b"?" * 64)
    listing = listing.replace(b"?" * 64, sha(newer.encode()).encode())
    members = [file_member("SHA256SUMS", listing), file_member("manifest.json", newer.encode())]
    message = "'manifest.json of the archive' has schema version 2, this edge-arm reads 1"
    refused(archive_of(members), tmp_path / "out", message)


def test_an_archive_with_another_hash_than_expected_is_refused(
    bundle: Path, tmp_path: Path
) -> None:
    archive = packed(bundle)
    right = sha(archive).upper()
    with pytest.raises(BundleError, match=r"archive has the SHA-256 .*, expected 0{64}: it is ano"):
        unpack_archive(io.BytesIO(archive), tmp_path / "out", sha256="0" * 64)
    assert not (tmp_path / "out").exists()
    unpack_archive(io.BytesIO(archive), tmp_path / "out", sha256=right)
    verify_archive(io.BytesIO(archive), sha256=right)


def test_a_folder_that_is_in_use_stays_as_it_is(bundle: Path, tmp_path: Path) -> None:
    archive = packed(bundle)
    with pytest.raises(StorageError, match="already exists and is not empty"):
        unpack_archive(io.BytesIO(archive), bundle)
    assert packed(bundle) == archive


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
        unpack_archive(io.BufferedReader(Failing(packed(bundle))), tmp_path / "out")
    assert not (tmp_path / "out").exists()
