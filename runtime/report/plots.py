"""The report's plots of drops with their intervals: of all faces, by emotion, by group, by source.

Worse than FP32 is to the right in all of them. An interval of too few faces is drawn faint and cut
off where it would make the others unreadable; the words and the table have its ends.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from edge_arm.runtime.report.report import Report
from edge_arm.runtime.report.svg import (
    LEFT,
    RIGHT,
    figure,
    line,
    point,
    series_css,
    text,
    ticks,
)
from edge_arm.runtime.report.text import (
    cannot_judge,
    confidence_text,
    faces_text,
    limits_pp,
    model_name,
    signed_pp,
)
from edge_arm.runtime.slices import SliceDrop
from edge_arm.runtime.statistics import Interval

_AXIS_HEIGHT = 40
_ROOM_FOR_FAINT = 0.5  # on each side, of the axis that the others need


@dataclass(frozen=True)
class _Whisker:
    """One interval: where it is drawn and what it says.

    Attributes:
        y: of its line.
        series: position of its candidate, for colour and form.
        point: drop in percentage points.
        limits: of the drop in percentage points.
        faint: whether too few faces are behind it to tell anything.
    """

    y: float
    series: int
    point: float
    limits: tuple[float, float]
    faint: bool = False


def drop_plot(report: Report) -> str:
    """Drop in accuracy with its interval, a line for each candidate, against the limit if any.

    Args:
        report: with at least one candidate.

    Returns:
        An SVG element.
    """
    whiskers, labels, words = [], [], []
    for row, drop in enumerate(report.drops):
        y = 34.0 + 46.0 * row
        name = model_name(drop.candidate)
        value = f"{signed_pp(drop.drop_pp)} pp ({limits_pp(drop.drop_pp_interval)})"
        whiskers.append(_Whisker(y, row, drop.drop_pp, drop.drop_pp_interval))
        labels.append(text((LEFT, y - 12), f"{name} {value}"))
        words.append(f"{name}: {value}.")
    margin = None if report.gate is None else 100.0 * report.gate.max_drop
    title = f"Drop in accuracy against FP32, {confidence_text(report.confidence)} intervals"
    limit = "" if margin is None else f" The limit is {margin:g} pp."
    return _interval_figure(
        "plot-drop", (title, " ".join(words) + limit), labels, whiskers, margin=margin
    )


def class_drop_plot(report: Report) -> str:
    """Drop in recall of each class with its interval, candidates below one another.

    Where there are too few faces to tell, the interval is drawn faint; classes without faces are
    said to have none.

    Args:
        report: with at least one candidate.

    Returns:
        An SVG element.
    """
    whiskers: list[_Whisker] = []
    labels, words = [], []
    y = 16.0
    for label, name in enumerate(report.labels.classes):
        count = report.data.class_counts[label]
        labels.append(text((LEFT, y), f"{name}, {faces_text(count) if count else 'no face'}"))
        y += 14.0
        for row, drop in enumerate(report.drops):
            one = drop.classes.drops[label]
            if one is None:
                continue
            faint = cannot_judge(one)
            whisker = _Whisker(y, row, 100.0 * one.counts.drop, _in_pp(one.interval), faint)
            whiskers.append(whisker)
            words.append(_whisker_words(f"{name} {model_name(drop.candidate)}", whisker))
            y += 14.0
        y += 12.0
    margin = None if report.class_gate is None else 100.0 * report.class_gate
    limit = "" if margin is None else f" The limit is {margin:g} pp."
    title = f"Drop in recall by emotion, {confidence_text(report.confidence)} intervals"
    return _interval_figure(
        "plot-classes", (title, " ".join(words) + limit), labels, whiskers, margin=margin
    )


def slice_drop_plot(report: Report) -> str:
    """Drop in accuracy of each group of people with its interval, candidates below one another.

    Args:
        report: with at least one slice.

    Returns:
        An SVG element.
    """
    series = {model_name(drop.candidate): row for row, drop in enumerate(report.drops)}
    groups: dict[tuple[str, str], list[SliceDrop]] = {}
    for item in report.slices:
        groups.setdefault((item.attribute, item.value), []).append(item)
    whiskers: list[_Whisker] = []
    labels, words = [], []
    y = 16.0
    for (attribute, value), items in groups.items():
        count = faces_text(items[0].counts.num_faces)
        labels.append(text((LEFT, y), f"{attribute}: {value}, {count}"))
        y += 14.0
        for item in items:
            # As for an emotion: too few faces may still show that there is a drop.
            faint = item.too_small and item.interval.low <= 0.0 <= item.interval.high
            row = series.get(model_name(item), 0)
            whisker = _Whisker(y, row, 100.0 * item.counts.drop, _in_pp(item.interval), faint)
            whiskers.append(whisker)
            name = f"{attribute} {value} {model_name(item)}"
            words.append(_whisker_words(name, whisker))
            y += 14.0
        y += 12.0
    title = f"Drop in accuracy by group of people, {confidence_text(report.confidence)} intervals"
    return _interval_figure("plot-slices", (title, " ".join(words)), labels, whiskers)


def source_drop_plot(report: Report) -> str:
    """Drop in accuracy by source of error, one at a time.

    Args:
        report: with an explanation.

    Returns:
        An SVG element.
    """
    whiskers, labels, words = [], [], []
    for row, item in enumerate(report.explanation):
        y = 34.0 + 40.0 * row
        whisker = _Whisker(y, 0, 100.0 * item.drop, _in_pp(item.interval))
        whiskers.append(whisker)
        labels.append(text((LEFT, y - 12), f"{item.name}, {item.flips:,} changed"))
        words.append(_whisker_words(item.name, whisker))
    title = f"Drop in accuracy by source, {confidence_text(report.confidence)} intervals"
    return _interval_figure("plot-sources", (title, " ".join(words)), labels, whiskers)


def legend(report: Report) -> str:
    """The candidates' names beside the form and colour of their points, as an HTML list."""
    names = [model_name(drop.candidate) for drop in report.drops]
    return legend_of(dict(zip(names, range(len(names)), strict=True)))


