"""Markdown says what the page says, in tables that GitHub reads."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import unescape
from pathlib import Path

from edge_arm.runtime.manifest import Precision
from edge_arm.runtime.report.contents import document_from_report
from edge_arm.runtime.report.document import Matrix
from edge_arm.runtime.report.html_page import html_from_report
from edge_arm.runtime.report.markdown_form import markdown_from_report, write_markdown_report
from edge_arm.runtime.report.report import Report
from edge_arm.runtime.report.text import verdict_sentence

Make = Callable[..., Report]
FP32, FP16, INT8 = Precision
TARGETS = [0] * 40 + [1] * 40
ANSWERS = {FP32: TARGETS, FP16: TARGETS, INT8: [*TARGETS[:-3], 0, 0, 2]}


def cells(line: str) -> list[str]:
    """Entries of a row; an escaped bar does not end one."""
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def unescaped(text: str) -> str:
    return re.sub(r"\\([\\`*_\[\]<>|~#&])", r"\1", text)


def test_it_opens_with_the_verdict(report_from_answers: Make) -> None:
    report = report_from_answers(TARGETS, ANSWERS, 1.0)
    title, verdict, *_ = markdown_from_report(report).split("\n\n")
    assert title == "# Accuracy-drop report, rafdb (test)"
    assert unescaped(verdict) == f"**Cannot tell.** {verdict_sentence(report)}"


def test_every_table_has_as_many_entries_in_each_row_as_heads(whole_report: Make) -> None:
    blocks = markdown_from_report(whole_report()).split("\n\n")
    tables = [block.splitlines() for block in blocks if block.startswith("|")]
    assert len(tables) > 10
    for head, rule, *rows in tables:
        assert set(rule) <= set("|-: ")
        assert {len(cells(line)) for line in (head, rule, *rows)} == {len(cells(head))}


def test_page_and_markdown_have_the_same_words(whole_report: Make) -> None:
    """Each text of each section is in both, so neither form can leave one out."""
    report = whole_report()
    document = document_from_report(report)
    markdown = unescaped(markdown_from_report(report))
    # Without markup, and with a space where the page has one that does not break.
    page = unescape(html_from_report(report)).replace("\N{NO-BREAK SPACE}", " ")
    texts = [document.title, document.verdict, document.sentence, *document.remarks]
    for section in document.sections:
        texts += [section.title, *section.lead, *section.notes]
        texts += [word for point in section.points for word in point]
        for table in section.tables:
            texts += [table.heading, table.caption]
            if isinstance(table, Matrix):
                texts += [*table.names, *(f"{n:,}" for row in table.counts for n in row)]
            else:
                texts += [*table.columns]
                texts += [text for row in table.rows for c in row for text in (c.text, c.small)]
    assert len(texts) > 500
    missing = [text for text in texts if text not in page or text not in markdown]
    assert missing == []


def test_names_from_outside_cannot_break_it(report_from_answers: Make) -> None:
    report = report_from_answers(TARGETS, ANSWERS, None, "a|b*c*\n# <img src=x>")
    markdown = markdown_from_report(report)
    assert "<img" not in re.sub(r"\\<", "", markdown)
    assert markdown.count("\n# ") == 0  # the title is the only heading of its level, at the start
    assert r"a\|b\*c\* \# \<img src=x\>" in markdown


def test_alarms_come_before_any_figure(whole_report: Make) -> None:
    markdown = markdown_from_report(whole_report(batch_invariant=False))
    assert "> **Alarm:** INT8 depends on the other faces of a batch" in markdown
    assert markdown.index("> **Alarm:**") < markdown.index("## ")


def test_it_is_written_whole(report_from_answers: Make, tmp_path: Path) -> None:
    report = report_from_answers(TARGETS, ANSWERS)
    path = tmp_path / "report.md"
    write_markdown_report(report, path)
    assert path.read_text(encoding="utf-8") == markdown_from_report(report)
    assert [item.name for item in tmp_path.iterdir()] == ["report.md"]


def test_the_weakest_and_the_hardest_hit_emotion_are_named(whole_report: Make) -> None:
    """By hand from the table of the emotions: recall and drop of each, in percent and points."""
    rows = [
        cells(line) for line in markdown_from_report(whole_report()).splitlines() if "|" in line
    ]
    by_name = {row[0]: row[1:] for row in rows if row}
    assert by_name["Lowest recall"] == ["", "63.5 % (fear)", "64.9 % (fear)"]
    assert by_name["Largest drop of an emotion, pp"] == ["", "+1.4 (fear)", "+1.5 (sadness)"]
