"""Putting a new bundle where an old one may be, without ever losing a file that is not ours."""

from __future__ import annotations

import logging
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge_arm.runtime.errors import BundleError, StorageError
from edge_arm.runtime.leftovers import is_leftover, is_used
from edge_arm.runtime.manifest import MANIFEST_NAME, Precision, open_bundle
from edge_arm.runtime.storage import storage_error

_ENGINES = "engines"
_log = logging.getLogger(__name__)


@contextmanager
def bundle_folder(path: Path) -> Iterator[Path]:
    """A temporary folder that becomes the bundle when the block ends without an error.

    Whether that will be allowed is found out first, before minutes of work.

    Args:
        path: of the bundle. It may be new, empty, or a bundle, which is replaced as a whole: what
            was calibrated or built from its old weights must not stay beside new ones.

    Yields:
        The temporary folder, beside the final one.

    Raises:
        StorageError: if it cannot be written, or the folder holds files of somebody else.
    """
    _require_replaceable(path)
    mark = uuid.uuid4().hex[:8]
    new, old = (
        path.with_name(f".{path.name}.{mark}.new"),
        path.with_name(f".{path.name}.{mark}.old"),
    )
    try:
        new.mkdir(parents=True)
        yield new
        if path.exists():
            path.rename(old)
        new.rename(path)
    except OSError as error:
        raise storage_error(path, error) from error
    finally:
        if old.exists() and not path.exists():  # stopped between the two renames
            old.rename(path)
        shutil.rmtree(new, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)


def _require_replaceable(path: Path) -> None:
    try:
        if path.exists() and not path.is_dir():
            raise StorageError(
                f"{str(path)!r} is a file, expected a folder for the bundle; choose another --out"
            )
        names = sorted(item.name for item in path.iterdir()) if path.is_dir() else []
    except OSError as error:
        raise storage_error(path, error) from error
    if not names:
        return
    if MANIFEST_NAME not in names:
        raise StorageError(
            f"the folder {str(path)!r} holds {_listed(names)} and is no bundle, expected a new or "
            "empty folder or a bundle; choose another --out"
        )
    try:
        manifest = open_bundle(path).manifest
    except BundleError as error:
        raise StorageError(
            f"the folder {str(path)!r} cannot be replaced, because it may not be a bundle "
            f"({error}); remove it or choose another --out"
        ) from error
    ours = {MANIFEST_NAME, _ENGINES, *manifest.files, *(item.file for item in manifest.artifacts)}
    if any(is_used(path / name) for name in names):
        raise StorageError(
            f"a calibration is running in the bundle {str(path)!r}, expected nobody to use it, "
            "because all of it is replaced; wait until it is done, or choose another --out"
        )
    names = [name for name in names if name in ours or not is_leftover(path / name)]
    if foreign := [name for name in names if name not in ours]:
        raise StorageError(
            f"the bundle {str(path)!r} also holds {_listed(foreign)}, expected only files that its "
            "manifest names, because all of it is replaced; move them away or choose another --out"
        )
    lost = [_ENGINES] if _ENGINES in names else []
    lost += ["int8"] if Precision.INT8 in manifest.precisions() else []
    if lost:
        _log.warning(
            "the bundle %s is replaced: its %s belonged to the old export, make them again",
            path,
            " and ".join(lost),
        )


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(repr(name) for name in names[:3]) + more