def legend_of(series: Mapping[str, int]) -> str:
    """Names beside the form and colour of their points, as an HTML list.

    Args:
        series: by name, which is plain text.
    """
    items = [
        f'<li><svg width="16" height="16" viewBox="-8 -8 16 16" aria-hidden="true">'
        f"{point((0, 0), number)}</svg>{name}</li>"
        for name, number in series.items()
    ]
    return f'<ul class="legend">{"".join(items)}</ul>'


def _in_pp(interval: Interval) -> tuple[float, float]:
    return 100.0 * interval.low, 100.0 * interval.high


def _whisker_words(name: str, whisker: _Whisker) -> str:
    faint = ", too few faces to tell" if whisker.faint else ""
    return f"{name}: {signed_pp(whisker.point)} pp ({limits_pp(whisker.limits)}){faint}."


def _interval_figure(
    name: str,
    words: tuple[str, str],
    labels: Sequence[str],
    whiskers: Sequence[_Whisker],
    *,
    margin: float | None = None,
) -> str:
    """Axis, zero, limit, whiskers and labels; `words` are title and description."""
    low, high = _axis(whiskers, margin)

    def x(points: float) -> float:
        return LEFT + (points - low) / (high - low) * (RIGHT - LEFT)

    bottom = max([20.0, *(item.y for item in whiskers)]) + 14.0
    height = bottom + _AXIS_HEIGHT
    parts = []
    for tick in ticks(low, high):
        css = "zero" if abs(tick) < 1e-9 else "grid"
        parts.append(line((x(tick), 0.0), (x(tick), bottom), css))
        parts.append(text((x(tick), bottom + 16), f"{tick:g}", css="tick", anchor="middle"))
    if margin is not None:
        parts.append(line((x(margin), 0.0), (x(margin), bottom), "margin"))
    parts.append(
        text((LEFT, height - 6), "\u2190 better than FP32", css="tick")
        + text((RIGHT, height - 6), "worse, in pp \u2192", css="tick", anchor="end")
    )
    parts += [_whisker(item, x, (low, high)) for item in whiskers]
    return figure(name, words, height, [*parts, *labels])


def _axis(whiskers: Sequence[_Whisker], margin: float | None) -> tuple[float, float]:
    """Ends of the axis: zero, the limit and every interval, but faint ones only as far as fits.

    Five faces have an interval of a hundred points, which would press all others into a line.
    """
    firm = [item for item in whiskers if not item.faint] or whiskers
    low = min([0.0, *(item.limits[0] for item in firm)])
    high = max([0.0, margin or 0.0, *(item.limits[1] for item in firm)])
    if high - low < 0.01:
        low, high = -0.5, 0.5
    room = (high - low) * _ROOM_FOR_FAINT
    low = max(low - room, min([low, *(item.limits[0] for item in whiskers)]))
    high = min(high + room, max([high, *(item.limits[1] for item in whiskers)]))
    pad = 0.06 * (high - low)
    return low - pad, high + pad


def _whisker(item: _Whisker, x: Callable[[float], float], axis: tuple[float, float]) -> str:
    """The interval, its ends and its point; an end beyond the axis is cut off and has no bar."""
    low, high = axis
    ends = [min(max(limit, low), high) for limit in item.limits]
    parts = [line((x(ends[0]), item.y), (x(ends[1]), item.y), "whisker")]
    parts += [
        line((x(end), item.y - 4), (x(end), item.y + 4), "whisker")
        for end, limit in zip(ends, item.limits, strict=True)
        if end == limit
    ]
    if low <= item.point <= high:
        parts.append(point((x(item.point), item.y), item.series))
    css = f"{series_css(item.series)}{' faint' if item.faint else ''}"
    return f'<g class="{css}">{"".join(parts)}</g>'
