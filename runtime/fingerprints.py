"""What identifies each face of a set: the hash of its file, and the hash of how it looks.

Shapes: N faces.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from edge_arm.runtime.batches import FaceBatch, face_batches
from edge_arm.runtime.faces import FaceIndex
from edge_arm.runtime.perceptual_hash import HASH_BYTES, perceptual_hashes
from edge_arm.runtime.preprocess import PreprocessSpec, Uint8Array

_BATCH_SIZE = 32


@dataclass(frozen=True, eq=False)
class Fingerprints:
    """Of some faces, in the order of their index.

    Attributes:
        sample_ids: N names.
        sha256s: of the files, N hex strings.
        hashes: (N, 32) uint8, see `perceptual_hashes`.
    """

    sample_ids: tuple[str, ...]
    sha256s: tuple[str, ...]
    hashes: Uint8Array

    def __len__(self) -> int:
        return len(self.sample_ids)


class FingerprintCollector:
    """Takes the fingerprints of faces that are decoded anyway, at about 0.1 ms each.

    Pass `add` as `watch` to `predict_all`. Memory: 64 bytes and the file's hash per face.
    """

    def __init__(self, index: FaceIndex) -> None:
        self._index = index
        self._sha256s: list[str] = []
        self._hashes: list[Uint8Array] = []

    def add(self, batch: FaceBatch) -> None:
        """Take the next faces of the index.

        Args:
            batch: as `face_batches` yields it, none left out.
        """
        assert batch.start == len(self._sha256s), "batches come in order"
        self._sha256s.extend(batch.sha256s)
        self._hashes.append(perceptual_hashes(batch.images_nhwc))

    def fingerprints(self) -> Fingerprints:
        """Of all faces so far."""
        samples = self._index.samples[: len(self._sha256s)]
        empty = np.empty((0, HASH_BYTES), np.uint8)
        return Fingerprints(
            sample_ids=tuple(sample.sample_id for sample in samples),
            sha256s=tuple(self._sha256s),
            hashes=np.concatenate([empty, *self._hashes]),
        )


def fingerprints_of(
    index: FaceIndex,
    spec: PreprocessSpec,
    *,
    workers: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Fingerprints:
    """Read faces for nothing but their fingerprints.

    Args:
        index: the faces.
        spec: size at which they are looked at; the same for sets that are compared.
        workers: decoding threads; one per core when None.
        progress: called with the number of faces done since the last call.

    Raises:
        ImageError: for the first picture that cannot be read.
    """
    collector = FingerprintCollector(index)
    for batch in face_batches(index, spec, _BATCH_SIZE, workers=workers):
        collector.add(batch)
        if progress is not None:
            progress(len(batch.sha256s))
    return collector.fingerprints()
