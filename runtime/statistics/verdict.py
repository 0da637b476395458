"""From an interval to a verdict."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from edge_arm.runtime.errors import UsageError
from edge_arm.runtime.statistics.interval import Interval, one_sided_error


class Verdict(Enum):
    """What is known about a drop and a gate; the value is what the JSON holds."""

    PASS = "pass"
    FAIL = "fail"
    CANNOT_TELL = "cannot_tell"


@dataclass(frozen=True)
class Gate:
    """The largest drop that is accepted, and how sure one has to be.

    Attributes:
        max_drop: the margin, as a fraction: 0.01 is one percentage point. A drop of exactly this
            size is too large. With 0 the candidate must be shown to be *better*.
        confidence: two-sided; a wrong PASS happens in at most (1 - confidence) / 2 of the cases
            in which the true drop is the margin, 2.5 % for 0.95, and more rarely beyond.
    """

    max_drop: float
    confidence: float = 0.95

    def __post_init__(self) -> None:
        if not 0.0 <= self.max_drop < 1.0:
            raise UsageError(
                f"the gate's largest drop is {self.max_drop!r}, expected a fraction from 0 to "
                "below 1; write one percentage point as 0.01"
            )
        one_sided_error(self.confidence)


def verdict_from_interval(interval: Interval, gate: Gate) -> Verdict:
    """Judge by the interval that is shown, so that the two cannot contradict each other.

    PASS if the whole interval is below the margin, FAIL if none of it is, CANNOT_TELL if the
    margin is inside: then this set is too small to decide, and a point estimate on the right side
    of the margin says nothing else.

    Args:
        interval: of the drop.
        gate: of the same confidence.

    Raises:
        UsageError: if interval and gate have different confidences.
    """
    if interval.confidence != gate.confidence:
        raise UsageError(
            f"an interval of confidence {interval.confidence!r} for a gate of confidence "
            f"{gate.confidence!r}, expected the same; compute the interval with the gate's"
        )
    if interval.high < gate.max_drop:
        return Verdict.PASS
    if interval.low >= gate.max_drop:
        return Verdict.FAIL
    return Verdict.CANNOT_TELL
