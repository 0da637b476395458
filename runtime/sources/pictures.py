"""One picture or many as a source: decoded in threads, in order, a few ahead and no more.

Threads suffice because OpenCV releases the interpreter lock. A picture that cannot be read is an
event and the others go on; if none can be read, that is an error.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Event

from edge_arm.runtime.errors import DataError, ImageError
from edge_arm.runtime.images import decode_image
from edge_arm.runtime.preprocess import Uint8Array
from edge_arm.runtime.sources.frame import EventKind, Frame, SourceEvent
from edge_arm.runtime.sources.picture_size import picture_size
from edge_arm.runtime.sources.source_config import SourceConfig

MOST_THREADS = 4
"""More only keep more decoded pictures in memory: finding faces takes longer than decoding."""

AHEAD_BYTES = 256 << 20
"""Of decoded pictures that wait: three of 24 megapixels, or one of 100."""

SMALL_BYTES = 32_768
TOGETHER = 8
"""So many small files are one task: handing a face of 100 x 100 pixels to a thread and back costs
more than decoding it. No picture in so few bytes has more than 34 MB of pixels (deflate's limit is
1,032 to 1), so what waits stays bounded."""

SMALL_AHEAD_BYTES = 4 << 20
"""Of decoded pictures that wait in groups."""

_BYTES_PER_PIXEL = 16
"""No format needs more without compression (four channels of 32 bits)."""
_HEADER_BYTES = 1 << 24
"""Room for colour profiles and the like, beside the pixels."""


class PictureSource:
    """Pictures in the order of their paths.

    Attributes:
        name: as the user wrote it.
        live: no; nothing is dropped.
        moving: no; the next picture may be of other people.
        frames_per_s: none.
        paths: of the pictures.
        expected_frames: one for each.
    """

    live = False
    moving = False
    frames_per_s: float | None = None

    def __init__(self, name: str, paths: Sequence[Path], *, config: SourceConfig) -> None:
        self.name = name
        self.paths = tuple(paths)
        self.expected_frames: int | None = len(self.paths)
        self._config = config
        self._closed = Event()

    def close(self) -> None:
        """End the iteration at the next picture."""
        self._closed.set()

    def __iter__(self) -> Iterator[Frame | SourceEvent]:
        threads = self._config.workers or min(os.cpu_count() or 1, MOST_THREADS)
        pending: deque[tuple[Sequence[Path], Future[list[Uint8Array | ImageError]]]] = deque()
        first_failure: ImageError | None = None
        number = readable = asked_for = 0
        ahead = 1  # until it is known how large these pictures are
        pool = ThreadPoolExecutor(threads, thread_name_prefix="decode")
        try:
            while not self._closed.is_set():
                while asked_for < min(number + ahead, len(self.paths)):
                    most = min(TOGETHER, number + ahead - asked_for)
                    group = _read_together(self.paths[asked_for : asked_for + most])
                    asked_for += len(group)
                    future = pool.submit(_read_group, group, self._config.max_pixels)
                    pending.append((group, future))
                if not pending:
                    break
                group, future = pending.popleft()
                for path, image in zip(group, future.result(), strict=True):
                    if self._closed.is_set():
                        break
                    number += 1
                    if isinstance(image, ImageError):
                        first_failure = first_failure or image
                        reason = str(image)
                        yield SourceEvent(EventKind.BROKEN, str(path), number - 1, 1, 0.0, reason)
                        continue
                    readable += 1
                    ahead = _pictures_ahead(image.nbytes, threads)
                    yield Frame(str(path), number - 1, 0.0, image)
        finally:
            for _, future in pending:
                future.cancel()
            pool.shutdown(wait=True)
        if first_failure is not None and not readable and not self._closed.is_set():
            raise self._nothing_readable(first_failure)

    def _nothing_readable(self, first: ImageError) -> DataError:
        if len(self.paths) == 1:
            return first
        return DataError(
            f"none of the {len(self.paths)} pictures of {self.name!r} can be read, expected at "
            f"least one; the first: {first}"
        )


def _pictures_ahead(num_bytes: int, threads: int) -> int:
    """How many pictures of this size may wait: one for each hand, more only if they are small."""
    groups = min(2 * threads * TOGETHER, SMALL_AHEAD_BYTES // num_bytes)
    return max(1, min(max(2 * threads, groups), AHEAD_BYTES // num_bytes))


def _read_together(paths: Sequence[Path]) -> Sequence[Path]:
    """As many of the first paths as one thread is to read in one go: small files, or one."""
    for count, path in enumerate(paths):
        try:
            if path.stat().st_size <= SMALL_BYTES:
                continue
        except OSError:  # reading it will say so
            pass
        return paths[: max(1, count)]
    return paths


def _read_group(paths: Sequence[Path], max_pixels: int) -> list[Uint8Array | ImageError]:
    results: list[Uint8Array | ImageError] = []
    for path in paths:
        try:
            results.append(read_picture(path, max_pixels))
        except ImageError as error:  # one bad picture must not take the others with it
            results.append(error)
    return results


def read_picture(path: Path, max_pixels: int) -> Uint8Array:
    """Decode a picture, unless its header announces too many pixels.

    Returns:
        (H, W, 3) uint8 RGB, turned as its EXIF data says.

    Raises:
        ImageError: if it is missing, damaged, no picture or too large.
    """
    try:
        with path.open("rb") as file:
            num_bytes = os.fstat(file.fileno()).st_size
            limit = max_pixels * _BYTES_PER_PIXEL + _HEADER_BYTES
            if num_bytes > limit:
                raise ImageError(
                    f"{str(path)!r} has {num_bytes} bytes, expected at most {limit} in a picture "
                    f"of {max_pixels} pixels; make it smaller or raise --max-pixels"
                )
            content = file.read()
    except OSError as error:
        raise ImageError(
            f"cannot read {str(path)!r} ({error.strerror}), expected a picture; "
            "restore the file or take it out"
        ) from error
    size = picture_size(content)
    if size is not None and size[0] * size[1] > max_pixels:
        raise ImageError(
            f"{str(path)!r} announces {size[0]} x {size[1]} pixels, expected at most {max_pixels} "
            "in all; make it smaller or raise --max-pixels"
        )
    return decode_image(content, str(path))
