"""The report as one HTML file, for people: it opens with the verdict and ends with its limits.

Self-contained: no script, nothing from the network, and a content security policy that holds a
browser to it. Its only pictures are the thumbnails of the contact sheet, inside the file.
Everything that comes from outside (names, versions, commands) is escaped.
"""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from pathlib import Path

from edge_arm.runtime.report import Report
from edge_arm.runtime.report_compare import Comparison
from edge_arm.runtime.report_contact_sheet import contact_sheets
from edge_arm.runtime.report_contents import document_from_report
from edge_arm.runtime.report_document import Cell, Document, Matrix, Section, Table, Tone, Topic
from edge_arm.runtime.report_plot_reliability import (
    ReliabilityCurve,
    reliability_curves,
    reliability_plot,
)
from edge_arm.runtime.report_plot_speed import speed_plot
from edge_arm.runtime.report_plots import (
    class_drop_plot,
    drop_plot,
    legend,
    legend_of,
    slice_drop_plot,
    source_drop_plot,
)
from edge_arm.runtime.report_style import STYLE
from edge_arm.runtime.storage import write_text

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


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
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<link rel="icon" href="data:,">\n'
        f"<title>{escape(document.verdict)}: {escape(document.title)}</title>\n"
        f"<style>{STYLE}</style>\n</head>\n<body>\n{_header(document)}\n<main>\n"
        + "\n".join(sections)
        + "\n</main>\n</body>\n</html>\n"
    )


def _header(document: Document) -> str:
    alarms = "".join(f'<p class="alarm">{escape(line)}</p>' for line in document.alarms)
    remarks = "".join(f"<p>{escape(line)}</p>" for line in document.remarks)
    contents = "".join(
        f'<li><a href="#{section.topic.value}">{escape(section.title)}</a></li>'
        for section in document.sections
    )
    return (
        f"<header><h1>{escape(document.title)}</h1>"
        f'<div class="verdict {document.tone.value}"><p><strong>{escape(document.verdict)}</strong>'
        f"{escape(document.sentence)}</p></div>{alarms}{remarks}"
        f'<nav aria-label="Sections"><ul>{contents}</ul></nav></header>'
    )


def _section(section: Section, *, plots: str, behind: str) -> str:
    """Words, then plots and tables side by side where there is room, then the small print."""
    lead = "".join(f"<p>{escape(text)}</p>" for text in section.lead)
    notes = "".join(f'<p class="quiet">{escape(text)}</p>' for text in section.notes)
    tables = "".join(f"<div>{_table(table)}</div>" for table in section.tables)
    figures = f'<div class="grid">{plots}{tables}</div>' if plots or tables else ""
    return (
        f'<section id="{section.topic.value}"><h2>{escape(section.title)}</h2>'
        f"{lead}{figures}{_points(section)}{notes}{behind}</section>"
    )


def _points(section: Section) -> str:
    if not section.points:
        return ""
    if section.topic is Topic.LIMITS:
        items = (f"<li><b>{escape(h)}.</b> {escape(rest)}</li>" for h, rest in section.points)
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
    return (
        f'<table class="wide"><caption>{escape(table.caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    )


def _cell(cell: Cell) -> str:
    text = escape(cell.text)
    if cell.tone is not Tone.PLAIN and text:
        text = f'<b class="{cell.tone.value}">{text}</b>'
    return text + (f"<small>{escape(cell.small)}</small>" if cell.small else "")


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
                shade = 0.12 + 0.43 * count / largest
                cells.append(
                    f'<td style="background: rgb(var(--heat) / {shade:.2f})">{count:,}</td>'
                )
        rows.append(f'<tr><th scope="row">{escape(name)}</th>{"".join(cells)}</tr>')
    return (
        f'<table class="matrix"><caption>{escape(matrix.caption)}</caption>'
        f"<thead><tr><td></td>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    )


def _plots(topic: Topic, report: Report) -> str:
    """The plots of a section; empty where it has none."""
    draw = _PLOTS.get(topic)
    return "" if draw is None else draw(report)


def _drop_figure(report: Report) -> str:
    limit = (
        ""
        if report.gate is None
        else f'<p class="quiet"><span class="key"></span> limit of '
        f"{100.0 * report.gate.max_drop:g} pp</p>"
    )
    return f"<figure>{drop_plot(report)}{limit}</figure>"


def _class_figure(report: Report) -> str:
    limit = (
        ""
        if report.class_gate is None
        else f'<p class="quiet"><span class="key"></span> limit of '
        f"{100.0 * report.class_gate:g} pp</p>"
    )
    return f"<figure>{legend(report)}{class_drop_plot(report)}{limit}</figure>"


def _reliability_figures(report: Report) -> str:
    rows = range(len(report.drops)) if report.drops else [-1]
    return "".join(
        _reliability_figure(f"plot-reliability-{row + 1}", reliability_curves(report, row))
        for row in rows
    )


def _reliability_figure(name: str, curves: tuple[ReliabilityCurve, ...]) -> str:
    heading = f"<h3>{curves[-1].name.removesuffix(' tempered')}</h3>"
    names = legend_of({curve.name: curve.series for curve in curves})
    return f"<figure>{heading}{names}{reliability_plot(name, curves)}</figure>"


_PLOTS: dict[Topic, Callable[[Report], str]] = {
    Topic.DROP: _drop_figure,
    Topic.EMOTIONS: _class_figure,
    Topic.SLICES: lambda report: f"<figure>{legend(report)}{slice_drop_plot(report)}</figure>",
    Topic.CONFIDENCE: _reliability_figures,
    Topic.SOURCES: lambda report: f"<figure>{source_drop_plot(report)}</figure>",
    Topic.SPEED: lambda report: f"<figure>{speed_plot(report)}</figure>",
}
