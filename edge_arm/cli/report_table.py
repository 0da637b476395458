"""The report as a table in the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from edge_arm.runtime.report import Report
from edge_arm.runtime.report_text import (
    VERDICT_WORDS,
    confidence_text,
    gate_remarks,
    limits_pp,
    percent,
    precision_name,
    rate_text,
    signed_pp,
    size_text,
    speed_note,
    verdict_sentence,
)


def print_report(report: Report, written: Sequence[Path]) -> None:
    """Print the table, the verdict, and where the whole report is, to stdout.

    Args:
        report: what was measured.
        written: files that hold the report.
    """
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:  # a pipe or a log has no width that figures would have to fit
        console.width = max(console.width, 120)
    console.print(_table(report))
    console.print()
    console.print(verdict_sentence(report), soft_wrap=True)
    for line in (*gate_remarks(report), speed_note(report)):
        if line is not None:
            console.print(line, soft_wrap=True)
    if written:
        console.print(f"report: {', '.join(map(str, written))}", soft_wrap=True)


def _table(report: Report) -> Table:
    confidence = confidence_text(report.confidence)
    data = report.data
    table = Table(
        title=f"{data.name}, {data.split.value}: {data.num_images:,} faces, "
        f"{report.reference.info.name}, batch {report.reference.batch_size}",
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
    for row, model in enumerate(report.models):
        drop = report.drops[row - 1] if row else None
        cells = [
            precision_name(model.precision),
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
        table.add_row(*cells)
    return table
