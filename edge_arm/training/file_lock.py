"""Only one process at a time, or several that only read: flock, which ends with the process.

A lock that is a file to be removed stays behind when its process is killed; this one cannot.
"""

from __future__ import annotations

import fcntl
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path

from edge_arm.runtime.storage import storage_error

POLL_SECONDS = 0.2
"""How often a lock is asked for: in between, Ctrl-C ends the wait."""

_log = logging.getLogger(__name__)


class Hold(Enum):
    """Who else may hold the lock meanwhile."""

    ALONE = fcntl.LOCK_EX
    WITH_READERS = fcntl.LOCK_SH


@contextmanager
def locked(path: Path, hold: Hold, *, waiting: str) -> Iterator[None]:
    """Hold a lock while the block runs.

    Args:
        path: of a file that is made, left empty and never removed.
        hold: alone, or together with others that only read.
        waiting: logged once if the lock is not free.

    Raises:
        StorageError: if the file cannot be made or its file system has no locks.
    """
    try:
        file = path.open("a")
    except OSError as error:
        raise storage_error(path, error) from error
    with file:
        told = False
        while True:
            try:
                fcntl.flock(file, hold.value | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not told:
                    _log.info("%s", waiting)
                    told = True
                time.sleep(POLL_SECONDS)
            except OSError as error:
                raise storage_error(path, error) from error
        yield
