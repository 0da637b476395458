from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_arm.runtime.errors import DataError, UsageError
from edge_arm.runtime.statistics import (
    ClassComparison,
    ClassRules,
    PairedCounts,
    Verdict,
    compare_classes,
    drop_interval,
    holm_adjusted,
    inferiority_p,
    wilson_interval,
)

Cells = tuple[int, int, int, int]
"""Both right, reference only, candidate only, both wrong."""


def make_answers(classes: list[Cells]) -> list[NDArray[Any]]:
    """Targets, reference and candidate; a wrong answer is the next class."""
    rows = []
    for label, cells in enumerate(classes):
        wrong = (label + 1) % len(classes)
        pairs = [(label, label), (label, wrong), (wrong, label), (wrong, wrong)]
        for (reference, candidate), count in zip(pairs, cells, strict=True):
            rows += [(label, reference, candidate)] * count
    return list(np.array(rows).T)


def compare(classes: list[Cells], rules: ClassRules | None = None) -> ClassComparison:
    return compare_classes(*make_answers(classes), num_classes=len(classes), rules=rules)


THREE: list[Cells] = [(80, 10, 2, 8), (40, 1, 1, 8), (300, 4, 3, 13)]


def test_each_class_has_the_table_of_its_own_faces() -> None:
    drops = compare(THREE).drops
    assert [drop.counts for drop in drops if drop is not None] == [
        PairedCounts(100, 80, 10, 2, 8),
        PairedCounts(50, 40, 1, 1, 8),
        PairedCounts(320, 300, 4, 3, 13),
    ]


def test_recalls_have_wilson_intervals() -> None:
    first = compare(THREE).drops[0]
    assert first is not None
    assert first.reference_recall_interval == wilson_interval(90, 100)
    assert first.candidate_recall_interval == wilson_interval(82, 100)


def test_the_interval_of_a_class_is_the_interval_of_its_table() -> None:
    last = compare(THREE, ClassRules(confidence=0.9)).drops[2]
    assert last is not None
    assert last.interval == drop_interval(PairedCounts(320, 300, 4, 3, 13), confidence=0.9)


def test_the_p_values_are_corrected_for_the_number_of_classes_with_faces() -> None:
    comparison = compare([*THREE, (0, 0, 0, 0)], ClassRules(max_drop=0.02))
    tables = [drop.counts for drop in comparison.drops if drop is not None]
    expected = holm_adjusted([inferiority_p(counts) for counts in tables])
    exceeding = holm_adjusted([inferiority_p(counts, 0.02) for counts in tables])
    assert tuple(drop.drop_p for drop in comparison.drops if drop is not None) == expected
    assert tuple(drop.exceeds_p for drop in comparison.drops if drop is not None) == exceeding


def test_a_class_without_faces_is_none() -> None:
    assert compare([*THREE, (0, 0, 0, 0)]).drops[3] is None


def test_worst_recall_and_largest_drop_are_found() -> None:
    comparison = compare(THREE)
    # Candidate recalls 82 / 100, 41 / 50 (equal, so the first) and 303 / 320; drops 8 %, 0, 0.3 %.
    assert comparison.worst_recall == 0
    assert comparison.largest_drop == 0


def test_without_a_gate_there_is_no_verdict() -> None:
    comparison = compare(THREE)
    assert comparison.verdict is None
    assert {drop.verdict for drop in comparison.drops if drop is not None} == {None}
    assert {drop.exceeds_p for drop in comparison.drops if drop is not None} == {None}


def test_all_classes_within_the_margin_is_a_pass() -> None:
    comparison = compare([(990, 2, 2, 6), (995, 1, 3, 1)], ClassRules(max_drop=0.02))
    assert comparison.verdict is Verdict.PASS


def test_one_class_that_cannot_tell_withholds_the_pass() -> None:
    comparison = compare([(990, 2, 2, 6), (20, 0, 0, 1)], ClassRules(max_drop=0.02))
    assert [drop.verdict for drop in comparison.drops if drop is not None] == [
        Verdict.PASS,
        Verdict.CANNOT_TELL,
    ]
    assert comparison.verdict is Verdict.CANNOT_TELL


