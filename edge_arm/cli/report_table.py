"""The report as a table in the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from edge_arm.runtime.report.compare import Change, Comparison
from edge_arm.runtime.report.findings import alarms, findings
from edge_arm.runtime.report.published import published_sentence
from edge_arm.runtime.report.report import Report
from edge_arm.runtime.report.sections_origin import change_text, comparison_sentence
from edge_arm.runtime.report.text import (
    VERDICT_WORDS,
    confidence_text,
    faces_text,
    gate_remarks,
    limits_pp,
    model_name,
    percent,
    rate_text,
    signed_pp,
    size_text,
    speed_note,
    verdict_sentence,
)

_MOST_CHANGES = 5
"""Printed by line; the files have all of them."""

_FIRST_FIELDS = ("verdict", "class_verdict", "drop_pp", "accuracy", "agreement")
"""What a change is looked for in, before anything else."""


def print_report(
    report: Report, written: Sequence[Path], comparison: Comparison | None = None
) -> None:
    """Print the table, the verdict, what each check came to, and where the whole report is.

    Args:
        report: what was measured.
        written: files that hold the report.
        comparison: with an older report, if one was given.
    """
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:  # a pipe or a log has no width that figures would have to fit
        console.width = max(console.width, 120)
    console.print(_table(report))
    console.print()
    console.print(verdict_sentence(report), soft_wrap=True)
    lines: list[str | None] = [f"ALARM: {line}" for line in alarms(report)]
    lines += [*gate_remarks(report), *findings(report)]
    lines.append(published_sentence(report.data.name, len(report.labels)))
    if comparison is not None:
        lines += _changes(comparison)
    lines += [*report.not_measured, speed_note(report)]
    for line in lines:
        if line is not None:
            console.print(line, soft_wrap=True)
    if written:
        console.print(f"report: {', '.join(map(str, written))}", soft_wrap=True)


def _changes(comparison: Comparison) -> list[str]:
    """The changes that matter most, and how many more there are."""
    changes = [change_text(change) for change in sorted(comparison.figures, key=_importance)]
    shown = changes[:_MOST_CHANGES]
    rest = len(changes) - len(shown)
    more = [f"  and {rest} more"] if rest else []
    return [comparison_sentence(comparison), *(f"  {line}" for line in shown), *more]


def _importance(change: Change) -> int:
    field = change.field.rpartition(".")[2]
    if ".per_class." in change.field or field not in _FIRST_FIELDS:
        return len(_FIRST_FIELDS)
    return _FIRST_FIELDS.index(field)


def _table(report: Report) -> Table:
    confidence = confidence_text(report.confidence)
    data = report.data
    # The last model ran here, whereas FP32's answers may have been recorded elsewhere.
    ran = report.models[-1]
    table = Table(
        title=f"{data.name}, {data.split.value}: {faces_text(data.num_images)}, "
        f"{ran.info.name}, batch {ran.batch_size}",
        title_justify="left",
        title_style="bold",
        box=None,
        pad_edge=False,
    )
    table.add_column("", overflow="fold")
    for name in ("accuracy", "drop pp", f"{confidence} interval", "agreement", "size", "images/s"):
        table.add_column(name, justify="right", overflow="fold")
    if report.gate is not None:
        table.add_column(f"< {100.0 * report.gate.max_drop:g} pp", overflow="fold")
    if report.class_gate is not None:
        table.add_column(f"each emotion < {100.0 * report.class_gate:g} pp", overflow="fold")
    for row, model in enumerate(report.models):
        drop = report.drops[row - 1] if row else None
        cells = [
            model_name(model),
            percent(model.accuracy),
            "" if drop is None else signed_pp(drop.drop_pp),
            "" if drop is None else limits_pp(drop.drop_pp_interval),
            "" if drop is None else percent(drop.agreement.agreement),
            size_text(model.info.size_bytes),
            rate_text(model.images_per_second),
        ]
        if report.gate is not None:
            verdict = None if drop is None else drop.verdict
            cells.append("" if verdict is None else VERDICT_WORDS[verdict])
        if report.class_gate is not None:
            verdict = None if drop is None else drop.classes.verdict
            cells.append("" if verdict is None else VERDICT_WORDS[verdict])
        table.add_row(*cells)
    return table
