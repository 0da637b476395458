"""Decoded faces kept in a file, so that the second training starts at once and no set needs memory.

AffectNet at 224 pixels is 43 GB and takes minutes to decode; here it is decoded once, and mapped
into memory by every process of every training that follows.

Two files for each set of pictures and size: `NAME.TOKEN.pixels`, the bytes and nothing else, and
`NAME.npz`, which names the first and holds hash and stamp of every file involved. The second is
renamed into place last: without it there is no cache, so nobody meets half of one.

When is it used?
1. Its name is a hash over the identities of the pictures, the size, and what decoded them.
2. Every picture, and the file of pixels, has the recorded stamp (file_stamps.py) or the recorded
   hash. So a copied data set keeps its cache, and a changed picture makes it anew.

Whoever makes a cache holds its lock alone, whoever checks one holds it with others. A cache that
is replaced stays whole for those that have it mapped.

Shapes: M faces in the cache, S input size.
"""

from __future__ import annotations

import json
import logging
import shutil
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import cv2
import numpy as np

from edge_arm.runtime.batches import face_batches
from edge_arm.runtime.errors import BundleError, StorageError
from edge_arm.runtime.faces import FaceIndex
from edge_arm.runtime.npz import read_npz, write_npz
from edge_arm.runtime.preprocess import PreprocessSpec, Uint8Array
from edge_arm.runtime.storage import sha256_of_file, storage_error, written_atomically
from edge_arm.training.file_lock import POLL_SECONDS, Hold, locked
from edge_arm.training.file_stamps import (
    Int64Array,
    hashes_from_hex,
    hashes_of,
    stamp_of,
    stamps_of,
    trusted,
)
from edge_arm.training.mapped_pixels import mapped_pixels

SCHEMA_VERSION = 1
SPARE_BYTES = 64 * 1000**2
"""Left free on the disk, for the record and for what else is written beside a training."""

_DECODE_BATCH = 64
_WAITING = "another process is decoding these faces, waiting for it"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StoredFaces:
    """Decoded pictures, without labels.

    Attributes:
        images_nhwc: (M, S, S, 3) uint8 RGB. A mapped file is mapped privately: writing to it
            changes nothing on the disk.
        file_sha256s: hex, of each picture's file.
    """

    images_nhwc: Uint8Array
    file_sha256s: tuple[str, ...]


@dataclass(frozen=True)
class _Record:
    """What `NAME.npz` holds.

    Attributes:
        pixels_name: of the file with the bytes.
        pixels_sha256: hex, of that file.
        pixels_stamp: (3,) of that file.
        file_sha256s: (M, 32) uint8, of the pictures.
        stamps: (M, 3) of the pictures.
    """

    pixels_name: str
    pixels_sha256: str
    pixels_stamp: Int64Array
    file_sha256s: Uint8Array
    stamps: Int64Array


@dataclass(frozen=True)
class _Cache:
    """Where the cache of some pictures is, whether it exists or not."""

    index: FaceIndex
    spec: PreprocessSpec
    folder: Path
    name: str

    @property
    def record_path(self) -> Path:
        return self.folder / f"{self.name}.npz"

    @property
    def lock_path(self) -> Path:
        return self.folder / f"{self.name}.lock"

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return (len(self.index), self.spec.size, self.spec.size, 3)

    @property
    def size_bytes(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))

    def written(self) -> tuple[int, int] | None:
        """Tells one record from the next; None if there is none."""
        try:
            stat = self.record_path.stat()
        except OSError:
            return None
        return stat.st_ino, stat.st_mtime_ns


def cached_faces(
    index: FaceIndex,
    spec: PreprocessSpec,
    folder: Path,
    *,
    makes: bool = True,
    progress: Callable[[int], None] | None = None,
) -> StoredFaces:
    """The decoded pictures of an index, from the cache or into it.

    Args:
        index: the faces; their labels do not matter here.
        spec: size of the input.
        folder: of all caches; made if it is not there.
        makes: False for a process that leaves the making to another one and waits for it.
        progress: called with numbers of faces that add up to M, whoever decoded them.

    Returns:
        The faces in the order of the index.

    Raises:
        ImageError: for the first picture that cannot be read.
        StorageError: if the cache does not fit on the disk or cannot be written.
    """
    cache = _Cache(index, spec, folder, _name(index, spec))
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise storage_error(folder, error) from error
    checked: tuple[int, int] | None = None
    while True:
        with locked(cache.lock_path, Hold.WITH_READERS, waiting=_WAITING):
            stored = _opened(cache) if cache.written() != checked else None
            checked = cache.written()
        if stored is not None or makes:
            break
        time.sleep(POLL_SECONDS)
    if stored is None:
        with locked(cache.lock_path, Hold.ALONE, waiting=_WAITING):
            # While this process waited for the lock, another one may have made it.
            stored = _opened(cache) if cache.written() != checked else None
            if stored is None:
                return _made(cache, progress)
    if progress is not None:
        progress(len(index))
    return stored


def _name(index: FaceIndex, spec: PreprocessSpec) -> str:
    made_by = (SCHEMA_VERSION, spec.size, spec.interpolation.value, cv2.__version__)
    digest = sha256(f"{made_by}\n".encode())
    for sample in index.samples:
        # All that says which pixels these are, whatever fields a sample has; neither the place on
        # this machine nor the label does.
        identity = replace(sample, path=Path(), target=0)
        digest.update(f"{identity!r}\n".encode())
    return f"{index.name}-{spec.size}-{digest.hexdigest()[:16]}"


