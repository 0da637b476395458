"""Reading a bundle's archive: byte after byte, and nothing stays unless all of it is right.

The archive may come from a pipe, so it is read once and in order. It is not trusted: only plain
files with the names that the list at its beginning gives are taken, each once, each with its hash;
no link, device, folder, absolute name or way out of the folder is followed or made.

A hash that travels with its file finds damage, not malice. For that, compare the SHA-256 of the
archive with the one that was printed where it was packed.
"""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import IO, BinaryIO, cast

from edge_arm.runtime.bundle_archive import (
    SUMS_NAME,
    ArchiveContent,
    HashedStream,
    sums_from_bytes,
)
from edge_arm.runtime.engine_record import ENGINES_FOLDER
from edge_arm.runtime.errors import BundleError
from edge_arm.runtime.manifest import MANIFEST_NAME, Manifest, manifest_from_bytes
from edge_arm.runtime.storage import folder_written_atomically

LARGEST_LIST_BYTES = 1 << 20
LARGEST_MANIFEST_BYTES = 16 << 20
LARGEST_OTHER_BYTES = 1 << 30
"""Of a file whose size the manifest does not tell: of all but the models."""

LARGEST_HEADER_BYTES = 1 << 20
"""Between two files: tarfile keeps a header whole in memory, whatever size it claims to have."""

_PIECE_BYTES = 1 << 20
_BROKEN = (tarfile.TarError, ValueError, OverflowError, EOFError)
"""What tarfile raises about bytes that are no tar."""
_ENGINES = f"{ENGINES_FOLDER}/"
_AGAIN = "copy it again, or pack it again with 'edge-arm bundle pack'"

OpenSink = Callable[[str], AbstractContextManager[IO[bytes] | None]]
"""Opens the place for the bytes of a file of the bundle; None where nothing is to be kept."""


def unpack_archive(stream: BinaryIO, out: Path, *, sha256: str | None = None) -> ArchiveContent:
    """Make a bundle from an archive.

    Args:
        stream: the archive; need not be seekable.
        out: folder of the bundle; must not exist, or be empty.
        sha256: that the archive must have, if it is known.

    Raises:
        BundleError: if the archive is damaged, incomplete, holds something that it should not, or
            is of a version that this edge-arm cannot read. Then nothing is left behind.
        StorageError: if the operating system refuses the write, or `out` is taken.
    """
    with folder_written_atomically(out) as temporary:

        @contextmanager
        def opened(name: str) -> Iterator[IO[bytes]]:
            path = temporary / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as file:
                yield file
                # A device may lose its power at any time, and the new name must not outlive the
                # bytes.
                file.flush()
                os.fsync(file.fileno())

        content = _read_archive(stream, opened)
        _require_sha256(content, sha256)
    return content


def verify_archive(stream: BinaryIO, *, sha256: str | None = None) -> ArchiveContent:
    """Read an archive as `unpack_archive` does, and write nothing.

    Args:
        stream: the archive; need not be seekable.
        sha256: that the archive must have, if it is known.

    Raises:
        BundleError: as in `unpack_archive`.
    """
    content = _read_archive(stream, lambda name: nullcontext())
    _require_sha256(content, sha256)
    return content


def _read_archive(stream: BinaryIO, opened: OpenSink) -> ArchiveContent:
    hashed = HashedStream(stream)
    members = _Members(hashed)
    sums = _read_list(members)
    manifest = _read_manifest(members, sums, opened)
    sizes = {item.file: item.size_bytes for item in manifest.artifacts}
    seen = {MANIFEST_NAME}
    while (member := members.next()) is not None:
        if member.name not in sums or member.name in seen:
            which = "twice" if member.name in seen else f"and {SUMS_NAME} does not list it"
            raise BundleError(
                f"the archive holds {member.name!r} {which}, expected only the files of the "
                f"bundle, each once; {_AGAIN}"
            )
        exact = sizes.get(member.name)
        if exact is not None and member.size != exact:
            raise _wrong_size(member, f"{exact} as the manifest says")
        if exact is None and member.size > LARGEST_OTHER_BYTES:
            raise _wrong_size(member, f"at most {LARGEST_OTHER_BYTES}")
        with opened(member.name) as sink:
            members.copy(member, sums[member.name], sink)
        seen.add(member.name)
    if missing := sorted(sums.keys() - seen):
        raise BundleError(
            f"the archive ends before {', '.join(map(repr, missing[:3]))} ({len(missing)} of "
            f"{len(sums)} files are missing), expected all that {SUMS_NAME} lists; {_AGAIN}"
        )
    # Whoever writes into a pipe must not find it closed, and the hash is of all that came.
    while hashed.read(_PIECE_BYTES):
        pass
    return ArchiveContent(sums, hashed.size_bytes, hashed.sha256)


class _MeteredStream:
    """The archive as tarfile gets it: all that a file needs, and little for what is between."""

    def __init__(self, stream: HashedStream) -> None:
        self._stream = stream
        self._left: int | None = None

    @contextmanager
    def between_files(self) -> Iterator[None]:
        """No more than a header may be read while the block runs."""
        self._left = LARGEST_HEADER_BYTES
        try:
            yield
        finally:
            self._left = None

    def read(self, size: int) -> bytes:
        """As the stream's."""
        piece = self._stream.read(size)
        if self._left is not None:
            self._left -= len(piece)
            if self._left < 0:
                raise BundleError(
                    f"the archive has a header of more than {LARGEST_HEADER_BYTES} bytes, expected "
                    f"the name and the size of a file in it; {_AGAIN}"
                )
        return piece


