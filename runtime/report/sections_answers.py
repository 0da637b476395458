"""The sections about the answers: how many are right, which changed, whom it hits."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from edge_arm.runtime.accuracy_drop import AccuracyDrop, ModelAccuracy
from edge_arm.runtime.report.document import (
    Cell,
    Matrix,
    Section,
    Table,
    Tone,
    Topic,
    paragraphs,
    plain_row,
)
from edge_arm.runtime.report.findings import slice_sentence
from edge_arm.runtime.report.report import Report
from edge_arm.runtime.report.text import (
    JUDGEABLE_PP,
    METHOD_WORDS,
    VERDICT_WORDS,
    cannot_judge,
    class_exceeds,
    confidence_text,
    faces_text,
    limits_pp,
    model_name,
    p_value,
    percent,
    rate_text,
    signed_pp,
    size_text,
    speed_note,
)
from edge_arm.runtime.slices import SliceDrop
from edge_arm.runtime.statistics import ClassDrop, Verdict


def precisions_section(report: Report) -> Section:
    """All models beside one another: two or three columns fit a phone, ten would not."""
    models = report.models
    drops: tuple[AccuracyDrop | None, ...] = (None, *report.drops)

    def of_drops(text: Callable[[AccuracyDrop], str | Cell]) -> list[str | Cell]:
        return ["" if drop is None else text(drop) for drop in drops]

    rows = [plain_row("Accuracy", (_accuracy(model) for model in models))]
    if report.drops:
        rows.append(plain_row("Drop, pp", of_drops(_drop_cell)))
    if report.gate is not None:
        rows.append(
            plain_row(
                f"Below {100.0 * report.gate.max_drop:g} pp",
                of_drops(lambda drop: verdict_cell(drop.verdict)),
            )
        )
    if report.class_gate is not None:
        rows.append(
            plain_row(
                f"Each emotion below {100.0 * report.class_gate:g} pp",
                of_drops(lambda drop: verdict_cell(drop.classes.verdict)),
            )
        )
    if report.drops:
        rows += [
            plain_row("Same answer as FP32", of_drops(lambda d: percent(d.agreement.agreement))),
            plain_row("Changed answers", of_drops(lambda d: f"{len(d.agreement.flipped_faces):,}")),
            plain_row(
                "Right only in FP32", of_drops(lambda d: f"{d.counts.reference_only_right:,}")
            ),
            plain_row("Right only here", of_drops(lambda d: f"{d.counts.candidate_only_right:,}")),
            plain_row("McNemar p", of_drops(lambda d: p_value(d.mcnemar_p))),
            plain_row(
                "Smallest limit these faces can certify, pp",
                of_drops(lambda d: f"{100.0 * d.minimum_detectable_drop:.2f}"),
            ),
        ]
    rows += [
        plain_row("Mean class accuracy", (percent(m.scores.mean_class_accuracy) for m in models)),
        plain_row("Macro F1", (percent(model.scores.macro_f1) for model in models)),
    ]
    if report.drops:
        rows += [
            plain_row("Drop of macro F1, pp", of_drops(_macro_cell)),
            plain_row("Lowest recall", of_drops(_worst_cell)),
            plain_row("Largest drop of an emotion, pp", of_drops(_largest_drop_cell)),
        ]
    columns = ("", *(model_name(model) for model in models))
    caption = (
        f"{faces_text(report.data.num_images)}, small print: {confidence_text(report.confidence)} "
        "intervals"
    )
    return Section(
        Topic.PRECISIONS,
        "Drop in accuracy" if report.drops else "Accuracy",
        tables=(Table("", caption, columns, tuple(rows)),),
        notes=_interval_notes(report),
    )


def _interval_notes(report: Report) -> tuple[str, ...]:
    """How the intervals were had and read; nothing where there is nothing to compare."""
    if not report.drops:
        return ()
    methods = dict.fromkeys(METHOD_WORDS[drop.interval.method] for drop in report.drops)
    limit = (
        None
        if report.gate is None
        else f"Pass: the whole interval is below the limit of {100.0 * report.gate.max_drop:g} pp. "
        "Fail: none of it is. Otherwise these faces cannot tell."
    )
    return paragraphs(
        "The drop is paired: only faces that exactly one of the two models gets right decide "
        f"({', '.join(methods)}).",
        limit,
    )


def _accuracy(model: ModelAccuracy) -> Cell:
    low, high = 100.0 * model.interval.low, 100.0 * model.interval.high
    return Cell(percent(model.accuracy), f"{low:.2f} to {high:.2f}")


def _drop_cell(drop: AccuracyDrop) -> Cell:
    return Cell(signed_pp(drop.drop_pp), limits_pp(drop.drop_pp_interval))


def _macro_cell(drop: AccuracyDrop) -> Cell:
    interval = drop.macro.macro_f1_interval
    limits = "" if interval is None else limits_pp((100.0 * interval.low, 100.0 * interval.high))
    return Cell(signed_pp(100.0 * drop.macro.macro_f1), limits)


def _worst_cell(drop: AccuracyDrop) -> Cell:
    label = drop.classes.worst_recall
    one = drop.classes.drops[label]
    assert one is not None  # only a class with faces can be the worst
    return Cell(percent(one.counts.candidate_accuracy, 1), drop.labels.classes[label])


def _largest_drop_cell(drop: AccuracyDrop) -> Cell:
    label = drop.classes.largest_drop
    one = drop.classes.drops[label]
    assert one is not None  # as above
    return Cell(signed_pp(100.0 * one.counts.drop, 1), drop.labels.classes[label])


def verdict_cell(verdict: Verdict | None) -> Cell:
    """A verdict in its colour; empty where nothing was asked."""
    return Cell("") if verdict is None else Cell(VERDICT_WORDS[verdict], "", Tone(verdict.value))


def emotions_section(report: Report) -> Section | None:
    """Recall and drop of each class."""
    if not report.drops:
        return None
    faint = any(
        one is not None and cannot_judge(one) for drop in report.drops for one in drop.classes.drops
    )
    smallest = JUDGEABLE_PP if report.class_gate is None else 100.0 * report.class_gate
    return Section(
        Topic.EMOTIONS,
        "By emotion",
        tables=tuple(_class_table(drop, report.class_gate) for drop in report.drops),
        notes=paragraphs(
            "p: one-sided, of no drop, after Holm over the emotions. Small print and plot: "
            f"{confidence_text(report.confidence)} intervals of each emotion by itself; of a "
            "recall, Wilson's.",
            None
            if report.class_gate is None
            else "All emotions pass only if each passes by itself, and fail as soon as one is "
            "shown to exceed the limit after Holm.",
            f"Too few: not enough faces to show either a drop or that it is below {smallest:g} pp; "
            "drawn faint."
            if faint
            else None,
        ),
    )


def _class_table(drop: AccuracyDrop, class_gate: float | None) -> Table:
    name = model_name(drop.candidate)
    columns = ["Emotion", "FP32", name, "Drop", "p"]
    if class_gate is not None:
        columns.append(f"< {100.0 * class_gate:g} pp")
    rows = []
    for label, emotion in enumerate(drop.labels.classes):
        one = drop.classes.drops[label]
        if one is None:
            cells = [Cell(emotion, "no face, nothing known"), *[Cell("")] * 4]
            if class_gate is not None:
                cells.append(Cell(VERDICT_WORDS[Verdict.CANNOT_TELL], "", Tone.CANNOT_TELL))
        else:
            cells = _class_cells(drop, one)
        rows.append(tuple(cells))
    return Table(name, "Recall in %, drop in pp", tuple(columns), tuple(rows))


def _class_cells(drop: AccuracyDrop, one: ClassDrop) -> list[Cell]:
    limits = 100.0 * one.interval.low, 100.0 * one.interval.high
    before, after = one.reference_recall_interval, one.candidate_recall_interval
    faces = faces_text(one.counts.num_faces)
    cells = [
        Cell(drop.labels.classes[one.label], f"{faces}, too few" if cannot_judge(one) else faces),
        Cell(f"{100.0 * one.counts.reference_accuracy:.1f}", _percents(before.low, before.high)),
        Cell(f"{100.0 * one.counts.candidate_accuracy:.1f}", _percents(after.low, after.high)),
        Cell(signed_pp(100.0 * one.counts.drop, 1), limits_pp(limits, 1)),
        Cell(p_value(one.drop_p)),
    ]
    if one.verdict is not None:
        small = "after Holm" if class_exceeds(drop, one) else ""
        cells.append(Cell(VERDICT_WORDS[one.verdict], small, Tone(one.verdict.value)))
    return cells


def _percents(low: float, high: float) -> str:
    return f"{100.0 * low:.1f} to {100.0 * high:.1f}"


def slices_section(report: Report) -> Section | None:
    """The drop in parts of the test set, as annotated."""
    if not report.slices:
        return None
    by_precision: dict[str, list[SliceDrop]] = {}
    for item in report.slices:
        by_precision.setdefault(model_name(item), []).append(item)
    return Section(
        Topic.SLICES,
        "By group of people",
        lead=paragraphs(slice_sentence(report)),
        tables=tuple(_slice_table(name, items) for name, items in by_precision.items()),
        notes=(
            "The groups are the data set's own annotation of each picture, not what the people "
            "say of themselves. p: one-sided, of no drop, after Holm over all groups of a "
            "precision. Too few: not enough faces to show a drop of the size that an emotion is "
            "judged by.",
        ),
    )


def _slice_table(name: str, items: list[SliceDrop]) -> Table:
    rows = []
    for item in items:
        limits = 100.0 * item.interval.low, 100.0 * item.interval.high
        faces = faces_text(item.counts.num_faces)
        rows.append(
            (
                Cell(
                    f"{item.attribute}: {item.value}",
                    f"{faces}, too few" if item.too_small else faces,
                ),
                Cell(f"{100.0 * item.counts.reference_accuracy:.1f}"),
                Cell(f"{100.0 * item.counts.candidate_accuracy:.1f}"),
                Cell(signed_pp(100.0 * item.counts.drop, 1), limits_pp(limits, 1)),
                Cell(p_value(item.drop_p)),
            )
        )
    columns = ("Group", "FP32", name, "Drop", "p")
    return Table(name, "Accuracy in %, drop in pp", columns, tuple(rows))


def flips_section(report: Report) -> Section | None:
    """Which answer became which, and how close a call it was."""
    if not report.drops:
        return None
    return Section(
        Topic.FLIPS,
        "Changed answers",
        lead=("Equal accuracies can hide changed answers: what one face loses another wins.",),
        tables=tuple(
            Matrix(
                model_name(drop.candidate),
                f"FP32's answer (row) and {model_name(drop.candidate)}'s (column)",
                drop.labels.classes,
                _counts(drop.agreement.flips),
            )
            for drop in report.drops
        ),
        notes=tuple(_margin_text(drop) for drop in report.drops),
    )


def _margin_text(drop: AccuracyDrop) -> str:
    name, margins = model_name(drop.candidate), drop.agreement.flipped_margins
    if not margins.size:
        return f"{name}: no answer changed."
    close = int(np.count_nonzero(margins < CLOSE_CALL))
    return (
        f"{name}: {faces_text(margins.size)} changed. FP32's margin (top probability minus the "
        f"second) on them: median {float(np.median(margins)):.2f}, where that of all faces is "
        f"{drop.agreement.median_margin:.2f}, largest {margins.max():.2f}; "
        f"{close:,} of them below {CLOSE_CALL:g}, where FP32 hardly preferred its own answer."
    )


CLOSE_CALL = 0.1
"""A margin below it is called a close call: 0.55 against 0.45."""


def confusions_section(report: Report) -> Section:
    """Who is taken for whom, before and after."""
    return Section(
        Topic.CONFUSIONS,
        "Right and wrong",
        tables=tuple(
            Matrix(
                model_name(model),
                "True emotion (row) and answer (column)",
                report.labels.classes,
                _counts(model.confusion),
            )
            for model in report.models
        ),
    )


def _counts(counts: npt.NDArray[np.int64]) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(int(count) for count in row) for row in counts)


def speed_section(report: Report) -> Section:
    """File sizes and images per second, as far as they mean anything."""
    rows = tuple(
        plain_row(
            model_name(model),
            (
                size_text(model.info.size_bytes),
                rate_text(model.images_per_second),
                f"{model.info.name}, batch {model.batch_size}",
            ),
        )
        for model in report.models
    )
    return Section(
        Topic.SPEED,
        "Size and speed",
        tables=(Table("", "As measured here", ("", "File", "Images/s", "Run by"), rows),),
        notes=paragraphs(speed_note(report)),
    )
