"""The words and number formats of a report, the same in the terminal, HTML and Markdown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

from edge_arm.runtime.accuracy_drop import AccuracyDrop
from edge_arm.runtime.manifest import CPU_VARIANT, MAIN_VARIANT, Precision
from edge_arm.runtime.report.report import Report
from edge_arm.runtime.statistics import ClassDrop, ClassRules, IntervalMethod, Verdict

VERDICT_WORDS = {
    Verdict.PASS: "pass",
    Verdict.FAIL: "fail",
    Verdict.CANNOT_TELL: "cannot tell",
}

METHOD_WORDS = {
    IntervalMethod.WILSON: "Wilson score",
    IntervalMethod.TANGO: "Tango's paired score interval",
    IntervalMethod.EXACT: "exact unconditional paired interval",
    IntervalMethod.BOOTSTRAP: "stratified paired bootstrap",
}


JUDGEABLE_PP = 100.0 * ClassRules().judgeable_drop
"""A class that cannot show a drop of this size is called too small to judge."""


def cannot_judge(one: ClassDrop) -> bool:
    """Whether a class has too few faces to say anything about its drop, one way or the other.

    A class too small to show that a drop is *small* may still show that there is one.
    """
    return one.too_small and one.interval.low <= 0.0 <= one.interval.high


def precision_name(precision: Precision) -> str:
    """As people write it: INT8."""
    return precision.value.upper()


class _OfAModel(Protocol):
    """Whatever says which model of a bundle it is about."""

    @property
    def precision(self) -> Precision: ...

    @property
    def variant(self) -> str: ...


def model_name(item: _OfAModel) -> str:
    """Of the model that something is about: INT8, or INT8 (CPU) for another file than the main."""
    name = precision_name(item.precision)
    return name if item.variant == MAIN_VARIANT else f"{name} ({item.variant.upper()})"


def percent(fraction: float, digits: int = 2) -> str:
    """A fraction as "93.12 %"."""
    return f"{100.0 * fraction:.{digits}f} %"


def signed_pp(points: float, digits: int = 2) -> str:
    """Percentage points with their sign: "+0.42", "-0.10", "0.00" (never "-0.00")."""
    text = f"{points:+.{digits}f}"
    return text[1:] if float(text) == 0.0 else text


def limits_pp(limits: tuple[float, float], digits: int = 2) -> str:
    """An interval in percentage points: "-0.10 to +0.94"."""
    return f"{signed_pp(limits[0], digits)} to {signed_pp(limits[1], digits)}"


def p_value(p: float) -> str:
    """A p-value with no more digits than anybody reads."""
    return "< 0.0001" if p < 0.0001 else f"{p:.4f}" if p < 0.1 else f"{p:.2f}"


def size_text(size_bytes: int) -> str:
    """A file size in MB of a million bytes."""
    return f"{size_bytes / 1e6:.1f} MB"


def rate_text(images_per_second: float) -> str:
    """Faces per second, to three digits; 0 is of a model whose answers were recorded elsewhere."""
    if images_per_second == 0.0:
        return "not run here"
    return f"{images_per_second:,.0f}" if images_per_second >= 100 else f"{images_per_second:.3g}"


def faces_text(count: int) -> str:
    """A number of faces with its noun: "1 face", "3,068 faces"."""
    return f"{count:,} face{'' if count == 1 else 's'}"


def names_text(names: Sequence[str]) -> str:
    """Names as in a sentence: "fear", "fear and disgust", "fear, disgust and anger"."""
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"


def small_number(value: float) -> str:
    """A difference that may be tiny, or no number at all: "0", "3.1e-06", "0.012", "NaN"."""
    if math.isnan(value):
        return "NaN"
    return "0" if value == 0.0 else f"{value:.2g}"


def confidence_text(confidence: float) -> str:
    """A confidence as "95 %", with decimals only where it has some."""
    return f"{100.0 * confidence:g} %"


def drop_text(drop: AccuracyDrop) -> str:
    """One candidate's drop with its interval: "INT8 loses 0.42 pp (95 % interval ...)"."""
    points = drop.drop_pp
    name = model_name(drop.candidate)
    size = f"{abs(points):.2f}"
    verb = "loses" if points > 0 and size != "0.00" else "gains"
    # Not "keeps its accuracy": that is what an interval of 30 pp leaves open.
    change = "shows no drop" if size == "0.00" else f"{verb} {size} pp"
    return (
        f"{name} {change} ({confidence_text(drop.interval.confidence)} interval of the drop "
        f"{limits_pp(drop.drop_pp_interval)} pp)"
    )


