"""A bundle as one file to copy: a plain tar whose first member lists the hash of every other.

1. `SHA256SUMS`, in the form of coreutils, so that `tar xf` and `sha256sum -c` do without edge-arm.
2. `manifest.json`, so that a reader knows what comes before it comes.
3. Everything else by name: the files that the manifest names and, if asked for, engines.

Nothing in it depends on who packed it, when and where: the same bundle gives the same bytes. It is
not compressed, because trained weights hardly give way: gzip takes a fifth off a whole bundle and
7 s for what a network copies in 2 (docs/log.md).
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import tarfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO, cast

from edge_arm.runtime.engine_record import ENGINES_FOLDER, read_engine_record
from edge_arm.runtime.errors import BundleError, EngineError
from edge_arm.runtime.manifest import MANIFEST_NAME, Bundle, open_bundle
from edge_arm.runtime.storage import sha256_of_file

SUMS_NAME = "SHA256SUMS"

_MODE = 0o644
_SUMS_LINE = re.compile(r"([0-9a-f]{64})  (.+)")
_TIMING_CACHE = "timing.cache"


@dataclass(frozen=True)
class ArchiveContent:
    """What an archive holds.

    Attributes:
        files: SHA-256 of every file of the bundle, by name.
        size_bytes: of the archive.
        sha256: of the archive.
    """

    files: dict[str, str]
    size_bytes: int
    sha256: str


class HashedStream:
    """Bytes on their way, counted and hashed; owned by whoever opened the stream inside."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._digest = hashlib.sha256()
        self.size_bytes = 0

    def read(self, size: int = -1) -> bytes:
        """As the stream's."""
        piece = self._stream.read(size)
        self._note(piece)
        return piece

    def write(self, piece: bytes) -> int:
        """As the stream's."""
        self._stream.write(piece)
        self._note(piece)
        return len(piece)

    def _note(self, piece: bytes) -> None:
        self._digest.update(piece)
        self.size_bytes += len(piece)

    @property
    def sha256(self) -> str:
        """Of the bytes that have passed."""
        return self._digest.hexdigest()


def pack_bundle(folder: Path, stream: BinaryIO, *, engines: bool = False) -> ArchiveContent:
    """Write a bundle as an archive.

    Every hash is checked before the first byte is written. Files that the manifest does not name
    are left out.

    Args:
        folder: the bundle.
        stream: to write to; need not be seekable.
        engines: take the engines along. They run on the kind of GPU and the TensorRT that they were
            built with and nowhere else.

    Raises:
        BundleError: if the bundle cannot be read, a file changed since it was made or while it
            was packed, or a name cannot be listed.
        EngineError: if engines are asked for and there are none, or one is not whole.
        OSError: if the stream cannot be written.
    """
    sums = verified_sums(open_bundle(folder))
    if engines:
        sums |= _engine_sums(folder)
    listing = sums_to_text(sums).encode()
    hashed = HashedStream(stream)
    out = cast(IO[bytes], hashed)
    with tarfile.open(mode="w|", fileobj=out, format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(_member(SUMS_NAME, len(listing)), io.BytesIO(listing))
        for name, digest in sums.items():
            with (folder / name).open("rb") as file:
                source, size = HashedStream(file), os.fstat(file.fileno()).st_size
                archive.addfile(_member(name, size), cast(IO[bytes], source))
            if source.sha256 != digest:
                raise BundleError(
                    f"{str(folder / name)!r} changed while it was packed, expected nobody to "
                    "export, calibrate or build at the same time; run the command again when that "
                    "is done"
                )
    return ArchiveContent(sums, hashed.size_bytes, hashed.sha256)


def verified_sums(bundle: Bundle) -> dict[str, str]:
    """SHA-256 of every file of a bundle, the manifest first, after all of them were read.

    Raises:
        BundleError: if a file is missing or changed, or has a name that cannot be listed.
    """
    manifest = bundle.manifest
    named = dict(manifest.files) | {item.file: item.sha256 for item in manifest.artifacts}
    for name in sorted(named):
        if not is_name_inside(name) or name == SUMS_NAME:
            raise BundleError(
                f"the bundle {str(bundle.path)!r} names the file {name!r}, expected a plain name "
                "that an archive can list; rename it"
            )
        bundle.verified(name)
    first = {MANIFEST_NAME: sha256_of_file(bundle.path / MANIFEST_NAME)}
    return first | {name: named[name] for name in sorted(named)}


def sums_to_text(sums: dict[str, str]) -> str:
    """Lines as `sha256sum` writes and reads them."""
    return "".join(f"{digest}  {name}\n" for name, digest in sums.items())


def sums_from_bytes(content: bytes) -> dict[str, str]:
    """Read lines of `sha256sum`.

    Raises:
        BundleError: if a line has another form, leads out of the bundle, or repeats a name.
    """
    sums: dict[str, str] = {}
    for line in content.decode("utf-8", errors="replace").split("\n")[:-1]:
        match = _SUMS_LINE.fullmatch(line)
        if match is None or not is_name_inside(match[2]) or match[2] in sums:
            raise BundleError(
                f"the list {SUMS_NAME} of the archive has the line {line[:100]!r}, expected a "
                "SHA-256, two spaces and a new name inside the bundle; pack the bundle again"
            )
        sums[match[2]] = match[1]
    return sums


def is_name_inside(name: str) -> bool:
    """Whether a name leads to a place inside the folder it is put into, and is written plainly."""
    path = PurePosixPath(name)
    plain = str(path) == name and "\\" not in name and name.isprintable()
    return plain and bool(path.parts) and not path.is_absolute() and ".." not in path.parts


def _member(name: str, size_bytes: int) -> tarfile.TarInfo:
    # A new TarInfo has owner 0, no owner's name and the time 0.
    member = tarfile.TarInfo(name)
    member.size, member.mode = size_bytes, _MODE
    return member


def _engine_sums(folder: Path) -> dict[str, str]:
    """Records with their plans, and the timings that make the next build quick."""
    sums: dict[str, str] = {}
    for record_path in sorted((folder / ENGINES_FOLDER).glob("*/[!.]*.json")):
        plan = record_path.with_suffix(".plan")
        record = read_engine_record(record_path)
        if not plan.is_file() or sha256_of_file(plan) != record.plan_sha256:
            raise EngineError(
                f"the engine {str(plan)!r} is missing or has other bytes than its record says, "
                "expected it as it was built; run 'edge-arm build', or pack without --engines"
            )
        files = [record_path, plan, record_path.with_name(_TIMING_CACHE)]
        sums |= {
            file.relative_to(folder).as_posix(): sha256_of_file(file)
            for file in files
            if file.is_file()
        }
    if not sums:
        raise EngineError(
            f"the bundle {str(folder)!r} has no engines, expected one for --engines; build it with "
            "'edge-arm build', or pack without --engines"
        )
    return dict(sorted(sums.items()))
