"""What a calibration that was cut off leaves in a bundle, and who may remove it.

1. `.calibrate-*`: the folder in which a calibration prepares its files. It is locked while its
   calibration runs; the operating system gives the lock back when a process ends, however it ends.
   So an unlocked one is nobody's.
2. `.calibration-pass.npz` and `.calibration-second-pass.npz`: how far an interrupted pass over the
   faces is, for the next calibration to go on with.
3. `.NAME.0123abcd.SUFFIX`: a file that was being written, see `storage.written_atomically`.

None of them is part of the bundle. Devices and reports never look at them.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import Enum
from pathlib import Path
from tempfile import mkdtemp

STAGING_PREFIX = ".calibrate-"
PASS_STATE_NAME = ".calibration-pass.npz"
SECOND_PASS_STATE_NAME = ".calibration-second-pass.npz"
"""Of the pass over the equalized model."""
_STATES = frozenset({PASS_STATE_NAME, SECOND_PASS_STATE_NAME})

_HALF_WRITTEN = re.compile(r"\..+\.[0-9a-f]{8}(\.\w+)?")
_HALF_WRITTEN_SECONDS = 60.0
"""Nobody writes one file for longer than this without touching it."""


class _Lock(Enum):
    OURS = "ours"
    OF_ANOTHER = "of another process"
    UNKNOWN = "unknown"
    """Some network file systems know no locks: nothing is cleared away there."""


def is_leftover(path: Path) -> bool:
    """Whether something in a bundle is left of a calibration that has ended, and so no one's.

    Args:
        path: of a file or folder in the bundle.
    """
    if _is_staging(path):
        return _lock_of(path) is _Lock.OURS
    return path.name in _STATES or bool(_HALF_WRITTEN.fullmatch(path.name))


def is_used(path: Path) -> bool:
    """Whether something in a bundle says that a calibration is running there now.

    Args:
        path: of a file or folder in the bundle.
    """
    return _is_staging(path) and _lock_of(path) is _Lock.OF_ANOTHER


@contextmanager
def staging_in(bundle_path: Path) -> Iterator[Path]:
    """A locked temporary folder inside a bundle; those that nobody uses any more are removed.

    Args:
        bundle_path: of the bundle.

    Raises:
        OSError: if the operating system refuses.
    """
    # Between its making and its lock a folder looks abandoned, so only one process at a time
    # makes one or clears them away.
    with _locked(bundle_path):
        _clear(bundle_path)
        staging = Path(mkdtemp(prefix=STAGING_PREFIX, dir=bundle_path))
        held = _open(staging)
        _lock(held, fcntl.LOCK_EX)
    try:
        yield staging
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        os.close(held)


def forget_pass(bundle_path: Path) -> None:
    """Remove the state of a pass that is not needed any more.

    Args:
        bundle_path: of the bundle.
    """
    for name in sorted(_STATES):
        with suppress(OSError):
            (bundle_path / name).unlink(missing_ok=True)


def _clear(bundle_path: Path) -> None:
    for path in bundle_path.glob(".*"):
        if _is_staging(path) and is_leftover(path):
            shutil.rmtree(path, ignore_errors=True)
        elif _HALF_WRITTEN.fullmatch(path.name):
            with suppress(OSError):  # its writer may just have renamed it
                if time.time() - path.stat().st_mtime > _HALF_WRITTEN_SECONDS:
                    path.unlink()


def _is_staging(path: Path) -> bool:
    return path.name.startswith(STAGING_PREFIX) and path.is_dir()


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    held = _open(folder)
    try:
        _lock(held, fcntl.LOCK_EX)
        yield
    finally:
        os.close(held)


def _lock_of(folder: Path) -> _Lock:
    held = _open(folder)
    try:
        return _lock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(held)


def _open(folder: Path) -> int:
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY)


def _lock(held: int, operation: int) -> _Lock:
    try:
        fcntl.flock(held, operation)
    except BlockingIOError:
        return _Lock.OF_ANOTHER
    except OSError:
        return _Lock.UNKNOWN
    return _Lock.OURS
