"""The report as Markdown, for a pull request or the summary of a CI job.

The sections of the HTML page, without plots and pictures: what a plot shows is in the table beside
it. GitHub's tables are the dialect.
"""

from __future__ import annotations

import re
from pathlib import Path

from edge_arm.runtime.report.compare import Comparison
from edge_arm.runtime.report.contents import document_from_report
from edge_arm.runtime.report.document import Cell, Matrix, Section, Table, Tone
from edge_arm.runtime.report.report import Report
from edge_arm.runtime.storage import write_text

_TROUBLE = re.compile(r"([\\`*_\[\]<>|~#&])")
_BOLD = (Tone.PASS, Tone.FAIL, Tone.CANNOT_TELL)


def write_markdown_report(
    report: Report, path: Path, *, comparison: Comparison | None = None
) -> None:
    """Write `markdown_from_report` to a file, atomically.

    Args:
        report: what was measured.
        path: of the file.
        comparison: with an older report, if one was given.

    Raises:
        StorageError: if the operating system refuses the write.
    """
    write_text(path, markdown_from_report(report, comparison=comparison))


def markdown_from_report(report: Report, *, comparison: Comparison | None = None) -> str:
    """The whole report as Markdown text.

    Args:
        report: what was measured.
        comparison: with an older report, if one was given.
    """
    document = document_from_report(report, comparison)
    blocks = [
        f"# {_escaped(document.title)}",
        f"**{_escaped(document.verdict)}.** {_escaped(document.sentence)}",
        *(f"> **Alarm:** {_escaped(line)}" for line in document.alarms),
        *(_escaped(line) for line in document.remarks),
    ]
    for section in document.sections:
        blocks += _blocks(section)
    return "\n\n".join(blocks) + "\n"


def _blocks(section: Section) -> list[str]:
    blocks = [f"## {_escaped(section.title)}", *(_escaped(text) for text in section.lead)]
    for table in section.tables:
        if table.heading:
            blocks.append(f"### {_escaped(table.heading)}")
        blocks.append(_escaped(table.caption))
        blocks.append(_matrix(table) if isinstance(table, Matrix) else _table(table))
    if section.points:
        blocks.append(
            "\n".join(f"- **{_escaped(head)}**: {_escaped(rest)}" for head, rest in section.points)
        )
    return [*blocks, *(_escaped(text) for text in section.notes)]


def _table(table: Table) -> str:
    rows = [[_cell(cell) for cell in row] for row in table.rows]
    return _grid([_escaped(name) for name in table.columns], rows)


def _matrix(matrix: Matrix) -> str:
    names = [_escaped(name) for name in matrix.names]
    rows = [
        [name, *(f"{count:,}" for count in counts)]
        for name, counts in zip(names, matrix.counts, strict=True)
    ]
    return _grid(["", *names], rows)


def _grid(head: list[str], rows: list[list[str]]) -> str:
    """GitHub's table; names to the left, figures to the right."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(cell: Cell) -> str:
    text = _escaped(cell.text)
    if cell.tone in _BOLD and text:
        text = f"**{text}**"
    return f"{text} ({_escaped(cell.small)})" if cell.small else text


def _escaped(text: str) -> str:
    """Text that Markdown shows as it is: names and commands come from outside."""
    return _TROUBLE.sub(r"\\\1", " ".join(text.split()))