def verdict_sentence(report: Report) -> str:
    """The whole report in one sentence; what a reader who stops here must have read."""
    where = f"on {faces_text(report.data.num_images)} of {report.data.name}"
    if not report.drops:
        return (
            f"FP32 answers {percent(report.reference.accuracy)} rightly {where}; no other "
            "precision was measured to compare with it."
        )
    emotions = class_gate_text(report)
    if report.gate is None:
        drops = _joined(report.drops)
        if emotions:
            return f"{emotions} {where}; {drops}."
        return f"{drops[0].upper()}{drops[1:]} {where}; no limit was set, so there is no verdict."
    verdict, accuracy = _accuracy_verdict(report, where)
    if not emotions:
        return f"{accuracy}."
    if verdict is report.verdict:
        return f"{accuracy}; {emotions[0].lower()}{emotions[1:]}."
    return f"{emotions}; over all emotions, {accuracy[0].lower()}{accuracy[1:]}."


def _accuracy_verdict(report: Report, where: str) -> tuple[Verdict, str]:
    """What --max-drop came to: FAIL as soon as one candidate fails, PASS only if all pass."""
    assert report.gate is not None
    limit = f"{100.0 * report.gate.max_drop:g} pp"
    given = {drop.verdict for drop in report.drops}
    verdict = next((item for item in _WORST_FIRST if item in given), Verdict.PASS)
    drops = "; ".join(drop_text(drop) for drop in report.drops if drop.verdict is verdict)
    if verdict is Verdict.PASS:
        return verdict, f"Shown to lose less than {limit} {where}: {drops}"
    if verdict is Verdict.FAIL:
        return verdict, f"Shown to lose at least {limit} {where}: {drops}"
    return verdict, (
        f"The limit of {limit} lies inside the interval, so "
        f"{faces_text(report.data.num_images)} of {report.data.name} cannot tell: {drops}"
    )


_WORST_FIRST = (Verdict.FAIL, Verdict.CANNOT_TELL)


def _joined(drops: Sequence[AccuracyDrop]) -> str:
    return "; ".join(drop_text(drop) for drop in drops)


def class_gate_text(report: Report) -> str | None:
    """What --max-class-drop came to, as a part of a sentence; None without one."""
    if report.class_gate is None or not report.drops:
        return None
    models: dict[str, list[str]] = {}
    for drop in report.drops:
        verdict = drop.classes.verdict
        if verdict is Verdict.PASS:
            said = "shown to lose less in each"
        elif verdict is Verdict.FAIL:
            said = f"shown to lose at least that in {_emotions(drop, verdict)}"
        else:
            said = f"undecided for {_emotions(drop, Verdict.CANNOT_TELL)}"
        models.setdefault(said, []).append(model_name(drop.candidate))
    parts = [
        f"{names_text(names)} {'is' if len(names) == 1 else 'are'} {said}"
        for said, names in models.items()
    ]
    return f"By emotion, against {100.0 * report.class_gate:g} pp, {', '.join(parts)}"


def _emotions(drop: AccuracyDrop, verdict: Verdict) -> str:
    """The classes that withhold a PASS, or those that are shown to exceed the limit."""
    names = [
        drop.labels.classes[label]
        for label, one in enumerate(drop.classes.drops)
        if (
            one is not None and class_exceeds(drop, one)
            if verdict is Verdict.FAIL
            else one is None or one.verdict is not Verdict.PASS
        )
    ]
    return "every emotion" if len(names) == len(drop.labels) else names_text(names)


def class_exceeds(drop: AccuracyDrop, one: ClassDrop) -> bool:
    """Whether a class is shown to lose more than the limit by emotion, all looks counted."""
    return one.exceeds_p is not None and one.exceeds_p < (1.0 - drop.interval.confidence) / 2.0


