from __future__ import annotations

import pytest

from edge_arm.runtime.errors import UsageError
from edge_arm.runtime.statistics import Gate, Interval, IntervalMethod, Verdict
from edge_arm.runtime.statistics.verdict import verdict_from_interval


def interval(low: float, high: float, confidence: float = 0.95) -> Interval:
    return Interval(low, high, confidence, IntervalMethod.TANGO)


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (-0.002, 0.0099, Verdict.PASS),
        (-0.02, -0.01, Verdict.PASS),
        (-0.002, 0.01, Verdict.CANNOT_TELL),
        (0.0099, 0.03, Verdict.CANNOT_TELL),
        (0.01, 0.03, Verdict.FAIL),
        (0.02, 0.03, Verdict.FAIL),
    ],
)
def test_the_verdict_is_where_the_interval_lies(low: float, high: float, verdict: Verdict) -> None:
    assert verdict_from_interval(interval(low, high), Gate(max_drop=0.01)) is verdict


def test_verdicts_are_written_as_the_report_schema_says() -> None:
    assert [verdict.value for verdict in Verdict] == ["pass", "fail", "cannot_tell"]


@pytest.mark.parametrize("max_drop", [1.0, -0.01, float("nan")])
def test_a_gate_that_is_no_fraction_is_refused(max_drop: float) -> None:
    with pytest.raises(UsageError, match="largest drop is .*write one percentage point as 0.01"):
        Gate(max_drop)


def test_a_gate_of_impossible_confidence_is_refused() -> None:
    with pytest.raises(UsageError, match="confidence is 95"):
        Gate(0.01, confidence=95)


def test_a_gate_does_not_judge_an_interval_of_another_confidence() -> None:
    with pytest.raises(UsageError, match=r"confidence 0\.9 for a gate of confidence 0\.95"):
        verdict_from_interval(interval(0.0, 0.001, confidence=0.9), Gate(0.01))
