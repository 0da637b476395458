"""One face's expression over time: averaged probabilities, and a label that is slow to change.

Two things, each against another kind of flicker:

1. The mean of the probabilities of all frames so far, a frame that is t seconds old with the weight
   exp(-t / tau). It is kept up by W <- 1 + W exp(-dt / tau) and mean <- mean + (frame - mean) / W.
   At a steady rate a frame soon enters with the share 1 - exp(-dt / tau), so 10 frames a second
   are smoothed as much as 30. The first frames share equally: one that is wrong does not stay, as
   it would if an average began with all of its weight.
2. Hysteresis. The label changes only when another class's averaged probability is larger than the
   label's own by more than `hysteresis`: two classes that are equally likely do not alternate.

Shapes: C classes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_arm.runtime.errors import UsageError


@dataclass(frozen=True)
class SmoothingConfig:
    """How calm the labels of a video are. Calmer is later: see docs/measurements.md.

    The defaults are the calmest of what costs no accuracy on clips of drawn people, neither with a
    trained model nor with one half as sure of itself, which a larger hysteresis would leave behind.

    Attributes:
        time_constant_s: tau, the age at which a frame's weight has fallen to 1/e.
        hysteresis: 0..1, by which another class must lead before the label changes.
        max_gap_s: a face that is not found for longer is begun anew.
    """

    time_constant_s: float = 0.2
    hysteresis: float = 0.2
    max_gap_s: float = 0.5

    def __post_init__(self) -> None:
        if not 0.0 < self.time_constant_s < math.inf:
            raise UsageError(
                f"got a smoothing time of {self.time_constant_s!r} seconds, expected more than 0; "
                "turn smoothing off for the answers of single frames"
            )
        if not 0.0 <= self.hysteresis < 1.0:
            raise UsageError(
                f"got a hysteresis of {self.hysteresis!r}, expected 0 or more and less than 1: a "
                "lead in probability; 0.2 is usual"
            )
        if not 0.0 <= self.max_gap_s < math.inf:
            raise UsageError(
                f"got a longest gap of {self.max_gap_s!r} seconds, expected 0 or more; half a "
                "second bridges what detectors usually miss"
            )


class SmoothedExpression:
    """The smoothed answer for one face, beginning with its first frame.

    Args:
        config: how calm.
        probabilities: (C,) of the first frame.
        time_s: of the first frame.
    """

    def __init__(
        self, config: SmoothingConfig, probabilities: npt.NDArray[np.float64], time_s: float
    ) -> None:
        self._config = config
        self._time_s = time_s
        self._weight = 1.0  # W
        self.probabilities = probabilities
        self.class_index = int(probabilities.argmax())

    def update(self, probabilities: npt.NDArray[np.float64], time_s: float) -> None:
        """Take one more frame into `probabilities` (C,) and `class_index`.

        Args:
            probabilities: (C,) of the frame.
            time_s: of the frame, not before the last one's.
        """
        aged = math.exp((self._time_s - time_s) / self._config.time_constant_s)
        self._time_s = time_s
        self._weight = 1.0 + aged * self._weight
        change = (probabilities - self.probabilities) / self._weight  # 1
        self.probabilities = self.probabilities + change
        best = int(self.probabilities.argmax())
        lead = self.probabilities[best] - self.probabilities[self.class_index]
        if lead > self._config.hysteresis:  # 2
            self.class_index = best
