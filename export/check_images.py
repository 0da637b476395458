"""The pictures that every exported file is checked on.

Three kinds, because each finds other mistakes: random pixels reach values that no face has,
drawn faces are always there and the same everywhere, real faces are what the model is for.

Shapes: S model input size.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_arm.runtime.batches import face_batches
from edge_arm.runtime.errors import ExportError
from edge_arm.runtime.faces import FaceIndex
from edge_arm.runtime.preprocess import PreprocessSpec, Uint8Array

NUM_RANDOM = 32
NUM_DRAWN = 32
MAX_REAL = 64
_BATCH_SIZE = 32


@dataclass(frozen=True, eq=False)
class DrawnFaces:
    """Synthetic faces that go into the bundle, so that a device can check itself without data.

    Attributes:
        images_nhwc: (32, S, S, 3) uint8 RGB.
        seeds: (32,) int64, of each drawing.
    """

    images_nhwc: Uint8Array
    seeds: npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class CheckImages:
    """Pictures by kind, each (n, S, S, 3) uint8 RGB.

    Attributes:
        random: uniform noise.
        drawn: synthetic faces.
        real: faces of a data set; n = 0 when there is none.
    """

    random: Uint8Array
    drawn: Uint8Array
    real: Uint8Array

    @property
    def faces(self) -> Uint8Array:
        """What a camera could see: real faces, or drawn ones where there are none."""
        return self.real if len(self.real) else self.drawn

    @property
    def all(self) -> Uint8Array:
        """Every picture, the kinds one after another."""
        return np.concatenate([self.random, self.drawn, self.real])

    def mixed(self, count: int) -> Uint8Array:
        """Some pictures of every kind in turn.

        Args:
            count: how many; fewer if there are not so many.
        """
        pictures = self.all
        positions = np.linspace(0, len(pictures) - 1, min(count, len(pictures))).astype(np.int64)
        return np.take(pictures, positions, axis=0)


def check_images(spec: PreprocessSpec, drawn: DrawnFaces, faces: FaceIndex | None) -> CheckImages:
    """Gather the pictures.

    Args:
        spec: the input contract.
        drawn: synthetic faces at S.
        faces: the user's; at most 64 evenly spaced ones are read, the same every time.

    Raises:
        ExportError: if the drawn faces have another size.
        ImageError: if a picture cannot be read.
    """
    expected = (NUM_DRAWN, spec.size, spec.size, 3)
    if drawn.images_nhwc.shape != expected or drawn.images_nhwc.dtype != np.uint8:
        raise ExportError(
            f"got drawn faces of shape {drawn.images_nhwc.shape} and type "
            f"{drawn.images_nhwc.dtype}, expected {expected} uint8; draw them at the model's size"
        )
    random = np.random.default_rng(0).integers(
        0, 256, (NUM_RANDOM, spec.size, spec.size, 3), np.uint8
    )
    real = np.zeros((0, spec.size, spec.size, 3), np.uint8)
    if faces is not None and len(faces):
        positions = np.linspace(0, len(faces) - 1, min(MAX_REAL, len(faces))).astype(np.int64)
        batches = face_batches(faces.subset(positions), spec, _BATCH_SIZE)
        real = np.concatenate([batch.images_nhwc for batch in batches])
    return CheckImages(random, drawn.images_nhwc, real)
