"""All faces of a training, decoded and resized once, in memory or mapped into it.

Decoding costs as much as a training step on a small CPU, so it is not done in every epoch. The
faces stay uint8: RAF-DB at 224 pixels is 1.8 GB, AffectNet 43 GB.

Training and validation faces are kept as one array in the order of their names. Which face is in
which part depends on the seed and the fraction, and a cache has to serve them all.

Shapes: M faces of both parts, N faces of one, B batch, S input size.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from edge_arm.runtime.batches import PixelHash, face_batches
from edge_arm.runtime.faces import FaceIndex
from edge_arm.runtime.preprocess import PreprocessSpec, Uint8Array
from edge_arm.runtime.storage import storage_error
from edge_arm.training.face_cache import StoredFaces, cached_faces
from edge_arm.training.mapped_pixels import mapped_pixels

LARGEST_IN_MEMORY_BYTES = 2 * 1000**3
"""Without a cache, sets above this go to a temporary file that is mapped into memory."""

_DECODE_BATCH = 64
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FaceStore:
    """Where decoded faces are kept.

    Attributes:
        cache: folder of the caches, or None for memory.
        scratch: folder for a temporary file, if there is no cache and memory is not for so many.
            Not the system's: that may lie in memory itself.
        makes: False for one of several processes on a machine that leaves it to another to fill
            the cache, and waits.
    """

    cache: Path | None
    scratch: Path
    makes: bool = True


@dataclass(frozen=True)
class DecodedFaces:
    """Labelled pixels of one part.

    Attributes:
        stored_nhwc: (M, S, S, 3) uint8 RGB, those of the other part among them.
        rows: (N,) int64, where this part's faces are in it.
        targets: (N,) int64.
        pixels_sha256: hex, over identity, label and file content of every face, in order.
    """

    stored_nhwc: Uint8Array
    rows: npt.NDArray[np.int64]
    targets: npt.NDArray[np.int64]
    pixels_sha256: str

    def __len__(self) -> int:
        return len(self.targets)

    def images(self, positions: npt.NDArray[np.int64]) -> Uint8Array:
        """Copies of some faces.

        Args:
            positions: (B,) indices into this part.

        Returns:
            (B, S, S, 3) uint8 RGB.
        """
        images: Uint8Array = self.stored_nhwc.take(self.rows[positions], axis=0)
        return images

    def batch(
        self, positions: npt.NDArray[np.int64], device: torch.device
    ) -> tuple[Tensor, Tensor]:
        """Some faces on the device that computes.

        Args:
            positions: (B,) indices into this part.
            device: where to.

        Returns:
            (B, 3, S, S) uint8 in channels-last order (the array's own), and (B,) int64 targets.
        """
        images = torch.from_numpy(self.images(positions)).permute(0, 3, 1, 2)
        targets = torch.from_numpy(self.targets[positions])
        return images.to(device), targets.to(device)


@contextmanager
def decoded_faces(
    train_index: FaceIndex,
    validation_index: FaceIndex,
    *,
    spec: PreprocessSpec,
    store: FaceStore,
    progress: Callable[[int], None] | None = None,
) -> Iterator[tuple[DecodedFaces, DecodedFaces]]:
    """Decode every face of a training, at most once.

    Args:
        train_index: faces to learn from.
        validation_index: faces that choose the epoch.
        spec: size of the input.
        store: where they are kept.
        progress: called with the number of faces just made ready; the total is M.

    Yields:
        Training and validation faces; a temporary file lasts as long as the block.

    Raises:
        ImageError: for the first picture that cannot be read.
        StorageError: if a cache or temporary file does not fit on the disk.
    """
    parts = (train_index, validation_index)
    both, rows = _in_one(train_index, validation_index)
    with _stored(both, spec, store, progress) as stored:
        train, validation = (
            DecodedFaces(
                stored.images_nhwc, part_rows, part.targets, _pixels_sha256(part, part_rows, stored)
            )
            for part, part_rows in zip(parts, rows, strict=True)
        )
        yield train, validation


def _in_one(
    train_index: FaceIndex, validation_index: FaceIndex
) -> tuple[FaceIndex, list[npt.NDArray[np.int64]]]:
    """Both parts in the order of their names, and where the faces of each are in that."""
    samples = train_index.samples + validation_index.samples
    order = sorted(range(len(samples)), key=lambda at: (samples[at].sample_id, samples[at].path))
    rows = np.empty(len(samples), np.int64)
    rows[order] = np.arange(len(samples))
    both = replace(train_index, samples=tuple(samples[position] for position in order))
    return both, np.split(rows, [len(train_index)])


def _pixels_sha256(index: FaceIndex, rows: npt.NDArray[np.int64], stored: StoredFaces) -> str:
    pixel_hash = PixelHash()
    for sample, row in zip(index.samples, rows.tolist(), strict=True):
        name = index.labels.classes[sample.target]
        pixel_hash.add(sample, name, stored.file_sha256s[row])
    return pixel_hash.hexdigest()


@contextmanager
def _stored(
    index: FaceIndex,
    spec: PreprocessSpec,
    store: FaceStore,
    progress: Callable[[int], None] | None,
) -> Iterator[StoredFaces]:
    if store.cache is not None:
        yield cached_faces(index, spec, store.cache, makes=store.makes, progress=progress)
        return
    shape = (len(index), spec.size, spec.size, 3)
    size_bytes = int(np.prod(shape, dtype=np.int64))
    in_file = size_bytes > LARGEST_IN_MEMORY_BYTES
    _log.info(
        "decoding %d faces to %d x %d pixels: %.0f MB in %s",
        len(index),
        spec.size,
        spec.size,
        size_bytes / 1e6,
        f"a temporary file in {str(store.scratch)!r}" if in_file else "memory",
    )
    hashes: list[str] = []
    if not in_file:
        images = np.empty(shape, np.uint8)
        for start, batch in _decode(index, spec, hashes, progress):
            images[start : start + len(batch)] = batch
        yield StoredFaces(images, tuple(hashes))
        return
    try:
        file = tempfile.TemporaryFile(dir=store.scratch)  # noqa: SIM115 - closed by the block below
    except OSError as error:
        raise storage_error(store.scratch, error) from error
    with file:
        # Written and then mapped: writing through a map kills the process on a full disk.
        for _, batch in _decode(index, spec, hashes, progress):
            try:
                file.write(batch.data)
            except OSError as error:
                raise storage_error(store.scratch, error) from error
        try:
            file.flush()
        except OSError as error:
            raise storage_error(store.scratch, error) from error
        yield StoredFaces(mapped_pixels(file, shape), tuple(hashes))


def _decode(
    index: FaceIndex,
    spec: PreprocessSpec,
    hashes: list[str],
    progress: Callable[[int], None] | None,
) -> Iterator[tuple[int, Uint8Array]]:
    for batch in face_batches(index, spec, _DECODE_BATCH):
        hashes += batch.sha256s
        yield batch.start, batch.images_nhwc
        if progress is not None:
            progress(len(batch.sha256s))