def gate_remarks(report: Report) -> tuple[str, ...]:
    """What would decide, for each candidate about which nothing could be told."""
    remarks = []
    for drop in report.drops:
        if drop.gate is None or drop.verdict is not Verdict.CANNOT_TELL:
            continue
        name = model_name(drop.candidate)
        limit = f"{100.0 * drop.gate.max_drop:g} pp"
        more = (
            "the drop that was seen lies so near the limit that even a million faces like these "
            "would not decide"
            if drop.faces_to_decide is None
            else f"about {_two_digits(drop.faces_to_decide):,} faces like these would decide, "
            f"{drop.counts.num_faces:,} {'is' if drop.counts.num_faces == 1 else 'are'} here"
        )
        remarks.append(
            f"{name} against {limit}: {more}. A model with no drop at all would usually be "
            f"certified here for a limit of {100.0 * drop.minimum_detectable_drop:.2f} pp or more."
        )
    small = _too_small_for_class_gate(report)
    if small and report.class_gate is not None:
        remarks.append(
            f"Too few faces to certify {100.0 * report.class_gate:g} pp by emotion, even without "
            f"any drop: {', '.join(small)}."
        )
    return tuple(remarks)


def _too_small_for_class_gate(report: Report) -> list[str]:
    """Classes that could hardly pass, with what they could usually certify at best."""
    best: dict[str, float] = {}
    for drop in report.drops:
        for name, one in zip(drop.labels.classes, drop.classes.drops, strict=True):
            if one is not None and one.too_small and one.verdict is Verdict.CANNOT_TELL:
                best[name] = max(best.get(name, 0.0), one.minimum_detectable_drop)
    counts = dict(zip(report.labels.classes, report.data.class_counts, strict=True))
    return [
        f"{name} ({faces_text(counts[name])}, {100.0 * smallest:.1f} pp or more)"
        for name, smallest in best.items()
    ]


def _two_digits(number: int) -> int:
    """An estimate, without digits that nobody may believe: 934,025 as 930,000."""
    return int(float(f"{number:.1e}"))


def speed_note(report: Report) -> str | None:
    """What keeps a CPU's images/s from being read as TensorRT's; None if nothing has to."""
    if any(drop.candidate.info.name == "onnxruntime/cpu" for drop in report.drops):
        return (
            "images/s is of ONNX Runtime on this CPU and says nothing about INT8 or FP16 in "
            "TensorRT. An INT8 file keeps FP32 weights behind its Q/DQ, as TensorRT 8.6 needs; "
            "an engine holds them in one byte each. "
            + (
                "INT8 (CPU) has the same weights and ranges in the form that ONNX Runtime is fast "
                "with."
                if any(drop.candidate.variant == CPU_VARIANT for drop in report.drops)
                else "ONNX Runtime is slow with it; the form for CPUs was not measured."
            )
        )
    return None


def _backends(report: Report) -> list[str]:
    """What ran the models, each once."""
    return list(dict.fromkeys(f"{m.info.name} {m.info.version}" for m in report.models))


def not_said(report: Report) -> tuple[str, ...]:
    """What a reader might take from the report although it is not in it."""
    data = report.data
    small = sorted(
        {
            drop.labels.classes[one.label]
            for drop in report.drops
            for one in drop.classes.drops
            if one is not None and cannot_judge(one)
        },
        key=report.labels.classes.index,
    )
    empty = [
        name
        for name, count in zip(report.labels.classes, data.class_counts, strict=True)
        if not count
    ]
    lines = [
        f"Other faces. This is about {data.num_images:,} faces of {data.name} ({data.split.value} "
        "split); another camera, light or group of people may lose more or less.",
        "Dependent faces. The intervals take the faces as independent; several pictures of one "
        "person or one video make them too narrow.",
        "How good FP32 is. The drop is measured against the FP32 model of this bundle; what FP32 "
        "itself gets wrong is no part of it.",
        f"Other machines. The answers were computed by {names_text(_backends(report))}; another "
        "device or version computes with other kernels. Measure again on the device.",
        "Speed. images/s was taken while pictures were decoded on the same machine; it is no "
        "benchmark.",
    ]
    lines += [f"Not measured. {sentence}" for sentence in report.not_measured]
    if small:
        lines.append(
            f"Single emotions. There are too few faces of {', '.join(small)} to show either "
            f"a drop or that it is below {JUDGEABLE_PP:g} pp; the whole set can hide one."
        )
    if empty:
        lines.append(
            f"Absent emotions. There is no face of {', '.join(empty)}; nothing is known about it."
        )
    return tuple(lines)
