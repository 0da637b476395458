"""Is this file still the one that was hashed? Told without reading it, where that is safe.

A stamp is a file's size and the times of its last change of content and of state (mtime, ctime).
Unlike the first time the second cannot be set back by `cp -p`, `rsync -t` or unpacking an archive,
so a file with the recorded stamp has the recorded content. A file with another stamp may have the
same content (it was copied, its rights were changed): only its hash can tell.

Shapes: M files.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge_arm.runtime.errors import ImageError
from edge_arm.runtime.preprocess import Uint8Array
from edge_arm.runtime.storage import sha256_of_file

Int64Array = npt.NDArray[np.int64]

NO_STAMP = -1
"""Stands for each of the three numbers where there is no stamp to trust; equal to no real one."""
UNSURE_SECONDS = 2.0
"""The coarsest clock of a file system in use (FAT's)."""


def stamps_of(paths: Sequence[Path]) -> Int64Array:
    """Stamps of pictures, asked for many at a time because a network drive takes its time.

    Args:
        paths: M.

    Returns:
        (M, 3) bytes, ns, ns.

    Raises:
        ImageError: for a file that is not there.
    """
    threads = min(4 * (os.cpu_count() or 1), len(paths))
    stamps = np.empty((len(paths), 3), np.int64)
    if not threads:
        return stamps
    with ThreadPoolExecutor(threads, thread_name_prefix="stamp") as pool:
        # One task per thread: a task per file would cost more than the question itself.
        parts = pool.map(_stamps_in_turn, [paths[thread::threads] for thread in range(threads)])
        for thread, part in enumerate(parts):
            stamps[thread::threads] = part
    return stamps


def stamp_of(path: Path) -> Int64Array:
    """(3,) stamp of one file; `NO_STAMP` three times if it is not there."""
    try:
        stat = path.stat()
    except OSError:
        return np.full(3, NO_STAMP, np.int64)
    return np.array([stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns], np.int64)


def trusted(stamps: Int64Array) -> Int64Array:
    """Stamps worth recording: those of files that have been left alone for two seconds.

    A change within the same tick of the file system's clock as the recorded one would not show.

    Args:
        stamps: (M, 3), just taken, before the files are read.

    Returns:
        (M, 3), `NO_STAMP` for files that changed just now (or in the future, by their clock).
    """
    latest = time.time_ns() - int(UNSURE_SECONDS * 1e9)
    result = stamps.copy()
    result[stamps[:, 1:].max(axis=1) > latest] = NO_STAMP
    return result


def hashes_of(paths: Sequence[Path]) -> Uint8Array:
    """SHA-256 of files, as many at a time as there are cores.

    Args:
        paths: M.

    Returns:
        (M, 32) uint8.
    """
    with ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="hash") as pool:
        return hashes_from_hex(list(pool.map(sha256_of_file, paths)))


def hashes_from_hex(values: Sequence[str]) -> Uint8Array:
    """(M, 32) uint8 from M hex strings."""
    return np.frombuffer(bytes.fromhex("".join(values)), np.uint8).reshape(-1, 32)


def _stamps_in_turn(paths: Sequence[Path]) -> Int64Array:
    stamps = np.stack([stamp_of(path) for path in paths])
    gone = np.flatnonzero(stamps[:, 0] == NO_STAMP)
    if len(gone):
        raise ImageError(
            f"{str(paths[int(gone[0])])!r} is not there any more, expected a picture; restore the "
            "file or take it off the list"
        )
    return stamps
