"""How far apart the hashes of copies and of different people are: where the default comes from.

Run it on a set of photographs whose people are known::

    python benchmarks/duplicate_distances.py --root DIR --data rafdb [--people FILE]

FILE is a CSV with the columns `name` (sample id) and `identity`; without it every pair counts as
two people. Prints the share of pairs of different people within each distance, and the distances
between a picture and copies of it, as Markdown for docs/statistics.md.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from edge_arm.data.registry import face_index
from edge_arm.runtime.faces import FaceIndex, Split
from edge_arm.runtime.fingerprints import fingerprints_of
from edge_arm.runtime.images import read_image
from edge_arm.runtime.perceptual_hash import HASH_BITS, perceptual_hashes
from edge_arm.runtime.preprocess import PreprocessSpec, Uint8Array, resize_face

DISTANCES = (16, 24, 32, 40, 48, 56, 64, 72, 80)
NUM_COPIED = 1000
BLOCK = 1024


def encoded(image: Uint8Array, quality: int) -> Uint8Array:
    """The picture after one more JPEG compression."""
    _, content = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.imdecode(content, cv2.IMREAD_COLOR)


def cut(image: Uint8Array, share: float) -> Uint8Array:
    """The picture without a margin on every side."""
    y, x = (round(share * length) for length in image.shape[:2])
    return image[y : len(image) - y, x : image.shape[1] - x]


def moved(image: Uint8Array, share: float) -> Uint8Array:
    """A crop that lies a little to the upper right."""
    y, x = (round(share * length) for length in image.shape[:2])
    return image[: len(image) - y, x:]


def turned(image: Uint8Array, degrees: float) -> Uint8Array:
    """The picture rotated about its middle."""
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0)
    return cv2.warpAffine(image, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)


def lit(image: Uint8Array, contrast: float, grey_levels: float) -> Uint8Array:
    """The picture with other light."""
    values = (image.astype(np.float32) - 128) * contrast + 128 + grey_levels
    return np.clip(values, 0, 255).astype(np.uint8)


COPIES: dict[str, Callable[[Uint8Array], Uint8Array]] = {
    "JPEG, quality 90": lambda image: encoded(image, 90),
    "JPEG, quality 50": lambda image: encoded(image, 50),
    "JPEG, quality 20": lambda image: encoded(image, 20),
    "half the size": lambda image: cv2.resize(
        image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA
    ),
    "twice the size": lambda image: cv2.resize(image, None, fx=2.0, fy=2.0),
    "40 grey levels brighter": lambda image: lit(image, 1.0, 40),
    "contrast x 1.4": lambda image: lit(image, 1.4, 0),
    "cropped by 1 % a side": lambda image: cut(image, 0.01),
    "cropped by 2 % a side": lambda image: cut(image, 0.02),
    "cropped by 5 % a side": lambda image: cut(image, 0.05),
    "moved by 2 %": lambda image: moved(image, 0.02),
    "turned by 3 degrees": lambda image: turned(image, 3.0),
    "mirrored": lambda image: np.ascontiguousarray(image[:, ::-1]),
}


def pair_counts(
    hashes: Uint8Array, people: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Pairs by distance: of different people, and of the same one, (257,) int64 each."""
    signs = np.unpackbits(hashes, axis=1).astype(np.float32) * 2 - 1
    counts = np.zeros((2, HASH_BITS + 1), np.int64)
    for start in range(0, len(signs), BLOCK):
        rows = np.arange(start, min(start + BLOCK, len(signs)))
        distances = ((HASH_BITS - signs[rows] @ signs.T) / 2).astype(np.int64)
        later = np.arange(len(signs))[None, :] > rows[:, None]
        same = people[rows][:, None] == people[None, :]
        for row, chosen in enumerate((later & ~same, later & same)):
            counts[row] += np.bincount(distances[chosen], minlength=HASH_BITS + 1)
    return counts[0], counts[1]


def people_of(index: FaceIndex, path: Path | None) -> npt.NDArray[np.int64]:
    """(N,) int64: who is on each picture."""
    if path is None:
        return np.arange(len(index))
    with path.open(newline="", encoding="utf-8") as file:
        names = {row["name"]: row["identity"] for row in csv.DictReader(file)}
    found = np.array([names[sample.sample_id] for sample in index.samples])
    return np.unique(found, return_inverse=True)[1].astype(np.int64)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="rafdb")
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--people", type=Path)
    parser.add_argument("--size", type=int, default=224, help="Side at which faces are compared.")
    arguments = parser.parse_args()
    parts = [
        face_index(arguments.data, arguments.root, split) for split in (Split.TRAIN, Split.TEST)
    ]
    index = FaceIndex(
        arguments.data, Split.TRAIN, parts[0].labels, parts[0].samples + parts[1].samples
    )
    spec = PreprocessSpec(size=arguments.size)
    hashes = fingerprints_of(index, spec).hashes
    different, same = pair_counts(hashes, people_of(index, arguments.people))
    print(f"{len(index):,} faces, {different.sum():,} pairs of different people, ", end="")
    print(f"{same.sum():,} of the same\n\n| bits | different people | share | the same person |")
    print("|---|---|---|---|")
    for distance in DISTANCES:
        near = int(different[: distance + 1].sum())
        share = near / max(int(different.sum()), 1)
        print(f"| {distance} | {near} | {share:.1e} | {int(same[: distance + 1].sum())} |")

    rng = np.random.default_rng(0)
    chosen = rng.permutation(len(index))[:NUM_COPIED]
    print("\n| copy | median | 90 % | 99 % | within 48 bits |\n|---|---|---|---|---|")
    originals = [read_image(index.samples[place].path).image_hwc for place in chosen]
    for name, change in COPIES.items():
        distances = []
        for place, image in zip(chosen, originals, strict=True):
            copy = resize_face(change(image), spec.size)
            bits = perceptual_hashes(copy[np.newaxis])[0] ^ hashes[place]
            distances.append(int(np.unpackbits(bits).sum()))
        median, most, nearly_all = np.quantile(distances, (0.5, 0.9, 0.99))
        within = 100 * float((np.array(distances) <= 48).mean())
        print(f"| {name} | {median:.0f} | {most:.0f} | {nearly_all:.0f} | {within:.1f} % |")


if __name__ == "__main__":
    main()
