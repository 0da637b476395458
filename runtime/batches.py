"""From a list of faces to batches of pixels: decode and resize in threads, order kept.

Threads suffice because OpenCV and hashing release the interpreter lock. About two batches are in
memory at a time, whatever the size of the set.

Shapes: B faces in a batch, S model input size.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256

import numpy as np

from edge_arm.runtime.errors import UsageError
from edge_arm.runtime.faces import FaceIndex, FaceSample
from edge_arm.runtime.images import read_image
from edge_arm.runtime.preprocess import PreprocessSpec, Uint8Array, resize_face


@dataclass(frozen=True)
class FaceBatch:
    """Some faces, ready for a model.

    Attributes:
        start: position of the first face in the index.
        images_nhwc: (B, S, S, 3) uint8 RGB.
        sha256s: of each file, B hex strings.
    """

    start: int
    images_nhwc: Uint8Array
    sha256s: tuple[str, ...]


def face_batches(
    index: FaceIndex, spec: PreprocessSpec, batch_size: int, workers: int | None = None
) -> Iterator[FaceBatch]:
    """All faces of an index, in order; the last batch may be smaller.

    Args:
        index: the faces.
        spec: size of the input.
        batch_size: B.
        workers: decoding threads; one per core when None.

    Raises:
        UsageError: if the batch size or the number of workers is below 1.
        ImageError: for the first picture that cannot be read; nothing is skipped.
    """
    if batch_size < 1:
        raise UsageError(f"got batch size {batch_size}, expected at least 1; use --batch-size 1")
    if workers is not None and workers < 1:
        raise UsageError(f"got {workers} decoding workers, expected at least 1; use --workers 1")
    threads = workers or os.cpu_count() or 1
    ahead = batch_size + 2 * threads
    images: list[Uint8Array] = []
    hashes: list[str] = []
    start = 0
    with ThreadPoolExecutor(threads, thread_name_prefix="decode") as pool:
        pending: deque[Future[tuple[Uint8Array, str]]] = deque()
        samples = iter(index.samples)
        try:
            while True:
                while len(pending) < ahead and (sample := next(samples, None)) is not None:
                    pending.append(pool.submit(read_face, sample, spec))
                if not pending:
                    break
                image, digest = pending.popleft().result()
                images.append(image)
                hashes.append(digest)
                if len(images) == batch_size:
                    yield FaceBatch(start, np.stack(images), tuple(hashes))
                    start += batch_size
                    images, hashes = [], []
        finally:
            for future in pending:
                future.cancel()
    if images:
        yield FaceBatch(start, np.stack(images), tuple(hashes))


def read_face(sample: FaceSample, spec: PreprocessSpec) -> tuple[Uint8Array, str]:
    """One face as the model takes it.

    Args:
        sample: the face.
        spec: size of the input.

    Returns:
        (S, S, 3) uint8 RGB, and the file's SHA-256.

    Raises:
        ImageError: if the picture cannot be read, or its face box is outside of it.
    """
    decoded = read_image(sample.path, sample.crop)
    return resize_face(decoded.image_hwc, spec.size), decoded.sha256


class PixelHash:
    """SHA-256 over the identity and content of every face that was seen, in order.

    Binds a result to the very files it was measured on, at no cost beyond the reading that
    happens anyway.
    """

    def __init__(self) -> None:
        self._digest = sha256()

    def add(self, sample: FaceSample, class_name: str, file_sha256: str) -> None:
        """Count one face in.

        Args:
            sample: the face.
            class_name: its label by name.
            file_sha256: of its picture.
        """
        self._digest.update(f"{sample.sample_id}\t{class_name}\t{file_sha256}\n".encode())

    def hexdigest(self) -> str:
        """Hex digest over all faces so far."""
        return self._digest.hexdigest()