class _Members:
    """The members of a tar that is read once, plain files all; a broken tar in our words."""

    def __init__(self, stream: HashedStream) -> None:
        self._stream = _MeteredStream(stream)
        source = cast(IO[bytes], self._stream)
        try:
            # Nothing to close: the stream is the caller's.
            with self._stream.between_files():
                self._tar = tarfile.open(mode="r|", fileobj=source)  # noqa: SIM115
        except (*_BROKEN, OSError) as error:
            raise BundleError(
                f"this is no archive of a bundle ({error}), expected a tar file made by "
                f"'edge-arm bundle pack'; {_AGAIN}"
            ) from error

    def next(self) -> tarfile.TarInfo | None:
        try:
            with self._stream.between_files():
                member = self._tar.next()
        except (*_BROKEN, OSError) as error:
            raise _broken(error) from error
        # A sparse file counts as a plain one, and unpacks to more than is in the archive.
        if member is not None and (not member.isreg() or member.issparse()):
            raise BundleError(
                f"the archive holds {member.name!r}, which is a link, a folder, a device or a "
                f"sparse file, expected plain files alone; {_AGAIN}"
            )
        return member

    def copy(self, member: tarfile.TarInfo, sha256: str, sink: IO[bytes] | None) -> None:
        """The bytes of a member into the sink; refused if they are not the right ones."""
        digest = hashlib.sha256()
        for piece in self.pieces(member):
            digest.update(piece)
            if sink is not None:
                sink.write(piece)
        if digest.hexdigest() != sha256:
            raise BundleError(
                f"{member.name!r} has the SHA-256 {digest.hexdigest()[:12]}... in the archive, "
                f"expected {sha256[:12]}...: it was damaged; {_AGAIN}"
            )

    def pieces(self, member: tarfile.TarInfo) -> Iterator[bytes]:
        """The bytes of a member."""
        file = self._tar.extractfile(member)
        assert file is not None, "a plain file has bytes"
        while True:
            try:
                piece = file.read(_PIECE_BYTES)
            except (*_BROKEN, OSError) as error:
                raise _broken(error) from error
            if not piece:
                return
            yield piece


def _read_list(members: _Members) -> dict[str, str]:
    member = members.next()
    if member is None or member.name != SUMS_NAME:
        found = "nothing" if member is None else repr(member.name)
        raise BundleError(
            f"the archive begins with {found}, expected {SUMS_NAME} as 'edge-arm bundle pack' "
            f"writes it; {_AGAIN}"
        )
    if member.size > LARGEST_LIST_BYTES:
        raise _wrong_size(member, f"at most {LARGEST_LIST_BYTES}")
    return sums_from_bytes(b"".join(members.pieces(member)))


def _read_manifest(members: _Members, sums: dict[str, str], opened: OpenSink) -> Manifest:
    member = members.next()
    if member is None or member.name != MANIFEST_NAME or MANIFEST_NAME not in sums:
        raise BundleError(
            f"the archive has no {MANIFEST_NAME} behind {SUMS_NAME}, expected what a bundle "
            f"begins with; {_AGAIN}"
        )
    if member.size > LARGEST_MANIFEST_BYTES:
        raise _wrong_size(member, f"at most {LARGEST_MANIFEST_BYTES}")
    kept = io.BytesIO()
    members.copy(member, sums[MANIFEST_NAME], kept)
    manifest = manifest_from_bytes(kept.getvalue(), f"{MANIFEST_NAME} of the archive")
    named = manifest.files | {item.file: item.sha256 for item in manifest.artifacts}
    for name, digest in named.items():
        if sums.get(name) != digest:
            listed = f"{sums[name][:12]}..." if name in sums else "nothing"
            raise BundleError(
                f"the manifest of the archive names {name!r} with the SHA-256 {digest[:12]}... and "
                f"{SUMS_NAME} has {listed} for it, expected the same in both; {_AGAIN}"
            )
    for name in sums:
        if name not in named and name != MANIFEST_NAME and not name.startswith(_ENGINES):
            raise BundleError(
                f"{SUMS_NAME} of the archive lists {name!r}, which the manifest does not name, "
                f"expected the files of the bundle and its engines alone; {_AGAIN}"
            )
    with opened(MANIFEST_NAME) as sink:
        if sink is not None:
            sink.write(kept.getvalue())
    return manifest


def _require_sha256(content: ArchiveContent, expected: str | None) -> None:
    if expected is not None and content.sha256 != expected.lower():
        raise BundleError(
            f"the archive has the SHA-256 {content.sha256}, expected {expected}: it is another one "
            f"than was packed; {_AGAIN}"
        )


def _wrong_size(member: tarfile.TarInfo, expected: str) -> BundleError:
    return BundleError(
        f"{member.name!r} has {member.size} bytes in the archive, expected {expected}; {_AGAIN}"
    )


def _broken(error: Exception) -> BundleError:
    return BundleError(
        f"the archive breaks off or is damaged ({error}), expected it whole; {_AGAIN}"
    )
