"""Which faces there are: a list of labelled pictures on disk, without the pictures.

A `FaceIndex` is what every reader of a data set returns and what training, calibration and
measuring take. It is cheap, ordered and hashed, so that two results can be told to be about the
same faces in the same order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from functools import cached_property
from hashlib import sha256
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge_arm.runtime.crop import CropBox
from edge_arm.runtime.errors import DataError
from edge_arm.runtime.labels import LabelSet


class Split(Enum):
    """The part of a data set; no face is in two."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


@dataclass(frozen=True)
class FaceSample:
    """One labelled face.

    Attributes:
        sample_id: unique in its index and stable between machines, such as "test_0001.jpg". It
            ends with `crop.fragment` where there is a box, so whatever is bound to a name (hashes,
            recorded answers, calibration faces) is bound to the box as well.
        path: of the picture on this machine.
        target: class index in the label set of the index.
        crop: the face in the picture; None if it is the whole picture.
    """

    sample_id: str
    path: Path
    target: int
    crop: CropBox | None = None

    def __post_init__(self) -> None:
        assert self.crop is None or self.sample_id.endswith(self.crop.fragment)


@dataclass(frozen=True)
class FaceIndex:
    """The labelled faces of one split of one data set, in a fixed order.

    Attributes:
        name: of the data set, such as "rafdb".
        split: the part.
        labels: what the targets mean.
        samples: in order.
    """

    name: str
    split: Split
    labels: LabelSet
    samples: tuple[FaceSample, ...]

    def __len__(self) -> int:
        return len(self.samples)

    @cached_property
    def sha256(self) -> str:
        """Hex SHA-256 over ids and labels in order; over pixels it would mean reading all."""
        digest = sha256()
        for sample in self.samples:
            digest.update(f"{sample.sample_id}\t{self.labels.classes[sample.target]}\n".encode())
        return digest.hexdigest()

    @cached_property
    def targets(self) -> npt.NDArray[np.int64]:
        """(N,) int64 class indices."""
        return np.array([sample.target for sample in self.samples], np.int64)

    def counts(self) -> npt.NDArray[np.int64]:
        """(C,) int64 faces per class."""
        return np.bincount(self.targets, minlength=len(self.labels)).astype(np.int64)

    def subset(self, positions: Sequence[int] | npt.NDArray[np.int64]) -> FaceIndex:
        """The faces at these positions, in this order.

        Args:
            positions: indices into `samples`.
        """
        return replace(self, samples=tuple(self.samples[int(position)] for position in positions))

    def relabelled(self, labels: LabelSet) -> FaceIndex:
        """The same faces with the class indices of another label set, matched by name.

        Args:
            labels: usually the model's.

        Raises:
            DataError: if a class of this index is unknown there.
        """
        if labels.classes == self.labels.classes:
            return replace(self, labels=labels)
        present = sorted({sample.target for sample in self.samples})
        new_target = {target: labels.index(self.labels.classes[target]) for target in present}
        return replace(
            self,
            labels=labels,
            samples=tuple(
                replace(sample, target=new_target[sample.target]) for sample in self.samples
            ),
        )


def require_every_class(index: FaceIndex, purpose: str) -> None:
    """Refuse an index in which a class has no face.

    Args:
        index: the faces.
        purpose: what they are needed for, for the message.

    Raises:
        DataError: naming the empty classes.
    """
    empty = [
        name for name, count in zip(index.labels.classes, index.counts(), strict=True) if not count
    ]
    if empty:
        raise DataError(
            f"{purpose} needs faces of every class, found none for {', '.join(map(repr, empty))} "
            f"in the {index.split.value} split of {index.name!r}; add faces of that class"
        )
