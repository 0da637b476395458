"""The interval of the drop, and the one-sided tests that go with it.

One method is chosen from the table alone and gives the interval *and* the p-values: exact where
at most 100 faces are discordant, Tango's score beyond. The choice may not look at the margin or
the result, or its error rate would no longer be the stated one. At 100 discordant faces the two
differ by a few hundredths of its width, so the change of method is not visible in a report.
"""

from __future__ import annotations

import numpy as np

from edge_arm.runtime.errors import UsageError
from edge_arm.runtime.statistics.exact import exact_noninferiority_p, exact_upper_limit
from edge_arm.runtime.statistics.interval import (
    Interval,
    IntervalMethod,
    normal_quantile,
    normal_tail,
    one_sided_error,
)
from edge_arm.runtime.statistics.paired import PairedCounts
from edge_arm.runtime.statistics.tango import tango_statistic, tango_upper_limit

EXACT_MAX_DISCORDANT = 100
"""Up to this many discordant faces the probabilities are summed. The number of faces does not
matter to the time: about 20 ms per limit for 3,000 faces or 1,000,000."""


def interval_method(counts: PairedCounts) -> IntervalMethod:
    """Which method the interval and the tests of this table use.

    Args:
        counts: the paired table.
    """
    if counts.num_discordant <= EXACT_MAX_DISCORDANT:
        return IntervalMethod.EXACT
    return IntervalMethod.TANGO


def drop_interval(counts: PairedCounts, *, confidence: float = 0.95) -> Interval:
    """The interval of the drop in accuracy, reference minus candidate.

    Each side has half of the error, so that its upper limit is the one-sided limit of a
    non-inferiority test at (1 - confidence) / 2.

    Args:
        counts: the paired table.
        confidence: two-sided.

    Returns:
        Limits as fractions, -1..1.

    Raises:
        UsageError: if the confidence is out of range.
    """
    error = one_sided_error(confidence)
    n, b, c = counts.num_faces, counts.reference_only_right, counts.candidate_only_right
    method = interval_method(counts)
    # The lower limit of the drop is minus the upper limit of the gain: b and c change places.
    if method is IntervalMethod.EXACT:
        low = -exact_upper_limit(c, b, n, error=error)
        high = exact_upper_limit(b, c, n, error=error)
    else:
        z = normal_quantile(confidence)
        low = -tango_upper_limit(c, b, n, z)
        high = tango_upper_limit(b, c, n, z)
    # 0.0 - x, not -x: a limit of zero is never printed as -0.
    return Interval(0.0 + low, high, confidence, method)


def _at_most_p(b: int, c: int, num_faces: int, drop: float, method: IntervalMethod) -> float:
    if method is IntervalMethod.EXACT:
        return exact_noninferiority_p(b, c, num_faces, drop)
    return normal_tail(float(tango_statistic(np.array(b), np.array(c), num_faces, np.array(drop))))


def _check_margin(margin: float) -> None:
    if not -1.0 < margin < 1.0:
        raise UsageError(
            f"margin is {margin!r}, expected a fraction between -1 and 1; "
            "write one percentage point as 0.01"
        )


def noninferiority_p(counts: PairedCounts, margin: float) -> float:
    """One-sided p of "the drop is at least the margin" against "the drop is smaller".

    Small p: the candidate is shown to lose less than the margin. Below (1 - confidence) / 2
    exactly when the upper limit of `drop_interval` is below the margin.

    Args:
        counts: the paired table.
        margin: as a fraction.

    Returns:
        p, 0..1 (not below 1e-5 where the method is exact).

    Raises:
        UsageError: if the margin is not a fraction.
    """
    _check_margin(margin)
    b, c = counts.reference_only_right, counts.candidate_only_right
    return _at_most_p(b, c, counts.num_faces, margin, interval_method(counts))


def inferiority_p(counts: PairedCounts, margin: float = 0.0) -> float:
    """One-sided p of "the drop is at most the margin" against "the drop is larger".

    Small p: the candidate is shown to lose more than the margin; with margin 0, to be worse at
    all. Below (1 - confidence) / 2 exactly when the lower limit of `drop_interval` is above it.

    Args:
        counts: the paired table.
        margin: as a fraction.

    Returns:
        p, 0..1 (not below 1e-5 where the method is exact).

    Raises:
        UsageError: if the margin is not a fraction.
    """
    _check_margin(margin)
    b, c = counts.reference_only_right, counts.candidate_only_right
    return _at_most_p(c, b, counts.num_faces, -margin, interval_method(counts))
