"""Accuracy and recall with Wilson's score interval.

E. B. Wilson, "Probable inference, the law of succession, and statistical inference", Journal of
the American Statistical Association 22 (1927) 209-212. Recommended against the textbook interval
p +- z sqrt(p (1 - p) / n) by Brown, Cai and DasGupta, Statistical Science 16 (2001) 101-133: that
one has width zero at 0 % and 100 % and covers far less than it says near them, which is where
the recalls of small classes are.
"""

from __future__ import annotations

import math

from edge_arm.runtime.errors import UsageError
from edge_arm.runtime.statistics.interval import Interval, IntervalMethod, normal_quantile


def wilson_interval(num_right: int, num_faces: int, *, confidence: float = 0.95) -> Interval:
    """Wilson's score interval of the proportion `num_right / num_faces`.

    It holds every p with (num_right - n p)^2 <= z^2 n p (1 - p), n = num_faces::

        (p + z^2/2n -+ z sqrt(p (1 - p) / n + z^2/4n^2)) / (1 + z^2/n)

    Args:
        num_right: how many of the faces were answered rightly.
        num_faces: how many there are, at least 1.
        confidence: two-sided.

    Raises:
        UsageError: if the counts are impossible or the confidence is out of range.
    """
    if not 0 <= num_right <= num_faces or num_faces < 1:
        raise UsageError(
            f"a proportion of {num_right} right among {num_faces} faces, expected at least one "
            "face and no more right than there are; check the counts"
        )
    z = normal_quantile(confidence)
    n = num_faces
    p = num_right / n
    center = p + z * z / (2 * n)
    half_width = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    # At 0 and n the formula gives 0 and 1 but for rounding, which could put a limit outside.
    low = 0.0 if num_right == 0 else max(0.0, (center - half_width) / scale)
    high = 1.0 if num_right == n else min(1.0, (center + half_width) / scale)
    return Interval(low, high, confidence, IntervalMethod.WILSON)
