"""Which sections a report has, and in which order; HTML and Markdown draw the same."""

from __future__ import annotations

from edge_arm.runtime.report.compare import Comparison
from edge_arm.runtime.report.document import Document, Section, Tone
from edge_arm.runtime.report.findings import alarms
from edge_arm.runtime.report.report import Report
from edge_arm.runtime.report.sections_answers import (
    confusions_section,
    emotions_section,
    flips_section,
    precisions_section,
    slices_section,
    speed_section,
)
from edge_arm.runtime.report.sections_checks import (
    baselines_section,
    confidence_section,
    invariance_section,
    leaks_section,
    sources_section,
)
from edge_arm.runtime.report.sections_origin import (
    changes_section,
    limits_section,
    provenance_section,
)
from edge_arm.runtime.report.text import VERDICT_WORDS, gate_remarks, verdict_sentence
from edge_arm.runtime.statistics import Verdict


def document_from_report(report: Report, comparison: Comparison | None = None) -> Document:
    """Everything a report says, as sections.

    Args:
        report: what was measured.
        comparison: with an older report, if one was given.
    """
    sections: list[Section | None] = [
        precisions_section(report),
        None if comparison is None else changes_section(comparison),
        emotions_section(report),
        slices_section(report),
        flips_section(report),
        confusions_section(report),
        confidence_section(report),
        sources_section(report),
        baselines_section(report),
        invariance_section(report),
        leaks_section(report),
        speed_section(report),
        provenance_section(report),
        limits_section(report),
    ]
    tone, word = _verdict(report)
    return Document(
        title=f"Accuracy-drop report, {report.data.name} ({report.data.split.value})",
        tone=tone,
        verdict=word,
        sentence=verdict_sentence(report),
        alarms=alarms(report),
        remarks=gate_remarks(report),
        sections=tuple(section for section in sections if section is not None),
    )


def _verdict(report: Report) -> tuple[Tone, str]:
    """The verdict as people read it; a pass of a model that is not accepted is none."""
    verdict = report.verdict
    if verdict in (None, Verdict.PASS) and not report.accepted:
        return Tone.FAIL, "Not accepted"
    if verdict is None:
        return Tone.QUIET, "No verdict"
    return Tone(verdict.value), VERDICT_WORDS[verdict].capitalize()
