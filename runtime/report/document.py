"""A report as sections of words and tables, before it is HTML or Markdown.

Both forms draw the same sections, so neither can leave out what the other says. Plots and pictures
are the page's own; each is beside a table with the same figures.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum


class Topic(Enum):
    """What a section is about; the page finds the plots of a section by it."""

    PRECISIONS = "precisions"
    CHANGES = "changes"
    EMOTIONS = "emotions"
    SLICES = "slices"
    FLIPS = "flips"
    CONFUSIONS = "confusions"
    CONFIDENCE = "confidence"
    SOURCES = "sources"
    BASELINES = "baselines"
    INVARIANCE = "invariance"
    LEAKS = "leaks"
    SPEED = "speed"
    PROVENANCE = "provenance"
    LIMITS = "limits"


class Tone(Enum):
    """What a word means for the reader; the page gives each a colour, beside the word."""

    PLAIN = "plain"
    PASS = "pass"
    FAIL = "fail"
    CANNOT_TELL = "cannot_tell"
    QUIET = "quiet"


@dataclass(frozen=True)
class Cell:
    """One entry of a table.

    Attributes:
        text: the figure.
        small: what belongs to it in small print, such as its interval.
        tone: whether it is a verdict.
    """

    text: str
    small: str = ""
    tone: Tone = Tone.PLAIN


@dataclass(frozen=True)
class Table:
    """Rows under one head; the first cell of a row names it.

    Attributes:
        heading: above it, empty where the section has one table.
        caption: what it shows, and its units.
        columns: heads, the first over the names of the rows.
        rows: of as many cells as there are columns.
    """

    heading: str
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True)
class Matrix:
    """Counts of faces by two answers.

    Attributes:
        heading: above it.
        caption: which is row and which column.
        names: of rows and columns alike.
        counts: C rows of C counts.
    """

    heading: str
    caption: str
    names: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Section:
    """One part of the report.

    Attributes:
        topic: what it is about.
        title: its heading.
        lead: paragraphs before the figures.
        tables: the figures.
        points: a list, each with a word in front and what there is to say.
        notes: paragraphs behind the figures, in small print.
    """

    topic: Topic
    title: str
    lead: tuple[str, ...] = ()
    tables: tuple[Table | Matrix, ...] = ()
    points: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Document:
    """The whole report.

    Attributes:
        title: what was measured on what.
        tone: of the verdict.
        verdict: in a word or two.
        sentence: the verdict in one sentence.
        alarms: faults of the measurement or the model that come before any figure.
        remarks: what else must be read with the verdict.
        sections: in the order of reading.
    """

    title: str
    tone: Tone
    verdict: str
    sentence: str
    alarms: tuple[str, ...]
    remarks: tuple[str, ...]
    sections: tuple[Section, ...]


def plain_row(name: str, values: Iterable[str | Cell]) -> tuple[Cell, ...]:
    """A row from its name and its figures.

    Args:
        name: first cell.
        values: the others; a text is a cell without small print.
    """
    return Cell(name), *(Cell(value) if isinstance(value, str) else value for value in values)


def paragraphs(*texts: str | None) -> tuple[str, ...]:
    """The texts that have something to say.

    Args:
        texts: None or empty where there is nothing.
    """
    return tuple(text for text in texts if text)
