"""A hash of how a face looks, near for pictures that look alike.

The signs of the low frequencies of a cosine transform, after Zauner, "Implementation and
benchmarking of perceptual image hash functions" (2010), section 3.2: compression, scaling, light
and contrast hardly move them. The usual 64 bits are too few here, because aligned faces are alike
at that resolution. Measured on 91.6 million pairs of different people: a limit that still finds
four of five copies cropped by 2 per cent calls 256 pairs alike with 64 bits, and 7 with 256, all
of which are one photograph under two names (benchmarks/duplicate_distances.py).

Not covered: mirrored pictures, and crops that moved by more than about 3 per cent.

Shapes: B and N faces, S side of a picture.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from edge_arm.runtime.errors import UsageError
from edge_arm.runtime.preprocess import Uint8Array, resize_face

HASH_SIDE = 16
HASH_BITS = HASH_SIDE * HASH_SIDE
HASH_BYTES = HASH_BITS // 8
_SIDE = 64
"""Pixels that are transformed; four per period of the highest frequency that is used."""
_FLAT = 32.0
"""A wave of one grey level has this coefficient (its amplitude times 64 / 2). A picture without
any larger one is flat, its signs are noise."""
_BLOCK = 1024
"""Faces compared at a time, so that memory does not grow with the set."""


def _waves() -> npt.NDArray[np.float32]:
    # The orthonormal DCT-II without its constant wave, so that light does not count:
    #   w_k(x) = sqrt(2 / n) cos(pi k (x + 1/2) / n),  k = 1..16, n = 64
    positions = np.arange(_SIDE) + 0.5
    frequencies = np.arange(1, HASH_SIDE + 1)
    waves = math.sqrt(2.0 / _SIDE) * np.cos(np.pi * np.outer(frequencies, positions) / _SIDE)
    return np.asarray(waves, np.float32)


_WAVES = _waves()  # (16, 64)


def perceptual_hashes(images_nhwc: Uint8Array) -> Uint8Array:
    """Hash some faces. A bit says whether its coefficient is above the face's median.

    About 0.1 ms per face of 224 x 224.

    Args:
        images_nhwc: (B, S, S, 3) uint8 RGB.

    Returns:
        (B, 32) uint8; all zero for a flat picture, which has no hash and is like no other.
    """
    grey = np.stack(
        [resize_face(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), _SIDE) for image in images_nhwc]
    )  # (B, 64, 64)
    coefficients = (_WAVES @ grey.astype(np.float32) @ _WAVES.T).reshape(len(grey), HASH_BITS)
    bits = coefficients > np.median(coefficients, axis=1, keepdims=True)
    bits[np.abs(coefficients).max(axis=1) < _FLAT] = False
    return np.packbits(bits, axis=1)


def near_pairs(first: Uint8Array, second: Uint8Array, max_distance: int) -> npt.NDArray[np.int64]:
    """All pairs whose hashes differ in few bits.

    With bits written as -1 and 1 the number of different ones is (256 - a . b) / 2: a matrix
    product, exact in float32, and as quick as the machine can multiply.

    Args:
        first: (N, 32) uint8 hashes.
        second: (M, 32) uint8 hashes.
        max_distance: bits, 0..255.

    Returns:
        (K, 3) int64 rows of position in `first`, position in `second`, distance; sorted. Flat
        pictures are in none.

    Raises:
        UsageError: if the distance is out of range.
    """
    if not 0 <= max_distance < HASH_BITS:
        raise UsageError(
            f"got the largest distance {max_distance}, expected 0 to {HASH_BITS - 1} bits; "
            "leave it out"
        )
    signs = _signs(second)
    found = []
    for start in range(0, len(first), _BLOCK):
        block = first[start : start + _BLOCK]
        distances = (HASH_BITS - _signs(block) @ signs.T) / 2  # (up to 1024, M)
        near = distances <= max_distance
        near &= np.logical_and.outer(block.any(axis=1), second.any(axis=1))
        rows, columns = np.nonzero(near)
        found.append(np.stack([rows + start, columns, distances[near].astype(np.int64)], axis=1))
    return np.concatenate(found) if found else np.empty((0, 3), np.int64)


def _signs(hashes: Uint8Array) -> npt.NDArray[np.float32]:
    return np.unpackbits(hashes, axis=1).astype(np.float32) * 2 - 1
