"""All faces of a training in memory, decoded and resized once.

Decoding costs as much as a training step on a small CPU, so it is done in the first minute and
not in every epoch. The faces stay uint8: RAF-DB at 224 pixels is 1.8 GB. Sets above 2 GB go to a
temporary file that is mapped into memory.

Shapes: N faces, B batch, S input size.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from edge_arm.runtime.batches import PixelHash, face_batches
from edge_arm.runtime.faces import FaceIndex
from edge_arm.runtime.preprocess import PreprocessSpec, Uint8Array
from edge_arm.runtime.storage import storage_error

LARGEST_IN_MEMORY_BYTES = 2 * 1000**3
_DECODE_BATCH = 64

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DecodedFaces:
    """Labelled pixels.

    Attributes:
        images_nhwc: (N, S, S, 3) uint8 RGB.
        targets: (N,) int64.
        pixels_sha256: hex, over identity, label and file content of every face, in order.
    """

    images_nhwc: Uint8Array
    targets: npt.NDArray[np.int64]
    pixels_sha256: str

    def __len__(self) -> int:
        return len(self.targets)

    def batch(
        self, positions: npt.NDArray[np.int64], device: torch.device
    ) -> tuple[Tensor, Tensor]:
        """Some faces on the device that computes.

        Args:
            positions: (B,) indices.
            device: where to.

        Returns:
            (B, 3, S, S) uint8 in channels-last order (the array's own), and (B,) int64 targets.
        """
        images = torch.from_numpy(self.images_nhwc[positions]).permute(0, 3, 1, 2)
        targets = torch.from_numpy(self.targets[positions])
        return images.to(device), targets.to(device)


@contextmanager
def decoded_faces(
    index: FaceIndex,
    spec: PreprocessSpec,
    scratch: Path,
    *,
    progress: Callable[[int], None] | None = None,
    largest_in_memory_bytes: int = LARGEST_IN_MEMORY_BYTES,
) -> Iterator[DecodedFaces]:
    """Decode every face of an index, once.

    Args:
        index: the faces.
        spec: size of the input.
        scratch: folder for the temporary file, if one is needed. Not the system's: that may lie
            in memory itself.
        progress: called with the number of faces just decoded.
        largest_in_memory_bytes: above this a temporary file is used.

    Yields:
        The faces; a temporary file lasts as long as the block.

    Raises:
        ImageError: for the first picture that cannot be read.
        StorageError: if the temporary file does not fit on the disk.
    """
    shape = (len(index), spec.size, spec.size, 3)
    size_bytes = int(np.prod(shape))
    in_file = size_bytes > largest_in_memory_bytes
    _log.info(
        "decoding %d %s faces to %d x %d pixels: %.0f MB in %s",
        len(index),
        index.split.value,
        spec.size,
        spec.size,
        size_bytes / 1e6,
        f"a temporary file in {str(scratch)!r}" if in_file else "memory",
    )
    pixel_hash = PixelHash()
    if not in_file:
        images = np.empty(shape, np.uint8)
        for start, batch in _decode(index, spec, pixel_hash, progress):
            images[start : start + len(batch)] = batch
        yield DecodedFaces(images, index.targets, pixel_hash.hexdigest())
        return
    try:
        file = tempfile.TemporaryFile(dir=scratch)  # noqa: SIM115 - closed by the block below
    except OSError as error:
        raise storage_error(scratch, error) from error
    with file:
        # Written and then mapped: writing through a map kills the process on a full disk.
        for _, batch in _decode(index, spec, pixel_hash, progress):
            try:
                file.write(batch.tobytes())
            except OSError as error:
                raise storage_error(scratch, error) from error
        try:
            file.flush()
        except OSError as error:
            raise storage_error(scratch, error) from error
        mapped: Uint8Array = np.memmap(file, np.uint8, mode="r", shape=shape)
        yield DecodedFaces(mapped, index.targets, pixel_hash.hexdigest())


def _decode(
    index: FaceIndex,
    spec: PreprocessSpec,
    pixel_hash: PixelHash,
    progress: Callable[[int], None] | None,
) -> Iterator[tuple[int, Uint8Array]]:
    for batch in face_batches(index, spec, _DECODE_BATCH):
        samples = index.samples[batch.start : batch.start + len(batch.sha256s)]
        for sample, file_sha256 in zip(samples, batch.sha256s, strict=True):
            pixel_hash.add(sample, index.labels.classes[sample.target], file_sha256)
        yield batch.start, batch.images_nhwc
        if progress is not None:
            progress(len(samples))