def _opened(cache: _Cache) -> StoredFaces | None:
    """The cache, if it holds the pictures as they are now; else None, and the log says why."""
    try:
        record = _read_record(cache)
    except BundleError as error:
        _log.warning("the decoded faces are made anew: %s", error)
        return None
    stamps = stamps_of([sample.path for sample in cache.index.samples])
    worth_recording = trusted(stamps)
    moved = np.flatnonzero((stamps != record.stamps).any(axis=1))
    now = hashes_of([cache.index.samples[position].path for position in moved])
    changed = int((now != record.file_sha256s[moved]).any(axis=1).sum())
    if changed:
        _log.info(
            "%d of %d pictures have changed since they were decoded: decoding again",
            changed,
            len(cache.index),
        )
        return None
    pixels_path = cache.folder / record.pixels_name
    pixels_stamp = stamp_of(pixels_path)
    same = bool((pixels_stamp == record.pixels_stamp).all())
    if pixels_stamp[0] != cache.size_bytes or not (
        same or sha256_of_file(pixels_path) == record.pixels_sha256
    ):
        _log.warning("%r is not as it was written: decoding again", str(pixels_path))
        return None
    if not same or (worth_recording != record.stamps).any():
        # Spares the next start the hashing; this one has what it needs without it.
        with suppress(StorageError):
            _write_record(cache, replace(record, stamps=worth_recording, pixels_stamp=pixels_stamp))
    return _mapped(cache, record)


def _made(cache: _Cache, progress: Callable[[int], None] | None) -> StoredFaces:
    _remove_old(cache)
    free = shutil.disk_usage(cache.folder).free
    needed = cache.size_bytes + SPARE_BYTES
    if free < needed:
        raise StorageError(
            f"{len(cache.index)} decoded faces of {cache.spec.size} pixels need "
            f"{_gigabytes(needed)} in {str(cache.folder)!r}, which has {_gigabytes(free)} free; "
            "free some space, name a folder on another disk with --cache, or take a smaller "
            "--image-size"
        )
    _log.info(
        "decoding %d faces to %d x %d pixels, once: %s in %r, which has %s free; the folder can be "
        "removed when nothing is training",
        len(cache.index),
        cache.spec.size,
        cache.spec.size,
        _gigabytes(cache.size_bytes),
        str(cache.folder),
        _gigabytes(free),
    )
    stamps = trusted(stamps_of([sample.path for sample in cache.index.samples]))
    pixels_path = cache.folder / f"{cache.name}.{uuid.uuid4().hex[:8]}.pixels"
    digest = sha256()
    file_sha256s: list[str] = []
    with written_atomically(pixels_path) as temporary, temporary.open("wb") as file:
        for batch in face_batches(cache.index, cache.spec, _DECODE_BATCH):
            file.write(batch.images_nhwc.data)
            digest.update(batch.images_nhwc.data)
            file_sha256s += batch.sha256s
            if progress is not None:
                progress(len(batch.sha256s))
    record = _Record(
        pixels_path.name,
        digest.hexdigest(),
        stamp_of(pixels_path),
        hashes_from_hex(file_sha256s),
        stamps,
    )
    _write_record(cache, record)
    return _mapped(cache, record)


def _mapped(cache: _Cache, record: _Record) -> StoredFaces:
    path = cache.folder / record.pixels_name
    try:
        with path.open("rb") as file:
            images = mapped_pixels(file, cache.shape)
    except (OSError, ValueError) as error:
        raise StorageError(
            f"cannot map {str(path)!r} into memory ({error}), expected a file of "
            f"{_gigabytes(cache.size_bytes)}; name a folder on another disk with --cache"
        ) from error
    return StoredFaces(images, tuple(bytes(value).hex() for value in record.file_sha256s))


def _read_record(cache: _Cache) -> _Record:
    arrays = read_npz(cache.record_path, ("meta", "pixels_stamp", "file_sha256s", "stamps"))
    faces = len(cache.index)
    shapes = {"pixels_stamp": (3,), "file_sha256s": (faces, 32), "stamps": (faces, 3)}
    try:
        for name, shape in shapes.items():
            if arrays[name].shape != shape:
                raise ValueError(f"{name} of shape {arrays[name].shape}")
        meta = json.loads(str(arrays["meta"]))
        return _Record(
            str(meta["pixels_name"]),
            str(meta["pixels_sha256"]),
            arrays["pixels_stamp"].astype(np.int64),
            arrays["file_sha256s"].astype(np.uint8),
            arrays["stamps"].astype(np.int64),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise BundleError(
            f"{str(cache.record_path)!r} has wrong content ({error}), expected the record of "
            f"{faces} decoded faces; remove it"
        ) from error


def _write_record(cache: _Cache, record: _Record) -> None:
    meta = {"pixels_name": record.pixels_name, "pixels_sha256": record.pixels_sha256}
    write_npz(
        cache.record_path,
        {
            "meta": np.array(json.dumps(meta)),
            "pixels_stamp": record.pixels_stamp,
            "file_sha256s": record.file_sha256s,
            "stamps": record.stamps,
        },
    )


def _remove_old(cache: _Cache) -> None:
    """Make room: what is not valid any more, and what a killed process left."""
    try:
        cache.record_path.unlink(missing_ok=True)  # first, so that it never names what is gone
    except OSError as error:
        raise storage_error(cache.record_path, error) from error
    for pattern in (f"{cache.name}.*.pixels", f".{cache.name}.*.pixels"):
        for path in cache.folder.glob(pattern):
            with suppress(OSError):
                path.unlink()


def _gigabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e9:.2f} GB"
