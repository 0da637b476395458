"""Kernel timings kept between builds, so that the second build of a device takes seconds.

A timing cache belongs to one GPU and one TensorRT. One that does not fit is no reason to stop, but
it is said, because the user then waits for a whole build.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_arm.runtime.errors import StorageError
from edge_arm.runtime.storage import written_atomically
from edge_arm.runtime.tensorrt_library import TensorRT

TIMING_CACHE_NAME = "timing.cache"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TimingCacheFile:
    """Where timings are read and written.

    Attributes:
        path: of the file; it need not exist.
        beside_engine: path that is written instead, if the file turns out not to fit: a file that
            a user named is never overwritten by something that does not continue it.
    """

    path: Path
    beside_engine: Path


def timing_cache_file(folder: Path, named: Path | None) -> TimingCacheFile:
    """The cache of a build.

    Args:
        folder: of the engine.
        named: by the user, or None.

    Raises:
        StorageError: if the one that was named cannot be there.
    """
    beside = folder / TIMING_CACHE_NAME
    if named is not None and (named.is_dir() or not named.absolute().parent.is_dir()):
        raise StorageError(
            f"got --timing-cache {str(named)!r}, expected a file in a folder that exists; "
            "make the folder or choose another name"
        )
    return TimingCacheFile(named or beside, beside)


def attach_timing_cache(
    tensorrt: TensorRT, builder_config: Any, file: TimingCacheFile, *, fresh: bool = False
) -> Path:
    """Give a build the timings of earlier ones.

    Args:
        tensorrt: that builds.
        builder_config: IBuilderConfig of the build.
        file: to read.
        fresh: time every kernel again, for a second opinion.

    Returns:
        Where the timings are to be written after the build.

    Raises:
        StorageError: if a file is there and cannot be read.
    """
    content = b"" if fresh else _read(file.path)
    tensorrt.log.forget()
    cache = builder_config.create_timing_cache(content)
    if _was_read(builder_config, cache, content) and builder_config.set_timing_cache(cache, False):
        return file.path
    reason = tensorrt.log.why() if tensorrt.log.errors else "it is of another GPU or TensorRT"
    _log.warning(
        "the timing cache %s is not used (%s): every kernel is timed anew, and the timings go to "
        "%s",
        file.path,
        reason,
        file.beside_engine,
    )
    tensorrt.log.forget()
    cache = builder_config.create_timing_cache(b"")
    builder_config.set_timing_cache(cache, False)
    return file.beside_engine


def timings_of(builder_config: Any) -> bytes:
    """The timings that a finished build leaves."""
    cache = builder_config.get_timing_cache()
    return b"" if cache is None else bytes(cache.serialize())


def write_timings(path: Path, content: bytes) -> None:
    """Write a timing cache atomically.

    Raises:
        StorageError: if the operating system refuses the write.
    """
    with written_atomically(path) as temporary:
        temporary.write_bytes(content)


def _was_read(builder_config: Any, cache: Any, content: bytes) -> bool:
    # Of bytes that are no cache TensorRT makes an empty one and no error (seen with the bindings of
    # TensorRT-RTX 1.7.1), so a cache that ought to hold something is compared with an empty one.
    if not content:
        return True
    if cache is None:
        return False
    empty = bytes(builder_config.create_timing_cache(b"").serialize())
    return content == empty or bytes(cache.serialize()) != empty


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes() if path.exists() else b""
    except OSError as error:
        raise StorageError(
            f"cannot read the timing cache {str(path)!r} ({error.strerror}); remove it or name "
            "another one with --timing-cache"
        ) from error
