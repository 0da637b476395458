"""The report as one HTML file, for people: it opens with the verdict and ends with its limits.

Self-contained: no script, nothing from the network, and a content security policy that holds a
browser to it. Its only pictures are the thumbnails of the contact sheet, inside the file.
Everything that comes from outside (names, versions, commands) is escaped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path

from edge_arm.runtime.report.compare import Comparison
from edge_arm.runtime.report.contact_sheet import contact_sheets
from edge_arm.runtime.report.contents import document_from_report
from edge_arm.runtime.report.document import Cell, Document, Matrix, Section, Table, Tone, Topic
from edge_arm.runtime.report.page import framed_page
from edge_arm.runtime.report.plot_reliability import (
    reliability_curves,
    reliability_plot,
)
from edge_arm.runtime.report.plot_speed import speed_plot
from edge_arm.runtime.report.plots import (
    class_drop_plot,
    drop_plot,
    legend,
    legend_of,
    slice_drop_plot,
    source_drop_plot,
)
from edge_arm.runtime.report.report import Report
from edge_arm.runtime.report.text import model_name
from edge_arm.runtime.storage import write_text

_FEW = 8
"""Fewer faces than this in the largest cell of a matrix are not shaded as if they were many."""

_MANY_COLUMNS = 5


def write_html_report(
    report: Report,
    path: Path,
    *,
    comparison: Comparison | None = None,
    contact_sheet: bool = True,
) -> None:
    """Write `html_from_report` to a file, atomically.

    Args:
        report: what was measured.
        path: of the file.
        comparison: with an older report, if one was given.
        contact_sheet: whether to show the faces whose answer changed.

    Raises:
        StorageError: if the operating system refuses the write.
    """
    page = html_from_report(report, comparison=comparison, contact_sheet=contact_sheet)
    write_text(path, page)


def html_from_report(
    report: Report, *, comparison: Comparison | None = None, contact_sheet: bool = True
) -> str:
    """The whole page.

    Args:
        report: what was measured.
        comparison: with an older report, if one was given.
        contact_sheet: whether to show the faces whose answer changed; their pictures are read now.
    """
    document = document_from_report(report, comparison)
    sections = [
        _section(
            section,
            plots=_plots(section.topic, report),
            behind=contact_sheets(report) if contact_sheet and section.topic is Topic.FLIPS else "",
        )
        for section in document.sections
    ]
    return framed_page(
        f"{document.verdict}: {document.title}",
        header=_header(document),
        main="\n".join(sections),
    )


def _words(text: str) -> str:
    """Text for the page; a unit stays on the line of its number."""
    return escape(text).replace(" %", "&nbsp;%").replace(" pp", "&nbsp;pp")


def _header(document: Document) -> str:
    alarms = "".join(f'<p class="alarm">{_words(line)}</p>' for line in document.alarms)
    remarks = "".join(f"<p>{_words(line)}</p>" for line in document.remarks)
    contents = "".join(
        f'<li><a href="#{section.topic.value}">{escape(section.title)}</a></li>'
        for section in document.sections
    )
    return (
        f"<header><h1>{escape(document.title)}</h1>"
        f'<div class="verdict {document.tone.value}"><p><strong>{escape(document.verdict)}</strong>'
        f"{_words(document.sentence)}</p></div>{alarms}{remarks}"
        f'<nav aria-label="Sections"><ul>{contents}</ul></nav></header>'
    )


def _grid(blocks: Sequence[str], css: str = "grid") -> str:
    """Blocks side by side where there is room."""
    return f'<div class="{css}">{"".join(blocks)}</div>' if blocks else ""


def _section(section: Section, *, plots: Sequence[str], behind: str) -> str:
    """Words, then plots and tables side by side where there is room, then the small print."""
    lead = "".join(f"<p>{_words(text)}</p>" for text in section.lead)
    notes = "".join(f'<p class="quiet">{_words(text)}</p>' for text in section.notes)
    tables = [f"<div>{_table(table)}</div>" for table in section.tables]
    if len(plots) == 1 and tables:  # beside one plot all tables stand below one another
        columns = [*plots, f"<div>{''.join(tables)}</div>"]
        figures = _grid(columns[::-1] if section.topic is Topic.PRECISIONS else columns)
    else:
        narrow = all(isinstance(table, Matrix) for table in section.tables)
        figures = _grid(plots) + _grid(tables, "grid narrow" if narrow else "grid")
    return (
        f'<section id="{section.topic.value}"><h2>{escape(section.title)}</h2>'
        f"{lead}{figures}{_points(section)}{notes}{behind}</section>"
    )


def _points(section: Section) -> str:
    if not section.points:
        return ""
    if section.topic is Topic.LIMITS:
        items = (f"<li><b>{escape(h)}.</b> {_words(rest)}</li>" for h, rest in section.points)
        return f"<ul>{''.join(items)}</ul>"
    tag = "code" if section.topic is Topic.PROVENANCE else "span"
    body = "".join(
        f"<dt>{escape(head)}</dt><dd><{tag}>{escape(rest)}</{tag}></dd>"
        for head, rest in section.points
    )
    return f"<dl>{body}</dl>"


def _table(table: Table | Matrix) -> str:
    heading = f"<h3>{escape(table.heading)}</h3>" if table.heading else ""
    body = _matrix(table) if isinstance(table, Matrix) else _rows(table)
    # Focusable, so that a keyboard can scroll a table that is wider than a phone.
    label = escape(f"{table.heading} {table.caption}".strip())
    return (
        f'{heading}<div class="scroll" tabindex="0" role="region" aria-label="{label}">{body}</div>'
    )


def _rows(table: Table) -> str:
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in table.columns)
    rows = []
    for name, *cells in table.rows:
        body = "".join(f"<td>{_cell(cell)}</td>" for cell in cells)
        rows.append(f'<tr><th scope="row">{_cell(name)}</th>{body}</tr>')
    # In a table of many columns small print may break on a desktop too.
    css = "wide dense" if len(table.columns) > _MANY_COLUMNS else "wide"
    return (
        f'<table class="{css}"><caption>{escape(table.caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    )


def _cell(cell: Cell) -> str:
    text = escape(cell.text)
    if cell.tone is not Tone.PLAIN and text:
        text = f'<b class="{cell.tone.value}">{text}</b>'
    # On a phone small print breaks after "to", not into three lines.
    small = escape(cell.small).replace(" to ", "&nbsp;to ")
    return f"{text}<small>{small}</small>" if small else text


def _matrix(matrix: Matrix) -> str:
    """Counts as a table, shaded off the diagonal where they are large."""
    counts = matrix.counts
    largest = max(
        (
            count
            for row, line in enumerate(counts)
            for column, count in enumerate(line)
            if row != column
        ),
        default=0,
    )
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in matrix.names)
    rows = []
    for row, name in enumerate(matrix.names):
        cells = []
        for column, count in enumerate(counts[row]):
            if row == column:
                cells.append(f'<td class="same">{count:,}</td>')
            elif not count:
                cells.append('<td class="zero">0</td>')
            else:
                shade = 0.12 + 0.36 * count / max(largest, _FEW)
                cells.append(
                    f'<td style="background: rgb(var(--heat) / {shade:.2f})">{count:,}</td>'
                )
        rows.append(f'<tr><th scope="row">{escape(name)}</th>{"".join(cells)}</tr>')
    return (
        f'<table class="matrix"><caption>{escape(matrix.caption)}</caption>'
        f"<thead><tr><td></td>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    )


def _plots(topic: Topic, report: Report) -> list[str]:
    """The plots of a section, as figures; empty where it has none."""
    draw = _PLOTS.get(topic)
    return [] if draw is None else [f"<figure>{content}</figure>" for content in draw(report)]


def _drop_plots(report: Report) -> list[str]:
    if not report.drops:
        return []
    return [drop_plot(report) + _limit_key(None if report.gate is None else report.gate.max_drop)]


def _class_plots(report: Report) -> list[str]:
    return [legend(report) + class_drop_plot(report) + _limit_key(report.class_gate)]


def _limit_key(limit: float | None) -> str:
    """What the dashed line is."""
    if limit is None:
        return ""
    return f'<p class="quiet"><span class="key"></span> limit of {100.0 * limit:g} pp</p>'


def _reliability_plots(report: Report) -> list[str]:
    plots = []
    for row in range(len(report.drops)) if report.drops else [-1]:
        curves = reliability_curves(report, row)
        name = model_name(report.models[row + 1])
        names = legend_of({curve.name: curve.series for curve in curves})
        plot = reliability_plot(f"plot-reliability-{name.lower()}", curves)
        plots.append(f"<h3>{name}</h3>{names}{plot}")
    return plots


_PLOTS: dict[Topic, Callable[[Report], list[str]]] = {
    Topic.PRECISIONS: _drop_plots,
    Topic.EMOTIONS: _class_plots,
    Topic.SLICES: lambda report: [legend(report) + slice_drop_plot(report)],
    Topic.CONFIDENCE: _reliability_plots,
    Topic.SOURCES: lambda report: [source_drop_plot(report)],
    Topic.SPEED: lambda report: [speed_plot(report)],
}
