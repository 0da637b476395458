"""Faces that calibration and test set share, exactly or nearly.

A near duplicate (another crop or encoding of the same photograph, the next frame of a film) makes a
test kinder without anybody having cheated, so they are counted and listed.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Duplicate:
    """A test face and the calibration face that it repeats.

    Attributes:
        test_id: sample id in the test set.
        calibration_id: sample id in the calibration set.
        distance: bits in which their perceptual hashes differ; None for the same file.
    """

    test_id: str
    calibration_id: str
    distance: int | None


@dataclass(frozen=True)
class LeakCheck:
    """What was looked for and found.

    Attributes:
        num_calibration: calibration faces that were compared.
        num_test: test faces that were compared.
        max_distance: bits up to which two faces count as near duplicates.
        duplicates: sorted by test id; the exact ones have no distance.
        excluded: whether the near ones were left out of the measurement.
        not_checked: why nothing was compared (no calibration, old bundle), empty otherwise.
    """

    num_calibration: int
    num_test: int
    max_distance: int
    duplicates: tuple[Duplicate, ...]
    excluded: bool = False
    not_checked: str = ""
