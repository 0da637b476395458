"""Holm's correction for looking at seven classes.

S. Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of
Statistics 6 (1979) 65-70. Whoever looks at seven classes finds one "significantly worse" at 5 % in
up to 30 % of the cases in which nothing is worse. Holm keeps that to 5 % whatever the dependence
between the classes is, and always finds at least as much as Bonferroni.
"""

from __future__ import annotations

from collections.abc import Sequence

from edge_arm.runtime.errors import UsageError


def holm_adjusted(p_values: Sequence[float]) -> tuple[float, ...]:
    """Adjusted p-values: below an error rate exactly where Holm's procedure rejects at it.

    With the p in rising order, adjusted p of the i-th (from 0) of k is the largest of
    (k - j) p_j over j <= i, at most 1.

    Args:
        p_values: one per look, each 0..1; may be empty.

    Returns:
        In the order given.

    Raises:
        UsageError: if a value is not a probability.
    """
    for p in p_values:
        if not 0.0 <= p <= 1.0:
            raise UsageError(f"p-value is {p!r}, expected from 0 to 1; check the test it is from")
    count = len(p_values)
    adjusted = [0.0] * count
    largest = 0.0
    for position, index in enumerate(sorted(range(count), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (count - position) * p_values[index]))
        adjusted[index] = largest
    return tuple(adjusted)
