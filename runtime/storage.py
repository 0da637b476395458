"""Writing results so that a reader never meets half of one.

Everything is written under a temporary name in the same folder and renamed into place, because
only a rename inside one file system is atomic. If anything goes wrong (disk full, interrupt) the
temporary file is removed and the old content stays.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from edge_arm.runtime.errors import StorageError

_REASONS = {
    errno.ENOSPC: "the disk is full; free some space",
    errno.EDQUOT: "the disk quota is used up; free some space",
    errno.EROFS: "the file system is read-only; choose another place",
    errno.EACCES: "permission is denied; choose another place or change its rights",
    errno.EPERM: "permission is denied; choose another place or change its rights",
    errno.EFBIG: "the file would be larger than this system allows; choose another place",
    errno.ENOTDIR: "a part of the path is a file; choose another place",
    errno.EEXIST: "a part of the path is a file; choose another place",
    errno.ENOTEMPTY: "a folder of that name has content; remove it or choose another name",
    errno.EISDIR: "it is a folder; choose another name",
    errno.ENAMETOOLONG: "the name is too long; choose a shorter one",
}


def storage_error(path: Path, error: OSError) -> StorageError:
    """A `StorageError` that says in words why `path` could not be written.

    Args:
        path: the final name, as the user knows it.
        error: what the operating system said.
    """
    reason = _REASONS.get(error.errno or 0, f"{error.strerror or error}; choose another place")
    return StorageError(f"cannot write {str(path)!r}: {reason}, then run the command again")


@contextmanager
def written_atomically(path: Path) -> Iterator[Path]:
    """A temporary file name that becomes `path` when the block ends without an error.

    The parent folders are made. A writer may call libraries that open the name themselves.

    Args:
        path: final name of the file; replaced if it exists.

    Yields:
        The temporary name, in the same folder and with the same suffix.

    Raises:
        StorageError: if the operating system refuses the write, or the name is a device or pipe.
    """
    temporary = _temporary_name(path)
    _require_plain_file(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        _flush_to_disk(temporary)
        temporary.replace(path)
    except OSError as error:
        raise storage_error(path, error) from error
    finally:
        # Where the folder itself is the trouble, removing fails too and would hide the reason.
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextmanager
def folder_written_atomically(path: Path) -> Iterator[Path]:
    """A temporary folder that becomes `path` when the block ends without an error.

    Args:
        path: final name of the folder; must not exist, or be empty.

    Yields:
        The temporary folder, beside the final one.

    Raises:
        StorageError: if the operating system refuses the write, or `path` is taken.
    """
    temporary = _temporary_name(path)
    try:
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise StorageError(
                f"{str(path)!r} already exists and is not empty, expected a new folder; "
                "remove it or choose another name"
            )
        temporary.mkdir(parents=True)
        yield temporary
        if path.is_dir():
            path.rmdir()
        temporary.rename(path)
    except OSError as error:
        raise storage_error(path, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def require_result_places(paths: Sequence[Path]) -> None:
    """Refuse names that cannot become the files of one run, before the work is done in vain.

    What only the write itself can tell, such as a full disk, is left to it.

    Args:
        paths: of the results that are to be written.

    Raises:
        StorageError: if a name is a folder, passes through a file, lies where nothing may be
            written, or is given twice.
    """
    seen: dict[Path, Path] = {}
    for path in paths:
        _temporary_name(path)  # refuses a path that ends in no name
        _require_plain_file(path)
        if path.is_dir():
            raise storage_error(path, OSError(errno.EISDIR, ""))
        above = next(folder for folder in path.absolute().parents if folder.exists())
        if not above.is_dir():
            raise storage_error(path, OSError(errno.ENOTDIR, ""))
        if not os.access(above, os.W_OK):
            read_only = os.statvfs(above).f_flag & os.ST_RDONLY
            raise storage_error(path, OSError(errno.EROFS if read_only else errno.EACCES, ""))
        earlier = seen.setdefault(path.resolve(), path)
        if earlier is not path:
            raise StorageError(
                f"got {str(earlier)!r} and {str(path)!r} for two results, expected a file for "
                "each: the second would replace the first; choose another name"
            )


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file atomically.

    Raises:
        StorageError: if the operating system refuses the write.
    """
    with written_atomically(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically, indented and with a final newline, for people to read and diff.

    NaN and infinities are refused, because JSON has neither and other readers stop at them.

    Raises:
        StorageError: if the operating system refuses the write.
    """
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def sha256_of_file(path: Path) -> str:
    """Hex SHA-256 of a file's bytes, read in pieces so that large models need no memory."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def _temporary_name(path: Path) -> Path:
    if not path.name or path.name == "..":
        raise StorageError(
            f"got {str(path)!r} as the name of a result, expected one that ends in a new name; "
            "write the name out"
        )
    # Writers such as NumPy's and matplotlib's go by the suffix, so it stays.
    return path.with_name(f".{path.stem}.{uuid.uuid4().hex[:8]}{path.suffix}")


def _require_plain_file(path: Path) -> None:
    # A rename would put a file in the device's place: for root, /dev/null is gone for everybody.
    # /dev/stdout is a link into /proc, which the rename would replace as well.
    try:
        special = path.exists() and not path.is_file() and not path.is_dir()
        open_file = path.is_symlink() and path.readlink().is_relative_to("/proc")
    except OSError as error:
        raise storage_error(path, error) from error
    if special or open_file:
        raise StorageError(
            f"got {str(path)!r} as the name of a result, which is a device, a pipe or an open "
            "file, expected the name of a plain file; choose one, then run the command again"
        )


def _flush_to_disk(path: Path) -> None:
    # A power cut after a rename but before the data reached the disk leaves an empty file under
    # the final name (common on a Jetson's eMMC): the data must be there first.
    with path.open("rb+") as file:
        os.fsync(file.fileno())
