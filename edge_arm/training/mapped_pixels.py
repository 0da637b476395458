"""A file of pixels as an array, however much larger than the memory it is."""

from __future__ import annotations

import mmap
from typing import BinaryIO

import numpy as np

from edge_arm.runtime.preprocess import Uint8Array

_MAP_NORESERVE = 0x4000
"""Linux's number for it on x86 and ARM; older Pythons have no name for it."""


def mapped_pixels(file: BinaryIO, shape: tuple[int, int, int, int]) -> Uint8Array:
    """Map a file privately: the array can be written to, and the file stays as it is.

    PyTorch warns of arrays that must not be written to, so the map has to be writable. Linux sets
    memory aside for such a map unless told not to, and refuses one that is larger than the memory
    (as numpy.memmap's copy-on-write mode is refused); nobody writes, so none is set aside.

    Args:
        file: opened for reading; may be closed afterwards.
        shape: (M, S, S, 3), all of the file.

    Returns:
        (M, S, S, 3) uint8.

    Raises:
        OSError: if the system cannot map it.
        ValueError: if the file is smaller than the shape.
    """
    size_bytes = int(np.prod(shape, dtype=np.int64))
    mapped = mmap.mmap(
        file.fileno(),
        size_bytes,
        flags=mmap.MAP_PRIVATE | _MAP_NORESERVE,
        prot=mmap.PROT_READ | mmap.PROT_WRITE,
    )
    return np.frombuffer(mapped, np.uint8).reshape(shape)
