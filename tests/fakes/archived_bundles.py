"""A bundle of small invented files, the members of its archive, and a pipe that brings it."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Callable
from pathlib import Path

from edge_arm.runtime.bundle_archive import pack_bundle
from edge_arm.runtime.labels import RAFDB
from edge_arm.runtime.manifest import Artifact, Manifest, Precision, write_manifest
from edge_arm.runtime.preprocess import PreprocessSpec

MODEL = b"weights " * 4000
FILES = {"temperature.json": b"{}", "golden.npz": bytes(range(256)) * 10}

Member = tuple[tarfile.TarInfo, bytes]


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def bundle_to_pack(folder: Path) -> Path:
    """FP32 and two other files; the folder is made."""
    folder.mkdir()
    (folder / "model.fp32.onnx").write_bytes(MODEL)
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    artifact = Artifact("model.fp32.onnx", Precision.FP32, "main", 17, sha(MODEL), len(MODEL))
    write_manifest(
        folder,
        Manifest(
            labels=RAFDB,
            preprocess=PreprocessSpec(16),
            artifacts=(artifact,),
            files={name: sha(content) for name, content in FILES.items()},
            source={},
            tool_versions={},
        ),
    )
    return folder


def packed(bundle: Path, *, engines: bool = False) -> bytes:
    stream = io.BytesIO()
    pack_bundle(bundle, stream, engines=engines)
    return stream.getvalue()


def members_of(archive: bytes) -> list[Member]:
    members = []
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        for info in tar:
            file = tar.extractfile(info)
            members.append((info, file.read() if file else b""))
    return members


def archive_of(members: list[Member]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for info, content in members:
            tar.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def file_member(name: str, content: bytes) -> Member:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    return info, content


def changed(bundle: Path, change: Callable[[list[Member]], list[Member]]) -> bytes:
    return archive_of(change(members_of(packed(bundle))))


def with_listed(members: list[Member], name: str, content: bytes) -> list[Member]:
    """The members and one more, which the list names as well."""
    (_, listing), rest = members[0], members[1:]
    line = f"{sha(content)}  {name}\n".encode()
    return [file_member("SHA256SUMS", listing + line), *rest, file_member(name, content)]


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
