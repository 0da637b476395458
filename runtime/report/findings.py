"""What each check of a report came to, in one sentence; the terminal prints only these."""

from __future__ import annotations

import math

from edge_arm.runtime.baselines import Baseline, Protocol
from edge_arm.runtime.batch_invariance import InvarianceCheck
from edge_arm.runtime.leaks import Duplicate, LeakCheck
from edge_arm.runtime.report.report import Report
from edge_arm.runtime.report.text import (
    faces_text,
    limits_pp,
    model_name,
    names_text,
    percent,
    signed_pp,
    small_number,
)
from edge_arm.runtime.slices import SliceDrop

PROTOCOL_WORDS = {
    Protocol.PAPER: "paper protocol, list order",
    Protocol.PAPER_SHUFFLED: "paper protocol, shuffled",
    Protocol.DEPLOYABLE: "deployable, stored mean",
}

_NOTABLE_P = 0.05
"""Slices below it, after Holm, are named; a report that names every slice says nothing."""


def alarms(report: Report) -> tuple[str, ...]:
    """Faults that come before any figure, because they put the figures in doubt."""
    lines = [
        f"{model_name(check)} depends on the other faces of a batch: at "
        f"{check.arrangement}, a logit moved by {small_number(check.max_logit_difference)} "
        f"(at most {small_number(check.limit)} is accepted) and {check.changed_answers:,} of "
        f"{faces_text(check.num_faces)} changed their answer. Its accuracy depends on how faces "
        "are put into batches."
        for check in _worst_failures(report.invariance)
    ]
    exact = [] if report.leaks is None else exact_duplicates(report.leaks)
    if exact:
        lines.append(
            f"{faces_text(len(exact))} of the test set {'is' if len(exact) == 1 else 'are'} in the "
            f"calibration set, the first {exact[0].test_id}: INT8 has seen what it is judged by."
        )
    return tuple(lines)


def _worst_failures(checks: tuple[InvarianceCheck, ...]) -> list[InvarianceCheck]:
    """The arrangement that moved a logit most, for each model that failed."""
    worst: dict[str, InvarianceCheck] = {}
    for check in checks:
        name = model_name(check)
        if not check.holds and (name not in worst or _move(check) > _move(worst[name])):
            worst[name] = check
    return list(worst.values())


def _move(check: InvarianceCheck) -> float:
    """How far a logit moved; farther than any number where it became none."""
    move = check.max_logit_difference
    return math.inf if math.isnan(move) else move


def invariance_sentence(report: Report) -> str | None:
    """Whether faces are answered alike in any company; None where it was not looked at."""
    checks = report.invariance
    if not checks:
        return None
    failed = [check for check in checks if not check.holds]
    faces = faces_text(max(check.num_faces for check in checks))
    arrangements = len({check.arrangement for check in checks})
    if failed:
        names = sorted({model_name(check) for check in failed})
        return (
            f"Batch invariance FAILS for {names_text(names)}: {len(failed)} of {len(checks)} "
            f"checks on {faces} moved a logit by more than is accepted."
        )
    largest = max(check.max_logit_difference for check in checks)
    moved = f"by more than {small_number(largest)}" if largest else "at all"
    return (
        f"Batch invariance holds: {faces} in {arrangements} arrangements, no logit moved {moved}."
    )


def baseline_sentence(report: Report) -> str | None:
    """The FP32 accuracies that must not be mixed up; None where they were not measured."""
    if not report.baselines:
        return None
    parts = [f"{percent(item.accuracy)} {_baseline_name(item)}" for item in report.baselines]
    return f"FP32: {', '.join(parts)}. Drops are measured against the deployable model."


def _baseline_name(item: Baseline) -> str:
    return f"({PROTOCOL_WORDS[item.protocol]}, batch {item.batch_size})"


def leak_sentence(report: Report) -> str | None:
    """What calibration and test set share; None where nobody looked."""
    leaks = report.leaks
    if leaks is None:
        return None
    if not leaks.num_calibration:
        return f"Leaks were not looked for: {leaks.not_checked or 'no calibration faces'}."
    exact, near = len(exact_duplicates(leaks)), len(near_duplicates(leaks))
    compared = (
        f"{leaks.num_test:,} test and {leaks.num_calibration:,} calibration faces were compared"
    )
    if leaks.not_checked:
        return f"{compared} by their files alone: {exact:,} are the same; {leaks.not_checked}."
    left = " and left out" if near and leaks.excluded else ""
    return (
        f"{compared}: {exact:,} are the same file, {near:,} nearly the same picture{left} "
        f"(at most {leaks.max_distance} of {leaks.hash_bits} bits differ)."
    )


def exact_duplicates(leaks: LeakCheck) -> list[Duplicate]:
    """Test faces whose very file is in the calibration set."""
    return [item for item in leaks.duplicates if item.distance is None]


def near_duplicates(leaks: LeakCheck) -> list[Duplicate]:
    """Test faces that look like one of the calibration set."""
    return [item for item in leaks.duplicates if item.distance is not None]


def slice_sentence(report: Report) -> str | None:
    """The slices that lose something, or that none is shown to; None where there are no slices."""
    if not report.slices:
        return None
    worse = sorted(
        (item for item in report.slices if item.drop_p < _NOTABLE_P and item.counts.drop > 0),
        key=lambda item: (item.drop_p, -item.counts.drop),
    )
    looked = len({(item.attribute, item.value) for item in report.slices})
    if not worse:
        return (
            f"Slices: no drop is shown in any of {looked} parts by gender, age or race as "
            "annotated, all looks counted."
            if {item.attribute for item in report.slices} == {"gender", "age", "race"}
            else f"Slices: no drop is shown in any of {looked} parts, all looks counted."
        )
    return f"Slices that lose: {'; '.join(slice_text(item) for item in worse[:3])}" + (
        f"; and {len(worse) - 3} more." if len(worse) > 3 else "."
    )


def slice_text(item: SliceDrop) -> str:
    """One slice: "INT8, age 70+: +6.25 pp (+1.20 to +12.40)"."""
    limits = 100.0 * item.interval.low, 100.0 * item.interval.high
    return (
        f"{model_name(item)}, {item.attribute} {item.value}: "
        f"{signed_pp(100.0 * item.counts.drop)} pp ({limits_pp(limits)})"
    )


def explanation_sentence(report: Report) -> str | None:
    """Which source changed most answers; None where it was not asked for."""
    if not report.explanation:
        return None
    parts = [f"{item.name} {item.flips:,}" for item in report.explanation]
    faces = faces_text(max(item.num_faces for item in report.explanation))
    return f"Changed answers of {faces} by source: {', '.join(parts)}."


def confidence_sentence(report: Report) -> str | None:
    """What the stored temperature does to the calibration error; None where none is stored."""
    parts = [
        f"{model_name(model)} {percent(model.confidence_quality.ece)} to "
        f"{percent(model.tempered.ece)} (T = {model.temperature:.3g})"
        for model in report.models
        if model.tempered is not None and model.temperature is not None
    ]
    return f"Calibration error with the stored temperature: {', '.join(parts)}." if parts else None


def findings(report: Report) -> tuple[str, ...]:
    """One sentence for each check that was made, in the order of the report."""
    sentences = (
        confidence_sentence(report),
        slice_sentence(report),
        explanation_sentence(report),
        baseline_sentence(report),
        invariance_sentence(report),
        leak_sentence(report),
    )
    return tuple(sentence for sentence in sentences if sentence is not None)
