"""The folder of one device's engines: one builder at a time, and never half an engine.

A plan is written under a name of its own and renamed when it was accepted, its record last; a
reader goes by the record. So a build that is cut off leaves at most a file that the next one
removes, and the engine of before.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from edge_arm.runtime.engine_record import EngineRecord, write_engine_record
from edge_arm.runtime.errors import EngineError, StorageError
from edge_arm.runtime.storage import storage_error, written_atomically

_LOCK_NAME = ".lock"
_TRIAL = ".trial-"


@dataclass(frozen=True)
class EngineFolder:
    """A folder that this process alone builds into.

    Attributes:
        path: of the folder.
    """

    path: Path

    def write_trial(self, stem: str, number: int, plan: bytes) -> Path:
        """Write a plan that is not accepted yet.

        Args:
            stem: of the engine, see `engine_stem`.
            number: of the build.
            plan: its bytes.

        Raises:
            StorageError: if the operating system refuses the write.
        """
        path = self.path / f"{_TRIAL}{stem}-{number}.plan"
        with written_atomically(path) as temporary:
            temporary.write_bytes(plan)
        return path

    def keep(self, trial: Path, stem: str, record: EngineRecord) -> Path:
        """Make a trial the engine; the one that was there goes.

        Args:
            trial: an accepted plan.
            stem: of the engine.
            record: of the trial.

        Returns:
            Path of the plan.

        Raises:
            StorageError: if the operating system refuses.
        """
        plan, described = self.path / f"{stem}.plan", self.path / f"{stem}.json"
        try:
            # A record beside a plan that is not its own would be refused by its hash; without a
            # record there is plainly no engine.
            described.unlink(missing_ok=True)
            trial.replace(plan)
        except OSError as error:
            raise storage_error(plan, error) from error
        write_engine_record(described, record)
        return plan


@contextmanager
def engine_folder_alone(path: Path) -> Iterator[EngineFolder]:
    """Lock a folder of engines; plans that were not kept are removed at both ends.

    The operating system gives the lock back when a process ends, however it ends.

    Args:
        path: of the folder; made if needed.

    Raises:
        EngineError: if another process builds into it.
        StorageError: if it cannot be written, or its file system has no locks.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock = (path / _LOCK_NAME).open("w")
    except OSError as error:
        raise storage_error(path, error) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise EngineError(
                f"another process is building into {str(path)!r}, expected to be the only one; "
                "wait until it is done, then run the command again"
            ) from error
        except OSError as error:
            # Some network and container file systems know no locks.
            raise StorageError(
                f"cannot lock {str(path)!r} ({error.strerror}), expected a file system with locks; "
                "copy the bundle to a local disk and build there"
            ) from error
        _remove_trials(path)
        _remove_halves(path)
        try:
            yield EngineFolder(path)
        finally:
            _remove_trials(path)


def _remove_trials(path: Path) -> None:
    # `written_atomically` puts a dot of its own before the name of a file that it has not finished.
    for trial in [*path.glob(f"{_TRIAL}*"), *path.glob(f".{_TRIAL}*")]:
        with suppress(OSError):
            trial.unlink()


def _remove_halves(path: Path) -> None:
    # What a killed build left of a record or of timings, see `written_atomically`.
    for half in path.glob(f".*.{'[0-9a-f]' * 8}.*"):
        with suppress(OSError):
            half.unlink()