def test_a_class_without_faces_withholds_the_pass() -> None:
    comparison = compare([(990, 2, 2, 6), (0, 0, 0, 0)], ClassRules(max_drop=0.02))
    assert comparison.verdict is Verdict.CANNOT_TELL


def test_one_class_far_beyond_the_margin_is_a_fail() -> None:
    comparison = compare([(990, 2, 2, 6), (60, 30, 0, 10)], ClassRules(max_drop=0.02))
    assert comparison.verdict is Verdict.FAIL


def test_a_class_that_fails_by_itself_does_not_fail_seven_looks() -> None:
    # By itself the p of class 0 is between 0.025 / 7 and 0.025.
    lost: Cells = (88, 10, 0, 2)
    margin = 0.04
    p = inferiority_p(PairedCounts(100, *lost), margin)
    assert 0.025 / 7 < p < 0.025
    seven = compare([lost, *[(990, 1, 1, 8)] * 6], ClassRules(max_drop=margin))
    assert seven.drops[0] is not None
    assert seven.drops[0].verdict is Verdict.FAIL
    assert seven.verdict is Verdict.CANNOT_TELL


def test_a_small_class_is_called_too_small_to_judge() -> None:
    drops = compare([(990, 2, 2, 6), (20, 1, 0, 1)]).drops
    assert [drop.too_small for drop in drops if drop is not None] == [False, True]


def test_the_gate_replaces_the_limit_of_what_is_too_small() -> None:
    strict = compare([(990, 2, 2, 6), (990, 2, 2, 6)], ClassRules(max_drop=0.001))
    assert [drop.too_small for drop in strict.drops if drop is not None] == [True, True]


def test_a_class_that_is_decided_by_few_faces_is_not_too_small() -> None:
    # 30 faces could certify no margin of 2 points; but 15 won and none lost is a better class, and
    # 15 lost and none won is a worse one.
    better, worse = compare([(10, 0, 15, 5), (10, 15, 0, 5)], ClassRules(max_drop=0.02)).drops
    assert better is not None and worse is not None
    assert better.minimum_detectable_drop > 0.02
    assert (better.verdict, better.too_small) == (Verdict.PASS, False)
    assert (worse.verdict, worse.too_small) == (Verdict.FAIL, False)


def test_a_class_that_is_too_small_never_passes() -> None:
    drops = compare([(5, 0, 0, 0), (990, 2, 2, 6)], ClassRules(max_drop=0.02)).drops
    assert drops[0] is not None
    assert (drops[0].verdict, drops[0].too_small) == (Verdict.CANNOT_TELL, True)


def test_one_face_in_all_is_compared_without_an_error() -> None:
    comparison = compare([(1, 0, 0, 0), (0, 0, 0, 0)], ClassRules(max_drop=0.02))
    assert comparison.verdict is Verdict.CANNOT_TELL


@pytest.mark.parametrize("judgeable", [0.0, 5.0])
def test_a_judgeable_drop_that_is_no_fraction_is_refused(judgeable: float) -> None:
    with pytest.raises(UsageError, match="judgeable drop is .*write five percentage points as 0"):
        ClassRules(judgeable_drop=judgeable)


def test_a_class_gate_that_is_no_fraction_is_refused() -> None:
    with pytest.raises(UsageError, match="largest drop is 3"):
        ClassRules(max_drop=3.0)


def test_answers_for_other_faces_are_refused() -> None:
    targets, reference, candidate = make_answers(THREE)
    with pytest.raises(DataError, match="470 targets and 469 candidate predictions"):
        compare_classes(targets, reference, candidate[1:], num_classes=3)
    with pytest.raises(DataError, match="470 targets and 469 reference predictions"):
        compare_classes(targets, reference[1:], candidate, num_classes=3)
