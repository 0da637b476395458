"""Measuring without the test faces that repeat a calibration face.

The models have answered all faces by then; the rows of the near duplicates are taken out of every
model's answers alike, so the comparison stays paired.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from edge_arm.runtime.batches import PixelHash
from edge_arm.runtime.errors import DataError
from edge_arm.runtime.faces import FaceIndex
from edge_arm.runtime.fingerprints import Fingerprints
from edge_arm.runtime.leaks import LeakCheck
from edge_arm.runtime.predictions import Predictions

Name = TypeVar("Name")


@dataclass(frozen=True, eq=False)
class RemainingFaces:
    """What is measured.

    Attributes:
        index: the faces that are left, in order.
        check: that says that the others were left out.
        data_sha256: over the faces that are left.
        positions: of those faces among all.
    """

    index: FaceIndex
    check: LeakCheck
    data_sha256: str
    positions: tuple[int, ...]

    def of(self, predictions: Predictions) -> Predictions:
        """The answers to the faces that are left.

        Args:
            predictions: of all faces.
        """
        rows = np.array(self.positions, np.int64)
        share = len(rows) / len(predictions)
        return replace(
            predictions,
            logits=predictions.logits[rows],
            targets=predictions.targets[rows],
            sample_ids=tuple(predictions.sample_ids[row] for row in self.positions),
            data_sha256=self.data_sha256,
            seconds_inference=predictions.seconds_inference * share,
        )

    def of_all(self, predictions: Mapping[Name, Predictions]) -> dict[Name, Predictions]:
        """The same for several models."""
        return {name: self.of(item) for name, item in predictions.items()}


def without_near_duplicates(
    index: FaceIndex, test: Fingerprints, check: LeakCheck
) -> RemainingFaces:
    """Take the faces that `check` lists out of the measurement.

    Args:
        index: all faces.
        test: their fingerprints.
        check: made from `test`.

    Raises:
        DataError: if near duplicates were not looked for, or no face is left.
    """
    if check.not_checked and check.num_calibration:
        raise DataError(
            f"cannot leave out near duplicates: {check.not_checked}; bring the calibration "
            "faces here, or measure without --exclude-near-duplicates"
        )
    repeated = set(check.test_ids)
    positions = tuple(
        place for place, sample in enumerate(index.samples) if sample.sample_id not in repeated
    )
    if not positions:
        raise DataError(
            f"all {len(index)} faces of the {index.split.value} split of {index.name!r} repeat a "
            "calibration face, expected at least one that does not; measure on another set"
        )
    remaining = index.subset(positions)
    digest = PixelHash()
    for place, sample in zip(positions, remaining.samples, strict=True):
        digest.add(sample, index.labels.classes[sample.target], test.sha256s[place])
    return RemainingFaces(
        index=remaining,
        check=replace(check, excluded=bool(repeated)),
        data_sha256=digest.hexdigest(),
        positions=positions,
    )
