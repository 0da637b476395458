"""The drop of every class, with what seven looks cost.

A model can keep its accuracy and lose an emotion: 74 of RAF-DB's 3,068 test faces show fear, so
losing every fourth of them moves the accuracy by 0.6 points.

Two different corrections meet here, and both are needed:

1. "Some class is worse" is claimed if any of seven tests says so, so their p-values go through
   Holm (multiplicity.py).
2. "Every class is within the margin" is claimed only if each of seven tests says so. That needs
   no correction: more looks make it harder, not easier (R. L. Berger, Technometrics 24 (1982)
   295-300, intersection-union tests).

Letters: N faces, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from edge_arm.runtime.errors import UsageError
from edge_arm.runtime.statistics.arrays import check_same_faces, checked_labels
from edge_arm.runtime.statistics.interval import Interval, one_sided_error
from edge_arm.runtime.statistics.multiplicity import holm_adjusted
from edge_arm.runtime.statistics.noninferiority import drop_interval, inferiority_p
from edge_arm.runtime.statistics.paired import PairedCounts, paired_counts
from edge_arm.runtime.statistics.power import minimum_detectable_drop
from edge_arm.runtime.statistics.proportion import wilson_interval
from edge_arm.runtime.statistics.verdict import Gate, Verdict, verdict_from_interval


@dataclass(frozen=True)
class ClassRules:
    """What is asked of the classes.

    Attributes:
        max_drop: largest accepted drop of any class, as a fraction; None asks for no verdict.
        confidence: two-sided, of all intervals.
        judgeable_drop: a class whose minimum detectable drop exceeds this is called too small to
            judge; used where `max_drop` is None, else `max_drop` itself is the limit.
    """

    max_drop: float | None = None
    confidence: float = 0.95
    judgeable_drop: float = 0.05

    def __post_init__(self) -> None:
        one_sided_error(self.confidence)
        if self.gate is None and not 0.0 < self.judgeable_drop < 1.0:
            raise UsageError(
                f"the judgeable drop is {self.judgeable_drop!r}, expected a fraction between 0 "
                "and 1; write five percentage points as 0.05"
            )

    @property
    def gate(self) -> Gate | None:
        """The gate of each class by itself, None if there is none."""
        return None if self.max_drop is None else Gate(self.max_drop, self.confidence)

    @property
    def smallest_of_interest(self) -> float:
        """The drop that a class must be able to show, as a fraction."""
        return self.judgeable_drop if self.max_drop is None else self.max_drop


@dataclass(frozen=True)
class ClassDrop:
    """One class that has faces.

    Attributes:
        label: class index.
        counts: paired table of its faces.
        reference_recall_interval: Wilson, around `counts.reference_accuracy`.
        candidate_recall_interval: Wilson, around `counts.candidate_accuracy`.
        interval: of the drop `counts.drop`, for this class alone.
        drop_p: one-sided p of "no drop", after Holm over the classes with faces.
        exceeds_p: one-sided p of "at most the gate's margin", after Holm; None without a gate.
        verdict: of this class alone, by `interval`; None without a gate.
        minimum_detectable_drop: as a fraction.
        too_small: whether that is larger than the drop asked about and nothing was decided all the
            same. So a class that is too small never has a PASS, and one that fails in spite of its
            few faces is not called too small.
    """

    label: int
    counts: PairedCounts
    reference_recall_interval: Interval
    candidate_recall_interval: Interval
    interval: Interval
    drop_p: float
    exceeds_p: float | None
    verdict: Verdict | None
    minimum_detectable_drop: float
    too_small: bool


@dataclass(frozen=True)
class ClassComparison:
    """All classes.

    Attributes:
        drops: by class index; None for a class without faces.
        worst_recall: class with the lowest recall of the candidate, the first of equals.
        largest_drop: class with the largest drop, the first of equals.
        verdict: over all classes; None without a gate.
    """

    drops: tuple[ClassDrop | None, ...]
    worst_recall: int
    largest_drop: int
    verdict: Verdict | None


def compare_classes(
    targets: NDArray[Any],
    reference: NDArray[Any],
    candidate: NDArray[Any],
    *,
    num_classes: int,
    rules: ClassRules | None = None,
) -> ClassComparison:
    """Compare the answers of two models class by class.

    The verdict over all classes is PASS if every class passes by itself (rule 2 of the file), FAIL
    if some class is shown to exceed the margin after Holm (rule 1), else CANNOT_TELL. A class
    without faces has not been shown to pass, so with one there is no PASS.

    Args:
        targets: (N,) integer, true classes.
        reference: (N,) integer, answers of the reference.
        candidate: (N,) integer, answers of the candidate.
        num_classes: C.
        rules: gate, confidence and what is too small; the default asks for no verdict.

    Raises:
        DataError: if the arrays are no labels or of different lengths.
    """
    rules = rules or ClassRules()
    targets = checked_labels(targets, num_classes, "targets")
    reference = checked_labels(reference, num_classes, "reference predictions")
    candidate = checked_labels(candidate, num_classes, "candidate predictions")
    check_same_faces(targets, reference, ("targets", "reference predictions"))
    check_same_faces(targets, candidate, ("targets", "candidate predictions"))

    tables = {
        label: paired_counts(
            reference[targets == label] == label, candidate[targets == label] == label
        )
        for label in range(num_classes)
        if (targets == label).any()
    }
    drop_p = _holm_by_class({label: inferiority_p(table) for label, table in tables.items()})
    exceeds_p: dict[int, float] = {}
    if rules.max_drop is not None:
        margin = rules.max_drop
        exceeds_p = _holm_by_class(
            {label: inferiority_p(table, margin) for label, table in tables.items()}
        )
    drops = {
        label: _class_drop(label, table, drop_p[label], exceeds_p.get(label), rules)
        for label, table in tables.items()
    }
    return ClassComparison(
        drops=tuple(drops.get(label) for label in range(num_classes)),
        worst_recall=min(tables, key=lambda label: tables[label].candidate_accuracy),
        largest_drop=max(tables, key=lambda label: tables[label].drop),
        verdict=(
            None
            if rules.gate is None
            else verdict_over_classes(
                [drops[label].verdict if label in drops else None for label in range(num_classes)],
                list(exceeds_p.values()),
                confidence=rules.confidence,
            )
        ),
    )


def _holm_by_class(p_values: dict[int, float]) -> dict[int, float]:
    return dict(zip(p_values, holm_adjusted(list(p_values.values())), strict=True))


def _class_drop(
    label: int, counts: PairedCounts, drop_p: float, exceeds_p: float | None, rules: ClassRules
) -> ClassDrop:
    confidence = rules.confidence
    interval = drop_interval(counts, confidence=confidence)
    smallest = minimum_detectable_drop(
        counts.num_faces, counts.num_discordant, confidence=confidence
    )
    reference_right = counts.both_right + counts.reference_only_right
    candidate_right = counts.both_right + counts.candidate_only_right
    verdict = None if rules.gate is None else verdict_from_interval(interval, rules.gate)
    decided = verdict in (Verdict.PASS, Verdict.FAIL)
    return ClassDrop(
        label=label,
        counts=counts,
        reference_recall_interval=wilson_interval(
            reference_right, counts.num_faces, confidence=confidence
        ),
        candidate_recall_interval=wilson_interval(
            candidate_right, counts.num_faces, confidence=confidence
        ),
        interval=interval,
        drop_p=drop_p,
        exceeds_p=exceeds_p,
        verdict=verdict,
        minimum_detectable_drop=smallest,
        too_small=smallest > rules.smallest_of_interest and not decided,
    )


def verdict_over_classes(
    verdicts: Sequence[Verdict | None], exceeds_p: Sequence[float], *, confidence: float
) -> Verdict:
    """One verdict about all classes; see `compare_classes`.

    Args:
        verdicts: of each class by itself; None for one without faces.
        exceeds_p: of the classes with faces, that their drop is at most the margin, after Holm.
        confidence: of the gate, two-sided.
    """
    error = one_sided_error(confidence)
    # Holm's p decides whether *some* class fails; that the class fails by itself as well follows,
    # because an adjusted p is never smaller than the p the interval belongs to.
    if any(p < error for p in exceeds_p):
        return Verdict.FAIL
    if all(verdict is Verdict.PASS for verdict in verdicts):
        return Verdict.PASS
    return Verdict.CANNOT_TELL
